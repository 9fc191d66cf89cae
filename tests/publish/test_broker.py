"""The embedded broker comes up on a free or a given port, on loopback, and says so when it cannot."""

import socket

import pytest

from edgevision.errors import Unavailable
from edgevision.publish.broker import EmbeddedBroker


def test_it_listens_and_stops_and_lets_the_port_go() -> None:
    with EmbeddedBroker() as broker:
        assert broker.host == "127.0.0.1"
        socket.create_connection((broker.host, broker.port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((broker.host, broker.port))
    with EmbeddedBroker(broker.port) as again:
        assert again.port == broker.port
    broker.stop()


def test_a_taken_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} on 127.0.0.1: Address already in use; stop the program that has it") as caught:
            EmbeddedBroker(port).start()
        assert caught.value.exit_code == 69
