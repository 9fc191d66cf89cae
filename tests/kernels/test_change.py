"""The change map's kernels: worked by hand, then plain against compiled over whole sequences of frames."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.compare.background import ChangeDetector, ChangeSettings
from edgevision.compare.light import RULES, WAVE_PARTS, Lamp, Line, Places
from edgevision.kernels.compiled import change as compiled
from edgevision.kernels.plain import change as plain
from edgevision.kernels.plain.light import correct


def light(width: int, gain: float = 1.0, offset: float = 0.0, dtype=np.uint8, height: int = 1) -> tuple:
    """The same light everywhere, for rows of `width` values."""
    lamp = Lamp((height, width, 1), dtype, 0 if dtype == np.uint8 else 8)
    return lamp._uniform(Line((gain,), (offset,)))


@pytest.fixture(params=[plain, compiled], ids=["plain", "compiled"])
def kernels(request) -> ModuleType:
    return request.param


def test_identity_moves_no_value():
    values = np.arange(256, dtype=np.uint8)[None]
    assert (plain.correct(values, light(256)) == values).all()
    wide = np.arange(65536).astype(np.uint16)[None]
    assert (plain.correct(wide, light(65536, dtype=np.uint16)) == wide).all()


def test_a_line_rounds_and_clips():
    values = np.array([[0, 10, 100, 200]], np.uint8)
    assert plain.correct(values, light(4, 1.5, -5.0)).tolist() == [[0, 10, 145, 255]]


def test_a_gain_lies_between_those_of_two_zones(kernels):
    out = np.zeros((1, 6), np.uint16)
    factors, weight = np.array([[1 << 14, 1 << 15]], np.int32), np.array([0, 0, 128, 128, 256, 256], np.int32)
    line, left = np.array([100, 1000] * 3, np.uint16), np.zeros(6, np.int32)
    kernels.spread_gain(line, factors, left, weight, (0, 1, 0, 5), out)
    assert out.tolist() == [[100, 1000, 150, 1500, 200, 0]]


def found(kernels, image, used, limits=(0, 254, 0, 0), tolerance=10) -> list[tuple[int, int]]:
    """Where the pixels lie that are weak, of a gray picture."""
    height, width = image.shape
    weak, points = np.zeros((height + 2, width + 2), np.uint8), np.zeros(image.size, np.int32)
    space = np.ones((5, width + 512), np.int16)
    tolerance = np.full_like(used, tolerance)
    place = (light(width, height=height), limits, 1, (0, height, 0, width), space, weak, points)
    count = kernels.find_weak(image, used, tolerance, *place)
    assert weak.sum() == count
    return sorted((int(p >> 16) - 1, int(p & 0xFFFF) - 1) for p in points[:count])


def test_only_what_exceeds_the_tolerance_is_weak(kernels):
    used = np.full((2, 70), 100, np.uint8)
    image = used.copy()
    image[0, 3], image[1, 69], image[1, 0] = 111, 89, 110
    assert found(kernels, image, used) == [(0, 3), (1, 69)]


def test_extra_raises_every_tolerance(kernels):
    used = np.full((1, 70), 100, np.uint8)
    image = used + np.uint8(12)
    assert found(kernels, image, used, (2, 254, 0, 0)) == []
    assert len(found(kernels, image, used, (1, 254, 0, 0))) == 70


def test_what_is_too_faint_for_a_pixel_is_found_by_its_window(kernels):
    used = np.full((12, 70), 100, np.uint8)
    image = used.copy()
    image[4:8, 20:24] = 105
    once = found(kernels, image, used, (0, 254, 7 * 256, 0))  # 16 x 5 = 80 > 7 x 10; a window that holds 15 of them has 75
    assert once == [(r, x) for r in range(4, 8) for x in range(20, 24)]
    assert found(kernels, image, used, (0, 254, 8 * 256, 0)) == []
    assert found(kernels, image, used, (0, 9, 7 * 256, 0)) == []  # where every place is an edge, none is looked at
    image[4:8, 20:24] = [[105, 95, 105, 95]] * 4
    assert found(kernels, image, used, (0, 254, 7 * 256, 0)) == []  # noise evens out


def test_a_window_may_hang_over_the_border(kernels):
    used = np.full((3, 66), 100, np.uint8)
    image = used + np.uint8(9)
    image[:, 3:] = 100
    once = found(kernels, image, used, (0, 254, 8 * 256, 0))  # 3 x 3 x 9 = 81 > 80
    assert once[0] == (0, 0)
    assert {r for r, _ in once} == {0, 1, 2}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([64, 96, 195]))
def test_any_light_is_found_alike(seed, width):
    """The whole range of what a byte's light may hold: no sum may leave its 16 bits."""
    rng = np.random.default_rng(seed)
    image, used, tolerance = (rng.integers(0, 256, (9, width)).astype(np.uint8) for _ in range(3))
    own = (rng.integers(0, 65_536, (2, width)).astype(np.uint16), rng.integers(-32_768, 32_768, width).astype(np.int16), 8, 9, 5, 255)
    results = []
    for kernels in (plain, compiled):
        weak, points = np.zeros((11, width + 2), np.uint8), np.zeros(image.size, np.int32)
        place = (own, (3, 200, 256, 2), 1, (0, 9, 0, width), np.zeros((5, width + 512), np.int16), weak, points)
        count = kernels.find_weak(image, used, tolerance, *place)
        results.append((sorted(points[:count].tolist()), weak.tolist()))
    assert results[0] == results[1]


