# ruff: noqa: D103 - each operation is described once, in plain/find.py
"""The one pass over a frame, compiled: the same operations and the same bits as `plain/find.py`, which documents them.

Rows of 8-bit frames go 64 values at a time through `_differences` and `_window_bits`, in 16-bit vectors; others by plain loops.
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
PAD = 128  # values of room on each side of a row of working space
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
        place = _place(context, builder, kinds[5], args[5], args[6], short)
        builder.store(builder.select(flat, far, _fill(short, 0)), place, align=2)
        raised = builder.add(wide, _spread(builder, number(4, 0), short))
        return builder.bitcast(builder.icmp_signed(">", size, raised), ir.IntType(64))

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


@intrinsic
def _fetch(typing, array, at):
    """Ask for the 64 bytes from `at` ahead of their use: memory then works while the windows of the last rows are added up."""
    signature = types.void(array, types.int64)

    def generate(context, builder, signature, args):
        number = ir.IntType(32)
        pointer = ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [pointer, number, number, number]), "llvm.prefetch.p0"
        )
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), pointer)
        builder.call(function, [place, *(ir.Constant(number, k) for k in (0, 2, 1))])  # to be read, kept in the second cache, data
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _add_pairs(typing, space, at, wide):
    """64 values from `at` of rows 0 and 1 together, and with those of row 2 in row 1; then the pair is row 2. Rows are `wide` apart."""
    signature = types.void(space, types.int64, types.int64)

    def generate(context, builder, signature, args):
        short = _vectors()[1]
        rows = [builder.add(args[1], builder.mul(args[2], ir.Constant(ir.IntType(64), k))) for k in range(3)]
        places = [_place(context, builder, signature.args[0], args[0], at, short) for at in rows]
        first, second, last = (builder.load(place, align=2) for place in places)
        pair = builder.add(first, second)
        builder.store(builder.add(pair, last), places[1], align=2)
        builder.store(pair, places[2], align=2)
        return context.get_dummy_value()

    return signature, generate


@kernel
def _add_channels(values, channels, out):
    if channels == 3:
        for x in range(out.shape[0]):
            out[x] = values[3 * x] + values[3 * x + 1] + values[3 * x + 2]
    else:
        out[:] = values


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
def _find_bytes(image, used, tolerance, light, limits, channels, span, space, weak, points):
    gain, offset, block, _, _, _ = light
    extra, cut, faint_q8, least = limits
    width, wide = image.shape[1], space.shape[1]
    left, right = span[2] // channels, span[3] // channels
    space[:] = 0
    count = 0
    for r in range(span[0] - span[0] % 2, span[1] + span[1] % 2):
        row = space[r % 2]
        if r >= image.shape[0]:
            row[:] = 0
        here, lit = r * width, (r // block) * width
        for start in range(span[2], span[3] if r < image.shape[0] else span[2], LANES):
            at = min(start, width - LANES)  # steps may overlap, or go beyond the span, where nothing is allowed to be found
            bits = _differences((image, used, tolerance), here + at, (gain, offset), (lit + at, at), (extra, cut), row, PAD + at)
            while bits:
                i = at + np.int64(_lowest_bit(bits))
                count = _add_weak(weak, points, count, r, i // 3 if channels == 3 else i)
                bits &= bits - np.uint64(1)
        if r % 2 == 0 or faint_q8 == 0:
            continue
        ahead = min(r + 1, image.shape[0] - 1) * width
        for start in range(span[2], span[3], LANES):
            _fetch(image, ahead + start)
            _fetch(used, ahead + start)
            _fetch(tolerance, ahead + start)
            _add_pairs(space, PAD + start, wide)
        _add_channels(space[1, PAD + span[2] : PAD + span[3]], channels, space[3, PAD + left : PAD + right])
        for start in range(left, right, LANES):
            bits = _window_bits(space[3], PAD + start, least * faint_q8 >> 8)
            while bits:
                x = start + np.int64(_lowest_bit(bits))
                if x < right:
                    count = _add_if_faint(space[3], x, channels, tolerance, r - 2, faint_q8, weak, points, count)
                bits &= bits - np.uint64(1)
    return count


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
        _add_channels(space[1, PAD + lo : PAD + hi], channels, sums[a:b])
        windows = flags[: right - left]
        _row_windows(sums[a - 2 : b - 2], sums[a - 1 : b - 1], sums[a:b], sums[a + 1 : b + 1], least * faint_q8 >> 8, windows)
        x = _next_flag(windows, 0)
        while x < right - left:
            count = _add_if_faint(sums, left + x, channels, tolerance, r - 2, faint_q8, weak, points, count)
            x = _next_flag(windows, x + 1)
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
                limit = np.int64(tolerance[r + 1, (x + 2) * channels + channels // 2])
                counts[min(np.int64(abs(total)) * 8 // max(limit, 1), counts.shape[0] - 1)] += 1
