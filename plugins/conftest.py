"""What the tests of all recipes share: the recipe as a user starts it, and what it says of its sample."""

from __future__ import annotations

import pytest

from edgevision.study.init import init
from edgevision.study.replay import as_line, inspections, open_camera, pipeline_for


@pytest.fixture(scope="module")
def run(request, tmp_path_factory):
    """The folder that `init` made of the test's own recipe, every Inspection of its sample, and the lines of a replay."""
    name = request.path.parent.name.removeprefix("recipe_")
    folder = tmp_path_factory.mktemp("start") / name
    init(folder, name, is_quiet=True)
    pipeline = pipeline_for(folder / "sample", folder / "line.yaml", None)
    said = list(inspections(pipeline, open_camera(pipeline, folder / "sample")))
    return folder, said, [as_line(one, folder / "sample") for one in said]
