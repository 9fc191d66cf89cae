# ruff: noqa: D103 - each operation is described once, in plain/change.py
"""The change map's arithmetic, compiled: the same operations and the same bits as `plain/change.py`, which documents them.

Integers only, so that no order of evaluation can matter. Arrays of a frame are (row, column x channel), contiguous.
"""

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from edgevision.kernels.compiled.jit import kernel

LANES = 64
SKIP = 32
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


@intrinsic
def _lowest_bit(typing, bits):
    """The number of the lowest bit that is set."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@kernel
def _correct(value, line):
    v = i4(i4(i4(i4(i4(value) * i4(line[0])) >> i4(line[2])) + i4(line[1])) >> i4(line[3]))
    return max(i4(0), min(v, i4(line[4])))


@kernel
def _steepness(used, channels, r, x, i):
    u = i4(used[r, i])
    left = i - channels if x > 0 else i
    right = i + channels if i + channels < used.shape[1] else i
    across = max(abs(i4(used[r, left]) - u), abs(i4(used[r, right]) - u))
    along = max(abs(i4(used[max(r - 1, 0), i]) - u), abs(i4(used[min(r + 1, used.shape[0] - 1), i]) - u))
    return i4(across + along)


@kernel
def _steepness_run(here, left, right, above, below, steep):
    for k in range(here.shape[0]):
        u = i4(here[k])
        across = max(i4(abs(i4(i4(left[k]) - u))), i4(abs(i4(i4(right[k]) - u))))
        along = max(i4(abs(i4(i4(above[k]) - u))), i4(abs(i4(i4(below[k]) - u))))
        steep[k] = i4(across + along)


@kernel
def _limit_run(here, steep, tables, vibration_q8, most, tolerance):
    table, dead, level_shift = tables
    for k in range(here.shape[0]):
        level = np.uint8(min(i4(here[k]) >> level_shift, 255))  # unsigned: no test for an index counted from the end
        over = i4(max(i4(steep[k] - dead[level]), i4(0)))
        tolerance[k] = min(i4(table[level] + i4(i4(over * i4(vibration_q8)) >> 8)), most)


@kernel
def _set_run(used, channels, tables, vibration_q8, allowed, r, start, stop, steep, tolerance):
    most = i4(np.iinfo(tolerance.dtype).max)
    above, below = used[max(r - 1, 0)], used[min(r + 1, used.shape[0] - 1)]
    here = used[r]
    lo, hi = start * channels, stop * channels
    a, b = max(lo, channels), min(hi, used.shape[1] - channels)  # the columns that have neighbours on both sides
    if b > a:
        _steepness_run(here[a:b], here[a - channels : b - channels], here[a + channels : b + channels], above[a:b], below[a:b], steep[a:b])
    for i in range(lo, min(a, hi)):
        steep[i] = _steepness(used, channels, r, i // channels, i)
    for i in range(max(b, lo), hi):
        steep[i] = _steepness(used, channels, r, i // channels, i)
    _limit_run(here[lo:hi], steep[lo:hi], tables, vibration_q8, i4(most - 1), tolerance[r, lo:hi])
    for x in range(start, stop):
        if allowed[r, x] == 0:
            for i in range(x * channels, x * channels + channels):
                tolerance[r, i] = most


@kernel
def set_tolerances(used, channels, tables, vibration_q8, allowed, rows, steep, tolerance):
    for r in range(rows[0], rows[1]):
        _set_run(used, channels, tables, vibration_q8, allowed, r, 0, allowed.shape[1], steep, tolerance)


@kernel
def _set_unlike(used, channels, tables, vibration_q8, allowed, r, start, stop, live, steep, tolerance):
    x = start
    while x < stop:
        if live[r, x]:
            x += 1
            continue
        end = x + 1
        while end < stop and not live[r, end]:
            end += 1
        _set_run(used, channels, tables, vibration_q8, allowed, r, x, end, steep, tolerance)
        x = end


@kernel
def refresh_tolerances(used, channels, tables, vibration_q8, allowed, live, runs, count, steep, tolerance):
    height, width = allowed.shape
    for k in range(count):
        r, start, stop = runs[k, 0], runs[k, 1], runs[k, 2]
        _set_run(used, channels, tables, vibration_q8, allowed, r, max(start - 1, 0), min(stop + 1, width), steep, tolerance)
        if r > 0:
            _set_unlike(used, channels, tables, vibration_q8, allowed, r - 1, start, stop, live, steep, tolerance)
        if r + 1 < height:
            _set_unlike(used, channels, tables, vibration_q8, allowed, r + 1, start, stop, live, steep, tolerance)


@kernel
def _add_weak(weak, points, count, r, i, channels):
    x = i // 3 if channels == 3 else i
    if weak[r + 1, x + 1]:
        return count
    weak[r + 1, x + 1] = 1
    points[count] = ((r + 1) << 16) | (x + 1)
    return count + 1


@kernel
def _find_one_by_one(image, used, tolerance, line, extra, channels, span, weak, points):
    count = 0
    for r in range(span[0], span[1]):
        for i in range(span[2], span[3]):
            if abs(_correct(image[r, i], line) - i4(used[r, i])) > i4(tolerance[r, i]) + extra:
                count = _add_weak(weak, points, count, r, i, channels)
    return count


@kernel
def _find_bytes(image, used, tolerance, line, extra, channels, span, weak, points):
    gain, offset, more = i4(line[0]), i4(line[1]), i4(extra)
    count = 0
    width = image.shape[1]
    for r in range(span[0], span[1]):
        for start in range(span[2], span[3], LANES):
            at = min(start, width - LANES)  # steps may overlap, or go beyond the span, where nothing is allowed to be found
            bits = _changed_bits(image, used, tolerance, r * width + at, gain, offset, more)
            while bits:
                count = _add_weak(weak, points, count, r, at + np.int64(_lowest_bit(bits)), channels)
                bits &= bits - np.uint64(1)
    return count


def find_weak(image, used, tolerance, line, extra, channels, span, weak, points):
    if image.dtype == np.uint8 and image.shape[1] >= LANES and not config.DISABLE_JIT:
        return _find_bytes(image, used, tolerance, line, extra, channels, span, weak, points)
    return _find_one_by_one(image, used, tolerance, line, extra, channels, span, weak, points)


@kernel
def _is_strong(image, used, tolerance, line, extra, strong_q8, channels, r, x):
    for i in range(x * channels, x * channels + channels):
        far = abs(np.int64(_correct(image[r, i], line)) - np.int64(used[r, i]))
        if far * 256 > (np.int64(tolerance[r, i]) + extra) * strong_q8:
            return True
    return False


@kernel
def _support(weak, r, x):
    n = 0
    for dr in range(-1, 2):
        for dx in range(-1, 2):
            if weak[r + dr, x + dx]:
                n += 1
    return n


@kernel
def _flood(weak, queue, start):
    weak[start >> 16, start & 0xFFFF] = 2
    queue[0] = start
    area, head = 1, 0
    while head < area:
        r, x = queue[head] >> 16, queue[head] & 0xFFFF
        head += 1
        for row in range(r - 1, r + 2):
            for column in range(x - 1, x + 2):
                if weak[row, column] == 1:
                    weak[row, column] = 2
                    queue[area] = (row << 16) | column
                    area += 1
    return area


@kernel
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


@kernel
def grow_live(image, used, tolerance, line, extra, channels, limits, weak, points, count, queue, allowed, live, first, last):
    strong_q8, despeckle, min_area, grow = limits[0], limits[1], limits[2], limits[3]
    total = 0
    for k in range(count):
        r, x = points[k] >> 16, points[k] & 0xFFFF
        if weak[r, x] != 1:
            continue
        support = _support(weak, r, x)
        if support + 1 < despeckle:
            continue
        if support < despeckle and not _is_strong(image, used, tolerance, line, extra, strong_q8, channels, r - 1, x - 1):
            continue
        area = _flood(weak, queue, points[k])
        if area >= min_area:
            for q in range(area):
                total += _mark(live, allowed, first, last, (queue[q] >> 16) - 1, (queue[q] & 0xFFFF) - 1, grow)
    for k in range(count):
        weak[points[k] >> 16, points[k] & 0xFFFF] = 0
    return total


@kernel
def clear_live(live, first, last):
    for r in range(live.shape[0]):
        if last[r] > first[r]:
            live[r, first[r] : last[r]] = False
        first[r] = live.shape[1]
        last[r] = 0


@kernel
def force_live(allowed, start, stop, live, first, last):
    added = 0
    for r in range(start, stop):
        for x in range(live.shape[1]):
            if allowed[r, x] and not live[r, x]:
                live[r, x] = True
                added += 1
                first[r], last[r] = min(first[r], x), max(last[r], x + 1)
    return added


@kernel
def count_tiles(runs, n, size, counts):
    for k in range(n):
        row, x, stop = runs[k, 0] // size, runs[k, 1], runs[k, 2]
        while x < stop:
            edge = min((x // size + 1) * size, stop)
            counts[row, x // size] += edge - x
            x = edge


@kernel
def force_tiles(allowed, tiles, size, live, first, last):
    added = 0
    for r in range(live.shape[0]):
        for t in range(tiles.shape[1]):
            if not tiles[r // size, t]:
                continue
            for x in range(t * size, min((t + 1) * size, live.shape[1])):
                if allowed[r, x] and not live[r, x]:
                    live[r, x] = True
                    added += 1
                    first[r], last[r] = min(first[r], x), max(last[r], x + 1)
    return added


@kernel
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


@kernel
def find_runs(live, first, last, runs):
    count = 0
    for r in range(live.shape[0]):
        x, stop = first[r], last[r]
        while x < stop:
            while x + SKIP <= stop:
                some = False
                for k in range(SKIP):
                    some |= live[r, x + k]
                if some:
                    break
                x += SKIP
            while x < stop and not live[r, x]:
                x += 1
            if x < stop:
                runs[count, 0], runs[count, 1] = r, x
                while x < stop and live[r, x]:
                    x += 1
                runs[count, 2] = x
                count += 1
    return count


@kernel
def confirm_live(live, streak, frames):
    for r in range(live.shape[0]):
        for x in range(live.shape[1]):
            streak[r, x] = min(streak[r, x] + 1, 255) if live[r, x] else 0
            live[r, x] = live[r, x] and streak[r, x] >= frames


@kernel
def hold_live(live, held, frames):
    for r in range(live.shape[0]):
        for x in range(live.shape[1]):
            if live[r, x]:
                held[r, x] = frames
            elif held[r, x]:
                held[r, x] -= 1
                live[r, x] = True


@kernel
def _correct_run(image, line, out):
    for k in range(image.shape[0]):
        out[k] = _correct(image[k], line)


@kernel
def correct_runs(image, line, runs, count, channels, out):
    for k in range(count):
        r, lo, hi = runs[k, 0], runs[k, 1] * channels, runs[k, 2] * channels
        _correct_run(image[r, lo:hi], line, out[r, lo:hi])


@kernel
def take_used(corrected, runs, count, channels, used):
    for k in range(count):
        r, lo, hi = runs[k, 0], runs[k, 1] * channels, runs[k, 2] * channels
        used[r, lo:hi] = corrected[r, lo:hi]


@kernel
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


@kernel
def count_residuals(xs, ys, n, line, level_shift, counts):
    counts[:] = 0
    for k in range(n):
        level = min(ys[k] >> (level_shift + 4), 15)
        counts[level, min(abs(_correct(xs[k], line) - ys[k]) >> level_shift, 63)] += 1


@kernel
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


@kernel
def _differs(value, line, finer, mean, spread, bounds):
    far = i4(i4(_correct(value, line) << i4(finer)) - i4(mean))
    over = max(i4(bounds[0]), i4(i4(i4(bounds[2]) * i4(spread)) >> 8))
    under = max(i4(bounds[1]), i4(i4(i4(bounds[3]) * i4(spread)) >> 8))
    return (far > over) | (i4(-far) > under)


@kernel
def _judge_row(image, line, finer, mean, spread, bounds, flags):
    for i in range(image.shape[0]):
        flags[i] = _differs(image[i], line, finer, mean[i], spread[i], bounds)


@kernel
def _any_channel(flags, channels, allowed, out):
    if channels == 3:  # written out, so that it becomes vector code
        for x in range(out.shape[0]):
            out[x] = (flags[3 * x] | flags[3 * x + 1] | flags[3 * x + 2]) & allowed[x]
    else:
        for x in range(out.shape[0]):
            out[x] = flags[x] & allowed[x]


@kernel
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


@kernel
def judge_band(image, line, reference, bounds, allowed, rows, channels, flags, raw):
    finer, mean, spread = reference
    for r in range(rows[0], rows[1]):
        _judge_row(image[r], line, finer, mean[r], spread[r], bounds, flags)
        _any_channel(flags, channels, allowed[r], raw[r + 1, 1:-1])


@kernel
def judge_runs(image, line, reference, bounds, allowed, runs, count, channels, flags, raw):
    finer, mean, spread = reference
    for k in range(count):
        r, start, stop = runs[k, 0], runs[k, 1], runs[k, 2]
        lo, hi = start * channels, stop * channels
        _judge_row(image[r, lo:hi], line, finer, mean[r, lo:hi], spread[r, lo:hi], bounds, flags[lo:hi])
        _any_channel(flags[lo:hi], channels, allowed[r, start:stop], raw[r + 1, start + 1 : stop + 1])


@kernel
def _despeckle_row(above, here, below, need, foreground):
    changed = False
    for x in range(foreground.shape[0]):
        n = np.uint8(above[x] + above[x + 1] + above[x + 2] + below[x] + below[x + 1] + below[x + 2] + here[x] + here[x + 1] + here[x + 2])
        now = (here[x + 1] != 0) & (n >= np.uint8(need))
        changed |= now != foreground[x]
        foreground[x] = now
    return changed


@kernel
def despeckle(raw, first, last, band, need, foreground):
    height, width = foreground.shape
    changed = False
    for r in range(height):
        start, stop = width, 0
        for row in range(max(r - 1, 0), min(r + 2, height)):
            start, stop = min(start, first[row]), max(stop, last[row])
        start, stop = max(start - 1, 0), min(stop + 1, width)
        if band[0] - 1 <= r < band[1] + 1:
            start, stop = 0, width
        if stop > start:
            columns = slice(start, stop + 2)
            changed |= _despeckle_row(raw[r, columns], raw[r + 1, columns], raw[r + 2, columns], need, foreground[r, start:stop])
    return changed


@kernel
def _learn_row(image, line, finer, rate, skip, mean, spread):
    half = i4(1 << (rate - 1))
    for i in range(image.shape[0]):
        far = i4(i4(_correct(image[i], line) << i4(finer)) - i4(mean[i]))
        wide = i4(abs(far) - i4(spread[i]))
        mean[i] += i4(i4(far + half) >> i4(rate)) * i4(1 - skip[i])
        spread[i] += i4(i4(wide + half) >> i4(rate)) * i4(1 - skip[i])


@kernel
def learn_rows(image, line, finer, masks, rows, channels, rate, flags, mean, spread):
    live, protect, allowed = masks
    for r in range(rows[0], rows[1]):
        _each_channel(live[r], protect[r], allowed[r], channels, flags)
        _learn_row(image[r], line, finer, rate, flags, mean[r], spread[r])
