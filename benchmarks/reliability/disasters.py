"""Four days that go wrong, with the whole service: a full disk, a broken outbox, a clock set back, a broker that denies.

    python benchmarks/reliability/disasters.py [full-disk corrupt-file clock-back acl ...]

One camera, a part every quarter of a second, a real Mosquitto. What is asked in each: the service is never started anew (but where it is
killed on purpose), the trouble shows as an alarm on the `state` topic or in the log, every number from 1 on comes to the subscriber or is
told of in a gap message, and afterwards new verdicts come as before. One line of JSON each; exit 1 when something does not hold.

full-disk needs a tmpfs of its own, so it starts itself again inside `unshare -rm`; clock-back shifts Python's clock in all of the service's
processes, because the computer's own belongs to others.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from broker import Broker
from rig import Ear, Service, head, verdict, wait_for

PARTS_S = 0.25
ALLOWED = "topic readwrite #\n"
DENIED = "topic read #\ntopic write edgevision/test/state\ntopic write edgevision/test/availability\n"
INSIDE = "EDGEVISION_DISASTER_DISK"
SHIFT = """
import time
_real = time.time
def _shifted():
    try:
        with open({shift!r}) as file:
            return _real() + float(file.read() or 0)
    except (OSError, ValueError):
        return _real()
