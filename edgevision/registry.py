"""From a name in the configuration to what builds it: sources, policies, rules and sinks, those that ship and those of plugins.

In: names, factories, plugin folders. Out: factories and their Settings. Keeps what one process has registered, in an instance: nothing
is registered at import. A plugin is a folder `<kind>_<name>` holding `plugin.py` with one function, `register(registry)`.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import SerializeAsAny

from edgevision.errors import ConfigError, EdgevisionError, InputError, PluginError
from edgevision.records import Settings

KINDS = ("source", "policy", "rule", "sink")
DATA_KINDS = ("recipe",)  # folders of data, no code: `load_plugins` leaves them alone
MAX_PLUGIN_BYTES = 1_000_000

Factory = Callable[..., Any]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered name. `origin` is the plugin's folder, None for what ships with edgevision."""

    factory: Factory
    settings: type[Settings] | None
    origin: Path | None


@dataclass(frozen=True, slots=True)
class Kind:
    """Marks a settings field that holds a `Chosen`, or a tuple of them: `Annotated[Chosen, Kind("policy")]`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """A registered name picked by the `type` key of the configuration, with the settings that go to its factory."""

    type: str
    settings: SerializeAsAny[Settings] | None = None


class Registry:
    """Names to factories. One instance a process: the one that loads the configuration builds it and hands it on."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        self._loading: Path | None = None

    def register(self, kind: str, name: str, factory: Factory, settings: type[Settings] | None = None) -> None:
        """Make `factory` known; it is called as `factory(settings)`, or `factory()` where no settings class is given.

        Raises InputError for an unknown kind, a bad or a taken name.
        """
        if kind not in KINDS:
            raise InputError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}{nearest(kind, KINDS)}")
        if not _NAME.fullmatch(name):
            raise InputError(f"{kind} name is {name!r}; it must be a letter, then at most 31 of a-z, 0-9 and _; rename it")
        if (kind, name) in self._entries:
            raise InputError(f"{kind} {name!r} is already registered by {self._owner(kind, name)}; choose another name")
        self._entries[kind, name] = Entry(factory, settings, self._loading)

    def get(self, kind: str, name: str) -> Factory:
        """The factory of that name. Raises ConfigError with the nearest valid name."""
        return self._entry(kind, name).factory

    def settings(self, kind: str, name: str) -> type[Settings] | None:
        """The Settings class of that name, None where it takes none. Raises ConfigError with the nearest valid name."""
        return self._entry(kind, name).settings

    def origin(self, kind: str, name: str) -> Path | None:
        """The plugin folder that registered the name, for a child process that has to load it again; None for what ships."""
        return self._entry(kind, name).origin

    def names(self, kind: str) -> tuple[str, ...]:
        """All names of a kind, sorted."""
        return tuple(sorted(name for found, name in self._entries if found == kind))

    def build(self, kind: str, name: str, settings: Settings | None = None) -> Any:
        """Call the factory of that name. What a plugin's factory raises beside our own errors becomes a PluginError."""
        entry = self._entry(kind, name)
        try:
            return entry.factory() if entry.settings is None else entry.factory(settings or entry.settings())
        except EdgevisionError:
            raise
        except Exception as error:
            if entry.origin is None:
                raise
            raise PluginError(f"plugin {entry.origin}: cannot be built: {_one_line(error)}; mend or remove it") from error

    def load_plugins(self, folders: Iterable[str | Path]) -> tuple[str, ...]:
        """Load every plugin below the folders; returns their folder names.

        Sound plugins are registered even where another is broken; then one PluginError with a line for each broken one is raised.
        """
        loaded: list[str] = []
        problems: list[str] = []
        for folder in folders:
            try:
                plugins = _plugin_folders(Path(folder).resolve())
            except PluginError as error:
                problems.append(str(error))
                continue
            for plugin in plugins:
                try:
                    self.load_plugin(plugin)
                    loaded.append(plugin.name)
                except PluginError as error:
                    problems.append(str(error))
        if problems:
            raise PluginError("\n".join(problems))
        return tuple(loaded)

    def load_plugin(self, folder: Path) -> None:
        """Load the one plugin in `folder` (`.../<kind>_<name>`), once: changed code needs a new Registry.

        Raises PluginError; nothing of the plugin stays registered then.
        """
        if any(entry.origin == folder for entry in self._entries.values()):
            return
        kind, _, name = folder.name.partition("_")
        before = dict(self._entries)
        self._loading = folder
        try:
            module = _import_plugin(folder)
            register = getattr(module, "register", None)
            if not callable(register):
                raise PluginError(f"plugin {folder}: plugin.py has no function register(registry); add it")
            register(self)
            if (kind, name) not in self._entries:
                raise PluginError(f"plugin {folder}: register() did not register {kind} {name!r}; it must, as its folder says")
        except (Exception, SystemExit) as error:
            self._entries = before
            if isinstance(error, PluginError):
                raise
            raise PluginError(f"plugin {folder}: {_one_line(error)}; mend or remove it") from error
        finally:
            self._loading = None

    def _entry(self, kind: str, name: str) -> Entry:
        if (kind, name) not in self._entries:
            valid = self.names(kind)
            raise ConfigError(f"{kind} is {name!r}; it must be one of {', '.join(valid) or '(none registered)'}{nearest(name, valid)}")
        return self._entries[kind, name]

    def _owner(self, kind: str, name: str) -> str:
        origin = self._entries[kind, name].origin
        return "edgevision" if origin is None else str(origin)


