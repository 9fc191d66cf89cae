"""`edgevision doctor`: what stands in the way, and what to do about it. In: a configuration, or none. Out: findings, one line each.

A finding is `ok`, `warn` (works, but look at it) or `fail`. Nothing is changed; the broker is spoken to below `request/doctor` only.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from edgevision.capture.redact import redact
from edgevision.config import Config, builtin_registry, load
from edgevision.daemon.build import versions
from edgevision.daemon.clock import is_clock_synced
from edgevision.errors import EdgevisionError, Unavailable
from edgevision.identifiers import uuid7
from edgevision.publish.connection import REFUSED, MqttSettings, ProtocolRefused
from edgevision.publish.ledger import Ledger
from edgevision.publish.mqtt import Link
from edgevision.publish.topics import Topics

Grade = Literal["ok", "warn", "fail"]
FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
LATER_THAN_S = 1.7e9
MANY_WAITING_S = 60.0
TIGHT_MB = 1024.0
ROUND_TRIP_S = 5.0
STREAM_S = 3.0
PORTS = MappingProxyType({"rtsp": 554, "rtsps": 322, "http": 80, "https": 443})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    grade: Grade
    text: str


def doctor(path: Path | None) -> dict[str, Any]:
    """The report: `ok`, `exit_code` (0; 78 for the file; 69 where something else fails), `findings`."""
    findings = [*processor(), *clock()]
    exit_code = 0
    if path is not None:
        try:
            config = load(path, registry=builtin_registry())
        except EdgevisionError as error:
            findings += [Finding("configuration", "fail", line) for line in str(error).splitlines()]
            exit_code = error.exit_code
        else:
            count = f"{len(config.cameras)} camera{'s' * (len(config.cameras) != 1)}"
            findings.append(Finding("configuration", "ok", f"{path}: {count}, sha256 {config.sha256[:12]}"))
            findings += [*secrets(config), *cameras(config), *streams(config), *disk(config), *outbox(config)]
            findings += broker(config.mqtt, Topics(config.mqtt.base, config.node.id))
    if not exit_code and any(finding.grade == "fail" for finding in findings):
        exit_code = Unavailable.exit_code
    return {"ok": exit_code == 0, "exit_code": exit_code, "findings": [asdict(finding) for finding in findings]}


def processor(read: Callable[[], str] = lambda: Path("/proc/cpuinfo").read_text()) -> Iterator[Finding]:
    """What the CPU can do, and how many of it there are."""
    try:
        text = read()
    except OSError:
        text = ""
    flags = next((line.partition(":")[2].split() for line in text.splitlines() if line.startswith("flags")), [])
    has = [feature for feature in FEATURES if feature in flags]
    cores = len(os.sched_getaffinity(0))
    grade: Grade = "ok" if "avx2" in has else "warn"
    remedy = "" if "avx2" in has else "; without AVX2 inference is several times slower"
    yield Finding("processor", grade, f"{platform.machine()}, {cores} cores usable, {' '.join(has) or 'no known vector unit'}{remedy}")
    yield Finding("software", "ok", ", ".join(f"{name} {version}" for name, version in versions().items()))


def clock(is_synced: Callable[[], bool | None] | None = None) -> Iterator[Finding]:
    """Is the time plausible, and does somebody keep it right."""
    state = (is_synced or is_clock_synced)()
    remedy = "install chrony or systemd-timesyncd"
    if time.time() < LATER_THAN_S:
        yield Finding("clock", "fail", f"it says {time.strftime('%Y-%m-%d', time.gmtime())}; set it, and {remedy}")
    elif state is False:
        yield Finding("clock", "warn", f"nobody keeps it right, so time stamps in events drift; {remedy}")
    else:
        yield Finding("clock", "ok", "synchronised" if state else "plausible; whether it is synchronised cannot be seen here")


def secrets(config: Config) -> Iterator[Finding]:
    """Can the files that hold secrets be read by us, and by nobody else."""
    files = {f"mqtt.{key}": getattr(config.mqtt, key) for key in ("password_file", "key_file")}
    for name, camera in config.cameras.items():
        files[f"cameras.{name}.source.password_file"] = getattr(camera.source.settings, "password_file", None)
    for key, file in files.items():
        if file is None or "/" not in str(file):
            continue
        try:
            mode = os.stat(file).st_mode
        except OSError as error:
            yield Finding("secrets", "fail", f"{key} {file}: {error.strerror}; mend the path or its rights")
            continue
        if not os.access(file, os.R_OK):
            yield Finding("secrets", "fail", f"{key} {file}: this user may not read it; run it as the service's user, or mend its rights")
        elif mode & stat.S_IROTH:
            yield Finding("secrets", "warn", f"{key} {file}: everybody may read it; run: chmod 640 {file}")
        else:
            yield Finding("secrets", "ok", f"{key}: {file}")


def cameras(config: Config, by_name: Path = Path("/dev/v4l")) -> Iterator[Finding]:
    """Are local cameras there, and named so that they stay themselves over a restart."""
    for name, camera in config.cameras.items():
        device = getattr(camera.source.settings, "device", None)
        if not camera.enabled or device is None:
            continue
        stable = [link for kind in ("by-id", "by-path") for link in sorted((by_name / kind).glob("*")) if link.exists()]
        if not os.path.exists(device):
            have = ", ".join(map(str, stable)) or "none"
            yield Finding(f"camera {name}", "fail", f"{device} is not there; these are: {have}")
        elif not os.access(device, os.R_OK | os.W_OK):
            yield Finding(f"camera {name}", "fail", f"{device}: this user may not use it; add the service's user to group video")
        elif str(by_name) not in device:
            same = [str(link) for link in stable if os.path.realpath(link) == os.path.realpath(device)]
            yield Finding(f"camera {name}", "warn", f"{device} may be another camera after a restart; use {same[0] if same else 'by-id'}")
        else:
            yield Finding(f"camera {name}", "ok", device)


def streams(config: Config) -> Iterator[Finding]:
    """Does somebody listen where network cameras are."""
    for name, camera in config.cameras.items():
        url = getattr(camera.source.settings, "url", None)
        if not camera.enabled or not isinstance(url, str):
            continue
        try:
            place = urlsplit(url)
            port = place.port or PORTS.get(place.scheme, 0)
            with socket.create_connection((place.hostname or "", port), STREAM_S):
                yield Finding(f"camera {name}", "ok", f"{redact(url)}: somebody listens; `edgevision check --probe` asks for a frame")
        except (OSError, ValueError) as error:
            text = getattr(error, "strerror", None) or str(error) or "no answer"
            yield Finding(f"camera {name}", "fail", f"{redact(url)}: {text}; check its power, its cable and the address")


def disk(config: Config) -> Iterator[Finding]:
    """Is there room, and may it be written."""
    folder = config.node.state_dir
    parent = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        yield Finding("disk", "fail", f"{folder}: this user may not write there; run it as the service's user, or set node.state_dir")
        return
    free_mb = shutil.disk_usage(parent).free / 1e6
    pictures_mb = sum(camera.pictures.limit_mb for camera in config.cameras.values() if camera.pictures.keep)
    wanted_mb = config.outbox.limit_mb + config.outbox.history_mb + pictures_mb
    text = f"{folder}: {free_mb:,.0f} MB free; outbox and pictures may take {wanted_mb:,.0f} MB"
    if free_mb < TIGHT_MB:
        yield Finding("disk", "fail" if free_mb < config.outbox.limit_mb else "warn", f"{text}; free some space")
    elif free_mb < wanted_mb:
        yield Finding("disk", "warn", f"{text}; lower pictures.limit_mb, or no picture is kept once pictures.min_free_mb is reached")
    else:
        yield Finding("disk", "ok", text)


def outbox(config: Config) -> Iterator[Finding]:
    """Is the outbox sound, and does it empty."""
    path = config.node.state_dir / "outbox.sqlite"
    if not path.exists():
        yield Finding("outbox", "ok", "none yet; the first start makes it")
        return
    try:
        with Ledger(path) as ledger:
            stats, findings = ledger.stats(time.time()), ledger.verify()
    except (EdgevisionError, sqlite3.Error) as error:
        yield Finding("outbox", "fail", str(error))
        return
    waiting, aside = stats["pending"]["messages"], stats["aside"]["messages"]
    if findings:
        yield Finding("outbox", "fail", f"{len(findings)} faults, the first: {findings[0]}; see `edgevision outbox verify`")
    is_late = waiting and stats["oldest_age_s"] > MANY_WAITING_S
    use = "a service has it open" if stats["is_in_use"] else "no service has it open"
    text = f"{use}; {waiting} messages wait, the oldest for {stats['oldest_age_s']:g} s; {aside} set aside; {stats['gaps']} gaps on record"
    remedies = [
        *(["start the service, or `edgevision outbox drain`"] if is_late and not stats["is_in_use"] else []),
        *(["`edgevision outbox list --state aside` says why"] if aside else []),
        *([f"broken files were set aside: {', '.join(stats['broken_files'])}"] if stats["broken_files"] else []),
    ]
    yield Finding("outbox", "warn" if is_late or remedies else "ok", "; ".join((text, *remedies)))


def broker(settings: MqttSettings, topics: Topics) -> Iterator[Finding]:
    """Does the broker take us in, and a message of ours, and give it back."""
    where = f"{settings.host}:{settings.port}"
    protocol = settings.protocol
    if settings.password_file is None and settings.username is not None:
        yield Finding("broker", "warn", "mqtt.username is set and mqtt.password_file is not; most brokers refuse that")
    link = Link(settings, f"doctor-{uuid7(time.time())}", protocol)
    try:
        try:
            link.open()
        except ProtocolRefused:
            protocol, link = "3.1.1", Link(settings, f"doctor-{uuid7(time.time())}", "3.1.1")
            link.open()
            yield Finding("broker", "warn", f"{where} does not speak MQTT 5: it cannot say there that it refuses a message")
        yield Finding("broker", "ok", f"{where} takes us in with MQTT {protocol}{', encrypted' if settings.tls else ', not encrypted'}")
        yield from round_trip(link, topics)
        link.close()
    except EdgevisionError as error:
        yield Finding("broker", "fail", str(error))
    finally:
        link.drop()


def round_trip(link: Link, topics: Topics, timeout_s: float = ROUND_TRIP_S) -> Iterator[Finding]:
    """May we read where commands come, write where events go; how long there and back. The reason code says what the ACL forbids."""
    link.subscribe([topics.request("doctor")])
    answers: dict[int, tuple[int, str]] = {}
    begun_s = time.monotonic()
    heard_s = None
    sent = {
        "commands": link.send(topics.request("doctor"), b'{"from": "doctor"}'),
        "answers": link.send(topics.response("doctor"), b'{"status": "ok"}'),
    }
    while time.monotonic() - begun_s < timeout_s and not (heard_s is not None and set(sent.values()) <= answers.keys()):
        link.pump(0.05)
        answers |= {answer.packet_id: (answer.code, answer.meaning) for answer in link.answers()}
        if link.received():
            heard_s = time.monotonic() - begun_s
    refused = {what: answers[packet_id] for what, packet_id in sent.items() if answers.get(packet_id, (0, ""))[0] >= REFUSED}
    for what, (code, meaning) in refused.items():
        yield Finding(
            "broker rights", "fail", f"{what} may not be published: {meaning} (0x{code:02x}); allow {topics.base}/{topics.node}/#"
        )
    if not set(sent.values()) <= answers.keys():
        yield Finding("broker rights", "fail", f"no answer to a message within {timeout_s:g} s; see the broker's log")
    elif "commands" not in refused and heard_s is None:
        yield Finding("broker rights", "fail", f"a message on {topics.request('doctor')} did not come back; allow reading it")
    elif heard_s is not None:
        yield Finding("broker rights", "ok", f"a message went there and back in {heard_s * 1000:.1f} ms, reason code 0x00")


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """One line a finding, for a person."""
    marks = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}
    return [f"{marks[finding['grade']]}  {finding['what']}: {finding['text']}" for finding in report["findings"]]