def grown(kernels, image, used, *, despeckle=3, min_area=1, grow=0):
    height, width = image.shape
    weak, queue = np.zeros((height + 2, width + 2), np.uint8), np.zeros(image.size, np.int32)
    tolerance = np.full_like(used, 10)
    points = np.array([(r + 1) << 16 | (x + 1) for r, x in found(kernels, image, used)], np.int32)
    count = len(points)
    weak[points >> 16, points & 0xFFFF] = 1
    live, first, last = np.zeros(image.shape, bool), np.full(height, width, np.int32), np.zeros(height, np.int32)
    limits = (512, despeckle, min_area, grow)
    place = (weak, points, count, queue, np.ones(image.shape, np.uint8), live, first, last)
    total = kernels.grow_live(image, used, tolerance, light(width, height=height), 0, 1, limits, *place)
    assert total == live.sum()
    assert not weak.any()
    return live


def test_a_lone_pixel_is_noise_and_a_line_of_three_is_not(kernels):
    used = np.full((9, 9), 100, np.uint8)
    image = used.copy()
    image[1, 1] = 250
    image[5, 4:7] = 115
    assert np.argwhere(grown(kernels, image, used)).tolist() == [[5, 4], [5, 5], [5, 6]]


def test_two_weak_pixels_need_a_strong_one(kernels):
    used = np.full((9, 9), 100, np.uint8)
    image = used.copy()
    image[2, 2:4] = 115
    image[6, 6:8] = [115, 121]
    assert np.argwhere(grown(kernels, image, used)).tolist() == [[6, 6], [6, 7]]


def test_small_groups_are_left_out_and_others_widened(kernels):
    used = np.full((12, 12), 100, np.uint8)
    image = used.copy()
    image[1, 1:4] = 120
    image[7:9, 7:9] = 120
    live = grown(kernels, image, used, min_area=4, grow=1)
    assert live.sum() == 16
    assert live[6:10, 6:10].all()


def test_an_edge_is_forgiven_its_shake(kernels):
    used = np.full((5, 6), 50, np.uint8)
    used[:, 3:] = 150
    tables = (np.full(256, 10, np.int32), np.full(256, 20, np.int32), 0)
    tolerance = np.zeros_like(used)
    own, place = (np.zeros((5, 6), np.uint8), 512), (np.ones((5, 6), np.uint8), (0, 5), np.zeros(6, np.int32), tolerance)
    kernels.set_tolerances(used, 1, tables, own, 128, *place)
    assert tolerance[2].tolist() == [10, 10, 50, 50, 10, 10]


