"""From a tree of YAML values to a stage's own Settings, with every complaint at its place in the file.

In: a Settings class, a Node, the registry that knows what a `type` may be. Out: the Settings, or Problems. Keeps nothing. No value is bent
to fit: text is no number, `yes` is no text, and what is unknown is refused with the nearest valid name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from edgevision.capture.redact import redact
from edgevision.errors import ConfigError
from edgevision.registry import Chosen, Kind, Registry, nearest
from edgevision.yaml_file import Node, Problem, shown

_MEANT = MappingProxyType(
    {
        "bool_type": "true or false",
        "dict_type": "a mapping",
        "model_type": "a mapping",
        "dataclass_type": "a name or a mapping with `type`",
        "float_type": "a number",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "list_type": "a list",
        "mapping_type": "a mapping",
        "path_type": "a path",
        "string_type": "text",
        "tuple_type": "a list",
    }
)
_SECRET = ("password", "secret", "token", "credential")


T = TypeVar("T", bound=BaseModel)


class Fitter:
    """Fits the nodes of one file; collects what does not fit in `problems`. `folder` is where relative paths start.

    `roots` are the models of the whole file, to tell where a misplaced key belongs; `credentials` is the folder in which systemd hands
    secrets over, where a `*_file` given by name alone is looked for first.
    """

    def __init__(self, registry: Registry, folder: Path, roots: tuple[type[BaseModel], ...] = (), credentials: Path | None = None):
        self.problems: list[Problem] = []
        self._registry = registry
        self._folder = folder
        self._credentials = credentials
        self._roots = roots

    def fit(self, model: type[T], node: Node, drop: tuple[str, ...] = ()) -> T | None:
        """The settings that the node gives; None when it does not fit. Keys named in `drop` are not the model's and left alone."""
        before = len(self.problems)
        chosen: dict[tuple[str, ...], Any] = {}
        plain = self._plain(model, node, (), chosen, drop)
        if plain is None:
            return None
        try:
            settings = model.model_validate_json(json.dumps(plain), strict=True)
        except ValidationError as error:
            self._explain(model, node, error)
            return None
        for path, value in chosen.items():
            settings = _updated(settings, path, value)
        return settings if len(self.problems) == before else None

    def note_unknown(self, node: Node, valid: tuple[str, ...]) -> None:
        """A Problem for each key of the mapping that is not valid there."""
        for key, value in node.value.items():
            if key not in valid:
                remedy = self._place_of(key) or nearest(key, valid) or f"; it must be one of {', '.join(valid)}"
                where = node.key_where.get(key, value.where)
                self.problems.append(Problem(where, f"{value.name} is not a known key{remedy}; correct or remove it"))

    def _plain(
        self, model: type[BaseModel], node: Node, at: tuple[str, ...], chosen: dict[tuple[str, ...], Any], drop: tuple[str, ...] = ()
    ) -> dict[str, Any] | None:
        """The node as plain values for pydantic, paths made absolute; what is picked by `type` goes to `chosen` under its place."""
        if node.value is None:
            node = Node({}, node.where, node.path)  # `compare:` with all its keys commented out
        if not isinstance(node.value, dict):
            self.problems.append(Problem(node.where, f"{node.name} is {_safely(node)}; it must be a mapping of keys; indent them below"))
            return None
        fields = _keys(model)
        self.note_unknown(node, (*fields, *drop))
        plain: dict[str, Any] = {}
        for key, (name, field) in fields.items():
            kind = next((mark.kind for mark in field.metadata if isinstance(mark, Kind)), None)
            below = _model_of(field)
            maybe = _maybe_model_of(field)
            if kind is not None:
                picked = self._choose_all(kind, node.value.get(key), field)
                if picked is not None:
                    chosen[*at, name] = picked
                if picked is not None or key in node.value:
                    plain[key] = [] if isinstance(picked, tuple) else {"type": ""}  # the place is filled once all the rest fits
            elif key in node.value and below is not None:
                plain[key] = self._plain(below, node.value[key], (*at, name), chosen) or {}
            elif below is not None and not field.is_required():
                plain[key] = self._plain(below, Node({}, node.where, (*node.path, key)), (*at, name), chosen)
            elif key in node.value and maybe is not None and node.value[key].value is not None:
                plain[key] = self._plain(maybe, node.value[key], (*at, name), chosen) or {}
            elif key in node.value:
                plain[key] = self._absolute(key, field, node.value[key])
            elif isinstance(default := field.get_default(call_default_factory=True, validated_data={}), Path):
                plain[key] = str(default)  # in JSON, pydantic takes a Path from text only, a default's too
        return plain

    def _choose_all(self, kind: str, node: Node | None, field: FieldInfo) -> Chosen | tuple[Chosen, ...] | None:
        if node is None:
            default = field.get_default(call_default_factory=True) if not field.is_required() else None
            if isinstance(default, tuple):
                return tuple(self._complete(kind, one) for one in default)
            return self._complete(kind, default) if isinstance(default, Chosen) else None
        if get_origin(field.annotation) is not tuple:
            return self._choose(kind, node)
        if not isinstance(node.value, list):
            text = f"{node.name} is {_safely(node)}; it must be a list of mappings; put `- ` before each"
            self.problems.append(Problem(node.where, text))
            return ()
        return tuple(one for one in (self._choose(kind, item) for item in node.value) if one is not None)

    def _complete(self, kind: str, default: Chosen) -> Chosen:
        """A default by name alone, with the default settings of that name."""
        model = self._registry.settings(kind, default.type)
        return default if model is None or default.settings is not None else Chosen(default.type, model())

    def _choose(self, kind: str, node: Node) -> Chosen | None:
        """What the node's `type` names, with its settings; a name alone will do where all settings have defaults."""
        named = node.value.get("type") if isinstance(node.value, dict) else node
        valid = self._registry.names(kind)
        if named is None or not isinstance(named.value, str):
            given = "has no `type`" if named is None else f"is {_safely(named)}"
            self.problems.append(Problem(node.where, f"{node.name} {given}; its `type` must be one of {', '.join(valid)}; add it"))
            return None
        try:
            model = self._registry.settings(kind, named.value)
        except ConfigError:
            text = f"{named.name} is {_safely(named)}; it must be one of {', '.join(valid)}{nearest(named.value, valid)}"
            self.problems.append(Problem(named.where, text))
            return None
        body = node if isinstance(node.value, dict) else Node({"type": node}, node.where, node.path)
        if model is None:
            self.note_unknown(body, ("type",))
            return Chosen(named.value)
        has_type = "type" in model.model_fields
        if not has_type:
            body = Node({key: value for key, value in body.value.items() if key != "type"}, body.where, body.path, key_where=body.key_where)
        settings = self.fit(model, body)
        return None if settings is None else Chosen(named.value, settings)

    def _absolute(self, key: str, field: FieldInfo, node: Node) -> Any:
        """Plain values; a Path, and text under `path`, `*_file` or `*_dir`, starts at the file's folder unless it is absolute."""
        kinds = list(_flat(field.annotation))
        words = {word for one in kinds if get_origin(one) is Literal for word in get_args(one)}
        if Path not in kinds and key != "path" and not key.endswith(("_file", "_dir")):
            return plain_of(node)
        if key.endswith("_file") and isinstance(node.value, str) and self._credentials and (self._credentials / node.value).is_file():
            return str(self._credentials / node.value)
        return self._on_folder(node, words)

    def _on_folder(self, node: Node, words: set[Any]) -> Any:
        if isinstance(node.value, list):
            return [self._on_folder(item, words) for item in node.value]
        if not isinstance(node.value, str) or node.value in words:
            return plain_of(node)
        if not node.value:
            self.problems.append(Problem(node.where, f"{node.name} is empty; it must be a path"))
        return str(self._folder / node.value)

    def _place_of(self, key: str) -> str | None:
        """Where a key that is unknown here would be known."""
        homes = [section for root in self._roots for section, keys in _sections(root, ()) if key in keys and section]
        return f" here; it belongs under {' or '.join(homes)}" if homes else None

    def _explain(self, model: type[BaseModel], node: Node, error: ValidationError) -> None:
        """One Problem for each place; the alternatives of a union are said in one."""
        places: dict[int, tuple[Node, FieldInfo | None, list[ErrorDetails]]] = {}
        for detail in error.errors(include_url=False):
            place, field, is_exact = _find(model, node, detail["loc"])
            if detail["type"] == "missing":
                name = ".".join((*place.path, str(detail["loc"][-1])))
                purpose = f" ({field.description})" if field is not None and field.description else ""
                self.problems.append(Problem(place.where, f"{name} is missing; it has no default; add it{purpose}"))
                continue
            places.setdefault(id(place), (place, field if is_exact else None, []))[2].append(detail)
        for place, field, details in places.values():
            self.problems.append(_problem(place, field, details))


