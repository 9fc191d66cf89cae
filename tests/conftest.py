"""What all tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

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
