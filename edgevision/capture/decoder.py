"""The decoder child: reads one source and hands its frames to the parent. Run as `python -m edgevision.capture.decoder FD FD PID`.

In: a `Job` on the socket, then requests. Out: notes and frames in the ring. Keeps nothing from one life to the next: it may hang, be killed
or die of the library it calls, and the parent starts another. Imports neither Numba nor OpenVINO.

A source (interfaces.Source) may also carry these attributes, each with its default: `finite` False (it has an end and begins anew each
time), `lossless` False (wait for the parent, drop nothing), `recorded` as `finite` (`ts` is a recording's own time, not the clock's),
`simulated` False, `part_id` None (the part that the last picture shows), `place` None (where the last picture lay, see `Resumable`),
`warnings` () (after `open`, one line each); and the methods of `Resumable`.
`read` may raise TimeoutError to say that it is well and has nothing yet; it is then asked again.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from edgevision.capture.redact import redact
from edgevision.capture.ring import Ring, SlotMemory
from edgevision.capture.sources import register_one
from edgevision.capture.video import BrokenReader
from edgevision.capture.wire import Beat, Built, Ended, Failed, FrameBad, FrameReady, Job, NewRing, Request, Warned, one_line, receive, send
from edgevision.errors import BadFrame, CameraError, EdgevisionError, EndOfStream
from edgevision.interfaces import Source
from edgevision.records import Image
from edgevision.registry import Registry

_PR_SET_PDEATHSIG = 1
_MAX_WARNINGS = 20


@runtime_checkable
class Resumable(Protocol):
    """A source that a new child can take up in the middle."""

    def recover(self, crashes: int, place: str | None) -> None:
        """Called before `open` in every child but the first.

        Readers of this source have died or hung `crashes` times: use another way to read it, if there is one. A source that is not finite
        goes on behind `place`; a finite one is wound on by `skip`.
        """

    def skip(self) -> None:
        """Pass over the next frame, by the cheapest way that counts exactly. Raises as `read` does."""


def main(arguments: list[str]) -> int:
    """Serve the parent on the socket and the beat page given by number, until it goes away."""
    socket_fd, beat_fd, parent_pid = (int(argument) for argument in arguments)
    die_with_parent(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C and a stop of the whole group are the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sock = socket.socket(fileno=socket_fd)
    beat = Beat.on(beat_fd)
    received = receive(sock)
    if received is None or not isinstance(received[0], Job):
        return 1
    limit_memory(received[0].memory_mb)
    Decoder(sock, beat, received[0]).run()
    return 0


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends, however that happens."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the call above
        os._exit(1)


def limit_memory(limit_mb: int) -> None:
    """A hostile picture must cost this process, not the machine."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