def test_a_restless_value_is_forgiven_more_within_bounds(kernels):
    used = np.full((1, 4), 50, np.uint8)
    tables, tolerance = (np.full(256, 10, np.int32), np.full(256, 20, np.int32), 0), np.zeros_like(used)
    own = (np.array([[0, 4 * 16, 6 * 16, 15 * 16]], np.uint8), 512)  # twice what it strays
    kernels.set_tolerances(used, 1, tables, own, 0, np.ones((1, 4), np.uint8), (0, 1), np.zeros(4, np.int32), tolerance)
    assert tolerance[0].tolist() == [10, 10, 12, 20]


def test_what_a_value_strays_is_learnt_where_nothing_is_live(kernels):
    used, image = np.full((1, 5), 100, np.uint8), np.array([[100, 90, 111, 111, 111]], np.uint8)
    live, protect, allowed = (np.array([[at == place for at in range(5)]]) for place in (2, 3, 4))
    restless, scratch = np.full((1, 5), 160, np.uint8), np.zeros(5, np.uint8)
    masks = (live, protect, (~allowed).astype(np.uint8))
    kernels.learn_restless(image, used, light(5), 0, masks, (0, 1), 1, scratch, restless)
    assert restless.tolist() == [[158, 158, 160, 160, 160]]
    nowhere = ~live & live
    kernels.learn_restless(image, used, light(5), 0, (nowhere, nowhere, (~nowhere).astype(np.uint8)), (0, 1), 1, scratch, restless)
    assert restless.tolist() == [[156, 164, 166, 166, 166]]


def test_residuals_and_sums_by_hand(kernels):
    samples = np.array([[10, 20, 30], [11, 20, 50], [0, 0, 0], [0, 0, 1], [0, 1, 1]], np.int32)
    counts, sums, zones = np.ones((16, 64), np.int64), np.ones((1, 5), np.int64), np.ones((4, 4), np.int64)
    far = np.zeros(3, np.int32)
    uniform = (np.full(1, 1 << 14, np.int32), np.full(1, 16, np.int32), np.zeros((0, 0), np.int32))
    zone = (np.zeros(2, np.int32), np.zeros(2, np.int32), 8, 1, 9, 5, 255)
    kernels.judge_samples(samples, 3, (*uniform, *zone), 0, far, counts)
    assert far.tolist() == [1, 0, 20]
    assert counts.sum() == 3
    assert counts[0, 1] == counts[1, 0] == counts[3, 20] == 1
    kernels.fit_sums(samples, 3, far, 2, sums)
    assert sums.tolist() == [[2, 30, 31, 500, 510]]
    bins = np.array([0, 1], np.int32)
    kernels.zone_sums(samples, 3, far, (bins, bins), 30, zones)
    assert zones.tolist() == [[1, 1, 11, 1], [1, 0, 20, 0], [0, 0, 0, 0], [1, 20, 50, 400]]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]), st.sampled_from([np.uint8, np.uint16]))
def test_samples_see_the_light_that_is_spread(seed, channels, dtype):
    rng = np.random.default_rng(seed)
    height, width, n = 20, 24, 60
    first, second, top = shape = (9, 5, 255) if dtype == np.uint8 else (0, 13, 65_535)
    image, used = (rng.integers(0, top + 1, (height, width * channels)).astype(dtype) for _ in range(2))
    rows, columns, channel = rng.integers(0, height, n), rng.integers(0, width, n), rng.integers(0, channels, n)
    i = columns * channels + channel
    samples = np.stack([image[rows, i], used[rows, i], channel, rows, columns]).astype(np.int32)
    gains = rng.integers(1 << (first + second - 1), 1 << (first + second), channels).astype(np.int32)
    offsets = rng.integers(-99 << second, 99 << second, channels).astype(np.int32)
    factors = rng.integers(1 << 13, 1 << 15, (3, 6)).astype(np.int32)
    places = (np.sort(rng.integers(0, 5, width)).repeat(channels).astype(np.int32), rng.integers(0, 257, image.shape[1]).astype(np.int32))
    results = []
    for kernels in (plain, compiled):
        far, counts, spread = np.zeros(n, np.int32), np.zeros((16, 64), np.int64), np.zeros((3, image.shape[1]), np.int32)
        kernels.judge_samples(samples, n, (gains, offsets, factors, *places, 8, channels, *shape), 0, far, counts)
        kernels.spread_gain(np.tile(gains, width), factors, *places, (0, 3, 0, image.shape[1]), spread)
        assert (used[rows, i] - far == correct(image, (spread, np.tile(offsets, width), 8, *shape))[rows, i]).all()
        results.append((far.tolist(), counts.tolist(), spread.tolist()))
    assert results[0] == results[1]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["noise", "surface", "wave", "few zones"]))
