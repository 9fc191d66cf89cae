# ruff: noqa: D103 - each operation is described once, in plain/change.py
"""The change map's arithmetic, compiled: the same operations and the same bits as `plain/change.py`, which documents them.

Integers only, so that no order of evaluation can matter. Arrays of a frame are (row, column x channel), contiguous.
"""

import numpy as np

from edgevision.kernels.compiled.field import find_surface, find_wave
from edgevision.kernels.compiled.find import count_faint, find_weak
from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.light import correct_runs, corrected, fit_sums, gather, judge_samples, spread_gain, steepness, zone_sums
from edgevision.kernels.compiled.places import choose_shifts, move_places, place_costs, spread_shifts
from edgevision.kernels.compiled.steady import choose_points, move_back, shift_costs

__all__ = [
    "choose_points",
    "choose_shifts",
    "clear_live",
    "confirm_live",
    "correct_runs",
    "count_faint",
    "count_tiles",
    "despeckle",
    "find_extents",
    "find_runs",
    "find_surface",
    "find_wave",
    "find_weak",
    "fit_sums",
    "force_live",
    "force_tiles",
    "gather",
    "grow_live",
    "hold_live",
    "judge_band",
    "judge_runs",
    "judge_samples",
    "learn_restless",
    "learn_rows",
    "move_back",
    "move_places",
    "outside_band",
    "outside_runs",
    "place_costs",
    "refresh_tolerances",
    "set_tolerances",
    "shift_costs",
    "spread_gain",
    "spread_shifts",
    "take_used",
    "tile_misfits",
    "zone_sums",
]

SKIP = 32
OWN_MOST = 2
OWN_UP, OWN_DOWN = 6, 2
i4 = np.int32


@kernel
def _steepness_run(here, left, right, above, below, steep):
    for k in range(here.shape[0]):
        u = i4(here[k])
        across = max(i4(abs(i4(i4(left[k]) - u))), i4(abs(i4(i4(right[k]) - u))))
        along = max(i4(abs(i4(i4(above[k]) - u))), i4(abs(i4(i4(below[k]) - u))))
        steep[k] = i4(across + along)


@kernel
def _limit_run(here, steep, tables, restless, times, vibration_q8, most, tolerance):
    table, dead, level_shift = tables
    for k in range(here.shape[0]):
        level = np.uint8(min(i4(here[k]) >> level_shift, 255))  # unsigned: no test for an index counted from the end
        over = i4(max(i4(steep[k] - dead[level]), i4(0)))
        by_level = i4(table[level])
        forgiven = i4(i4(i4(i4(restless[k]) * times) << level_shift) >> 12)
        forgiven = i4(max(by_level, i4(min(forgiven, i4(by_level * i4(OWN_MOST))))))
        tolerance[k] = min(i4(forgiven + i4(i4(over * i4(vibration_q8)) >> 8)), most)


