"""The search keeps its limits, is the same for the same seed, goes on where it was stopped, and says what its limits forced."""

import json
from itertools import pairwise

import numpy as np
import pytest

from edgevision.errors import InputError
from edgevision.networks.turbovit import TurboViTSpec, layers, macs, parameters
from edgevision.study.search import REFERENCE, Candidate, SearchTask, chosen, front, refuse_impossible, search
from edgevision.study.search_report import explanation, read_spec, write_chosen
from edgevision.study.search_space import STAGES, crossed, drawn, memory_mb, mutated, smallest

TASK = SearchTask(("good", "bad"), latency_ms=4.0, memory_mb=60.0, parameters_m=8.0, px=224, networks=14, generation=4)


def measure(spec):
    """A PC on which every 100 million multiply-adds take a millisecond."""
    return sum(macs(layers(spec), 224, 224).values()) / 1e8


def judge(specs):
    """The deeper and the larger, the better."""
    for spec in specs:
        yield min(0.99, 0.4 + 0.1 * float(np.log10(parameters(spec) / 1e5)) + 0.01 * sum(spec.depths))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return search(TASK, measure, judge, tmp_path_factory.mktemp("search"))


def plain(candidates):
    return [(one.number, one.spec, one.refused, None if np.isnan(one.accuracy) else one.accuracy) for one in candidates]


def test_what_is_judged_keeps_all_limits_and_what_is_refused_breaks_the_one_named(found):
    judged = [one for one in found if not one.refused]
    assert len(judged) == TASK.networks
    for one in judged:
        assert all(getattr(one, name) <= limit for name, limit in TASK.limits().items())
        assert np.isfinite(one.accuracy)
    refused = [one for one in found if one.refused and one.note != REFERENCE]
    assert refused
    assert all(getattr(one, one.refused) > TASK.limits()[one.refused] for one in refused)


def test_a_stopped_search_ends_as_one_that_was_not(found, tmp_path):
    def stopping(specs):
        for number, accuracy in enumerate(judge(specs)):
            if number == 2:
                raise KeyboardInterrupt
            yield accuracy

    for stops in (stopping, stopping, judge):
        try:
            resumed = search(TASK, measure, stops, tmp_path)
        except KeyboardInterrupt:
            continue
    assert plain(resumed) == plain(found)


def test_another_search_s_folder_is_refused(tmp_path):
    task = SearchTask(("good", "bad"), latency_ms=30.0, networks=1)
    search(task, measure, judge, tmp_path)
    with pytest.raises(InputError, match="of another search"):
        search(SearchTask(("good", "bad"), latency_ms=20.0, networks=1), measure, judge, tmp_path)


@pytest.mark.parametrize("limit", ["latency_ms", "memory_mb", "parameters_m"])
def test_a_limit_that_nothing_keeps_is_refused_with_the_nearest(limit):
    with pytest.raises(InputError, match=r"limit is 0\.01 .* give (\d+\.\d+) or more") as raised:
        refuse_impossible(SearchTask(("a",), **{limit: 0.01}), measure)
    nearest = float(str(raised.value).split("give ")[1].split()[0])
    refuse_impossible(SearchTask(("a",), **{limit: nearest}), measure)


def test_front_holds_what_nothing_beats():
    spec = TurboViTSpec()
    points = [(3.0, 0.5), (1.0, 0.4), (2.0, 0.4), (2.5, 0.6), (4.0, 0.6)]
    made = [Candidate(n, spec, 1, 1, 1, latency, accuracy) for n, (latency, accuracy) in enumerate(points)]
    assert [one.number for one in front(made)] == [1, 3]


def test_every_proposal_is_a_network_of_the_space():
    random = np.random.default_rng(3)
    base = TurboViTSpec(labels=("a", "b"), trained_px=256)
    known = [drawn(random, base) for _ in range(20)]
    known += [mutated(random, spec) for spec in known]
    known += [crossed(random, one, other) for one, other in pairwise(known)]
    least = smallest(base.labels, 256)
    for spec in known:  # the spec itself refuses what is none
        assert list(spec.dims) == sorted(spec.dims)
        assert len(spec.depths) == STAGES
        assert parameters(spec) >= parameters(least)
        assert memory_mb(spec, 256) >= memory_mb(least, 256)


def test_the_chosen_are_written_and_read_back(found, tmp_path):
    files = write_chosen(found, tmp_path)
    best = chosen(found)
    assert set(files) == set(best) >= {"quickest", "most-useful", "most-accurate"}
    for name, path in files.items():
        assert read_spec(tmp_path / f"{name}.yaml") == best[name].spec, path
    (tmp_path / "none.yaml").write_text("turbovit: {depths: 3}\n")
    with pytest.raises(InputError):
        read_spec(tmp_path / "none.yaml")


def test_the_explanation_names_what_binds(found):
    text = explanation(TASK, found)
    refused = [sum(one.refused == name and one.note != REFERENCE for one in found) for name in TASK.limits()]
    for name, count in zip(("million parameters", "MB of memory", "ms"), refused, strict=True):
        line = next(line for line in text.splitlines() if line.startswith("limit of") and f"{name}:" in line)
        assert f"refused {count}" in line
        assert ("it binds" in line) != ("does not bind" in line)
    assert REFERENCE in text


def test_the_book_is_json_without_nan(found, tmp_path):
    search(TASK, measure, judge, tmp_path)
    for line in (tmp_path / "evaluations.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))
