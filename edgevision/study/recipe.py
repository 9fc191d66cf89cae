"""Recipes: what to begin with for a kind of inspection. In: a name or a folder. Out: a Recipe. Keeps nothing.

A recipe is a folder of data, `plugins/recipe_<name>/`, without code in it but its test:

    recipe.yaml      this card (`RecipeCard`)         README.md       from `init` to an alert; how good and how fast it is, and where not
    sample.yaml      one camera, whole, commented     MODEL_CARD.md   what the network has learnt from, and what it is not for
    network.onnx     learnt from generated pictures   golden.jsonl    `replay` of the generated sample must say this again

`sample.yaml` is what `edgevision init --recipe` writes as line.yaml: paths in it are relative to it, its source is the folder `sample/`
beside it, which init fills by the recipe's sample maker (`study/parts/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from edgevision.config import Config, builtin_registry, load
from edgevision.daemon.build import share_folder
from edgevision.errors import ConfigError, InputError
from edgevision.recompute.graph import read_metadata
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


def refuse_other_recipe(weights: Path, recipe: Recipe) -> None:
    """Raises InputError for weights that were made for another recipe that ships: they are shown something else, or find something else.

    What a file says of itself decides: those that are shown a template take its difference, which has a mean of its own, and what they
    find beside it is the recipe's and not the user's.
    """
    said, own = read_metadata(weights), read_metadata(recipe.network)
    others = {name: read_metadata(find_recipe(name).network) for name in recipe_names() if name != recipe.card.name}
    is_unlike = said.get("mean") != own.get("mean")
    for name, other in others.items():
        is_theirs = said.get("mean") == other.get("mean") and said.get("labels") == other.get("labels")
        if is_theirs and (is_unlike or _is_shown_template(own)):
            raise InputError(f"{weights}: is a network of recipe {name}; give one of {recipe.card.name}, or name that recipe")
    if is_unlike and _is_shown_template(own):
        raise InputError(f"{weights}: is shown no template, as recipe {recipe.card.name} shows one; give a network trained for that recipe")


def _is_shown_template(said: Mapping[str, str]) -> bool:
    """Whether such a network is shown a frame beside its template: of the difference no mean is taken away."""
    return said.get("mean", "").endswith(", 0.0]")


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