@kernel
def _set_run(used, channels, tables, own, vibration_q8, allowed, r, start, stop, steep, tolerance):
    most = i4(np.iinfo(tolerance.dtype).max)
    above, below = used[max(r - 1, 0)], used[min(r + 1, used.shape[0] - 1)]
    here = used[r]
    lo, hi = start * channels, stop * channels
    a, b = max(lo, channels), min(hi, used.shape[1] - channels)  # the columns that have neighbours on both sides
    if b > a:
        _steepness_run(here[a:b], here[a - channels : b - channels], here[a + channels : b + channels], above[a:b], below[a:b], steep[a:b])
    for i in range(lo, min(a, hi)):
        steep[i] = steepness(used, channels, r, i // channels, i)
    for i in range(max(b, lo), hi):
        steep[i] = steepness(used, channels, r, i // channels, i)
    restless, times_q8 = own
    _limit_run(here[lo:hi], steep[lo:hi], tables, restless[r, lo:hi], i4(times_q8), vibration_q8, i4(most - 1), tolerance[r, lo:hi])
    for x in range(start, stop):
        if allowed[r, x] == 0:
            for i in range(x * channels, x * channels + channels):
                tolerance[r, i] = most


@kernel
def set_tolerances(used, channels, tables, own, vibration_q8, allowed, rows, steep, tolerance):
    for r in range(rows[0], rows[1]):
        _set_run(used, channels, tables, own, vibration_q8, allowed, r, 0, allowed.shape[1], steep, tolerance)


@kernel
def _set_unlike(used, channels, tables, own, vibration_q8, allowed, r, start, stop, live, steep, tolerance):
    x = start
    while x < stop:
        if live[r, x]:
            x += 1
            continue
        end = x + 1
        while end < stop and not live[r, end]:
            end += 1
        _set_run(used, channels, tables, own, vibration_q8, allowed, r, x, end, steep, tolerance)
        x = end


@kernel
def refresh_tolerances(used, channels, tables, own, vibration_q8, allowed, live, runs, count, steep, tolerance):
    height, width = allowed.shape
    for k in range(count):
        r, start, stop = runs[k, 0], runs[k, 1], runs[k, 2]
        _set_run(used, channels, tables, own, vibration_q8, allowed, r, max(start - 1, 0), min(stop + 1, width), steep, tolerance)
        if r > 0:
            _set_unlike(used, channels, tables, own, vibration_q8, allowed, r - 1, start, stop, live, steep, tolerance)
        if r + 1 < height:
            _set_unlike(used, channels, tables, own, vibration_q8, allowed, r + 1, start, stop, live, steep, tolerance)


@kernel
def _is_strong(image, used, tolerance, light, extra, strong_q8, channels, r, x):
    gain, offset, block, first, second, top = light
    for i in range(x * channels, x * channels + channels):
        far = abs(np.int64(corrected(image[r, i], gain[r // block, i], offset[i], first, second, top)) - np.int64(used[r, i]))
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
def grow_live(image, used, tolerance, light, extra, channels, limits, weak, points, count, queue, allowed, live, first, last):
    strong_q8, despeckle, min_area, grow = limits[0], limits[1], limits[2], limits[3]
    total = 0
    for k in range(count):
        r, x = points[k] >> 16, points[k] & 0xFFFF
        if weak[r, x] != 1:
            continue
        support = _support(weak, r, x)
        if support + 1 < despeckle:
            continue
        if support < despeckle and not _is_strong(image, used, tolerance, light, extra, strong_q8, channels, r - 1, x - 1):
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
def tile_misfits(image, used, light, tiles, size, channels, sums):
    gain, offset, block, first, second, top = light
    sums[:] = 0
    for r in range(image.shape[0]):
        for t in range(tiles.shape[1]):
            if not tiles[r // size, t]:
                continue
            for i in range(t * size * channels, min((t + 1) * size * channels, image.shape[1])):
                far = corrected(image[r, i], gain[r // block, i], offset[i], first, second, top) - i4(used[r, i])
                sums[r // size, t] += abs(far)


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
        here, count = live[r], streak[r]
        for x in range(here.shape[0]):
            now = np.uint8(here[x])
            count[x] = min(np.uint8(count[x] + np.uint8(count[x] != np.uint8(255))), np.uint8(255)) * now
            here[x] = (count[x] >= np.uint8(frames)) & (now != 0)


@kernel
def hold_live(live, held, frames):
    for r in range(live.shape[0]):
        here, left = live[r], held[r]
        for x in range(here.shape[0]):
            now = np.uint8(here[x])
            waiting = np.uint8(left[x] != 0) & np.uint8(1 - now)
            left[x] = np.uint8(now * np.uint8(frames)) + np.uint8((left[x] - np.uint8(1)) * waiting)
            here[x] = (now | waiting) != 0


@kernel
def take_used(corrected, runs, count, channels, used):
    for k in range(count):
        r, lo, hi = runs[k, 0], runs[k, 1] * channels, runs[k, 2] * channels
        used[r, lo:hi] = corrected[r, lo:hi]


@kernel
def _judge_row(image, gain, offset, shape, finer, mean, spread, bounds, flags):
    first, second, top = shape
    for i in range(image.shape[0]):
        far = i4(i4(corrected(image[i], gain[i], offset[i], first, second, top) << i4(finer)) - i4(mean[i]))
        over = max(i4(bounds[0]), i4(i4(i4(bounds[2]) * i4(spread[i])) >> 8))
        under = max(i4(bounds[1]), i4(i4(i4(bounds[3]) * i4(spread[i])) >> 8))
        flags[i] = (far > over) | (i4(-far) > under)


@kernel
def _outside_row(image, gain, offset, shape, low, high, flags):
    first, second, top = shape
    for i in range(image.shape[0]):
        value = corrected(image[i], gain[i], offset[i], first, second, top)
        flags[i] = (value < i4(low[i])) | (value > i4(high[i]))


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
def judge_band(image, light, reference, bounds, allowed, rows, channels, flags, raw):
    gain, offset, block, first, second, top = light
    finer, mean, spread = reference
    shape = (first, second, top)
    for r in range(rows[0], rows[1]):
        _judge_row(image[r], gain[r // block], offset, shape, finer, mean[r], spread[r], bounds, flags)
        _any_channel(flags, channels, allowed[r], raw[r + 1, 1:-1])


@kernel
def judge_runs(image, light, reference, bounds, allowed, runs, count, channels, flags, raw):
    gain, offset, block, first, second, top = light
    finer, mean, spread = reference
    shape = (first, second, top)
    for k in range(count):
        r, start, stop = runs[k, 0], runs[k, 1], runs[k, 2]
        lo, hi = start * channels, stop * channels
        own = (image[r, lo:hi], gain[r // block, lo:hi], offset[lo:hi])
        _judge_row(own[0], own[1], own[2], shape, finer, mean[r, lo:hi], spread[r, lo:hi], bounds, flags[lo:hi])
        _any_channel(flags[lo:hi], channels, allowed[r, start:stop], raw[r + 1, start + 1 : stop + 1])


@kernel
def outside_band(image, light, low, high, allowed, rows, channels, flags, raw):
    gain, offset, block, first, second, top = light
    for r in range(rows[0], rows[1]):
        _outside_row(image[r], gain[r // block], offset, (first, second, top), low[r], high[r], flags)
        _any_channel(flags, channels, allowed[r], raw[r + 1, 1:-1])


@kernel
def outside_runs(image, light, low, high, allowed, runs, count, channels, flags, raw):
    gain, offset, block, first, second, top = light
    for k in range(count):
        r, start, stop = runs[k, 0], runs[k, 1], runs[k, 2]
        lo, hi = start * channels, stop * channels
        own = (image[r, lo:hi], gain[r // block, lo:hi], offset[lo:hi])
        _outside_row(own[0], own[1], own[2], (first, second, top), low[r, lo:hi], high[r, lo:hi], flags[lo:hi])
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
def despeckle(raw, first, last, band, need, foreground, editions):
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
            if _despeckle_row(raw[r, columns], raw[r + 1, columns], raw[r + 2, columns], need, foreground[r, start:stop]):
                editions[r] += 1
                changed = True
    return changed


@kernel
def _learn_row(image, gain, offset, shape, finer, rate, skip, mean, spread):
    first, second, top = shape
    half = i4(1 << (rate - 1))
    for i in range(image.shape[0]):
        far = i4(i4(corrected(image[i], gain[i], offset[i], first, second, top) << i4(finer)) - i4(mean[i]))
        wide = i4(abs(far) - i4(spread[i]))
        mean[i] += i4(i4(far + half) >> i4(rate)) * i4(1 - skip[i])
        spread[i] += i4(i4(wide + half) >> i4(rate)) * i4(1 - skip[i])


@kernel
def learn_rows(image, light, finer, masks, rows, channels, rate, flags, mean, spread):
    gain, offset, block, first, second, top = light
    live, protect, allowed = masks
    shape = (first, second, top)
    for r in range(rows[0], rows[1]):
        _each_channel(live[r], protect[r], allowed[r], channels, flags)
        _learn_row(image[r], gain[r // block], offset, shape, finer, rate, flags, mean[r], spread[r])


@kernel
def _learn_restless_row(image, used, gain, offset, shape, level_shift, skip, restless):
    first, second, top = shape
    for i in range(image.shape[0]):
        far = i4(abs(i4(corrected(image[i], gain[i], offset[i], first, second, top) - i4(used[i]))))
        far = i4(i4(far * i4(16)) >> level_shift)
        now = i4(restless[i])
        moved = i4(now + i4(OWN_UP)) if far > now else i4(now - i4(OWN_DOWN))
        moved = i4(min(max(moved, i4(0)), i4(255)))
        restless[i] = np.uint8(now if skip[i] else moved)


@kernel
def learn_restless(image, used, light, level_shift, masks, rows, channels, flags, restless):
    gain, offset, block, first, second, top = light
    live, protect, allowed = masks
    for r in range(rows[0], rows[1]):
        _each_channel(live[r], protect[r], allowed[r], channels, flags)
        _learn_restless_row(image[r], used[r], gain[r // block], offset, (first, second, top), i4(level_shift), flags, restless[r])
