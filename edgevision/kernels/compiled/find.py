# ruff: noqa: D103 - each operation is described once, in plain/find.py
"""The one pass over a frame, compiled: the same operations and the same bits as `plain/find.py`, which documents them.

Rows of 8-bit frames go 64 values at a time through `_differences` and `_faint_bits`, in 16-bit vectors; others by plain loops.
"""

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.light import corrected

LANES = 64
SKIP = 32
PAD = 64  # values of room on each side of a row of working space
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


def _pick(builder, compare, relation, a, b):
    return builder.select(compare(relation, a, b), a, b)


@intrinsic
def _differences(typing, frame, at, light, light_at, limits, out, out_at):
    """Store what the 64 values from `at` add to windows; one bit for each that is beyond its tolerance.

    frame (image, used, tolerance), light (gain, offset) from `light_at` = (in gain, in offset), limits (extra, cut).
    """
    signature = types.uint64(frame, types.int64, light, light_at, limits, out, types.int64)

    def generate(context, builder, signature, args):
        byte, short, word = _vectors()
        kinds = signature.args

        def load(which, k, at, vector):
            array = builder.extract_value(args[which], k)
            return builder.load(_place(context, builder, kinds[which].types[k], array, at, vector), align=1)

        def number(which, k):
            return builder.extract_value(args[which], k)

        high = builder.zext(builder.shl(builder.zext(load(0, 0, args[1], byte), short), _fill(short, 8)), word)
        gain = builder.zext(load(2, 0, number(3, 0), short), word)
        product = builder.trunc(builder.lshr(builder.mul(high, gain), _fill(word, 16)), short)
        value = builder.add(builder.lshr(product, _fill(short, 1)), load(2, 1, number(3, 1), short))
        value = builder.ashr(value, _fill(short, 5))
        value = _pick(builder, builder.icmp_signed, ">", value, _fill(short, 0))
        value = _pick(builder, builder.icmp_signed, "<", value, _fill(short, 255))
        far = builder.sub(value, builder.zext(load(0, 1, args[1], byte), short))
        limit = load(0, 2, args[1], byte)
        flat = builder.icmp_unsigned("<=", limit, _spread(builder, number(4, 1), byte))
        size = _pick(builder, builder.icmp_signed, ">", far, builder.sub(_fill(short, 0), far))
        wide = builder.zext(limit, short)
        flat = builder.and_(flat, builder.icmp_signed("<=", size, builder.add(wide, wide)))
        place = _place(context, builder, kinds[5], args[5], args[6], short)
        builder.store(builder.select(flat, far, _fill(short, 0)), place, align=2)
        raised = builder.add(wide, _spread(builder, number(4, 0), short))
        return builder.bitcast(builder.icmp_signed(">", size, raised), ir.IntType(64))

    return signature, generate


