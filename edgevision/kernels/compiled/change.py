"""The change map's arithmetic, compiled: the same operations and the same bits as `plain/change.py`, which documents them.

Integers only, so that no order of evaluation can matter. Arrays of a frame are (row, column x channel), contiguous.
"""

import numpy as np
from numba import njit

i4 = np.int32


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
def find_weak(image, used, tolerance, line, extra, channels, hits, words, weak, points):
    gain, offset, shift, top = i4(line[0]), i4(line[1]), i4(line[2]), i4(line[3])
    more = i4(extra)
    stride = weak.shape[1]
    count = 0
    for r in range(image.shape[0]):
        for i in range(image.shape[1]):
            v = i4(i4(i4(i4(image[r, i]) * gain) + offset) >> shift)
            v = max(i4(0), min(v, top))
            hits[i] = i4(abs(i4(v - i4(used[r, i])))) > i4(i4(tolerance[r, i]) + more)
        for w in range(0, words.shape[0], 8):
            if words[w] | words[w + 1] | words[w + 2] | words[w + 3] | words[w + 4] | words[w + 5] | words[w + 6] | words[w + 7]:
                for i in range(w * 8, min(w * 8 + 64, image.shape[1])):
                    if hits[i]:
                        x = i // channels + 1
                        if weak[r + 1, x] == 0:
                            weak[r + 1, x] = 1
                            points[count] = (r + 1) * stride + x
                            count += 1
    return count


@njit(nogil=True)
def _is_strong(image, used, tolerance, line, extra, strong_q8, channels, r, x):
    for i in range(x * channels, x * channels + channels):
        v = (np.int64(image[r, i]) * line[0] + line[1]) >> line[2]
        v = max(0, min(v, line[3]))
        if abs(v - np.int64(used[r, i])) * 256 > (np.int64(tolerance[r, i]) + extra) * strong_q8:
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
    gain, offset, shift, top = i4(line[0]), i4(line[1]), i4(line[2]), i4(line[3])
    for r in range(image.shape[0]):
        if last[r] > first[r]:
            for i in range(image.shape[1]):
                v = i4(i4(i4(i4(image[r, i]) * gain) + offset) >> shift)
                out[r, i] = max(i4(0), min(v, top))


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
        v = (np.int64(xs[k]) * line[0] + line[1]) >> line[2]
        v = max(0, min(v, line[3]))
        level = min(ys[k] >> (level_shift + 4), 15)
        counts[level, min(abs(v - ys[k]) >> level_shift, 63)] += 1


@njit(nogil=True)
def fit_sums(xs, ys, n, line, limit):
    count = sx = sy = sxx = sxy = 0
    for k in range(n):
        x, y = np.int64(xs[k]), np.int64(ys[k])
        if abs(((x * line[0] + line[1]) >> line[2]) - y) <= limit:
            count += 1
            sx += x
            sy += y
            sxx += x * x
            sxy += x * y
    return count, sx, sy, sxx, sxy


@njit(nogil=True)
def judge_rows(image, line, mean, spread, table, level_shift, bounds, allowed, rows, channels, raw):
    gain, offset, shift, top = i4(line[0]), i4(line[1]), i4(line[2]), i4(line[3])
    bright, dark, bright_q8, dark_q8 = bounds[0], bounds[1], bounds[2], bounds[3]
    for r in range(image.shape[0]):
        if not rows[r]:
            continue
        for x in range(allowed.shape[1]):
            flag = False
            for i in range(x * channels, x * channels + channels):
                v = i4(i4(i4(i4(image[r, i]) * gain) + offset) >> shift)
                d = np.int64(max(i4(0), min(v, top))) * 256 - np.int64(mean[r, i])
                noise = table[min(np.int64(mean[r, i]) >> (level_shift + 8), 255)]
                wide = np.int64(spread[r, i])
                flag |= d > max(max(bright, noise), (bright_q8 * wide) >> 8)
                flag |= -d > max(max(dark, noise), (dark_q8 * wide) >> 8)
            raw[r + 1, x + 1] = flag and allowed[r, x]


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
def learn_rows(image, line, mean, spread, live, protect, allowed, rows, channels, rate):
    gain, offset, shift, top = i4(line[0]), i4(line[1]), i4(line[2]), i4(line[3])
    half = 1 << (rate - 1)
    for r in range(rows[0], rows[1]):
        for x in range(allowed.shape[1]):
            if live[r, x] or protect[r, x] or not allowed[r, x]:
                continue
            for i in range(x * channels, x * channels + channels):
                v = i4(i4(i4(i4(image[r, i]) * gain) + offset) >> shift)
                d = np.int64(max(i4(0), min(v, top))) * 256 - np.int64(mean[r, i])
                mean[r, i] = np.int64(mean[r, i]) + ((d + half) >> rate)
                spread[r, i] = np.int64(spread[r, i]) + ((abs(d) - np.int64(spread[r, i]) + half) >> rate)
