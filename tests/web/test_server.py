"""The page over a real socket: what is answered, to whom, and what is refused."""

from __future__ import annotations

import http.client
import socket
from dataclasses import replace

import pytest

from edgevision.errors import Unavailable
from edgevision.web.server import Server
from edgevision.web.view import WebSettings
from tests.web.test_metrics import VIEW


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures" / "cam"
    folder.mkdir(parents=True)
    (folder / "newest.jpg").write_bytes(b"jpeg")
    (folder / "latest").symlink_to("newest.jpg")
    (folder / "out.jpg").symlink_to("/etc/passwd")
    (tmp_path / "pictures" / "secret.jpg").write_bytes(b"secret")
    return tmp_path / "pictures"


@pytest.fixture
def server(pictures):
    made = Server(WebSettings(port=free_port()), lambda: VIEW, pictures)
    made.start()
    yield made
    made.stop()


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.settings.port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", b"/pictures/cam/newest.jpg"),
        ("/now", b"press-1"),
        ("/status.json", b'"node":"press-1"'),
        ("/metrics", b"edgevision_camera_up"),
        ("/static/page.css", b"--back"),
        ("/static/page.js", b"fetch"),
        ("/pictures/cam/latest", b"jpeg"),
        ("/pictures/cam/newest.jpg", b"jpeg"),
    ],
)
def test_what_is_there_is_given_and_locked_down(server, path, words):
    answer, body = ask(server, path)
    assert (answer.status, words in body) == (200, True)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "method", "host", "status"),
    [
        ("/pictures/cam/out.jpg", "GET", None, 404),
        ("/pictures/cam/../secret.jpg", "GET", None, 404),
        ("/pictures/..%2f..%2fetc/passwd", "GET", None, 404),
        ("/pictures/cam/%2e%2e%2fsecret.jpg", "GET", None, 404),
        ("/static/../view.py", "GET", None, 404),
        ("/", "POST", None, 405),
        ("/", "GET", "evil.example", 400),
        ("/" + "x" * 100_000, "GET", None, 404),
    ],
)
def test_what_is_not_for_everyone_is_refused(server, path, method, host, status):
    headers = {} if host is None else {"Host": host}
    assert ask(server, path, method, **headers)[0].status == status


def test_a_disk_that_fails_costs_an_answer(pictures):
    def fail():
        raise Unavailable("outbox: the disk is gone")

    server = Server(WebSettings(port=free_port()), fail, pictures)
    server.start()
    answer, body = ask(server, "/metrics")
    assert (answer.status, body) == (503, b"outbox: the disk is gone\n")
    server.stop()


def test_a_port_that_is_taken_is_one_line(server, pictures):
    with pytest.raises(Unavailable, match=r"Address already in use; set web\.port"):
        Server(server.settings, lambda: replace(VIEW), pictures).start()