def test_a_light_by_place_is_found_alike_to_the_last_bit(seed, shown):
    rng, places = np.random.default_rng(seed), Places((480, 640), 1)
    results = []
    for name, count in (("surface", 48), ("wave", 192)):
        share = rng.normal(0, 0.002, count)
        if shown == "surface" and name == "surface":
            share += places.surfaces @ (rng.uniform(0.02, 0.05, 6) * rng.choice((-1, 1), 6))  # no weak one, which need not be found
        elif shown == "wave" and name == "wave":
            share += np.repeat(0.06 * np.sin(np.arange(64) * rng.uniform(0.15, 0.7)), 3)
        n = rng.integers(8, 40, count) * (rng.random(count) < (0.3 if shown == "few zones" else 0.95))
        sums = np.stack([n, np.rint(n * 100 * share), 100 * n, np.rint(n * (8 + (100 * share) ** 2))], axis=1).astype(np.int64)
        for kernels in (plain, compiled):
            found = np.zeros(48 if name == "surface" else 64)
            if name == "surface":
                is_found = kernels.find_surface(sums, (0.5, 8.0, 8.0), RULES, places.surfaces, found)
            else:
                is_found = kernels.find_wave(sums, (0.5, 8.0, 8.0), RULES, places.waves, WAVE_PARTS, found)
            results.append((bool(is_found), found.tobytes()))
        assert is_found or name != shown
    assert results[0] == results[1]
    assert results[2] == results[3]


def test_windows_are_counted_where_they_are_flat(kernels):
    used = np.full((8, 12), 100, np.uint8)
    image = used + np.uint8(5)
    tolerance = np.full_like(used, 10)
    tolerance[0, 0] = 200
    counts = np.ones(512, np.int64)
    kernels.count_faint(image, used, tolerance, light(12, height=8), 20, 1, (0, 0), 4, counts)
    assert {k: int(counts[k]) for k in np.flatnonzero(counts)} == {64: 1}  # at column 4; 16 x 5 x 8 / 10


