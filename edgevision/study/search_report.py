"""What a search found, for people: a Pareto plot, a YAML of each chosen network, a reading of what the limits forced. In: candidates.
Out: text, files. Keeps nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml

from edgevision.errors import InputError
from edgevision.networks.turbovit import TurboViTSpec
from edgevision.study.search import REFERENCE, Candidate, SearchTask, chosen, front

WORDS = MappingProxyType({"parameters_m": "million parameters", "memory_mb": "MB of memory", "latency_ms": "ms"})
RECURS = 0.7  # of the front's networks with the same choice: it is told
TIGHT = 0.9  # of a limit: a network that uses more leans on it
_SIZE_IN = (8.6, 5.4)
_SEARCHED = ("depths", "dims", "heads", "hidden", "pools", "kinds", "unit", "labels", "trained_px")


def explanation(task: SearchTask, candidates: Sequence[Candidate]) -> str:
    """One line a finding: what each limit refused and forced, what recurs on the front, what was chosen."""
    looked = [one for one in candidates if one.note != REFERENCE]
    best = front([one for one in looked if not one.refused and np.isfinite(one.accuracy)])
    judged = sum(np.isfinite(one.accuracy) for one in looked)
    lines = [f"{len(looked)} networks were looked at, {judged} judged, {len(best)} are on the front."]
    for name, limit in task.limits().items():
        lines.append(_forced(name, limit, looked, best))
    lines += _recurring(best)
    found = chosen(candidates)
    lines += [f"{title}: {_said(one)}" for title, one in found.items()]
    reference = next((one for one in candidates if one.note == REFERENCE), None)
    if reference is not None:
        lines.append(f"{REFERENCE}: {_said(reference)}")
        lines.append(_beside(found.get("as-good-as-stand-in"), reference))
    return "\n".join(lines)


def _forced(name: str, limit: float, looked: Sequence[Candidate], best: Sequence[Candidate]) -> str:
    """What one limit refused, and how close to it the front comes."""
    refused = [one for one in looked if one.refused == name]
    text = f"limit of {limit:g} {WORDS[name]}: refused {len(refused)}"
    if refused:
        text += f" ({_difference(refused, best)})"
    leaning = [one for one in best if getattr(one, name) > TIGHT * limit]
    if leaning:
        return f"{text}; {len(leaning)} of the front use more than {TIGHT:.0%} of it: it binds"
    most = max((getattr(one, name) for one in best), default=0.0)
    return f"{text}; the front needs {most / limit:.0%} of it at most: it does not bind"


def _difference(refused: Sequence[Candidate], best: Sequence[Candidate]) -> str:
    """In which choice the refused lie furthest from the front, in the front's own words."""
    gaps = []
    for name in ("depths", "dims", "hidden"):
        for stage in range(len(refused[0].spec.depths)):
            theirs, ours = (np.mean([getattr(one.spec, name)[stage] for one in group]) for group in (refused, best or refused))
            gaps.append((max(theirs, ours) / max(1e-9, min(theirs, ours)), name, stage, theirs, ours))
    _, name, stage, theirs, ours = max(gaps)
    return f"most apart in {name} of stage {stage + 1}: {theirs:.3g} in the mean, {ours:.3g} on the front"


def _recurring(best: Sequence[Candidate]) -> Iterator[str]:
    """Choices that most of the front share."""
    if len(best) < 2:
        return
    for name, words in (("depths", "blocks"), ("dims", "channels"), ("heads", "heads"), ("kinds", "attention")):
        for stage in range(len(best[0].spec.depths)):
            value, count = Counter(getattr(one.spec, name)[stage] for one in best).most_common(1)[0]
            if count >= RECURS * len(best) and not (name == "kinds" and stage != 2):
                yield f"stage {stage + 1}: {words} {value} in {count} of {len(best)} on the front"
    value, count = Counter(one.spec.unit for one in best).most_common(1)[0]
    if count >= RECURS * len(best):
        yield f"units of {value} x {value} tokens in {count} of {len(best)} on the front"


