"""Topic names as the published table has them, and ids that could break out of it."""

import pytest

from edgevision.errors import InputError
from edgevision.publish.topics import Topics

TOPICS = Topics("edgevision", "press-1")


def test_the_table() -> None:
    assert TOPICS.client_id == "edgevision-press-1"
    assert TOPICS.availability() == "edgevision/press-1/availability"
    assert TOPICS.state() == "edgevision/press-1/state"
    assert TOPICS.health() == "edgevision/press-1/health"
    assert TOPICS.availability("cam_2") == "edgevision/press-1/cam_2/availability"
    assert TOPICS.state("cam_2") == "edgevision/press-1/cam_2/state"
    assert TOPICS.event("cam_2") == "edgevision/press-1/cam_2/event"
    assert TOPICS.result("cam_2") == "edgevision/press-1/cam_2/result"
    assert TOPICS.setting("cam_2", "enabled", "set") == "edgevision/press-1/cam_2/enabled/set"
    assert TOPICS.request("reload") == "edgevision/press-1/request/reload"
    assert TOPICS.response("reload") == "edgevision/press-1/response/reload"
    assert TOPICS.commands == ("edgevision/press-1/+/+/set", "edgevision/press-1/request/+")


@pytest.mark.parametrize("bad", ["", "Cam", "a/b", "+", "#", "ä", "x" * 33, "a\n", "a b", "$sys"])
def test_ids_that_do_not_fit_a_topic_are_refused(bad: str) -> None:
    with pytest.raises(InputError, match="1 to 32 characters"):
        TOPICS.event(bad)
    with pytest.raises(InputError, match=r"node\.id"):
        Topics("edgevision", bad)
    with pytest.raises(InputError, match=r"mqtt\.base"):
        Topics(bad, "press-1")


def test_a_camera_cannot_take_the_place_of_a_topic_of_the_node() -> None:
    with pytest.raises(InputError, match="choose another"):
        TOPICS.state("request")


@pytest.mark.parametrize(
    ("topic", "meaning"),
    [
        ("edgevision/press-1/cam-1/enabled/set", ("cam-1", "enabled")),
        ("edgevision/press-1/request/reload", ("reload",)),
        ("edgevision/press-2/request/reload", None),
        ("edgevision/press-1/cam-1/enabled/state", None),
        ("edgevision/press-1/request/RELOAD", None),
        ("edgevision/press-1/request/a/b/c", None),
        ("edgevision/press-1/cam-1//set", None),
        ("edgevision/press-1", None),
    ],
)
def test_commands_are_recognised(topic: str, meaning: tuple[str, ...] | None) -> None:
    assert TOPICS.parse_command(topic) == meaning
