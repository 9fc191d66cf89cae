"""Input from outside, bent at random: does anything but a refusal in one line come of it?

    python benchmarks/reliability/fuzz.py [--examples 2000] [--seed 0] [config commands payloads images packets files ...]

    config    a configuration whose text is cut, repeated and sprinkled with hostile pieces: a Config or a ConfigError
    commands  any topic and payload below `set` and `request`: an answer or a refusal, an audit line, and the file of changes still loads
    payloads  any message on an event topic, as `events tail` shows it, and any body that may be committed: printed, or refused
    images    a JPEG, PNG, BMP or TIFF whose bytes are changed: an image or a BadFrame
    packets   a broker that answers with any bytes: the publisher's thread lives on, keeps its message, and nothing of it is unexpected
    files     what a service finds in its own state folder, bent: changes, open tracks, outbox, recorder: started, set aside or refused

Each example has five seconds. Exit 1 at the first crash, which is printed with the smallest input that makes it.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from edgevision.capture.picture import read_picture
from edgevision.config import Config, builtin_registry, load, read
from edgevision.daemon.audit import Audit
from edgevision.daemon.black_box import dump, records_of
from edgevision.daemon.build import share_folder
from edgevision.daemon.changes import KEYS, Changes
from edgevision.daemon.reconcile import reconcile
from edgevision.daemon.requests import Command, Requests
from edgevision.daemon.tail import as_line
from edgevision.daemon.track_file import TrackFile
from edgevision.errors import BadFrame, CameraError, ConfigError, EdgevisionError, InputError
from edgevision.identifiers import uuid7
from edgevision.publish.ledger import Ledger
from edgevision.publish.mqtt import MqttSettings, Publisher
from edgevision.publish.outbox import Outbox
from edgevision.publish.topics import Topics
from edgevision.records import Draft

TOPICS = Topics("edgevision", "fuzz")
HOSTILE = (
    "&a [*a, *a]", "!!python/object/apply:os.system [true]", "\t", "\x00", "{", "[[[[[[[[", "- - - -", "1e999", "0x", "~", "on", "\u202e",
    ": :",
    "<<: *a",
    "? ", "|\n", "'", '"', "\ufeff", "---", "%YAML 9.9", "null", "9" * 400, "é" * 50, "*b", "!!binary x", "? [a]: b",
)  # fmt: skip
LINE = "cameras:\n  cam:\n    source: {type: synthetic}\n"


def bent(text: str) -> st.SearchStrategy[str]:
    """The text with a few of its pieces cut, doubled, swapped or replaced."""
    piece = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8))
    cut = st.tuples(st.integers(0, len(text)), st.integers(0, 40), piece, st.integers(1, 3))

    def apply(cuts: list[tuple[int, int, str, int]]) -> str:
        made = text
        for start, length, piece, times in cuts:
            made = made[:start] + piece * times + made[start + length :]
        return made

    return st.lists(cut, min_size=1, max_size=4).map(apply)


def bent_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with a few of them changed, cut out or added."""
    cut = st.tuples(st.integers(0, len(content)), st.integers(0, 64), st.binary(max_size=64))

    def apply(cuts: list[tuple[int, int, bytes]]) -> bytes:
        made = content
        for start, length, piece in cuts:
            made = made[:start] + piece + made[start + length :]
        return made

    return st.lists(cut, min_size=1, max_size=5).map(apply)


