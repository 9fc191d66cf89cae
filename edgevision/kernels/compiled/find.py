# ruff: noqa: D103 - each operation is described once, in plain/find.py
"""The one pass over a frame, compiled: the same operations and the same bits as `plain/find.py`, which documents them.

Rows of 8-bit frames go 64 values at a time, in 16-bit vectors; others by plain loops.
"""

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.light import corrected

LANES = 64
SKIP = 32
PAD = 128  # values of room on the left of a row of working space; there are 384 on the right
i2 = np.int16
i4 = np.int32


def _vectors():
    return tuple(ir.VectorType(ir.IntType(bits), LANES) for bits in (8, 16, 32))


def _fill(vector, value):
    return ir.Constant(vector, [value] * LANES)


def _spread(builder, value, vector):
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), builder.trunc(value, vector.element), ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), _fill(ir.VectorType(ir.IntType(32), LANES), 0))


def _place(context, builder, kind, array, at, vector):
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


def _add_within(builder, a, b):
    """Their sum, held within 16 bits: beyond them a value is brighter than any that a frame can hold."""
    kind = ir.FunctionType(a.type, [a.type, a.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.sadd.sat.v{LANES}i16"), [a, b])


def _pick(builder, compare, relation, a, b):
    return builder.select(compare(relation, a, b), a, b)


def _far_and_bits(context, builder, kinds, args):
    """What 64 values add to windows, and one bit for each that is beyond its tolerance. A lamp of None corrects nothing."""
    byte, short, word = _vectors()

    def load(which, k, at, vector):
        array = builder.extract_value(args[which], k)
        return builder.load(_place(context, builder, kinds[which].types[k], array, at, vector), align=1)

    def number(which, k):
        return builder.extract_value(args[which], k)

    value = builder.zext(load(0, 0, args[1], byte), short)
    if kinds[2] != types.none:
        high = builder.zext(builder.shl(value, _fill(short, 8)), word)
        gain = builder.zext(load(2, 0, number(3, 0), short), word)
        product = builder.trunc(builder.lshr(builder.mul(high, gain), _fill(word, 16)), short)
        value = _add_within(builder, builder.lshr(product, _fill(short, 1)), load(2, 1, number(3, 1), short))
        value = builder.ashr(value, _fill(short, 5))
        value = _pick(builder, builder.icmp_signed, ">", value, _fill(short, 0))
        value = _pick(builder, builder.icmp_signed, "<", value, _fill(short, 255))
    far = builder.sub(value, builder.zext(load(0, 1, args[1], byte), short))
    limit = load(0, 2, args[1], byte)
    flat = builder.icmp_unsigned("<=", limit, _spread(builder, number(4, 1), byte))
    size = _pick(builder, builder.icmp_signed, ">", far, builder.sub(_fill(short, 0), far))
    wide = builder.zext(limit, short)
    flat = builder.and_(flat, builder.icmp_signed("<=", size, builder.add(wide, wide)))
    raised = builder.add(wide, _spread(builder, number(4, 0), short))
    bits = builder.bitcast(builder.icmp_signed(">", size, raised), ir.IntType(64))
    return builder.select(flat, far, _fill(short, 0)), bits


def _fetch_next(context, builder, kinds, args, ahead):
    """Ask for the 64 bytes of each array from `ahead` on, of a row that is due next: memory then works while this one is added up."""
    number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    for k in range(3):
        data = context.make_array(kinds[0].types[k])(context, builder, builder.extract_value(args[0], k)).data
        place = builder.bitcast(builder.gep(data, [ahead]), pointer)
        builder.call(function, [place, *(ir.Constant(number, k) for k in (0, 2, 1))])  # to be read, kept in the second cache, data


@intrinsic
def _first_row(typing, frame, at, light, light_at, limits, ahead, space, places):
    """Keep what the 64 values from `at` of a window's first or third row add to it; one bit for each that is beyond its tolerance.

    frame (image, used, tolerance), light (gain, offset) from `light_at` = (in gain, in offset), limits (extra, cut), places (row)
    """
    signature = types.uint64(frame, types.int64, light, light_at, limits, types.int64, space, places)

    def generate(context, builder, signature, args):
        far, bits = _far_and_bits(context, builder, signature.args, args)
        _fetch_next(context, builder, signature.args, args, args[5])
        builder.store(far, _place(context, builder, signature.args[6], args[6], builder.extract_value(args[7], 0), far.type), align=2)
        return bits

    return signature, generate


@intrinsic
def _second_row(typing, frame, at, light, light_at, limits, ahead, space, places):
    """The same for the row after it: keep the sum of both, and of both with the two before. places (row, pair before, pair, four)"""
    signature = types.uint64(frame, types.int64, light, light_at, limits, types.int64, space, places)

    def generate(context, builder, signature, args):
        far, bits = _far_and_bits(context, builder, signature.args, args)
        _fetch_next(context, builder, signature.args, args, args[5])
        first, before, pair, four = (
            _place(context, builder, signature.args[6], args[6], builder.extract_value(args[7], k), far.type) for k in range(4)
        )
        both = builder.add(builder.load(first, align=2), far)
        builder.store(builder.add(both, builder.load(before, align=2)), four, align=2)
        builder.store(both, pair, align=2)
        return bits

    return signature, generate


@intrinsic
def _add_channels(typing, space, at, out_at):
    """Store the sums over the three values of each of 64 pixels, the first of which are those from `at`."""
    signature = types.void(space, types.int64, types.int64)

    def generate(context, builder, signature, args):
        half = ir.VectorType(ir.IntType(16), LANES // 2)
        index = ir.VectorType(ir.IntType(32), LANES // 2)

        def part(at, k):
            here = builder.add(at, ir.Constant(ir.IntType(64), k * LANES // 2))
            return _place(context, builder, signature.args[0], args[0], here, half)

        for k in range(2):
            one, two, three = (builder.load(part(args[1], 3 * k + i), align=2) for i in range(3))
            total = None
            for c in range(3):
                wanted = [3 * j + c for j in range(LANES // 2)]
                near = ir.Constant(index, [w if w < LANES else 0 for w in wanted])
                every = ir.Constant(index, [j if w < LANES else w - LANES // 2 for j, w in enumerate(wanted)])
                values = builder.shuffle_vector(builder.shuffle_vector(one, two, near), three, every)
                total = values if total is None else builder.add(total, values)
            builder.store(total, part(args[2], k), align=2)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _window_bits(typing, sums, at, limit):
    """One bit for each of the 64 windows of four sums, from the one about `at` on, that adds up to more than the limit, up or down."""
    signature = types.uint64(sums, types.int64, types.int64)

    def generate(context, builder, signature, args):
        short = _vectors()[1]
        total = None
        for k in range(-2, 2):
            here = builder.add(args[1], ir.Constant(ir.IntType(64), k))
            part = builder.load(_place(context, builder, signature.args[0], args[0], here, short), align=2)
            total = part if total is None else builder.add(total, part)
        size = _pick(builder, builder.icmp_signed, ">", total, builder.sub(_fill(short, 0), total))
        return builder.bitcast(builder.icmp_signed(">", size, _spread(builder, args[2], short)), ir.IntType(64))

    return signature, generate


@intrinsic
def _lowest_bit(typing, bits):
    """The number of the lowest bit that is set."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@kernel
def _add_weak(weak, points, count, r, x):
    if weak[r + 1, x + 1]:
        return count
    weak[r + 1, x + 1] = 1
    points[count] = ((r + 1) << 16) | (x + 1)
    return count + 1


@kernel
def _add_if_faint(sums, x, channels, tolerance, middle, faint_q8, weak, points, count):
    """Mark the window about pixel x, the second of whose rows is `middle`, if it exceeds the tolerance at its middle."""
    k = PAD + x
    total = abs(np.int64(sums[k - 2]) + sums[k - 1] + sums[k] + sums[k + 1])
    if total <= np.int64(tolerance[max(middle, 0), x * channels + channels // 2]) * faint_q8 >> 8:
        return count
    for row in range(max(middle - 1, 0), min(middle + 3, weak.shape[0] - 2)):
        for column in range(max(x - 2, 0), min(x + 2, weak.shape[1] - 2)):
            count = _add_weak(weak, points, count, row, column)
    return count


@kernel
def _mark_bits(bits, at, channels, r, weak, points, count):
    while bits:
        i = at + np.int64(_lowest_bit(bits))
        count = _add_weak(weak, points, count, r, i // 3 if channels == 3 else i)
        bits &= bits - np.uint64(1)
    return count


@kernel
def _end_rows(space, places, values):
    """The row after the last of a picture adds nothing to its windows."""
    first, before, pair, four = places
    for i in range(values):
        space[pair + i] = space[first + i]
        space[four + i] = space[first + i] + space[before + i]


@kernel
def _find_windows(sums, left, right, channels, tolerance, r, faint, weak, points, count):
    limit, faint_q8 = faint
    for start in range(left, right, LANES):
        bits = _window_bits(sums, PAD + start, limit)
        while bits:
            x = start + np.int64(_lowest_bit(bits))
            if x < right:
                count = _add_if_faint(sums, x, channels, tolerance, r, faint_q8, weak, points, count)
            bits &= bits - np.uint64(1)
    return count


@kernel
def _is_identity(gain, offset):
    is_so = gain.shape[0] == 1
    for i in range(offset.shape[0]):
        is_so &= (gain[0, i] == np.uint16(1 << 14)) & (offset[i] == np.int16(16))
    return is_so


@kernel
def _find_bytes(image, used, tolerance, lamp, block, limits, channels, span, space, weak, points):
    extra, cut, faint_q8, least = limits
    width, wide = image.shape[1], space.shape[1]
    left, right, last = span[2] // channels, span[3] // channels, (image.shape[0] - 1) * width
    space[:] = 0
    flat = space.reshape(space.size)
    frame = (image, used, tolerance)
    count = 0
    for r in range(span[0] - span[0] % 2, span[1] + span[1] % 2):
        here, lit = r * width, (r // block) * width
        ahead = min(here + 2 * width, last)
        new = 2 + r // 2 % 2
        if r == image.shape[0]:
            _end_rows(flat, (PAD, (5 - new) * wide + PAD, new * wide + PAD, wide + PAD), width)
        else:
            for start in range(span[2], span[3], LANES):
                at = min(start, width - LANES)  # steps may overlap, or go beyond the span, where nothing is allowed to be found
                near, to = (lit + at, at), PAD + at
                if r % 2 == 0:
                    bits = _first_row(frame, here + at, lamp, near, (extra, cut), ahead + at, flat, (to,))
                else:
                    to = (to, (5 - new) * wide + to, new * wide + to, wide + to)
                    bits = _second_row(frame, here + at, lamp, near, (extra, cut), ahead + at, flat, to)
                if bits:
                    count = _mark_bits(bits, at, channels, r, weak, points, count)
        if r % 2 and faint_q8:
            sums = wide
            if channels == 3:
                sums = 4 * wide
                for x in range(left, right, LANES):
                    _add_channels(flat, wide + PAD + 3 * x, sums + PAD + x)
            faint = (least * faint_q8 >> 8, faint_q8)
            count = _find_windows(flat[sums : sums + wide], left, right, channels, tolerance, r - 2, faint, weak, points, count)
    return count


@kernel
def _add_values(values, channels, out):
    if channels == 3:
        for x in range(out.shape[0]):
            out[x] = values[3 * x] + values[3 * x + 1] + values[3 * x + 2]
    else:
        out[:] = values


@kernel
def _add_pair(even, odd, before):
    for i in range(even.shape[0]):
        pair = even[i] + odd[i]
        odd[i] = pair + before[i]
        before[i] = pair


@kernel
def _row_differences(image, used, tolerance, gain, offset, shape, limits, out, flags):
    first, second, top = shape
    extra, cut, _, _ = limits
    for i in range(image.shape[0]):
        far = i4(corrected(image[i], gain[i], offset[i], first, second, top) - i4(used[i]))
        out[i] = far if tolerance[i] <= cut and abs(far) <= 2 * i4(tolerance[i]) else i4(0)
        flags[i] = abs(far) > i4(tolerance[i]) + extra


@kernel
def _row_windows(first, second, third, fourth, limit, flags):
    for x in range(flags.shape[0]):
        flags[x] = abs(np.int64(first[x]) + second[x] + third[x] + fourth[x]) > limit


@kernel
def _next_flag(flags, i):
    while i + SKIP <= flags.shape[0]:
        some = np.uint8(0)
        for k in range(SKIP):
            some |= flags[i + k]
        if some:
            break
        i += SKIP
    while i < flags.shape[0] and not flags[i]:
        i += 1
    return i


@kernel
def _find_values(image, used, tolerance, light, limits, channels, span, space, weak, points):
    gain, offset, block, first, second, top = light
    faint_q8, least = limits[2], limits[3]
    lo, hi = span[2], span[3]
    left, right = lo // channels, hi // channels
    space[:] = 0
    flags = np.zeros(hi - lo, np.uint8)
    count = 0
    for r in range(span[0] - span[0] % 2, span[1] + span[1] % 2):
        if r < image.shape[0]:
            places = (gain[r // block, lo:hi], offset[lo:hi], (first, second, top), limits, space[r % 2, PAD + lo : PAD + hi])
            _row_differences(image[r, lo:hi], used[r, lo:hi], tolerance[r, lo:hi], *places, flags)
            i = _next_flag(flags, 0)
            while i < hi - lo:
                count = _add_weak(weak, points, count, r, (lo + i) // channels)
                i = _next_flag(flags, i + 1)
        else:
            space[1] = 0
        if r % 2 == 0 or faint_q8 == 0:
            continue
        _add_pair(space[0, PAD + lo : PAD + hi], space[1, PAD + lo : PAD + hi], space[2, PAD + lo : PAD + hi])
        sums, a, b = space[3], PAD + left, PAD + right
        _add_values(space[1, PAD + lo : PAD + hi], channels, sums[a:b])
        windows = flags[: right - left]
        _row_windows(sums[a - 2 : b - 2], sums[a - 1 : b - 1], sums[a:b], sums[a + 1 : b + 1], least * faint_q8 >> 8, windows)
        x = _next_flag(windows, 0)
        while x < right - left:
            count = _add_if_faint(sums, left + x, channels, tolerance, r - 2, faint_q8, weak, points, count)
            x = _next_flag(windows, x + 1)
    return count


def find_weak(image, used, tolerance, light, limits, channels, span, space, weak, points):
    if image.dtype == np.uint8 and image.shape[1] >= LANES and not config.DISABLE_JIT:
        gain, offset, block = light[:3]
        lamp = None if _is_identity(gain, offset) else (gain, offset)
        return _find_bytes(image, used, tolerance, lamp, block, limits, channels, span, space, weak, points)
    return _find_values(image, used, tolerance, light, limits, channels, span, space, weak, points)


@kernel
def _window_sum(image, used, tolerance, light, cut, r, lo, hi):
    """The sum over one window, and whether it holds no edge."""
    gain, offset, block, first, second, top = light
    total, is_flat = i4(0), True
    for y in range(r, r + 4):
        here, before, limit, own, add = image[y, lo:hi], used[y, lo:hi], tolerance[y, lo:hi], gain[y // block, lo:hi], offset[lo:hi]
        for i in range(here.shape[0]):
            is_flat &= limit[i] <= cut
            total += corrected(here[i], own[i], add[i], first, second, top) - i4(before[i])
    return total, is_flat


@kernel
def count_faint(image, used, tolerance, light, cut, channels, start, step, counts):
    counts[:] = 0
    for row in range(start[0], image.shape[0] - 4, step):
        r = row - row % 2
        for x in range(start[1], image.shape[1] // channels - 4, step):
            total, is_flat = _window_sum(image, used, tolerance, light, cut, r, x * channels, (x + 4) * channels)
            if is_flat:
                limit = np.int64(tolerance[r + 1, (x + 2) * channels + channels // 2])
                counts[min(np.int64(abs(total)) * 8 // max(limit, 1), counts.shape[0] - 1)] += 1
