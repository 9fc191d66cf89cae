"""One life of a camera's worker process, seen from the supervisor: started, spoken to, watched, killed.

In: the first word. Out: words to a listener, from a thread of its own. Kept: the process, the socket, the beat page. `close` leaves no
process, whatever state it is in; and the kernel kills it when the supervisor's main thread ends, however that happens.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgevision.capture.wire import Beat
from edgevision.daemon.talk import Begin, Channel, Ended, Word

PATIENCE_S = 2.0  # a worker that does not read for so long is cut off
LISTEN_S = 1.0
OURS = ("EDGEVISION_", "NOTIFY_SOCKET", "WATCHDOG_")  # settings travel in words, and only the supervisor speaks to systemd


class WorkerProcess:
    """A running `python -m edgevision.daemon.worker_main`. Make it in the supervisor's main thread: it dies with the thread that made it.

    `on_word` is called with each word, `on_end` once when the talk is over; both from this life's own thread.
    """

    def __init__(self, begin: Begin, on_word: Callable[[Word], None], on_end: Callable[[], None]):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        beat_fd = os.memfd_create("edgevision-beat", os.MFD_CLOEXEC)
        os.ftruncate(beat_fd, mmap.PAGESIZE)
        command = [sys.executable, "-P", "-m", "edgevision.daemon.worker_main", str(theirs.fileno()), str(beat_fd), str(os.getpid())]
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=2, env=_environment(), pass_fds=(theirs.fileno(), beat_fd)
            )
        self._beat = Beat.on(beat_fd)
        os.close(beat_fd)
        self._channel = Channel(ours, PATIENCE_S)
        self._on_word = on_word
        self._on_end = on_end
        self.ended: Ended | None = None
        self.is_over = False
        self.listened_s = self.started_s = time.monotonic()
        self._listener = threading.Thread(target=self._listen, args=(begin,), name=f"worker-{begin.camera}", daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def say(self, word: Word) -> bool:
        """Say it; False when the worker is gone or does not listen."""
        return self._channel.send(word)

    def hand(self, word: Word) -> bool:
        """Say it if that needs no waiting; False when it was not said."""
        return self._channel.hand(word)

    def look(self, now_s: float) -> tuple[float, bool]:
        """How long the worker has been in one turn, or in one step of its loading; and whether it loads."""
        _, is_loading, since_s = self._beat.look()
        return max(0.0, now_s - max(since_s, self.started_s)), is_loading

    def end(self, patience_s: float) -> str:
        """Wait for it to leave, kill it when it does not. How it ended, in a word or two."""
        try:
            code = self._process.wait(max(0.0, patience_s))
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"

    def ask_where(self) -> None:
        """Let it write where each of its threads stands to the log, if it still can."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGUSR1)

    def kill(self) -> None:
        """End it now; `on_end` follows."""
        if self._process.poll() is None:
            self._process.kill()

    def close(self) -> None:
        """Kill it if it still runs, hear its last words, let go of everything."""
        self.kill()
        self._process.wait()
        self._listener.join()
        self._channel.close()
        self._beat.close()

    def _listen(self, begin: Begin) -> None:
        self.say(begin)
        while True:
            try:
                word = self._channel.receive(LISTEN_S)
            except EOFError:
                break
            finally:
                self.listened_s = time.monotonic()
            if isinstance(word, Ended):
                self.ended = word
            if word is not None:
                self._on_word(word)
                self.listened_s = time.monotonic()
        self.is_over = True
        self._on_end()


def _environment() -> dict[str, str]:
    """The supervisor's without our settings (they may be secret), this very package found first, one thread for every library."""
    package = str(Path(__file__).parents[2])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**inherited, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