def plain_of(node: Node) -> Any:
    """The node's value without its places."""
    if isinstance(node.value, dict):
        return {key: plain_of(value) for key, value in node.value.items()}
    if isinstance(node.value, list):
        return [plain_of(value) for value in node.value]
    return node.value


def _problem(node: Node, field: FieldInfo | None, details: list[ErrorDetails]) -> Problem:
    raised = [detail for detail in details if detail["type"] in ("value_error", "assertion_error")]
    if raised:
        return _raised_problem(node, str(raised[0].get("ctx", {}).get("error", raised[0]["msg"])))
    meant = list(dict.fromkeys(_meant(detail, node, field) for detail in details))
    if "text" in meant and node.is_plain and node.value is not None:
        kind = str(node.value).lower() if isinstance(node.value, bool) else "a number"
        return Problem(node.where, f"{node.name} is {_safely(node)}, which means {kind} in YAML; for text put it in quotes")
    quotes = " without quotes" if isinstance(node.value, str) and not node.is_plain and "number" in meant[0] else ""
    return Problem(node.where, f"{node.name} is {_safely(node)}; it must be {' or '.join(meant)}{quotes}{_remedy(field)}")


def _raised_problem(node: Node, text: str) -> Problem:
    """What a validator of the settings said: of the value, or of one key of the mapping."""
    text = redact(" ".join(text.split()))
    if not isinstance(node.value, dict):
        return Problem(node.where, f"{node.name} {text}" if text.startswith(("is ", "has ", "must ")) else f"{node.name}: {text}")
    key = text.split(" ")[0]
    if key in node.value:
        return Problem(node.value[key].where, ".".join((*node.value[key].path[:-1], text)))
    return Problem(node.where, f"{node.name}: {text}")


