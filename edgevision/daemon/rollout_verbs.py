"""`edgevision rollout CONFIG status|share|back|commit`: a candidate's way in, step by step, and the way back. Keeps nothing.

`status` reads what the worker has written down, with or without the service. `share` and `back` ask the running service, over its broker,
and wait for its answer: each is in its audit, and outlives a restart. `commit` writes what differs in the candidate into the camera's own
sections of the YAML file, whose comments stay, switches the candidate off, and asks the service to work by it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from edgevision.candidate import OTHERWISE
from edgevision.config import Config, load, read
from edgevision.daemon.rollout_book import RolloutBook
from edgevision.errors import ConfigError, InputError, Unavailable
from edgevision.identifiers import uuid7
from edgevision.publish.mqtt import Link
from edgevision.publish.topics import Topics
from edgevision.registry import nearest
from edgevision.yaml_edit import edited

ANSWER_S = 30.0
SHOWN = 10


def status(path: Path, camera: str | None) -> dict[str, Any]:
    """What is known of a camera's candidate."""
    config = _with_changes(path)
    name = _camera(config, camera)
    candidate = config.cameras[name].candidate
    state = RolloutBook(config.node.state_dir / "rollout" / name).read()
    compared = sum(state.results.values())
    return {
        "camera": name,
        "enabled": candidate.enabled,
        "share": candidate.share,
        "sent_back": state.out,
        "compared": compared,
        "agree": state.results.get("agree", 0),
        "agreement": None if not compared else state.results.get("agree", 0) / compared,
        "results": state.results,
        "judged": state.judged,
        "differences": state.differences,
    }


def status_text(report: Mapping[str, Any]) -> str:
    """The same for a person."""
    what = "looks on" if report["share"] == 0 else f"judges {report['share']:.0%} of the parts"
    lines = [f"{report['camera']}: the candidate {what if report['enabled'] else 'is switched off (candidate.enabled)'}"]
    if report["sent_back"]:
        lines.append(f"sent back: {report['sent_back']}")
    if report["compared"]:
        others = ", ".join(f"{count} {name}" for name, count in sorted(report["results"].items()) if name != "agree")
        parts = f"{report['compared']} parts compared, {report['judged']} judged by it"
        lines.append(f"{parts}; {report['agreement']:.2%} alike{f'; {others}' if others else ''}")
    for one in report["differences"][-SHOWN:]:
        where = f", {one['picture']}" if one["picture"] else ""
        lines.append(f"  {one['ts']} part {one['part_id'] or one['frame_seq']}: {one['active']}, candidate {one['candidate']}{where}")
    return "\n".join(lines)


def share(path: Path, camera: str | None, wanted: float, is_anyway: bool = False) -> dict[str, Any]:
    """Let the candidate judge this share of the parts, even if it was of another mind too often where `is_anyway`.

    Raises Unavailable where no service answers, InputError where it refuses.
    """
    config = load(path)
    name = _camera(config, camera)
    answer = ask(config, "rollout", {"camera": name, "share": wanted, "anyway": is_anyway})
    return {"camera": name, "share": wanted, **answer}


def back(path: Path, camera: str | None) -> dict[str, Any]:
    """Every part is the active network's again."""
    config = load(path)
    name = _camera(config, camera)
    return {"camera": name, "share": 0.0, **ask(config, "rollback", {"camera": name})}


def commit(path: Path, camera: str | None) -> dict[str, Any]:
    """The candidate becomes the active one: in the file, then in the service where one answers.

    Raises ConfigError where the file cannot be edited so; then nothing is changed.
    """
    config = load(path)
    name = _camera(config, camera)
    text = path.read_text("utf-8")
    changes = committed(text, name, str(path))
    after = edited(text, changes, str(path))
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_text(after, encoding="utf-8")
        load(draft)
        path.with_name(f"{path.name}.before").write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}; the file must be writable for this user") from error
    finally:
        draft.unlink(missing_ok=True)
    written = {"camera": name, "written": {".".join(keys): value for keys, value in changes.items()}}
    try:
        return {**written, **ask(config, "rollback", {"camera": name})}
    except Unavailable as error:
        return {**written, "status": "written", "note": f"{error}; it is in force with the next start or reload"}


def committed(text: str, camera: str, where: str) -> dict[tuple[str, ...], str]:
    """What must be set in the file, by path, for the candidate to be the active one."""
    plain = yaml.safe_load(text)
    found = plain["cameras"][camera].get("candidate") if isinstance(plain["cameras"].get(camera), dict) else None
    if not isinstance(found, dict) or not any(found.get(name) for name in OTHERWISE):
        raise ConfigError(
            f"{where}: cameras.{camera}.candidate says nothing that differs from the camera itself; there is nothing to commit"
        )
    changes = {
        ("cameras", camera, section, *keys): value for section in OTHERWISE for keys, value in _leaves(found.get(section) or {}, ()).items()
    }
    return changes | {("cameras", camera, "candidate", "enabled"): "false", ("cameras", camera, "candidate", "share"): "0"}


def _leaves(plain: Mapping[str, Any], at: tuple[str, ...]) -> dict[tuple[str, ...], str]:
    """Each value as YAML on one line, by its keys."""
    found: dict[tuple[str, ...], str] = {}
    for key, value in plain.items():
        if isinstance(value, dict) and "type" not in value:
            found |= _leaves(value, (*at, str(key)))
        else:
            found[*at, str(key)] = json.dumps(value, ensure_ascii=False)  # JSON is YAML on one line
    return found


def ask(config: Config, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The running service's answer to a request. Raises Unavailable when none comes, InputError when it is a refusal."""
    topics, transaction = Topics(config.mqtt.base, config.node.id), uuid7(time.time())
    link = Link(config.mqtt, f"rollout-{transaction}", config.mqtt.protocol)
    link.open()
    try:
        link.subscribe([topics.response(verb)])
        link.send(topics.request(verb), json.dumps({**body, "transaction": transaction}).encode())
        until_s = time.monotonic() + ANSWER_S
        while time.monotonic() < until_s:
            link.pump(0.05)
            for received in link.received():
                answer = _answer(received.payload)
                if answer.get("transaction") == transaction:
                    if answer.get("status") != "ok":
                        raise InputError(str(answer.get("error", "refused")))
                    return {"status": "ok"}
        link.close()
    finally:
        link.drop()
    raise Unavailable(f"no service of node {config.node.id} answers at {config.mqtt.host}:{config.mqtt.port}; is it running?")


def _answer(payload: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(payload)
    except ValueError:
        return {}
    return plain if isinstance(plain, dict) else {}


def _with_changes(path: Path) -> Config:
    """The configuration with what was set over MQTT; a file of changes that cannot be read is the service's to complain of."""
    try:
        changes = json.loads((load(path).node.state_dir / "changes.json").read_bytes())["changes"]
        return load(read(path, changes={str(name): str(text) for name, text in changes.items()}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return load(path)


def _camera(config: Config, camera: str | None) -> str:
    names = tuple(config.cameras)
    if camera is None and len(names) == 1:
        return names[0]
    if camera not in names:
        given = "has several cameras" if camera is None else f"has no camera {camera!r}"
        raise InputError(f"the configuration {given}; name one with --camera: {', '.join(names)}{nearest(camera or '', names)}")
    return camera