def nearest(word: str, valid: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the valid word closest to `word`, or nothing when none is close."""
    close = difflib.get_close_matches(word.lower(), list(valid), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _plugin_folders(folder: Path) -> list[Path]:
    """The plugin folders directly below `folder`, sorted, so that every start registers in the same order."""
    try:
        for path in (folder, *folder.parents):
            _refuse_unsafe(path.stat(), path, folder, is_above=path != folder)
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))
    except OSError as error:
        raise PluginError(f"plugin folder {folder}: {error.strerror}; name a readable folder in plugins.folders") from error
    plugins = []
    for path in below:
        kind = path.name.partition("_")[0]
        if kind in KINDS:
            plugins.append(path)
        elif kind not in DATA_KINDS and (path / "plugin.py").exists():
            prefixes = ", ".join(f"{kind}_" for kind in KINDS)
            raise PluginError(f"plugin {path}: its name must begin with one of {prefixes}; rename the folder")
    return plugins


def _import_plugin(folder: Path) -> ModuleType:
    """Run `folder/plugin.py` under a private module name that no other folder's plugin shares. No cached bytecode is read or written."""
    file = folder / "plugin.py"
    try:
        _refuse_unsafe(folder.stat(), folder, folder)
        with file.open("rb") as opened:  # what is looked at is what is run, whatever becomes of the name meanwhile
            _refuse_unsafe(os.fstat(opened.fileno()), file, folder)
            code = opened.read(MAX_PLUGIN_BYTES + 1)
    except OSError as error:
        raise PluginError(f"plugin {folder}: {file.name}: {error.strerror}; a plugin folder holds plugin.py") from error
    if len(code) > MAX_PLUGIN_BYTES:
        raise PluginError(f"plugin {folder}: plugin.py has more than the limit of {MAX_PLUGIN_BYTES} bytes; keep data in other files")
    digest = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]
    module = ModuleType(f"_edgevision_plugin_{folder.name}_{digest}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # annotations of dataclasses and Settings are looked up there
    try:
        exec(compile(code, str(file), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module


def _refuse_unsafe(found: os.stat_result, path: Path, plugin: Path, is_above: bool = False) -> None:
    """A plugin is code that we run: only root or the service's user may be able to change it, or to put another folder in its place.

    `is_above`: of a folder above it; there the sticky bit keeps others from touching what is not theirs, as in the folder for temporary
    files.
    """
    mode = f"(mode {stat.S_IMODE(found.st_mode):o})"
    if not (is_above and found.st_mode & stat.S_ISVTX):
        if found.st_mode & stat.S_IWOTH:
            raise PluginError(f"plugin {plugin}: {path} is writable by everyone {mode}; run: chmod o-w {path}")
        if found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid()):
            raise PluginError(f"plugin {plugin}: {path} is writable by group {found.st_gid} {mode}; run: chmod g-w {path}")
    if found.st_uid not in (0, os.geteuid()):
        owners = f"root or user {os.geteuid()}"
        raise PluginError(f"plugin {plugin}: {path} belongs to user {found.st_uid}; it must belong to {owners}; chown it")


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