def _meant(detail: ErrorDetails, node: Node, field: FieldInfo | None) -> str:
    kind, limits = detail["type"], detail.get("ctx", {})
    if kind in _MEANT:
        return _MEANT[kind]
    if kind in ("literal_error", "enum"):
        words = str(limits["expected"])
        close = nearest(str(node.value), [word.strip("'") for word in words.replace(" or ", ", ").split(", ")])
        return words.replace("'", "") + close
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return range_of(field) or _bound(limits)
    if kind in ("too_short", "string_too_short"):
        return f"at least {limits['min_length']} long"
    if kind in ("too_long", "string_too_long"):
        return f"at most {limits['max_length']} long"
    if kind == "string_pattern_mismatch":
        return f"of the form {limits['pattern']}"
    if kind == "missing_argument" or kind == "unexpected_keyword_argument":
        return "of another form"
    return detail["msg"][0].lower() + detail["msg"][1:]


def _bound(limits: dict[str, Any]) -> str:
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    return " and ".join(f"{words[key]} {value:g}" for key, value in limits.items() if key in words)


def range_of(field: FieldInfo | None) -> str | None:
    """Both ends of what the field allows, whichever was passed: `between 0 and 1`; None where there is none."""
    if field is None:
        return None
    limits: dict[str, Any] = {}
    for mark in field.metadata:
        for cls, key in ((Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt")):
            if isinstance(mark, cls):
                limits[key] = getattr(mark, key)
    if set(limits) == {"ge", "le"}:
        return f"between {limits['ge']:g} and {limits['le']:g}"
    return _bound(limits) or None


def _remedy(field: FieldInfo | None) -> str:
    if field is None or field.is_required():
        return "; correct it"
    default = field.get_default(call_default_factory=False)
    if isinstance(default, bool):
        return f"; leave it out for {str(default).lower()}"
    if isinstance(default, int | float | str) and default != "":
        return f"; leave it out for {default}"
    return "; correct it or leave it out"


def _safely(node: Node) -> str:
    """The value as it may be shown: not at all where the key speaks of a secret, URLs without their credentials."""
    if any(word in part.lower() for part in node.path for word in _SECRET):
        return "not shown here"
    return redact(shown(node))


def _keys(model: type[BaseModel]) -> dict[str, tuple[str, FieldInfo]]:
    """The keys of a section as the file has them: key to (field name, field)."""
    return {field.alias or name: (name, field) for name, field in model.model_fields.items()}


def _model_of(field: FieldInfo) -> type[BaseModel] | None:
    return field.annotation if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel) else None


def _maybe_model_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a section that may be left empty: `ChangeSettings | None`."""
    kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)] if get_origin(field.annotation) is UnionType else []
    is_model = len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], BaseModel)
    return kinds[0] if is_model else None


def _flat(annotation: Any) -> Iterator[Any]:
    yield annotation
    if get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _flat(part)


def _sections(model: type[BaseModel], at: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    fields = _keys(model)
    yield ".".join(at), tuple(fields)
    for key, (_, field) in fields.items():
        below = _model_of(field)
        if below is not None:
            yield from _sections(below, (*at, key))


def _find(model: type[BaseModel], node: Node, loc: tuple[int | str, ...]) -> tuple[Node, FieldInfo | None, bool]:
    """The node that pydantic's `loc` speaks of, its field, and whether it is all of that field's value."""
    field: FieldInfo | None = None
    current: type[BaseModel] | None = model
    is_exact = False
    for part in loc:
        if current is not None and part in _keys(current):
            field = _keys(current)[str(part)][1]
            current = _model_of(field) or _maybe_model_of(field)
            is_exact = True
        if isinstance(node.value, dict) and part in node.value:
            node = node.value[part]
        elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            is_exact = False
    return node, field, is_exact


def _updated(settings: T, path: tuple[str, ...], value: Any) -> T:
    if len(path) > 1:
        value = _updated(getattr(settings, path[0]), path[1:], value)
    return settings.model_copy(update={path[0]: value})
