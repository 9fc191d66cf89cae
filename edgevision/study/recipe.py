"""Recipes: what to begin with for a kind of inspection. In: a name or a folder. Out: a Recipe. Keeps nothing.

A recipe is a folder of data, `plugins/recipe_<name>/`, without code in it but its test:

    recipe.yaml      this card (`RecipeCard`)         README.md       from `init` to an alert; how good and how fast it is, and where not
    sample.yaml      one camera, whole, commented     MODEL_CARD.md   what the network has learnt from, and what it is not for
    network.onnx     learnt from generated pictures   golden.jsonl    `replay` of the generated sample must say this again

`sample.yaml` is what `edgevision init --recipe` writes as line.yaml: paths in it are relative to it, its source is the folder `sample/`
beside it, which init fills by the recipe's sample maker (`study/parts/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from edgevision.config import Config, builtin_registry, load
from edgevision.daemon.build import share_folder
from edgevision.errors import ConfigError, InputError
from edgevision.records import Settings
from edgevision.registry import Registry, nearest
from edgevision.study.sets import LAYOUTS
from edgevision.yaml_file import Problem, read_file, refusal
from edgevision.yaml_settings import Fitter

PREFIX = "recipe_"
CARD, SAMPLE, GOLDEN = "recipe.yaml", "sample.yaml", "golden.jsonl"


class RecipeCard(Settings):
    """What a recipe says of itself, in recipe.yaml."""

    name: str = Field(description="As its folder is named after `recipe_`.", pattern=r"[a-z][a-z0-9_]{0,31}")
    title: str = Field(description="What it finds, in one line.")
    network: str = Field(description="The network's file beside the card.")
    sets: tuple[str, ...] = Field(description="Layouts of folders that `evaluate` and `train` take, the likeliest first.", min_length=1)
    sample: str = Field(description="The maker of its generated pictures, a module of study/parts.")
    files: tuple[str, ...] = Field((), description="Files that `init` copies beside line.yaml, besides the network.")
    rank_threshold: float = Field(
        0.05, gt=0, lt=1, description="Answers from this score on are ranked by `evaluate`, whatever the camera's own threshold."
    )


@dataclass(frozen=True, slots=True)
class Recipe:
    """One recipe: its folder and its card."""

    folder: Path
    card: RecipeCard

    @property
    def network(self) -> Path:
        """The network that it ships with."""
        return self.folder / self.card.network

    def config(self, registry: Registry | None = None) -> Config:
        """What its sample.yaml says. Raises ConfigError, a line for each thing wrong."""
        return load(self.folder / SAMPLE, registry=registry or builtin_registry())


def recipe_names() -> tuple[str, ...]:
    """Of those that ship, sorted."""
    folder = share_folder("plugins")
    return tuple(sorted(path.name.removeprefix(PREFIX) for path in folder.glob(f"{PREFIX}*") if (path / CARD).is_file()))


def find_recipe(name: str) -> Recipe:
    """The recipe that ships under that name, or the one in the folder of that path.

    Raises InputError with the nearest name for one that is not there, ConfigError for a card that does not hold together.
    """
    folder = share_folder("plugins") / f"{PREFIX}{name}"
    if not (folder / CARD).is_file():
        folder = Path(name)
    if not (folder / CARD).is_file():
        known = recipe_names()
        given = f"; {name} holds no {CARD}" if folder.is_dir() else ""
        raise InputError(
            f"recipe is {name!r}; it must be one of {', '.join(known)}, or a folder with a {CARD}{given}{nearest(name, known)}"
        )
    return Recipe(folder, _checked(read_card(folder / CARD), folder))


def read_card(path: Path) -> RecipeCard:
    """Raises ConfigError with a line `file:line:column: ...` for each thing wrong."""
    problems: list[Problem] = []
    tree = read_file(path, problems)
    fitter = Fitter(builtin_registry(), path.parent.absolute())
    card = fitter.fit(RecipeCard, tree)
    if card is None or problems or fitter.problems:
        raise refusal([*problems, *fitter.problems])
    return card


def _checked(card: RecipeCard, folder: Path) -> RecipeCard:
    """The card, if all that it names is there."""
    where = folder / CARD
    if folder.name.startswith(PREFIX) and card.name != folder.name.removeprefix(PREFIX):
        raise ConfigError(f"{where}: name is {card.name!r}; its folder says {folder.name.removeprefix(PREFIX)!r}; rename one of them")
    unknown = [name for name in card.sets if name not in LAYOUTS]
    if unknown:
        raise ConfigError(f"{where}: sets has {unknown[0]!r}; it must be of {', '.join(LAYOUTS)}{nearest(unknown[0], LAYOUTS)}")
    absent = [name for name in (SAMPLE, card.network, *card.files) if not (folder / name).is_file()]
    if absent:
        raise ConfigError(f"{where}: {absent[0]} is not beside it; put it there, or correct the card")
    return card
