"""Templates that are wrong: of another product, or exchanged with a bad part. How often is it said, and how often falsely?

python benchmarks/wrong_template.py presence --seed 890000 --products 8
python benchmarks/wrong_template.py pcb --seed 890000 --products 8
python benchmarks/wrong_template.py pcb --deeppcb ../shared/data/deeppcb --products 40

Products are generated, stations of `presence` or boards of `pcb`, from seeds on which nothing was chosen; or, with `--deeppcb`, pairs
of its groups. Each product's template is set before its own parts, good and bad, and before those of the other products; and, of generated
ones, a bad part's picture in place of the template before ten good parts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np

from edgevision.config import Config
from edgevision.pipeline import Pipeline
from edgevision.records import Frame, Image, Inspection, Verdict
from edgevision.study.evaluate import camera_of
from edgevision.study.parts import pcb
from edgevision.study.parts.presence import SeriesSettings, series
from edgevision.study.recipe import find_recipe
from edgevision.study.sets import open_set

IN_A_ROW = 10


@dataclass(frozen=True)
class Product:
    """A template, and pictures of its parts."""

    template: Image
    good: tuple[Image, ...]
    bad: tuple[Image, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", choices=("presence", "pcb"))
    parser.add_argument("--seed", type=int, default=890_000, help="of the first product; settings were chosen on others")
    parser.add_argument("--products", type=int, default=8)
    parser.add_argument("--others", type=int, default=5, help="products before whose parts each template is set")
    parser.add_argument("--deeppcb", type=Path, help="its pairs in place of generated boards")
    arguments = parser.parse_args()
    make = {"presence": stations, "pcb": boards}[arguments.recipe] if arguments.deeppcb is None else pairs
    products = tuple(make(arguments))
    with tempfile.TemporaryDirectory() as folder:
        line = Line(arguments.recipe, Path(folder))
        report = {"own": own(line, products), "others": others(line, products, arguments.others)}
        if products[0].good:
            report |= {"template is a bad part": exchanged(line, products), "template is right": right(line, products)}
    print(json.dumps({name: dict(found) for name, found in report.items()}, indent=1))


class Line:
    """The recipe's camera before any template."""

    def __init__(self, recipe: str, folder: Path) -> None:
        self._camera, self._settings, self._registry = camera_of(find_recipe(recipe))
        self._file = folder / "template.png"
        self._pipeline: Pipeline | None = None

    def said(self, template: Image, parts: tuple[Image, ...]) -> list[Inspection]:
        """Of each part beside that template."""
        if self._pipeline is None:
            cv2.imwrite(str(self._file), template)
            compare = self._settings.compare.model_copy(update={"golden": self._file})
            config = Config.model_construct(cameras={self._camera: self._settings.model_copy(update={"compare": compare})})
            self._pipeline = Pipeline.from_config(config, self._camera, self._registry)
        self._pipeline.reset()
        self._pipeline.teach(template)
        return [self._pipeline.inspect(Frame(part, float(number), number, part_id=str(number))) for number, part in enumerate(parts)]


def own(line: Line, products: tuple[Product, ...]) -> Counter[str]:
    """Verdicts of own parts, good and bad: none should be another product's."""
    found: Counter[str] = Counter()
    for product in products:
        for kind, parts in (("good", product.good), ("bad", product.bad)):
            found.update(f"{kind}: {word_of(one)}" for one in line.said(product.template, parts[:4]))
    return found


def others(line: Line, products: tuple[Product, ...], count: int) -> Counter[str]:
    """Verdicts of other products' parts, which should all be refused."""
    found: Counter[str] = Counter()
    for number, product in enumerate(products):
        behind = [products[(number + 1 + step) % len(products)] for step in range(min(count, len(products) - 1))]
        found.update(word_of(one) for one in line.said(product.template, tuple((*other.good, *other.bad)[0] for other in behind)))
    return found


def exchanged(line: Line, products: tuple[Product, ...]) -> Counter[str]:
    """Of products whose template is a bad part's picture: whether it is said within ten good parts, or their parts refused."""
    found: Counter[str] = Counter()
    for product in products:
        for bad in product.bad[:2]:
            found[doubted(line.said(bad, product.good[:IN_A_ROW]))] += 1
    return found


def right(line: Line, products: tuple[Product, ...]) -> Counter[str]:
    """The same with the right template, good and bad parts in turn: it should never be doubted."""
    found: Counter[str] = Counter()
    for product in products:
        mixed = tuple(part for pair in zip_longest(product.bad, product.good) for part in pair if part is not None)
        found[doubted(line.said(product.template, mixed))] += 1
    return found


def doubted(said: list[Inspection]) -> str:
    """What came of a row of parts: their template was doubted, most of them were refused, or some were alarmed, or none."""
    if any(notice.kind == "template" for one in said for notice in one.notices):
        return "doubted"
    if sum(one.verdict is Verdict.NOT_INSPECTED for one in said) > len(said) / 2:
        return "refused"
    return "alarms, not doubted" if sum(one.verdict is not Verdict.OK for one in said) > len(said) / 2 else "most parts OK, not doubted"


def word_of(one: Inspection) -> str:
    """The verdict; of what was not inspected, by which limit."""
    if one.verdict is not Verdict.NOT_INSPECTED:
        return one.verdict.value
    by = next((word for word in ("golden_likeness", "golden_fraction") if word in str(one.reason)), "otherwise")
    return f"{one.verdict.value} ({by})"


def stations(arguments: argparse.Namespace) -> Iterator[Product]:
    faults = (*["none"] * IN_A_ROW, "absent", "broken", "feature", "split")
    for number in range(arguments.products):
        parts = list(series(np.random.default_rng(arguments.seed + number), SeriesSettings((480, 640), 0.5, faults)))
        yield Product(
            parts[0].template, *(tuple(one.image for one in parts if (one.fault == "none") is is_good) for is_good in (True, False))
        )


def boards(arguments: argparse.Namespace) -> Iterator[Product]:
    for number in range(arguments.products):
        rng = np.random.default_rng(arguments.seed + number)
        copper, template = pcb.sample_template(rng)
        made = [each for _ in range(4) for each in pcb.boards(rng, copper)]
        good, bad = (tuple(board for board, drawn in made if bool(drawn) is is_bad) for is_bad in (False, True))
        yield Product(template, good, bad[:8])


def pairs(arguments: argparse.Namespace) -> Iterator[Product]:
    _, cases = open_set(arguments.deeppcb, ("deeppcb",))
    groups = sorted({case.group for case in cases})
    rng = np.random.default_rng(arguments.seed)
    for group in groups:
        mine = [case for case in cases if case.group == group]
        for place in rng.choice(len(mine), arguments.products // len(groups), replace=False):
            template = mine[int(place)].template_image()
            if template is not None:
                yield Product(template, (), (mine[int(place)].image(),))


if __name__ == "__main__":
    main()