@intrinsic
def _faint_bits(typing, sums, at, step, tolerance, tolerance_at, faint_q8):
    """One bit for each of the 64 windows from `at`, four sums `step` apart, that exceed the tolerance at their middle x faint_q8 / 256."""
    signature = types.uint64(sums, types.int64, types.int64, tolerance, types.int64, types.int64)

    def generate(context, builder, signature, args):
        byte, short, word = _vectors()
        array, at, step = args[0], args[1], args[2]
        total = None
        for k in range(-2, 2):
            here = builder.add(at, builder.mul(step, ir.Constant(ir.IntType(64), k)))
            part = builder.load(_place(context, builder, signature.args[0], array, here, short), align=2)
            total = part if total is None else builder.add(total, part)
        size = _pick(builder, builder.icmp_signed, ">", total, builder.sub(_fill(short, 0), total))
        limit = builder.load(_place(context, builder, signature.args[3], args[3], args[4], byte), align=1)
        high = builder.zext(builder.shl(builder.zext(limit, short), _fill(short, 8)), word)
        scaled = builder.lshr(builder.mul(high, builder.zext(_spread(builder, args[5], short), word)), _fill(word, 16))
        return builder.bitcast(builder.icmp_signed(">", size, builder.trunc(scaled, short)), ir.IntType(64))

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
def _add_window(weak, points, count, r, i, channels):
    width = weak.shape[1] - 2
    for row in range(max(r - 3, 0), min(r + 1, weak.shape[0] - 2)):
        for x in range(max((i - 2 * channels) // channels, 0), min((i + 2 * channels - 1) // channels + 1, width)):
            count = _add_weak(weak, points, count, row, x)
    return count


@kernel
def _add_pair(even, odd, before):
    for i in range(even.shape[0]):
        pair = even[i] + odd[i]
        odd[i] = pair + before[i]
        before[i] = pair


@kernel
def _add_three(first, second, third, out):
    for i in range(out.shape[0]):
        out[i] = first[i] + second[i] + third[i]


@kernel
def _add_rows(space, channels, lo, hi):
    """Two rows and the two before them, then (of colour) three values side by side."""
    _add_pair(space[0, lo:hi], space[1, lo:hi], space[2, lo:hi])
    if channels == 3:
        four = space[1]
        _add_three(four[lo - 2 : hi], four[lo - 1 : hi + 1], four[lo : hi + 2], space[3, lo - 2 : hi])
    else:
        space[3, lo:hi] = space[1, lo:hi]


@kernel
def _find_bytes(image, used, tolerance, light, limits, channels, span, space, weak, points):
    gain, offset, block, _, _, _ = light
    extra, cut, faint_q8 = limits
    width = image.shape[1]
    space[:] = 0
    count = 0
    lo, hi = max(span[2] - LANES, 0) + PAD, min(span[3] + LANES, width) + PAD
    first = span[0] - span[0] % 2
    for r in range(first, span[1] + span[1] % 2):
        if r < image.shape[0]:
            row = space[r % 2]
            for start in range(span[2], span[3], LANES):
                at = min(start, width - LANES)  # steps may overlap, or go beyond the span, where nothing is allowed to be found
                places = ((r // block) * width + at, at)
                bits = _differences((image, used, tolerance), r * width + at, (gain, offset), places, (extra, cut), row, PAD + at)
                while bits:
                    i = at + np.int64(_lowest_bit(bits))
                    count = _add_weak(weak, points, count, r, i // 3 if channels == 3 else i)
                    bits &= bits - np.uint64(1)
        else:
            space[1] = 0
        if r % 2 == 0 or faint_q8 == 0:
            continue
        _add_rows(space, channels, lo, hi)
        middle = max(r - 2, 0)
        for start in range(span[2], span[3], LANES):
            at = min(start, width - LANES)
            bits = _faint_bits(space[3], PAD + at, channels, tolerance, middle * width + at, faint_q8)
            while bits:
                count = _add_window(weak, points, count, r, at + np.int64(_lowest_bit(bits)), channels)
                bits &= bits - np.uint64(1)
    return count


@kernel
def _row_differences(image, used, tolerance, gain, offset, shape, limits, out, flags):
    first, second, top = shape
    extra, cut, _ = limits
    for i in range(image.shape[0]):
        far = i4(corrected(image[i], gain[i], offset[i], first, second, top) - i4(used[i]))
        out[i] = far if tolerance[i] <= cut and abs(far) <= 2 * i4(tolerance[i]) else i4(0)
        flags[i] = abs(far) > i4(tolerance[i]) + extra


@kernel
def _row_faint(first, second, third, fourth, tolerance, faint_q8, flags):
    for i in range(tolerance.shape[0]):
        total = abs(np.int64(first[i]) + second[i] + third[i] + fourth[i])
        flags[i] = total > np.int64(tolerance[i]) * faint_q8 >> 8


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
    faint_q8 = limits[2]
    lo, hi = span[2], span[3]
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
        _add_rows(space, channels, PAD + lo, PAD + hi)
        four, a, b = space[3], PAD + lo, PAD + hi
        parts = (four[a - 2 * channels : b - 2 * channels], four[a - channels : b - channels], four[a:b], four[a + channels : b + channels])
        _row_faint(parts[0], parts[1], parts[2], parts[3], tolerance[max(r - 2, 0), lo:hi], faint_q8, flags)
        i = _next_flag(flags, 0)
        while i < hi - lo:
            count = _add_window(weak, points, count, r, lo + i, channels)
            i = _next_flag(flags, i + 1)
    return count


def find_weak(image, used, tolerance, light, limits, channels, span, space, weak, points):
    if image.dtype == np.uint8 and image.shape[1] >= LANES and not config.DISABLE_JIT:
        return _find_bytes(image, used, tolerance, light, limits, channels, span, space, weak, points)
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
                limit = np.int64(tolerance[r + 1, (x + 2) * channels])
                counts[min(np.int64(abs(total)) * 8 // max(limit, 1), counts.shape[0] - 1)] += 1