time.time = _shifted
"""


class Day:
    """Broker, listener and service in a folder; `state` is where the outbox lies."""

    def __init__(self, folder: Path, state: Path):
        self.folder, self.state = folder, state
        self._acl = folder / "acl"
        self._acl.write_text(ALLOWED)
        self.broker = Broker(folder, f"acl_file {self._acl}")
        self.broker.start()
        self.path = folder / "line.yaml"
        text = head(folder, self.broker.port).replace(str(folder / "state"), str(state))
        mqtt = f"port: {self.broker.port}, reconnect_max_s: 1, answer_timeout_s: 2"
        self.path.write_text(
            text.replace(f"port: {self.broker.port}", mqtt)
            + "web: {enabled: false}\noutbox: {history_mb: 1}\ncameras:\n  cam:\n    source: {type: synthetic, width: 320, height: 176}\n"
            f"    trigger: {{type: interval, every_s: {PARTS_S}}}\n    pictures: {{keep: []}}\n"
        )
        self.ear = Ear(self.broker.port)
        self.service = Service(self.path, 30.0, folder / "service.log")

    def deny(self) -> None:
        """From now on the broker takes no event and no result; the listener stays connected and hears all that is taken later."""
        self._rule(DENIED)

    def allow(self) -> None:
        self._rule(ALLOWED)

    def _rule(self, text: str) -> None:
        self._acl.write_text(text)
        if self.broker.process is not None:
            self.broker.process.send_signal(signal.SIGHUP)

    def numbers(self) -> list[int]:
        return [message.body["seq"] for message in self.messages()]

    def messages(self) -> list[Any]:
        return [message for message in list(self.ear.messages) if message.topic.endswith(("/event", "/result"))]

    def alarms(self) -> list[str]:
        """Every alarm that the state topic has told of."""
        return [alarm for message in self.ear.all("test/state") for alarm in message.body["alarms"]]

    def log(self) -> str:
        return (self.folder / "service.log").read_text()

    def wait_for_parts(self, count: int, limit_s: float = 60.0) -> bool:
        """Until so many further messages came."""
        before = len(self.messages())
        return wait_for(lambda: len(self.messages()) >= before + count, limit_s) is not None

    def drained(self, limit_s: float = 60.0) -> bool:
        """Until every number up to the newest was heard."""
        return wait_for(lambda: not self.missing(), limit_s, 0.2) is not None

    def missing(self) -> list[int]:
        """Numbers that neither came nor were told of as lost."""
        seen = set(self.numbers())
        for message in self.messages():
            body = message.body
            if body["type"] == "gap":
                seen |= set(range(body["first_seq"], body["last_seq"] + 1))
        return sorted(set(range(1, max(seen, default=0) + 1)) - seen)

    def close(self) -> None:
        self.service.stop()
        self.ear.close()
        self.broker.kill()


@contextlib.contextmanager
def day(state: Path | None = None) -> Iterator[Day]:
    with tempfile.TemporaryDirectory(prefix="edgevision-disaster-") as name:
        made = Day(Path(name), state or Path(name) / "state")
        try:
            made.service.wait_ready()
            if not made.wait_for_parts(8):
                sys.exit(f"no verdicts came:\n{made.log()}")
            yield made
        finally:
            made.close()


def report(name: str, made: Day, begun_s: float, holds: bool, **facts: Any) -> int:
    missing = made.missing()
    facts |= {"messages": len(made.messages()), "missing": len(missing), "starts": made.service.starts}
    return verdict({"disaster": name, "seconds": round(time.monotonic() - begun_s, 1), **facts}, holds and not missing)


def full_disk() -> int:
    """The disk fills while the broker takes nothing; then there is room again, and the broker takes messages again."""
    if INSIDE not in os.environ:
        with tempfile.TemporaryDirectory(prefix="edgevision-disk-") as disk:
            mount = f'mount -t tmpfs -o size=12m none {disk} && exec "$0" "$@"'
            words = ["unshare", "-rm", "sh", "-c", mount, sys.executable, *sys.argv[:1], "full-disk"]
            return subprocess.run(words, env=os.environ | {INSIDE: disk}, check=False).returncode
    disk = Path(os.environ[INSIDE])
    begun_s = time.monotonic()
    with day(disk / "state") as made:
        made.deny()
        filler = disk / "filler"

        def is_said() -> bool:
            """Whatever the service has given up meanwhile is filled, too: it is full, and it stays full."""
            with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
            return "free some disk space" in made.log() or "disk is full" in made.log()

        was_said = wait_for(is_said, 120, 0.2) is not None
        time.sleep(10)
        room = os.statvfs(disk).f_bavail
        filler.unlink()
        made.allow()
        goes_on = made.wait_for_parts(20) and made.drained()
        lost = [message.body for message in made.messages() if message.body["type"] == "gap"]
        return report(
            "full-disk", made, begun_s, was_said and goes_on and not lost and made.service.starts == 1,
            was_said=was_said, free_blocks_when_full=room, goes_on=goes_on, gaps=len(lost),
        )  # fmt: skip


def corrupt_file() -> int:
    """The service is killed with messages waiting, and a third of its outbox is overwritten."""
    begun_s = time.monotonic()
    with day() as made:
        made.deny()
        time.sleep(5)
        before = max(made.numbers())
        made.service.process.send_signal(signal.SIGSTOP)
        path = made.state / "outbox.sqlite"
        content = bytearray(path.read_bytes())
        content[len(content) // 3 : 2 * len(content) // 3] = os.urandom(2 * len(content) // 3 - len(content) // 3)
        path.write_bytes(content)
        (made.state / "outbox.sqlite-wal").unlink(missing_ok=True)
        made.service.process.kill()
        made.allow()
        goes_on = made.wait_for_parts(20, 90)
        aside = [file.name for file in made.state.glob("outbox.sqlite.corrupt-*")]
        is_told = wait_for(lambda: any("set aside as" in alarm for alarm in made.alarms()), 40) is not None
        heard = len([number for number in made.numbers() if number > before])
        facts = {"set_aside": len(aside), "alarm": is_told, "goes_on": goes_on, "heard_after": heard, "starts": made.service.starts}
        holds = goes_on and is_told and len(aside) == 1 and made.service.starts == 2
        return verdict({"disaster": "corrupt-file", "seconds": round(time.monotonic() - begun_s, 1), **facts}, holds)


def clock_back() -> int:
    """The clock is set back by an hour, with messages waiting."""
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgevision-clock-") as name:
        shift = Path(name) / "shift"
        (Path(name) / "sitecustomize.py").write_text(SHIFT.format(shift=str(shift)))
        shift.write_text("0")
        os.environ["PYTHONPATH"] = f"{name}:{os.environ.get('PYTHONPATH', '')}"
        with day() as made:
            made.deny()
            time.sleep(3)
            shift.write_text("-3600")
            time.sleep(5)
            made.allow()
            goes_on = made.wait_for_parts(20) and made.drained()
            stamps = [message.body["ts_result"] for message in made.messages()]
            stepped = any(later < earlier for earlier, later in pairwise(stamps))
            lost = sum(message.body["type"] == "gap" for message in made.messages())
            holds = goes_on and stepped and not lost and made.service.starts == 1
            return report("clock-back", made, begun_s, holds, goes_on=goes_on, stamps_went_back=stepped, gaps=lost)


def acl() -> int:
    """The broker denies the camera's topics for a while, then its ACL is mended."""
    begun_s = time.monotonic()
    with day() as made:
        made.deny()
        was_told = wait_for(lambda: "Not authorized (0x87)" in made.log(), 20) is not None
        in_alarms = wait_for(lambda: any("the broker refuses cam messages" in alarm for alarm in made.alarms()), 40) is not None
        silent = len(made.messages())
        time.sleep(3)
        held = len(made.messages()) == silent
        made.allow()
        goes_on = made.wait_for_parts(20) and made.drained()
        numbers = [message.body["seq"] for message in made.messages() if not message.body["historical"]]
        holds = was_told and in_alarms and held and goes_on and numbers == sorted(numbers) and made.service.starts == 1
        return report("acl", made, begun_s, holds, reason_code_told=was_told, alarm=in_alarms, held=held, goes_on=goes_on)


DISASTERS: dict[str, Callable[[], int]] = {"full-disk": full_disk, "corrupt-file": corrupt_file, "clock-back": clock_back, "acl": acl}


def main() -> int:
    chosen = sys.argv[1:] or list(DISASTERS)
    unknown = set(chosen) - set(DISASTERS)
    if unknown:
        print(json.dumps({"error": f"{sorted(unknown)}; choose of {list(DISASTERS)}"}), file=sys.stderr)
        return 2
    return max(DISASTERS[name]() for name in chosen)


if __name__ == "__main__":
    sys.exit(main())