def _said(one: Candidate) -> str:
    spec = one.spec
    return (
        f"accuracy {one.accuracy:.1%}, {one.latency_ms:.3g} ms, {one.parameters_m:.3g} M parameters, {one.memory_mb:.3g} MB, "
        f"{one.gmacs:.3g} GMAC, utility {one.utility:.1f}; blocks {list(spec.depths)}, channels {list(spec.dims)}, heads {list(spec.heads)}"
    )


def _beside(equal: Candidate | None, reference: Candidate) -> str:
    if equal is None:
        return f"no network within the limits was judged as accurate as the {REFERENCE}"
    ratio = reference.latency_ms / equal.latency_ms
    return f"judged at least as accurate, the quickest takes {equal.latency_ms:.3g} ms against {reference.latency_ms:.3g}: {ratio:.2f}x"


def write_chosen(candidates: Sequence[Candidate], folder: Path) -> dict[str, str]:
    """`NAME.yaml` of each chosen network, for `edgevision train --network NAME.yaml`; gives the names and the files."""
    files = {}
    for name, one in chosen(candidates).items():
        path = folder / f"{name}.yaml"
        text = f"# {name} of `edgevision search`: {_said(one)}\n# edgevision train --network {path.name} --data DIR --out DIR\n"
        plain: Mapping[str, Any] = {key: _plain(value) for key, value in asdict(one.spec).items() if key in _SEARCHED}
        path.write_text(text + yaml.safe_dump({"turbovit": plain}, sort_keys=False, default_flow_style=None, width=140), encoding="utf-8")
        files[name] = str(path)
    return files


def read_spec(path: Path) -> TurboViTSpec:
    """The network of such a file. Raises InputError for one that is none."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))["turbovit"]
        spec: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
        return TurboViTSpec(**spec)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a YAML file that `edgevision search` wrote") from error
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path}: holds no network below `turbovit:` ({reason}); give a YAML of `edgevision search`") from error


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def draw_front(task: SearchTask, candidates: Sequence[Candidate], path: Path) -> None:
    """Accuracy over latency: all that were judged, the front, the chosen, the stand-in. Raises InputError if it cannot write."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    judged = [one for one in candidates if np.isfinite(one.accuracy) and one.note != REFERENCE]
    dots = axes.scatter(*_places(judged), c=[one.parameters_m for one in judged], s=34, cmap="viridis", zorder=3)
    figure.colorbar(dots, ax=axes, label="million parameters")
    axes.step(*_places(front([one for one in judged if not one.refused])), where="post", color="tab:blue", label="front", zorder=2)
    for place, (name, one) in enumerate(chosen(candidates).items()):
        offset = (9, -4 - 13 * (place % 2))
        axes.annotate(name, (one.latency_ms, 100 * one.accuracy), textcoords="offset points", xytext=offset, fontsize=8)
    reference = [one for one in candidates if one.note == REFERENCE and np.isfinite(one.accuracy)]
    axes.plot(*_places(reference), "*", color="tab:red", markersize=15, label=REFERENCE, zorder=4)
    if task.latency_ms is not None:
        axes.axvline(task.latency_ms, color="tab:red", linestyle="--", linewidth=1, label=f"limit {task.latency_ms:g} ms")
    axes.set_xlabel(f"latency at {task.px} px on this PC, ms (p50)")
    axes.set_ylabel("accuracy after a short training, %")
    axes.grid(True, color="whitesmoke")
    axes.legend(loc="best", frameon=False)
    refused = sum(bool(one.refused) for one in candidates)
    figure.suptitle(f"{len(judged)} networks judged, {refused} refused by the limits before that")
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a folder that is there and may be written") from error


def _places(candidates: Sequence[Candidate]) -> tuple[list[float], list[float]]:
    return [one.latency_ms for one in candidates], [100 * one.accuracy for one in candidates]
