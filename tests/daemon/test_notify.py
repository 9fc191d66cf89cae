from __future__ import annotations

import socket

from edgevision.daemon.notify import Notifier


def test_is_silent_without_a_manager():
    assert Notifier({}).send("READY=1") is False


def test_sends_lines_to_the_socket(tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        notifier = Notifier({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "30000000"})
        assert notifier.watchdog_s == 30.0
        assert notifier.send("READY=1", "STATUS=2 cameras")
        assert manager.recv(100) == b"READY=1\nSTATUS=2 cameras"


def test_an_abstract_socket_too():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0edgevision-test-notify")
        assert Notifier({"NOTIFY_SOCKET": "@edgevision-test-notify"}).send("WATCHDOG=1")
        assert manager.recv(100) == b"WATCHDOG=1"


def test_a_manager_that_left_is_no_error(tmp_path):
    assert Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).send("READY=1") is False
