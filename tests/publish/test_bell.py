"""Rings add up to one waking; after close they are silent."""

from edgevision.publish.bell import Bell


def test_rings_wake_once_and_never_after_close() -> None:
    bell = Bell()
    assert not bell.wait(0)
    bell.ring()
    bell.ring()
    assert bell.wait(0)
    assert not bell.wait(0)
    bell.close()
    bell.ring()
    bell.close()
    assert bell.fileno() == -1
