"""One YAML file to one frozen Config, made of each stage's own Settings. `configs/reference.yaml` lists every key.

In: a path, the environment, a registry. Out: a Config, or a ConfigError with a line for each thing wrong. Keeps nothing. Precedence: a
variable `EDGEVISION_SECTION__KEY`, then a camera's own keys, then `defaults:`, then the defaults of the Settings.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from edgevision.candidate import OTHERWISE, CandidateSettings
from edgevision.capture import sources
from edgevision.capture.camera import CameraSettings
from edgevision.capture.trigger import TriggerSettings
from edgevision.compare import policy
from edgevision.compare.settings import ChangeSettings
from edgevision.errors import ConfigError, PluginError
from edgevision.judge.rules import JudgeSettings
from edgevision.publish.mqtt import MqttSettings
from edgevision.publish.outbox import OutboxSettings
from edgevision.publish.pictures import PictureSettings
from edgevision.recompute.settings import RecomputeSettings
from edgevision.records import Settings
from edgevision.registry import Chosen, Kind, Registry
from edgevision.segment.settings import SegmentSettings
from edgevision.web.view import WebSettings
from edgevision.yaml_file import Node, Problem, read_text, read_tree, read_value, refusal, shown
from edgevision.yaml_settings import Fitter

PREFIX = "EDGEVISION_"
CREDENTIALS = "CREDENTIALS_DIRECTORY"
ID = re.compile(r"[a-z0-9_-]{1,32}")
RESERVED_IDS = ("request", "response")  # MQTT topics beside the cameras' own
MAX_CAMERAS = 64


def _no_id(text: str) -> str:
    """Why this is no id, and what would be one."""
    better = re.sub(r"[^a-z0-9_-]+", "-", text.lower())[:32].strip("-")
    return f"is {text[:60]!r}; it must be 1 to 32 of a-z, 0-9, _ and -; rename it{f', for instance {better}' if better else ''}"


def _host_id() -> str:
    """The computer's name, as far as it can be an id."""
    return re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().lower())[:32].strip("-") or "node"


def _state_dir() -> Path:
    """systemd's state folder where it gives one, else the user's own."""
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(given) if given else Path.home() / ".local" / "state" / "edgevision"


