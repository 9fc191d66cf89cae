"""A whole picture in bands: every row once, none before what it sees, and the same bits as step after step."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.kernels.compiled import chain
from edgevision.recompute.bound import BoundStep
from edgevision.recompute.engine import SelectiveNetwork
from tests.recompute.test_engine import picture, same_memory


def loaded(unet, monkeypatch, band_bytes: int, **given: object) -> SelectiveNetwork:
    monkeypatch.setattr(chain, "BAND_BYTES", band_bytes)
    return SelectiveNetwork.load(unet, **given)


def test_every_row_once_and_none_before_what_it_sees(unet, monkeypatch):
    net = loaded(unet, monkeypatch, 64)
    links = [step.link for step in net._steps if isinstance(step, BoundStep)]
    entrance = net._entrance.plane
    schedule = list(chain.bands(links, [entrance]))
    done = {id(link.target): 0 for link in links} | {id(entrance): entrance.height}
    for place, first, end in schedule:
        link = links[place]
        assert first == done[id(link.target)] < end
        for feed in link.feeds:
            assert feed.reach.below[first:end].max() <= done[id(feed.plane)]
        done[id(link.target)] = end
    assert all(done[id(link.target)] == link.target.height for link in links)
    assert len(schedule) > 2 * len(links)


@pytest.mark.parametrize("threads", [1, 2])
def test_bands_change_no_bit(unet, monkeypatch, random, threads):
    whole, banded = (loaded(unet, monkeypatch, size, threads=threads) for size in (1 << 40, 64))
    for _ in range(2):
        x = picture(random, whole)
        live = np.ones(whole.input_shape[2:], bool)
        for net in (whole, banded):
            net.next(x, live) if net._memory.is_filled else net.first(x)
        assert same_memory(whole, banded)
        assert [cost.macs for cost in whole.costs.steps] == [cost.macs for cost in banded.costs.steps]
