"""How kernels are compiled and kept. `kernel` marks a function; `specialize` gives its machine code for one exact set of types.

The cache folder's name is a hash of all sources that kernels are made of and of Numba's and LLVM's versions, as Numba itself would not
notice an edit in a file that a kernel only uses. Folders of other versions go when they have not been used for two months. A file whose
checksum is wrong is compiled anew. Without a folder to write to, kernels are compiled anew in every process, and one warning says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pickle
import shutil
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.extending import intrinsic

_DECORATING = threading.Lock()
_SOURCES = ("compiled", ".", "plain")  # of edgevision.kernels: kernels take constants from all of them
_UNUSED_S = 60 * 86_400.0
_CHECK_BYTES = 4


def cache_folder() -> Path:
    """Below NUMBA_CACHE_DIR, else systemd's CACHE_DIRECTORY, else XDG_CACHE_HOME, else ~/.cache."""
    above = numba.config.CACHE_DIR or os.environ.get("CACHE_DIRECTORY", "").split(":")[0] or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(above).expanduser() / "edgevision" / f"kernels-{_fingerprint()}"


@cache
def _fingerprint() -> str:
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for folder in _SOURCES:
        for file in sorted(resources.files("edgevision.kernels").joinpath(folder).iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".py"):
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def remove_unused(above: Path, now_s: float) -> None:
    """Folders of kernels in `above` that no process has opened for 60 days."""
    for folder in above.glob("kernels-" + "[0-9a-f]" * 16):
        try:
            if folder.is_dir() and not folder.is_symlink() and folder.stat().st_mtime < now_s - _UNUSED_S:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another process was quicker
            continue


def kernel(function: Callable[..., Any]) -> Any:
    """Compile with Numba, without the interpreter's lock, cached where that is possible."""
    with _DECORATING, _caching_in(cache_folder()) as folder:
        if folder is None:
            return njit(nogil=True)(function)
        made = njit(nogil=True, cache=True)(function)
        made._cache = _Shelf(function)
        return made


class _SealedFile(IndexDataCacheFile):  # type: ignore[misc]
    """Numba's files, each pickle with a checksum before it: machine code with a flipped bit would end the process."""

    def _dump(self, obj: Any) -> bytes:
        data: bytes = super()._dump(obj)
        return zlib.crc32(data).to_bytes(_CHECK_BYTES, "little") + data

    def _load_data(self, name: str) -> Any:
        return pickle.loads(_unsealed(Path(self._data_path(name)).read_bytes()))

    def _load_index(self) -> Any:
        try:
            with open(self._index_path, "rb") as file:
                version, data = pickle.load(file), file.read()
        except FileNotFoundError:
            return {}
        stamp, overloads = pickle.loads(_unsealed(data))
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}


def _unsealed(data: bytes) -> bytes:
    """What follows the checksum. Raises ValueError where it is not what was written."""
    if zlib.crc32(data[_CHECK_BYTES:]).to_bytes(_CHECK_BYTES, "little") != data[:_CHECK_BYTES]:
        raise ValueError("a cache file is damaged")
    return data[_CHECK_BYTES:]


class _Shelf(FunctionCache):  # type: ignore[misc]
    """Numba's cache, one process at a time, as two would give one file's name to different code. What cannot be kept is compiled anew."""

    _cache_file: Any

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        before = self._cache_file
        self._cache_file = _SealedFile(self._cache_path, self._impl.filename_base, before._source_stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The code kept for these types, None without any. A torn file (power cut) is thrown away."""
        try:
            with self._alone():
                found = super().load_overload(sig, target_context)
        except Exception:  # a torn pickle may raise anything
            self._quietly(self.flush)
            return None
        return found if found is None or found.signature.args == tuple(sig) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code, if the disk has room."""
        self._quietly(lambda: super(_Shelf, self).save_overload(sig, data))

    def _quietly(self, action: Callable[[], None]) -> None:
        try:
            with self._alone():
                action()
        except OSError:
            _warn_once(self.cache_path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with open(Path(self.cache_path) / "lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextmanager
def _caching_in(folder: Path) -> Iterator[Path | None]:
    """Numba asks its configuration for the folder at the moment of decoration, and only then."""
    before = numba.config.CACHE_DIR
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK)
    except OSError:
        usable = False
    if not usable:
        _warn_once(str(folder))
        yield None
        return
    _note_use(folder)
    numba.config.CACHE_DIR = str(folder)
    try:
        yield folder
    finally:
        numba.config.CACHE_DIR = before


@cache
def _note_use(folder: Path) -> None:
    """Once a process: the folder is in use, others perhaps no longer."""
    with suppress(OSError):
        os.utime(folder)
    remove_unused(folder.parent, time.time())


@cache
def _warn_once(folder: str) -> None:
    warnings.warn(
        f"{folder} cannot be written: kernels are compiled at every start; set NUMBA_CACHE_DIR to a writable folder", stacklevel=4
    )


@cache
def specialize(function: Any, signature: tuple[Any, ...]) -> Callable[..., Any]:
    """The machine code of a kernel for exactly these argument types, literals included. Calling it skips Numba's dispatch (0.15 us)."""
    function.compile(signature)
    code: Callable[..., Any] = function.overloads[signature].entry_point
    return code


def address_of(function: Any, signature: tuple[Any, ...]) -> int:
    """Where the machine code of a kernel without result lies, for `call`. It stays there as long as the process."""
    function.compile(signature)
    made = function.overloads[signature]
    return int(made.library.get_pointer_to_function(made.fndesc.llvm_func_name))


@intrinsic
def call(context, address, job):
    """Run the code at an address, a kernel of (a 64-bit integer, a value that is only a type), by Numba's own convention."""

    def code(context, builder, signature, arguments):
        pointer = ir.IntType(8).as_pointer()
        status = ir.FunctionType(ir.IntType(32), [pointer.as_pointer(), pointer.as_pointer(), ir.IntType(64), pointer])
        function = builder.inttoptr(arguments[0], status.as_pointer())
        result, problem = (cgutils.alloca_once_value(builder, ir.Constant(pointer, None)) for _ in range(2))
        builder.call(function, [result, problem, arguments[1], ir.Constant(pointer, None)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code