class Decoder:
    """One life of a source: the main thread reads, a second thread answers the parent."""

    def __init__(self, sock: socket.socket, beat: Beat, job: Job) -> None:
        self._sock = sock
        self._beat = beat
        self._job = job
        self._over = threading.Event()

    def run(self) -> None:
        """Read to the end, or until the source fails; return when the parent has been told."""
        try:
            source = build_source(self._job)
            is_finite = bool(getattr(source, "finite", False))
            lossless = bool(getattr(source, "lossless", False)) if self._job.lossless is None else self._job.lossless
        except EdgevisionError as error:
            send(self._sock, Failed(one_line(error), is_final=True))
            while receive(self._sock) is not None:  # leaving with a request unread would take our last words along
                pass
            return
        is_recorded = bool(getattr(source, "recorded", is_finite))
        send(self._sock, Built(is_finite, is_finite or isinstance(source, Resumable), lossless, is_recorded))
        ring = Ring(lossless)
        threading.Thread(target=self._answer, args=(ring,), daemon=True).start()
        try:
            self._open(source, is_finite)
            self._read_all(source, ring)
        except BrokenReader as error:
            print(one_line(error), file=sys.stderr, flush=True)
            os._exit(os.EX_SOFTWARE)
        except EndOfStream:
            ring.put_last(Ended(self._beat.look()[0]))
        except (EdgevisionError, OSError, MemoryError) as error:
            ring.put_last(Failed(one_line(redact(error)) or type(error).__name__, is_final=is_finite and isinstance(error, CameraError)))
        except Exception as error:  # a plugin's own mistake: told as what it is, and the camera is retried
            ring.put_last(Failed(f"source {self._job.source!r} raised {type(error).__name__}: {one_line(redact(error))}; mend the plugin"))
        self._over.wait()
        source.close()

    def _open(self, source: Source, is_finite: bool) -> None:
        if (self._job.crashes or self._job.position) and isinstance(source, Resumable):
            source.recover(self._job.crashes, self._job.place)
        source.open()
        if warnings := tuple(one_line(redact(text)) for text in getattr(source, "warnings", ())):
            send(self._sock, Warned(warnings[:_MAX_WARNINGS]))
        for position in range(self._job.position if is_finite else 0):
            self._beat.mark(position, is_reading=True)
            _skip(source)

    def _read_all(self, source: Source, ring: Ring) -> None:
        position = self._job.position
        while True:
            self._beat.mark(position, is_reading=True)
            try:
                if position in self._job.skip:
                    _skip(source)
                    raise BadFrame(f"frame {position}: it killed the decoder twice and is passed over; the recording is damaged there")
                image, ts = source.read()
                check_image(image, self._job.max_pixels)
            except TimeoutError:
                continue
            except BadFrame as error:
                self._beat.mark(position, is_reading=False)
                ring.put_bad(FrameBad(position, one_line(redact(error)), part_id=_mark(source, "part_id"), place=_mark(source, "place")))
            else:
                taken_s = None if ring.is_lossless else time.monotonic() - max(0.0, time.time() - ts)
                self._beat.mark(position, is_reading=False)
                ring.put_frame(image, self._note(source, position, ts, taken_s, image))
            position += 1

    def _note(self, source: Source, position: int, ts: float, taken_s: float | None, image: Image) -> FrameReady:
        note = FrameReady(position, ts, taken_s, 0, image.shape, image.dtype.name, simulated=bool(getattr(source, "simulated", False)))
        return replace(note, part_id=_mark(source, "part_id"), place=_mark(source, "place"))

    def _answer(self, ring: Ring) -> None:
        """Second thread: one answer a request. Ends the process when the parent is gone, even while the source hangs."""
        sent: SlotMemory | None = None
        try:
            while (received := receive(self._sock)) is not None and isinstance(received[0], Request):
                item = ring.take()
                if item.memory is not None and item.memory is not sent:
                    send(self._sock, NewRing(item.memory.slot_bytes), item.memory.fd)
                    sent = item.memory
                send(self._sock, item.note)
                if isinstance(item.note, Ended | Failed):
                    self._over.set()
                    return
        except OSError:
            pass
        os._exit(0)


def build_source(job: Job) -> Source:
    """The source the job names, built from its plain settings. Raises ConfigError, PluginError or CameraError."""
    registry = Registry()
    if job.plugin is None:
        register_one(registry, job.source)
    else:
        registry.load_plugin(Path(job.plugin))
    settings_class = registry.settings("source", job.source)
    try:
        settings = None if settings_class is None else settings_class.model_validate(dict(job.settings))
    except ValueError as error:
        raise CameraError(f"{job.camera_id}: source {job.source!r} does not take its settings: {one_line(redact(error))}") from error
    source: Source = registry.build("source", job.source, settings)
    return source


def check_image(image: Any, max_pixels: int) -> None:
    """Raises BadFrame unless this is what the stages take: uint8 or uint16, (H, W) or (H, W, 3), not over the limit."""
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise BadFrame(f"the source gave {kind} where an array of uint8 or uint16 is needed; mend the source")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3) or image.size == 0:
        raise BadFrame(f"the source gave shape {image.shape}; it must be (height, width) or (height, width, 3); mend the source")
    if image.shape[0] * image.shape[1] > max_pixels:
        raise BadFrame(f"a picture of {image.shape[1]}x{image.shape[0]} pixels; the limit is {max_pixels}; raise max_pixels if it is right")


def _mark(source: Source, name: str) -> str | None:
    """What the source says of the picture it gave, or failed to give, last."""
    mark = getattr(source, name, None)
    return None if mark is None else str(mark)


def _skip(source: Source) -> None:
    """Pass over a frame that the parent already has."""
    try:
        if isinstance(source, Resumable):
            source.skip()
        else:
            source.read()
    except BadFrame:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
