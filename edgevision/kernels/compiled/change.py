# ruff: noqa: D103 - each operation is described once, in plain/change.py
"""The change map's arithmetic, compiled: the same operations and the same bits as `plain/change.py`, which documents them.

Integers only, so that no order of evaluation can matter. Arrays of a frame are (row, column x channel), contiguous.
"""

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic

LANES = 64
i4 = np.int32


@intrinsic
def _changed_bits(typing, image, used, tolerance, at, gain, offset, extra):
    """One bit for each of the 64 bytes from `at`: is the corrected byte further from `used` than tolerance + extra? See `_correct`."""
    signature = types.uint64(image, used, tolerance, types.int64, types.int32, types.int32, types.int32)

    def generate(context, builder, signature, args):
        byte, short, word = (ir.VectorType(ir.IntType(bits), LANES) for bits in (8, 16, 32))

        def fill(vector, value):
            return ir.Constant(vector, [value] * LANES)

        def load(k):
            data = context.make_array(signature.args[k])(context, builder, args[k]).data
            return builder.load(builder.bitcast(builder.gep(data, [args[3]]), byte.as_pointer()), align=1)

        def spread(k, vector):
            none = ir.Constant(vector, ir.Undefined)
            first = builder.insert_element(none, builder.trunc(args[k], vector.element), ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(first, none, fill(word, 0))

        def pick(relation, a, b, signed):
            compare = builder.icmp_signed if signed else builder.icmp_unsigned
            return builder.select(compare(relation, a, b), a, b)

        high = builder.zext(builder.shl(builder.zext(load(0), short), fill(short, 8)), word)
        product = builder.trunc(builder.lshr(builder.mul(high, builder.zext(spread(4, short), word)), fill(word, 16)), short)
        value = builder.ashr(builder.add(builder.lshr(product, fill(short, 1)), spread(5, short)), fill(short, 5))
        value = builder.trunc(pick("<", pick(">", value, fill(short, 0), True), fill(short, 255), True), byte)
        before, limit, more = load(1), load(2), spread(6, byte)
        far = builder.sub(pick(">", value, before, False), pick("<", value, before, False))
        raised = builder.add(limit, more)
        raised = builder.select(builder.icmp_unsigned("<", raised, limit), fill(byte, 255), raised)
        return builder.bitcast(builder.icmp_unsigned(">", far, raised), ir.IntType(64))

    return signature, generate


@njit(nogil=True)
def _correct(value, line):
    v = i4(i4(i4(i4(i4(value) * i4(line[0])) >> i4(line[2])) + i4(line[1])) >> i4(line[3]))
    return max(i4(0), min(v, i4(line[4])))


@njit(nogil=True)
def _steepness(used, channels, r, x, i):
    u = i4(used[r, i])
    left = i - channels if x > 0 else i
    right = i + channels if i + channels < used.shape[1] else i
    across = max(abs(i4(used[r, left]) - u), abs(i4(used[r, right]) - u))
    along = max(abs(i4(used[max(r - 1, 0), i]) - u), abs(i4(used[min(r + 1, used.shape[0] - 1), i]) - u))
    return across + along


@njit(nogil=True)
def set_tolerances(used, channels, tables, vibration_q8, allowed, rows, columns, tolerance):
    table, dead, level_shift = tables
    most = np.iinfo(tolerance.dtype).max
    for r in range(rows[0], rows[1]):
        for x in range(columns[0], columns[1]):
            for i in range(x * channels, x * channels + channels):
                level = min(i4(used[r, i]) >> level_shift, 255)
                steep = max(_steepness(used, channels, r, x, i) - dead[level], 0)
                tolerance[r, i] = min(table[level] + ((steep * vibration_q8) >> 8), most - 1) if allowed[r, x] else most


@njit(nogil=True)
def _add_weak(weak, points, count, pixel):
    row, column = pixel // (weak.shape[1] - 2) + 1, pixel % (weak.shape[1] - 2) + 1
    if weak[row, column]:
        return count
    weak[row, column] = 1
    points[count] = row * weak.shape[1] + column
    return count + 1


@njit(nogil=True)
def _find_one_by_one(image, used, tolerance, line, extra, channels, start, weak, points, count):
    for i in range(start, image.shape[0]):
        if abs(_correct(image[i], line) - i4(used[i])) > i4(tolerance[i]) + extra:
            count = _add_weak(weak, points, count, i // channels)
    return count


@njit(nogil=True)
def _find_bytes(image, used, tolerance, line, extra, channels, weak, points):
    gain, offset, more = i4(line[0]), i4(line[1]), i4(extra)
    count = 0
    stop = image.shape[0] // LANES * LANES
    for at in range(0, stop, LANES):
        bits = _changed_bits(image, used, tolerance, at, gain, offset, more)
        if bits:
            for k in range(LANES):
                if (bits >> np.uint64(k)) & np.uint64(1):
                    count = _add_weak(weak, points, count, (at + k) // channels)
    return _find_one_by_one(image, used, tolerance, line, extra, channels, stop, weak, points, count)


def find_weak(image, used, tolerance, line, extra, channels, weak, points):
    frame = (image.reshape(-1), used.reshape(-1), tolerance.reshape(-1), line, extra, channels)
    if image.dtype == np.uint8 and not config.DISABLE_JIT:
        return _find_bytes(*frame, weak, points)
    return _find_one_by_one(*frame, 0, weak, points, 0)


@njit(nogil=True)
def _is_strong(image, used, tolerance, line, extra, strong_q8, channels, r, x):
    for i in range(x * channels, x * channels + channels):
        far = abs(np.int64(_correct(image[r, i], line)) - np.int64(used[r, i]))
        if far * 256 > (np.int64(tolerance[r, i]) + extra) * strong_q8:
            return True
    return False


@njit(nogil=True)
def _support(weak, r, x):
    n = 0
    for dr in range(-1, 2):
        for dx in range(-1, 2):
            if weak[r + dr, x + dx]:
                n += 1
    return n


@njit(nogil=True)
def _flood(weak, queue, start, stride):
    weak[start // stride, start % stride] = 2
    queue[0] = start
    area, head = 1, 0
    while head < area:
        r, x = queue[head] // stride, queue[head] % stride
        head += 1
        for dr in range(-1, 2):
            for dx in range(-1, 2):
                if weak[r + dr, x + dx] == 1:
                    weak[r + dr, x + dx] = 2
                    queue[area] = (r + dr) * stride + x + dx
                    area += 1
    return area


@njit(nogil=True)
def _mark(live, allowed, first, last, r, x, grow):
    added = 0
    for row in range(max(r - grow, 0), min(r + grow + 1, live.shape[0])):
        for column in range(max(x - grow, 0), min(x + grow + 1, live.shape[1])):
            if allowed[row, column] and not live[row, column]:
                live[row, column] = True
                added += 1
                first[row] = min(first[row], column)
                last[row] = max(last[row], column + 1)
    return added


@njit(nogil=True)
def grow_live(image, used, tolerance, line, extra, channels, limits, weak, points, count, queue, allowed, live, first, last):
    strong_q8, despeckle, min_area, grow = limits[0], limits[1], limits[2], limits[3]
    stride = weak.shape[1]
    total = 0
    for k in range(count):
        r, x = points[k] // stride, points[k] % stride
        if weak[r, x] != 1:
            continue
        support = _support(weak, r, x)
        if support + 1 < despeckle:
            continue
        if support < despeckle and not _is_strong(image, used, tolerance, line, extra, strong_q8, channels, r - 1, x - 1):
            continue
        area = _flood(weak, queue, points[k], stride)
        if area >= min_area:
            for q in range(area):
                total += _mark(live, allowed, first, last, queue[q] // stride - 1, queue[q] % stride - 1, grow)
    for k in range(count):
        weak[points[k] // stride, points[k] % stride] = 0
    return total


@njit(nogil=True)
def clear_live(live, first, last):
    for r in range(live.shape[0]):
        for x in range(first[r], last[r]):
            live[r, x] = False
        first[r] = live.shape[1]
        last[r] = 0


@njit(nogil=True)
def force_live(allowed, start, stop, live, first, last):
    added = 0
    for r in range(start, stop):
        for x in range(live.shape[1]):
            if allowed[r, x] and not live[r, x]:
                live[r, x] = True
                added += 1
                first[r], last[r] = min(first[r], x), max(last[r], x + 1)
    return added


@njit(nogil=True)
def find_extents(live, first, last):
    total = 0
    for r in range(live.shape[0]):
        first[r], last[r] = live.shape[1], 0
        n = 0
        for x in range(live.shape[1]):
            n += live[r, x]
        if n:
            a, b = 0, live.shape[1]
            while not live[r, a]:
                a += 1
            while not live[r, b - 1]:
                b -= 1
            first[r], last[r] = a, b
            total += n
    return total


@njit(nogil=True)
def confirm_live(live, streak, frames):
    for r in range(live.shape[0]):
        for x in range(live.shape[1]):
            streak[r, x] = min(streak[r, x] + 1, 255) if live[r, x] else 0
            live[r, x] = live[r, x] and streak[r, x] >= frames


@njit(nogil=True)
def hold_live(live, held, frames):
    for r in range(live.shape[0]):
        for x in range(live.shape[1]):
            if live[r, x]:
                held[r, x] = frames
            elif held[r, x]:
                held[r, x] -= 1
                live[r, x] = True


@njit(nogil=True)
def correct_rows(image, line, first, last, out):
    for r in range(image.shape[0]):
        if last[r] > first[r]:
            for i in range(image.shape[1]):
                out[r, i] = _correct(image[r, i], line)


@njit(nogil=True)
def take_used(corrected, live, first, last, channels, used):
    for r in range(live.shape[0]):
        for x in range(first[r], last[r]):
            if live[r, x]:
                for i in range(x * channels, x * channels + channels):
                    used[r, i] = corrected[r, i]


@njit(nogil=True)
def refresh_tolerances(used, channels, tables, vibration_q8, allowed, first, last, tolerance):
    height, width = allowed.shape
    for r in range(height):
        a, b = width, 0
        for row in range(max(r - 1, 0), min(r + 2, height)):
            a, b = min(a, first[row]), max(b, last[row])
        if b > a:
            columns = (max(a - 1, 0), min(b + 1, width))
            set_tolerances(used, channels, tables, vibration_q8, allowed, (r, r + 1), columns, tolerance)


@njit(nogil=True)
def gather(image, used, place, depth, channels, start, step, xs, ys):
    allowed, dead = place
    level_shift, top = depth
    n = dark = bright = seen = 0
    low, high = 2 << level_shift, top - (2 << level_shift)
    for r in range(start[0], image.shape[0], step):
        for x in range(start[1], image.shape[1] // channels, step):
            if not allowed[r, x]:
                continue
            for i in range(x * channels, x * channels + channels):
                v, u = i4(image[r, i]), i4(used[r, i])
                seen += 1
                dark += v <= low
                bright += v >= high
                if low < v < high and low < u < high and _steepness(used, channels, r, x, i) <= dead[min(u >> level_shift, 255)]:
                    xs[n], ys[n] = v, u
                    n += 1
    return n, seen, dark, bright


@njit(nogil=True)
def count_residuals(xs, ys, n, line, level_shift, counts):
    counts[:] = 0
    for k in range(n):
        level = min(ys[k] >> (level_shift + 4), 15)
        counts[level, min(abs(_correct(xs[k], line) - ys[k]) >> level_shift, 63)] += 1


@njit(nogil=True)
def fit_sums(xs, ys, n, line, limit):
    count = sx = sy = sxx = sxy = 0
    for k in range(n):
        x, y = np.int64(xs[k]), np.int64(ys[k])
        if abs(_correct(xs[k], line) - ys[k]) <= limit:
            count += 1
            sx += x
            sy += y
            sxx += x * x
            sxy += x * y
    return count, sx, sy, sxx, sxy


@njit(nogil=True)
def _judge_row(image, line, finer, mean, spread, bounds, flags):
    bright, dark, bright_q8, dark_q8 = i4(bounds[0]), i4(bounds[1]), i4(bounds[2]), i4(bounds[3])
    for i in range(image.shape[0]):
        far = i4(i4(_correct(image[i], line) << i4(finer)) - i4(mean[i]))
        wide = i4(spread[i])
        over = max(bright, i4(i4(bright_q8 * wide) >> 8))
        under = max(dark, i4(i4(dark_q8 * wide) >> 8))
        flags[i] = (far > over) | (i4(-far) > under)


@njit(nogil=True)
def _any_channel(flags, channels, allowed, out):
    if channels == 3:  # written out, so that it becomes vector code
        for x in range(out.shape[0]):
            out[x] = (flags[3 * x] | flags[3 * x + 1] | flags[3 * x + 2]) & allowed[x]
    else:
        for x in range(out.shape[0]):
            out[x] = flags[x] & allowed[x]


@njit(nogil=True)
def _each_channel(live, protect, allowed, channels, skip):
    if channels == 3:
        for x in range(live.shape[0]):
            keep_out = np.uint8(live[x]) | np.uint8(protect[x]) | np.uint8(1 - allowed[x])
            skip[3 * x] = keep_out
            skip[3 * x + 1] = keep_out
            skip[3 * x + 2] = keep_out
    else:
        for x in range(live.shape[0]):
            skip[x] = np.uint8(live[x]) | np.uint8(protect[x]) | np.uint8(1 - allowed[x])


@njit(nogil=True)
def judge_rows(image, line, finer, mean, spread, bounds, allowed, rows, channels, flags, raw):
    for r in range(image.shape[0]):
        if rows[r]:
            _judge_row(image[r], line, finer, mean[r], spread[r], bounds, flags)
            _any_channel(flags, channels, allowed[r], raw[r + 1, 1:-1])


@njit(nogil=True)
def despeckle_rows(raw, rows, need, foreground):
    height, width = foreground.shape
    changed = False
    for r in range(height):
        if not (rows[r] or rows[max(r - 1, 0)] or rows[min(r + 1, height - 1)]):
            continue
        for x in range(width):
            n = np.uint8(0)
            for row in range(r, r + 3):
                n += raw[row, x] + raw[row, x + 1] + raw[row, x + 2]
            now = (raw[r + 1, x + 1] != 0) & (n >= need)
            changed |= now != foreground[r, x]
            foreground[r, x] = now
    return changed


@njit(nogil=True)
def _learn_row(image, line, finer, rate, skip, mean, spread):
    half = i4(1 << (rate - 1))
    for i in range(image.shape[0]):
        far = i4(i4(_correct(image[i], line) << i4(finer)) - i4(mean[i]))
        wide = i4(abs(far) - i4(spread[i]))
        mean[i] += i4(i4(far + half) >> i4(rate)) * i4(1 - skip[i])
        spread[i] += i4(i4(wide + half) >> i4(rate)) * i4(1 - skip[i])


@njit(nogil=True)
def learn_rows(image, line, finer, masks, rows, channels, rate, flags, mean, spread):
    live, protect, allowed = masks
    for r in range(rows[0], rows[1]):
        _each_channel(live[r], protect[r], allowed[r], channels, flags)
        _learn_row(image[r], line, finer, rate, flags, mean[r], spread[r])
