"""One decoder child, seen from its parent: started, spoken to, watched, killed.

In: a `Job`. Out: notes, frames copied out of the shared memory. Kept: the process, the socket, the memory, what the child wrote to its
error output. `close` leaves no process and no memory, whatever state the child is in.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from edgevision.capture.redact import redact
from edgevision.capture.ring import SlotMemory
from edgevision.capture.wire import Beat, Built, FrameReady, Job, NewRing, Note, Request, Warned, one_line, receive, send
from edgevision.records import Image

_PAGE = 4096
_STDERR_LIMIT = 64 * 1024
_AWAY_S = 1.0  # a parent that did not look for so long cannot tell a child that hung from one that was stopped with it


class DecoderChild:
    """A running `python -m edgevision.capture.decoder`. It dies with the thread that made it: see `decoder.die_with_parent`."""

    def __init__(self, job: Job) -> None:
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        beat_fd = os.memfd_create("edgevision-beat", os.MFD_CLOEXEC)
        os.ftruncate(beat_fd, _PAGE)
        self._stderr_fd = os.memfd_create("edgevision-stderr", os.MFD_CLOEXEC)
        self._memory: SlotMemory | None = None
        command = [sys.executable, "-P", "-m", "edgevision.capture.decoder", str(theirs.fileno()), str(beat_fd), str(os.getpid())]
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=_appending(self._stderr_fd),
                env=_environment(job),
                pass_fds=(theirs.fileno(), beat_fd),
            )
        self.beat = Beat.on(beat_fd)
        os.close(beat_fd)
        self._poll = select.poll()
        self._poll.register(self._sock, select.POLLIN)
        self.started_s = time.monotonic()
        self.requested_s: float | None = None
        self._looked_s = self._back_s = self.started_s  # the parent's last look; since when it has been looking
        send(self._sock, job)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def request(self) -> None:
        """Ask for a frame, once; nothing happens when one is asked for already or the child is gone."""
        if self.requested_s is None:
            self.requested_s = time.monotonic()
            try:
                send(self._sock, Request())
            except OSError:
                return  # receive tells the rest

    def receive(self, timeout_s: float) -> Note | None:
        """The next note, None when none came in time. Raises ConnectionError when the child is gone, ValueError when it talks nonsense."""
        begun_s = time.monotonic()
        if begun_s - self._looked_s > _AWAY_S:
            self._back_s = begun_s
        has_come = self._poll.poll(max(0.0, timeout_s) * 1000)
        self._looked_s = time.monotonic()
        if not has_come:
            if self._looked_s - begun_s > timeout_s + _AWAY_S:
                self._back_s = self._looked_s
            self._limit_stderr()
            return None
        received = receive(self._sock)
        if received is None:
            raise ConnectionError("the decoder closed its socket")
        note, fd = received
        if isinstance(note, NewRing):
            if fd is None:
                raise ValueError("frame memory was announced and did not come")
            self._drop_memory()
            self._memory = SlotMemory(fd, note.slot_bytes)
        elif not isinstance(note, Built | Warned):
            self.requested_s = None
        return note

    def copy(self, note: FrameReady) -> Image:
        """The frame a note speaks of, copied and read-only. Raises ValueError when the note does not fit the memory."""
        if self._memory is None:
            raise ValueError("a frame was announced before its memory")
        image = self._memory.view(note.slot, note.shape, note.dtype).copy()
        image.flags.writeable = False
        return image

    def overdue_s(self, deadline_s: float, start_s: float) -> float:
        """By how many seconds the child has missed its deadline, 0.0 when it has not: in one read, or since it was asked and silent.

        While the parent looked: where the whole computer or service stood still, the child's time begins anew.
        """
        now = time.monotonic()
        _, is_reading, since_s = self.beat.look()
        if since_s == 0.0:
            return max(0.0, now - max(self.started_s, self._back_s) - start_s)
        if is_reading:
            return max(0.0, now - max(since_s, self._back_s) - deadline_s)
        return 0.0 if self.requested_s is None else max(0.0, now - max(since_s, self.requested_s, self._back_s) - deadline_s)

    def end(self, patience_s: float) -> str | None:
        """Wait for the child to leave, kill it when it does not. How it died: `SIGABRT: its last words`; None when it left in order."""
        try:
            code = self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code == 0:
            return None
        cause = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        words = self._last_words()
        return f"{cause}: {words}" if words else cause

    def close(self) -> None:
        """Kill the child if it still runs and let go of everything."""
        self._sock.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._drop_memory()
        self.beat.close()
        os.close(self._stderr_fd)

    def _drop_memory(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _limit_stderr(self) -> None:
        if os.fstat(self._stderr_fd).st_size > _STDERR_LIMIT:
            os.ftruncate(self._stderr_fd, 0)

    def _last_words(self) -> str:
        size = os.fstat(self._stderr_fd).st_size
        tail = os.pread(self._stderr_fd, 2000, max(0, size - 2000)).decode(errors="replace")
        lines = [line for line in tail.splitlines() if line.strip()]
        return one_line(redact(lines[-1]))[:200] if lines else ""


def _appending(fd: int) -> int:
    """The same file, written at its end always: it can be cut while the child writes."""
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    return fd


def _environment(job: Job) -> dict[str, str]:
    """The parent's without our settings (they may be secret), this very package found first, and what libraries read when they load."""
    package = str(Path(__file__).parents[2])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("EDGEVISION_")},
        "PYTHONPATH": os.pathsep.join(paths),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENCV_IO_MAX_IMAGE_PIXELS": str(job.max_pixels),
    }
