"""Frames as networks want them: channel order, mean, deviation; other sizes stretched or letterboxed, and what is live then."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.kernels import open_backend
from edgevision.kernels.forms import Intake
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.preprocess import Preprocess, build_intake


def test_metadata_is_read_with_and_without_brackets():
    read = Preprocess.from_metadata({"mean": "[0.1, 0.2, 0.3]", "std": "0.5", "channel_order": "BGR", "other": "x"})
    assert read == Preprocess(mean=(0.1, 0.2, 0.3), std=(0.5,), channel_order="bgr")


@pytest.mark.parametrize("settings", [{"mean": (1.0, 2.0)}, {"std": (0.0,)}, {"std": (1e-320,)}, {"channel_order": "gray"}])
def test_constants_that_do_not_fit_are_refused(settings):
    with pytest.raises(InputError, match="preprocess"):
        build_intake(Preprocess(**settings), 3, (8, 8))


@pytest.mark.parametrize(
    "settings", [{"means": (1.0,)}, {"mean": (np.nan,)}, {"scale": np.inf}, {"frame_px": (0, 5)}, {"frame_px": (1, 10**6)}]
)
def test_an_unknown_setting_and_one_beyond_all_bounds_are_refused(settings):
    with pytest.raises(ValidationError):
        Preprocess(**settings)


@pytest.mark.parametrize(("key", "text"), [("mean", "a, b"), ("std", ""), ("scale", "x"), ("scale", "-1"), ("channel_order", "argb")])
def test_metadata_that_cannot_be_read_names_the_file_and_the_key(key, text):
    with pytest.raises(UnsupportedNetwork, match=f"^net.onnx: its metadata's {key} is '{text}'; it must be .*export the file again$"):
        Preprocess.from_metadata({key: text}, "net.onnx")


@pytest.mark.parametrize("backend", ["plain", "compiled"])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_each_channel_of_other_networks_is_a_frames_own(writer, tmp_path, random, backend, channels):
    g = writer((1, channels, 16, 24))
    net = SelectiveNetwork.load(g.save(tmp_path / "echo.onnx", g.node("MaxPool", "image", kernel_shape=[1, 1])), backend=backend)
    net.set_preprocess(Preprocess(scale=1))
    frame = random.integers(0, 256, (16, 24, channels), dtype=np.uint8)
    (got,) = net.first(frame).values()
    assert (got[0] == frame.transpose(2, 0, 1)).all()
    if channels == 1:
        assert (next(iter(net.first(frame[:, :, 0]).values()))[0, 0] == frame[:, :, 0]).all()
    else:
        with pytest.raises(InputError, match=f"the network takes {channels} channel"):
            net.first(frame[:, :, 0])


@pytest.mark.parametrize("backend", ["plain", "compiled"])
def test_an_intake_of_other_channels_is_refused(echo, backend):
    net, table = SelectiveNetwork.load(echo, backend=backend), np.zeros((3, 256), np.float32)
    with pytest.raises(InputError, match="makes 1 channels by a table of 3, the network takes 3"):
        open_backend(backend).bind_intake(Intake(table, (0,)), net._entrance.plane)


@pytest.fixture
def echo(writer, tmp_path):
    """A network that gives its input back."""
    g = writer((1, 3, 16, 24))
    return g.save(tmp_path / "echo.onnx", g.node("MaxPool", "image", kernel_shape=[1, 1]))


@pytest.mark.parametrize("backend", ["plain", "compiled"])
def test_a_larger_frame_is_resized_as_opencv_does(echo, random, backend):
    net = SelectiveNetwork.load(echo, backend=backend)
    net.set_preprocess(Preprocess(scale=1, channel_order="bgr", frame_px=(32, 40)))
    frame = random.integers(0, 256, (32, 40, 3), dtype=np.uint8)
    (got,) = net.first(frame).values()
    expected = cv2.resize(frame.astype(np.float32), (24, 16), interpolation=cv2.INTER_LINEAR)
    assert np.abs(got[0].transpose(1, 2, 0) - expected).max() < 1e-3


@pytest.mark.parametrize("backend", ["plain", "compiled"])
def test_a_letterboxed_frame_keeps_its_shape_and_maps_its_live_pixels(echo, random, backend):
    net = SelectiveNetwork.load(echo, backend=open_backend(backend))
    net.set_preprocess(Preprocess(scale=1, frame_px=(16, 16), resize="letterbox", fill=7))
    frame = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    (got,) = net.first(frame).values()
    assert np.array_equal(got[0, :, :, 4:20], frame[:, :, ::-1].transpose(2, 0, 1))
    assert (got[0, :, :, :4] == 7).all()
    assert (got[0, :, :, 20:] == 7).all()
    live = np.zeros((16, 16), bool)
    live[3, 5] = True
    net.next(255 - frame, live)
    (box,) = net.changed.values()
    assert box[0] <= 9 < box[2]
    assert box[1] <= 3 < box[3]
    assert box[2] - box[0] <= 2


def test_gray_frames_serve_a_colour_network(echo, random):
    net = SelectiveNetwork.load(echo)
    net.set_preprocess(Preprocess(scale=1))
    gray = random.integers(0, 256, (16, 24), dtype=np.uint8)
    (got,) = net.first(gray).values()
    assert (got[0] == gray).all()


@pytest.mark.parametrize("frame", [np.zeros((16, 25, 3), np.uint8), np.zeros((16, 24, 3), np.uint16), np.zeros((16, 24, 4), np.uint8), "x"])
def test_a_wrong_frame_is_refused(echo, frame):
    net = SelectiveNetwork.load(echo)
    net.set_preprocess(Preprocess())
    with pytest.raises(InputError, match="the frame is"):
        net.first(frame)


@pytest.mark.parametrize("std", [1.0, -2.0])
def test_a_frame_in_the_corner_is_copied_as_it_would_be_mixed(echo, random, std):
    """By the table alone: the same bits as the oracle, which mixes each pixel with itself; its last row and column go on."""
    frame = random.integers(0, 256, (13, 21, 3), dtype=np.uint8)
    frame[0, :4] = 0  # where a table that divides by a negative number holds -0
    live = random.random((13, 21)) < 0.3
    answers = []
    for backend in ("plain", "compiled"):
        net = SelectiveNetwork.load(echo, backend=backend)
        net.set_preprocess(Preprocess(scale=1, std=(std,), frame_px=(13, 21), resize="corner"))
        (first,) = (value.copy() for value in net.first(frame).values())
        (then,) = (value.copy() for value in net.next(255 - frame, live).values())
        answers.append((first, then))
    expected = np.pad(frame[:, :, ::-1].astype(np.float32) / np.float32(std), ((0, 3), (0, 3), (0, 0)), mode="edge")
    assert (answers[0][0][0].transpose(1, 2, 0) == expected).all()
    for oracle, ours in zip(*answers, strict=True):
        assert oracle.tobytes() == ours.tobytes()
