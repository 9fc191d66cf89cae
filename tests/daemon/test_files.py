from __future__ import annotations

from edgevision.config import builtin_registry, load
from edgevision.daemon.files import fingerprints

PLUGIN = """
class Rule:
    def judge(self, regions, frame, change): return ()
def register(registry):
    registry.register("rule", "mine", Rule)
"""
LINE = """
plugins: {folders: [plugins]}
cameras:
  a: {source: {type: synthetic}, recompute: {network: net.xml}}
  b: {source: {type: synthetic}, rules: [{type: mine}]}
  c: {source: {type: synthetic}}
"""


def test_each_camera_knows_its_own_files(tmp_path):
    folder = tmp_path / "plugins" / "rule_mine"
    folder.mkdir(parents=True)
    files = {"a": tmp_path / "net.bin", "b": folder / "plugin.py"}
    (tmp_path / "net.xml").write_text("<net/>")
    files["a"].write_bytes(b"weights")
    files["b"].write_text(PLUGIN)
    (tmp_path / "line.yaml").write_text(LINE)

    def look():
        registry = builtin_registry()
        return fingerprints(load(tmp_path / "line.yaml", registry=registry), registry)

    before = look()
    assert look() == before
    for camera, file in files.items():
        file.write_bytes(file.read_bytes() + b"\n")
        now = look()
        assert {name for name in now if now[name] != before[name]} == {camera}
        before = now
    (tmp_path / "net.xml").unlink()
    assert look()["a"] != before["a"]