class Fuzz:
    """One scratch folder and the tally of what came of the examples."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.seen: Counter[str] = Counter()

    def config(self) -> tuple[st.SearchStrategy[Any], Callable[[Any], None]]:
        texts = [path.read_text() for path in sorted(share_folder("configs").glob("*.yaml"))]
        whole = st.one_of(*(bent(text) for text in (*texts, LINE)), st.text(max_size=300), st.binary(max_size=300))
        path = self.folder / "line.yaml"

        def check(text: str | bytes) -> None:
            path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
            try:
                load(path, env={}, registry=builtin_registry())
                self.seen["sound"] += 1
            except ConfigError as error:
                self.seen["refused"] += 1
                for line in str(error).splitlines():
                    assert len(line) < 2000, line[:200]

        return whole, check

    def commands(self) -> tuple[st.SearchStrategy[Any], Callable[[Any], None]]:
        path = self.folder / "commands.yaml"
        path.write_text(LINE)
        outbox = Outbox(self.folder / "commands.sqlite")
        changes = Changes(self.folder / "changes.json")
        requests = Requests(TOPICS, Deaf(path), changes, Audit(self.folder / "audit.jsonl"), outbox)
        answers: list[bytes] = []
        requests._reply = lambda topic, payload: answers.append(payload)
        setting = st.tuples(st.sampled_from(["cam", "cat"]), st.sampled_from([*KEYS, "source"]))
        words = st.one_of(setting, st.tuples(st.sampled_from([*requests._verbs, "explode"])))
        value = st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
            lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)), max_leaves=8,
        )  # fmt: skip
        names = st.sampled_from(["camera", "transaction", "from_seq", "part_id", "job_id", "event_id", "alarms", "by"])
        body = st.dictionaries(names, value, max_size=5).map(lambda plain: json.dumps(plain).encode())
        scalar = st.sampled_from([b"", b"ON", b"OFF", b"0.5", b"nan", b"-1", b"1e400", b"[" * 3000])
        payload = st.one_of(body, scalar, st.binary(max_size=200))

        def check(example: tuple[tuple[str, ...], bytes]) -> None:
            parts, content = example
            answers.clear()
            topic = TOPICS.setting(*parts, "set") if len(parts) == 2 else TOPICS.request(parts[0])
            requests.obey(Command(topic, content, parts))
            for answer in answers:
                self.seen[json.loads(answer)["status"]] += 1
            again = Changes(self.folder / "changes.json")
            again.read()
            load(read(path, env={}, changes=again.kept), registry=builtin_registry())

        return st.tuples(words, payload), check

    def payloads(self) -> tuple[st.SearchStrategy[Any], Callable[[Any], None]]:
        outbox = Outbox(self.folder / "payloads.sqlite")
        sound: dict[str, Any] = {"type": "new", "verdict": "NG", "camera": "cam", "ts_capture": "t", "ts_result": "t"}
        sound |= {"defects": [], "lost": {}, "reason": None}
        plain_value = st.one_of(st.none(), st.text(max_size=30), st.integers(), st.floats())
        value = st.one_of(plain_value, st.lists(st.text(max_size=5), max_size=3), st.just({"a": 1}))
        body = st.dictionaries(st.sampled_from([*sound, "track_id", "seq", "first_seq"]), value, max_size=8).map(
            lambda plain: sound | plain
        )

        def check(example: tuple[dict[str, Any], bytes]) -> None:
            plain, raw = example
            as_line("edgevision/fuzz/cam/event", raw)
            as_line("edgevision/fuzz/cam/event", json.dumps(plain).encode())
            try:
                outbox.commit([Draft(uuid7(time.time()), "cam", TOPICS.event("cam"), plain, "ng")])
                self.seen["kept"] += 1
            except InputError:
                self.seen["refused"] += 1
            outbox.acked([head.seq for head in outbox.window(20)])

        return st.tuples(body, st.binary(max_size=200)), check

    def images(self) -> tuple[st.SearchStrategy[Any], Callable[[Any], None]]:
        picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        suffixes = (".jpg", ".png", ".bmp", ".tiff", ".webp", ".ppm")
        packed = [(suffix, np.asarray(cv2.imencode(suffix, picture)[1]).tobytes()) for suffix in suffixes]
        whole = st.one_of(*(bent_bytes(content).map(lambda made, suffix=suffix: (suffix, made)) for suffix, content in packed))

        def check(example: tuple[str, bytes]) -> None:
            path = self.folder / f"picture{example[0]}"
            path.write_bytes(example[1])
            try:
                image = read_picture(path, "auto", 1_000_000)
                assert image.size
                self.seen["read"] += 1
            except BadFrame:
                self.seen["refused"] += 1

        return whole, check

    def packets(self) -> tuple[st.SearchStrategy[Any], Callable[[Any], None]]:
        greeting = st.sampled_from([b"\x20\x03\x00\x00\x00", b"\x20\x02\x00\x00", b""])
        packet = st.one_of(
            st.binary(max_size=60),
            st.tuples(st.integers(0, 255), st.binary(max_size=40)).map(lambda made: bytes((made[0], len(made[1]))) + made[1]),
        )

        def check(example: tuple[bytes, list[bytes]]) -> None:
            path = self.folder / f"packets-{time.monotonic_ns()}.sqlite"
            outbox = Outbox(path)
            outbox.commit([Draft(uuid7(time.time()), "cam", TOPICS.event("cam"), {"historical": False}, "ng")])
            port, stop = mad_broker(example[0], example[1])
            quick = {"reconnect_min_s": 0.01, "reconnect_max_s": 0.02, "connect_timeout_s": 0.1, "answer_timeout_s": 0.5}
            mqtt = MqttSettings.model_validate({"port": port, **quick})
            publisher = Publisher(mqtt, TOPICS, outbox, on_message=lambda topic, payload: None)
            publisher.start()
            publisher.wait_drained(0.15)
            assert publisher._thread.is_alive()
            assert "please report" not in publisher.stats().state, publisher.stats().state
            self.seen["taken" if outbox.stats().pending == 0 else "kept"] += 1
            publisher.stop(0.1)
            stop()
            outbox.close()
            for file in self.folder.glob(f"{path.name}*"):
                file.unlink()

        return st.tuples(greeting, st.lists(packet, max_size=4)), check

    def files(self) -> tuple[st.SearchStrategy[Any], Callable[[Any], None]]:
        place = self.folder / "state"
        place.mkdir()
        changes = json.dumps({"schema": 1, "changes": {"cameras.cam.judge.ng": "0.5"}}).encode()
        tracks = json.dumps({"tracks": [{"track_id": "x", "frames": 3}]}).encode()
        whole = st.tuples(st.one_of(bent_bytes(changes), bent_bytes(tracks), st.binary(max_size=200)), st.integers(0, 2**32))

        def check(example: tuple[bytes, int]) -> None:
            content, chance = example
            path = place / "changes.json"
            path.write_bytes(content)
            try:
                Changes(path).read()
                self.seen["changes taken"] += 1
            except ConfigError:
                self.seen["changes refused"] += 1
            path.write_bytes(content)
            try:
                reconcile(TrackFile(path).read(), {})
            except (EdgevisionError, KeyError, TypeError):  # the worker catches these three and ends the open defects
                self.seen["tracks refused"] += 1
            records_of(content)
            (place / "cam.ring").write_bytes(b"open...." + content)
            dump(place, "cam", 0.0)
            self.outbox(place / "o.sqlite", random.Random(chance))

        return whole, check

    def outbox(self, path: Path, dice: random.Random) -> None:
        """An outbox with some pages overwritten opens again, broken or not, and takes and gives a message."""
        first = Outbox(path)
        first.commit([Draft(uuid7(time.time()), "cam", TOPICS.event("cam"), {"filling": "x" * 900}, "ng") for _ in range(20)])
        first.close()
        content = bytearray(path.read_bytes())
        for _ in range(dice.randint(1, 4)):
            start, length = dice.randrange(len(content)), dice.choice((1, 8, 100, 4096))
            content[start : start + length] = dice.randbytes(len(content[start : start + length]))
        path.write_bytes(content)
        with Reading(path) as ledger:
            if ledger is not None:
                ledger.verify()
        again = Outbox(path)
        again.commit([Draft("fresh", "cam", TOPICS.event("cam"), {}, "ng")])
        while heads := again.window(20):
            again.acked([head.seq for head in heads])
        self.seen["outbox set aside" if again.stats().alarms else "outbox sound"] += 1
        again.close()
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()


class Reading:
    """The ledger of a file, None where it is refused in one line."""

    def __init__(self, path: Path):
        self._path = path
        self._ledger: Ledger | None = None

    def __enter__(self) -> Ledger | None:
        try:
            self._ledger = Ledger(self._path)
        except EdgevisionError:
            return None
        return self._ledger

    def __exit__(self, *error: object) -> None:
        if self._ledger is not None:
            self._ledger.__exit__(None, None, None)


class Deaf:
    """A node that does nothing and minds nothing."""

    def __init__(self, path: Path):
        self._path = path

    def cameras(self) -> tuple[str, ...]:
        return ("cam",)

    def offer(self, camera: str, body: Any) -> bool:
        raise CameraError("nobody looks")

    def ask(self, camera: str, verb: str, body: Any, done: Any) -> None:
        done({"status": "ok"})

    def reload(self, changes: Any, done: Any) -> None:
        done({"status": "ok"})

    def try_changes(self, changes: Any) -> Config:
        return load(read(self._path, env={}, changes=changes), registry=builtin_registry())


def mad_broker(greeting: bytes, packets: list[bytes]) -> tuple[int, Callable[[], None]]:
    """Takes every connection and says these bytes."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(0.2)
                    connection.recv(4096)
                    for packet in (greeting, *packets):
                        connection.sendall(packet)
                    connection.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                if server.fileno() == -1:
                    return

    threading.Thread(target=run, daemon=True).start()

    def stop() -> None:
        server.shutdown(socket.SHUT_RDWR)
        server.close()

    return int(server.getsockname()[1]), stop


KINDS = ("config", "commands", "payloads", "images", "packets", "files")


def run(kind: str, examples: int, number: int) -> dict[str, Any]:
    """So many examples of a kind; raises what a crash raised."""
    with tempfile.TemporaryDirectory(prefix="edgevision-fuzz-") as name:
        fuzz = Fuzz(Path(name))
        strategy, check = getattr(fuzz, kind)()
        limits = settings(
            max_examples=examples, deadline=5000, database=None, suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )  # fmt: skip
        begun_s = time.monotonic()
        seed(number)(limits(given(strategy)(check)))()
        return {
            "kind": kind,
            "examples": examples,
            "seconds": round(time.monotonic() - begun_s, 1),
            "seen": dict(sorted(fuzz.seen.items())),
        }


def main() -> int:
    logging.getLogger("edgevision").addHandler(logging.NullHandler())
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("kinds", nargs="*", default=KINDS, metavar="KIND", help=", ".join(KINDS))
    arguments.add_argument("--examples", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    for kind in options.kinds:
        print(json.dumps(run(kind, options.examples, options.seed)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