def scene(random: np.random.Generator, dtype, colour: bool, size: tuple[int, int], frames: int):
    top = np.iinfo(dtype).max
    still = random.integers(top // 8, top // 2, (*size, 3) if colour else size)
    for _ in range(frames):
        picture = still * random.uniform(0.9, 1.1) + random.normal(0, top / 120, still.shape)
        r, x = random.integers(0, size[0] - 6), random.integers(0, size[1] - 6)
        picture[r : r + 6, x : x + 6] += top / 5
        yield np.clip(picture, 0, top).astype(dtype)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    colour=st.booleans(),
    width=st.sampled_from([20, 22, 64, 75]),
    keywords=st.fixed_dictionaries(
        {},
        optional={
            "hold_frames": st.just(2),
            "confirm_frames": st.just(2),
            "grow_px": st.integers(0, 2),
            "despeckle": st.integers(1, 4),
            "photometric": st.just("none"),
            "ignore": st.just((((2, 2), (9, 2), (9, 9), (2, 9)),)),
            "pixel_threshold": st.sampled_from(["auto", "4 sigma", 20.0]),
            "faint_sigmas": st.sampled_from([0.0, 2.0]),
        },
    ),
)
def test_plain_and_compiled_say_the_same(seed, dtype, colour, width, keywords):
    random = np.random.default_rng(seed)
    ours = [ChangeDetector(ChangeSettings(**keywords), kernels=kernels) for kernels in (plain, compiled)]
    protect = random.random((24, width)) < 0.1
    for k, image in enumerate(scene(random, dtype, colour, (24, width), 5)):
        rows = slice(3, 5) if k == 3 else None
        a, b = (detector.measure(image, force_rows=rows) for detector in ours)
        assert (a.gain, a.offset, a.fraction, a.scene, a.full_reason) == (b.gain, b.offset, b.fraction, b.scene, b.full_reason)
        assert (a.live == b.live).all()
        assert (a.foreground == b.foreground).all()
        assert (a.corrected[a.live] == b.corrected[b.live]).all()
        chosen = a.live & (random.random(a.live.shape) < 0.7) if k == 2 else None
        for detector, change in zip(ours, (a, b), strict=True):
            detector.commit(change, change.live if chosen is None else chosen, protect)
        for name in ("used", "tolerance", "mean", "spread", "raw_foreground", "noise_counts", "streak", "held"):
            assert (getattr(ours[0]._open(), name) == getattr(ours[1]._open(), name)).all(), name


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from((4, 16)))
def test_tiles_are_counted_and_forced_alike(seed, size):
    rng = np.random.default_rng(seed)
    shape = tuple(int(side) for side in rng.integers(5, 60, 2))
    grid = -(-shape[0] // size), -(-shape[1] // size)
    live, allowed, tiles = rng.random(shape) < 0.2, (rng.random(shape) < 0.9).astype(np.uint8), rng.random(grid) < 0.3
    image, used = (rng.integers(0, 256, (shape[0], 3 * shape[1])).astype(np.uint8) for _ in range(2))
    own = light(3 * shape[1], 1.1, -4.0, height=shape[0])
    results = []
    for kernels in (plain, compiled):
        mask, first, last = live.copy(), np.zeros(shape[0], np.int32), np.zeros(shape[0], np.int32)
        kernels.find_extents(mask, first, last)
        runs = np.zeros((shape[0] * shape[1], 3), np.int32)
        count, counts = kernels.find_runs(mask, first, last, runs), np.zeros(grid, np.int32)
        kernels.count_tiles(runs, count, size, counts)
        misfits = np.ones(grid, np.int64)
        kernels.tile_misfits(image, used, own, tiles, size, 3, misfits)
        added = kernels.force_tiles(allowed, tiles, size, mask, first, last)
        results.append((counts.tolist(), added, mask.tolist(), first.tolist(), last.tolist(), misfits.tolist()))
    assert results[0] == results[1]
    assert sum(map(sum, results[0][0])) == live.sum()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]), st.sampled_from([np.uint8, np.uint16]))
def test_steady_kernels_agree(seed, channels, dtype):
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(12, 24)), int(rng.integers(14, 30))
    used, image = (rng.integers(0, np.iinfo(dtype).max, (height, width * channels)).astype(dtype) for _ in range(2))
    allowed = (rng.random((height, width)) < 0.8).astype(np.uint8)
    own = light(width * channels, 1.1, 3.0, dtype, height)
    shift, results = (int(rng.integers(-20, 21)), int(rng.integers(-20, 21))), []
    for kernels in (plain, compiled):
        points, costs, out = np.zeros((4, 2), np.int64), np.ones((5, 5), np.int64), np.zeros_like(image)
        kernels.choose_points(used, allowed, channels, (2, height - 1), 3, 9, points)
        points[points[:, 0] < 0, 1] = 0
        count = kernels.shift_costs(image, used, own, points, channels, 4000, costs)
        kernels.move_back(image, channels, shift, out)
        results.append((points.tolist(), count, costs.tolist(), out.tolist()))
    assert results[0] == results[1]


def test_a_frame_is_moved_back_by_hand(kernels):
    image = np.array([[0, 80, 160, 240]], np.uint8)
    out = np.zeros_like(image)
    kernels.move_back(image, 1, (8, 0), out)
    assert out.tolist() == [[80, 160, 240, 240]]
    kernels.move_back(image, 1, (-4, 0), out)
    assert out.tolist() == [[40, 40, 120, 200]]