class NodeSettings(Settings):
    """This computer."""

    id: str = Field(default_factory=_host_id, description="Name in every topic; left out: the computer's name.")
    state_dir: Path = Field(
        default_factory=_state_dir, description="Folder of outbox and pictures; left out: systemd's, else ~/.local/state/edgevision."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least serious message that is logged.")
    log_format: Literal["text", "json"] = Field("text", description="How a line of the log is written; json for programs that read it.")

    @field_validator("id")
    @classmethod
    def _is_id(cls, value: str) -> str:
        if not ID.fullmatch(value):
            raise ValueError(_no_id(value))
        return value


class PluginSettings(Settings):
    """Where plugins are loaded from."""

    folders: tuple[Path, ...] = Field((), description="Folders that hold plugins, owned by root or the service's user.")


class CameraConfig(Settings):
    """One camera, from source to sinks. Every key but `source` may also stand under `defaults:`."""

    enabled: bool = Field(True, description="False leaves the camera closed and says `disabled` on MQTT.")
    station: str = Field("", max_length=128, description="Name of the place in the plant, passed on in every message.")
    recipe_id: str = Field("", max_length=128, description="Name of the recipe in force, passed on in every message.")
    product_id: str = Field("", max_length=128, description="Name of the product on the line, passed on in every message.")
    source: Annotated[Chosen, Kind("source")] = Field(description="Where pictures come from; `type` names the kind of source.")
    trigger: TriggerSettings = Field(TriggerSettings(), description="When a picture is inspected.")
    capture: CameraSettings = Field(CameraSettings(), description="How the camera is watched and retried.")
    compare: ChangeSettings = Field(ChangeSettings(), description="When a pixel counts as changed.")
    recompute: RecomputeSettings = Field(RecomputeSettings(), description="Which network runs, and how.")
    segment: SegmentSettings = Field(SegmentSettings(), description="How the network's output becomes regions.")
    judge: JudgeSettings = Field(JudgeSettings(), description="When a region is a defect, and when it is told.")
    pictures: PictureSettings = Field(PictureSettings(), description="Which pictures are kept on disk, and how many.")
    rules: Annotated[tuple[Chosen, ...], Kind("rule")] = Field((), description="Further rules, each with its `type`, beside `judge`.")
    sinks: Annotated[tuple[Chosen, ...], Kind("sink")] = Field((), description="Outputs beside MQTT, each with its `type`.")

    candidate: CandidateSettings = Field(CandidateSettings(), description="Another network or other thresholds, beside the active ones.")

    @model_validator(mode="after")
    def _frames_are_not_divided(self) -> CameraConfig:
        if self.candidate.enabled and 0 < self.candidate.share < 1 and self.trigger.type == "free_run":
            raise ValueError(
                f"candidate.share is {self.candidate.share:g} and trigger.type is free_run: one defect on many frames is not divided "
                "between two networks; use share 0 or 1, or a trigger"
            )
        return self

    @model_validator(mode="after")
    def _parts_are_seen_whole(self) -> CameraConfig:
        if self.compare.motion == "shift" and self.trigger.type != "free_run":
            raise ValueError(
                f"compare.motion is shift and trigger.type is {self.trigger.type}: on a belt the newest pixels wait for a later frame, so "
                "that no single frame shows a part whole; use trigger free_run, or motion none"
            )
        return self

    @model_validator(mode="after")
    def _names_have_tokens(self) -> CameraConfig:
        gives_tokens = self.recompute.network == "turbovit" and self.recompute.turbovit.output == "tokens"
        if gives_tokens != (self.segment.kind == "names"):
            raise ValueError(
                f"segment.kind is {self.segment.kind} and recompute.turbovit.output {self.recompute.turbovit.output}: a head asked by "
                "name, and nothing else, reads a turbovit's tokens; use names, network turbovit and output tokens together, or none of them"
            )
        return self

    @model_validator(mode="after")
    def _known_marks_were_taught(self) -> CameraConfig:
        if self.judge.known_px and self.compare.reference != "golden":
            raise ValueError(
                f"judge.known_px is {self.judge.known_px} and compare.reference is running, which shows no old marks; set "
                "compare.reference: golden, or leave known_px out"
            )
        return self

    @model_validator(mode="after")
    def _template_is_taught(self) -> CameraConfig:
        if self.recompute.template != "none" and self.compare.reference != "golden":
            raise ValueError(
                f"recompute.template is {self.recompute.template} and compare.reference is running; set compare.reference: golden and name "
                "the template's picture with compare.golden, or leave recompute.template out"
            )
        return self


def as_candidate(camera: CameraConfig) -> CameraConfig:
    """The camera as its candidate would have it."""
    return camera.model_copy(update={**camera.candidate.otherwise, "candidate": CandidateSettings()})


class Config(Settings):
    """The effective configuration: the file, its defaults and the environment as one."""

    node: NodeSettings = Field(NodeSettings(), description="This computer.")
    mqtt: MqttSettings = Field(MqttSettings(), description="The broker that events go to.")
    outbox: OutboxSettings = Field(OutboxSettings(), description="Where events wait on disk for the broker.")
    web: WebSettings = Field(WebSettings(), description="The status page and the metrics.")
    plugins: PluginSettings = Field(PluginSettings(), description="Where plugins are loaded from.")
    cameras: Mapping[str, CameraConfig] = Field(description="The cameras, each under its id of 1 to 32 of a-z, 0-9, _ and -.")

    @cached_property
    def sha256(self) -> str:
        """The fingerprint of what is in force, as state and events carry it."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def builtin_registry() -> Registry:
    """A new registry of all that ships with edgevision."""
    registry = Registry()
    for register in (sources.register, policy.register):
        register(registry)
    return registry


@dataclass(frozen=True, slots=True)
class Written:
    """All that a configuration is made of, as of one moment: whoever loads it, in any process, gets the same Config.

    `changes` are values set while running, as dotted path to YAML text: above the file, below the environment.
    """

    path: Path
    text: str = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    changes: Mapping[str, str] = field(default_factory=dict)


def read(path: str | os.PathLike[str], env: Mapping[str, str] | None = None, changes: Mapping[str, str] | None = None) -> Written:
    """The file as it is now, with what the environment says. Raises ConfigError for a file that cannot be read."""
    env = os.environ if env is None else env
    ours = {name: value for name, value in env.items() if name.startswith(PREFIX) or name == CREDENTIALS}
    return Written(Path(path).absolute(), read_text(Path(path)), ours, dict(changes or {}))


def load(path: str | os.PathLike[str] | Written, env: Mapping[str, str] | None = None, registry: Registry | None = None) -> Config:
    """The configuration in the file. `registry` takes up the file's plugins; without one, a new one is made and forgotten.

    Raises ConfigError with a line `file:line:column: what; limit; remedy` for each thing wrong.
    """
    written = path if isinstance(path, Written) else replace(read(path, env), path=Path(path))
    registry = registry or builtin_registry()
    problems: list[Problem] = []
    tree = read_tree(written.text, written.path, problems)
    cameras = tree.value["cameras"].value if "cameras" in tree.value else None
    for name, text in sorted(written.changes.items()):
        where = f"{name} as it was set over MQTT"
        parts = tuple(name.split("."))
        if parts[0] != "cameras" or not isinstance(cameras, dict) or parts[1] not in cameras:
            continue  # its camera is gone; it waits in case that comes back
        tree = _with(tree, parts, read_value(text, where, parts, problems), where, problems)
    tree = _overridden(tree, written.env, problems)
    credentials = written.env.get(CREDENTIALS)
    fitter = Fitter(registry, written.path.absolute().parent, (Config, CameraConfig), Path(credentials) if credentials else None)
    sections = ("node", "mqtt", "outbox", "web", "plugins")
    fitter.note_unknown(tree, (*sections, "defaults", "cameras"))
    found: dict[str, Any] = {}
    for section in sections:
        node = tree.value.get(section, Node({}, tree.where, (section,)))
        found[section] = fitter.fit(Config.model_fields[section].annotation, node)  # type: ignore[arg-type]
    if found["plugins"] is not None:
        _load_plugins(found["plugins"], tree, registry, problems)
    found["cameras"] = _cameras(tree, fitter)
    problems += fitter.problems
    if problems:
        raise refusal(problems)
    return Config.model_construct(**found)


def _load_plugins(settings: PluginSettings, tree: Node, registry: Registry, problems: list[Problem]) -> None:
    try:
        registry.load_plugins(settings.folders)
    except PluginError as error:
        where = tree.value["plugins"].value["folders"].where
        problems += [Problem(where, line) for line in str(error).splitlines()]


def _cameras(tree: Node, fitter: Fitter) -> dict[str, CameraConfig | None]:
    """Every camera of the file over its defaults."""
    node = tree.value.get("cameras")
    if node is None or not node.value:
        where, name = (tree.where, "cameras is missing") if node is None else (node.where, "cameras is empty")
        fitter.problems.append(Problem(where, f"{name}; name a camera below `cameras:`; `edgevision init` writes a file that shows how"))
        return {}
    if not isinstance(node.value, dict):
        text = f"cameras is {shown(node)}; it must be a mapping of camera ids; write `cameras:`, below it `  cam1:`"
        fitter.problems.append(Problem(node.where, text))
        return {}
    if len(node.value) > MAX_CAMERAS:
        fitter.problems.append(Problem(node.where, f"cameras has {len(node.value)}; it must be at most {MAX_CAMERAS}; start another node"))
        return {}
    for name in node.value:
        _check_id(name, node, fitter.problems)
    defaults = tree.value.get("defaults", Node(None, tree.where, ("defaults",)))
    if defaults.value is not None and not isinstance(defaults.value, dict):
        text = f"defaults is {shown(defaults)}; it must be a mapping of sections; indent them below"
        fitter.problems.append(Problem(defaults.where, text))
        return {}
    return {name: fitter.fit(CameraConfig, _with_candidate(_over(defaults, camera))) for name, camera in node.value.items()}


def _with_candidate(camera: Node) -> Node:
    """The camera with what its candidate says laid over what it says itself: both are whole then."""
    found = camera.value.get("candidate") if isinstance(camera.value, dict) else None
    if found is None or not isinstance(found.value, dict):
        return camera
    given = {name: found.value[name] for name in OTHERWISE if name in found.value and found.value[name].value is not None}
    merged = {name: _over(camera.value[name], section) for name, section in given.items() if name in camera.value}
    whole = Node({**found.value, **merged}, found.where, found.path, key_where=found.key_where)
    return Node({**camera.value, "candidate": whole}, camera.where, camera.path, key_where=camera.key_where)


def _check_id(name: str, node: Node, problems: list[Problem]) -> None:
    where = node.key_where.get(name, node.where)
    if not ID.fullmatch(name):
        problems.append(Problem(where, f"camera id {_no_id(name)}"))
    elif name in RESERVED_IDS:
        problems.append(Problem(where, f"camera id is {name!r}, which is an MQTT topic of the node; rename it"))


def _over(below: Node, above: Node) -> Node:
    """`above` with what only `below` has: key by key, except that another `type` replaces the whole."""
    if above.value is None:
        return below if below.value is not None else above
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    types = [node.value["type"].text for node in (below, above) if "type" in node.value]
    if len(set(types)) > 1:
        return above
    merged = {key: _over(below.value[key], above.value[key]) if key in above.value else below.value[key] for key in below.value}
    merged |= {key: value for key, value in above.value.items() if key not in below.value}
    return Node(merged, above.where, above.path, key_where={**below.key_where, **above.key_where})


def _overridden(tree: Node, env: Mapping[str, str], problems: list[Problem]) -> Node:
    """The tree with what the environment sets, in the order of the variables' names."""
    for variable in sorted(env):
        if not variable.startswith(PREFIX) or "__" not in variable:
            continue
        where = f"environment {variable}"
        parts = [part.lower() for part in variable.removeprefix(PREFIX).split("__")]
        value = read_value(env[variable], where, tuple(parts), problems)
        tree = _with(tree, tuple(parts), value, where, problems)
    return tree


def _with(node: Node, parts: tuple[str, ...], value: Node, where: str, problems: list[Problem]) -> Node:
    """A copy of the node in which the value stands at the place that the parts name; the file's other nodes are shared, not changed."""
    if not parts:
        return Node(value.value, where, node.path, value.text, value.is_plain, value.key_where)
    if node.value is not None and not isinstance(node.value, dict):
        problems.append(Problem(where, f"{node.name} is {shown(node)} at {node.where}, which has no keys; write it there as a mapping"))
        return node
    below = node.value or {}
    alike = (key for key in below if key.lower().replace("-", "_") == parts[0].replace("-", "_"))
    key = parts[0] if parts[0] in below else next(alike, parts[0])
    if not key:
        problems.append(Problem(where, f"has an empty part; write {PREFIX}SECTION__KEY"))
        return node
    child = below.get(key, Node(None, where, (*node.path, key)))
    changed = {**below, key: _with(child, parts[1:], value, where, problems)}
    return Node(changed, node.where, node.path, key_where={key: where, **node.key_where})


def camera_named(config: Config, camera: str | None) -> str:
    """That camera, or the only one where none is named. Raises ConfigError where there is no such one, or several."""
    if camera is None and len(config.cameras) != 1:
        raise ConfigError(f"the configuration has {len(config.cameras)} cameras ({', '.join(config.cameras)}); name the one that is meant")
    camera = camera or next(iter(config.cameras))
    if camera not in config.cameras:
        raise ConfigError(f"camera is {camera!r}; it must be one of {', '.join(config.cameras)}")
    return camera
