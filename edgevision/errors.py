"""Every error edgevision raises on purpose, one class per reaction of the caller.

    EdgevisionError
    ├── ConfigError            fix the file            exit 78
    ├── UnsupportedNetwork     fix the network         exit 78
    ├── InputError             fix the argument        exit 2 on the command line; the engine stays valid
    ├── CameraError            retry the camera        with back-off; the camera is offline meanwhile
    │   └── EndOfStream        stop asking             a finite source is read to its end
    ├── BadFrame               skip the frame          NOT_INSPECTED with the reason, next frame
    ├── EngineFault            reset and go dense      Memory differs from what it must be
    ├── Unavailable            wait or install         a broker, port, folder or library is missing: exit 69
    └── PluginError            disable the plugin      and say which one and why

A message says where, what, the limit and the remedy in one line.
"""


class EdgevisionError(Exception):
    """The root: its text is one line that a line engineer can act on."""

    exit_code = 1


class ConfigError(EdgevisionError):
    """Fix the file. The text starts with `file:line:column:`."""

    exit_code = 78


class UnsupportedNetwork(EdgevisionError):
    """Fix or re-export the network. The text names the file or the node, and the remedy."""

    exit_code = 78


class InputError(EdgevisionError, ValueError):
    """Fix the argument: a wrong shape, type or value. Nothing was changed."""

    exit_code = 2


class CameraError(EdgevisionError):
    """Retry the camera with back-off; its frames are missing meanwhile."""

    exit_code = 69


class EndOfStream(CameraError):
    """A finite source has given its last frame."""

    exit_code = 0


class BadFrame(EdgevisionError):
    """Skip this frame: it cannot be inspected, and the verdict says so. `seq` and `part_id` tell which frame and part, where known."""

    def __init__(self, text: str = "", seq: int | None = None, part_id: str | None = None) -> None:
        super().__init__(text)
        self.seq = seq
        self.part_id = part_id


class EngineFault(EdgevisionError):
    """Reset the Memory and run dense: it differs from what it must be."""


class Unavailable(EdgevisionError):
    """Something outside is missing: a broker, a port, a folder, a library."""

    exit_code = 69


class PluginError(EdgevisionError):
    """A plugin broke its promise: disable it and say which one and why."""

    exit_code = 78
