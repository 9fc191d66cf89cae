"""What all tests share."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def present() -> Callable[[str, str], str]:
    """Where a program is. Where it is missing the test is skipped, but under CI=true it fails: `.ci/run` installs it."""

    def find(program: str, package: str) -> str:
        found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if found is None:
            reason = f"{program} is not installed (Debian: apt-get install {package})"
            pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
        return found

    return find


@pytest.fixture(autouse=True)
def own_journal() -> Iterator[None]:
    """The logger `edgevision` as it was before the test: a test that starts the journal takes it from those that read `caplog` after it."""
    logger = logging.getLogger("edgevision")
    handlers, level, propagate, disabled = list(logger.handlers), logger.level, logger.propagate, logger.disabled
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate, logger.disabled = propagate, disabled
