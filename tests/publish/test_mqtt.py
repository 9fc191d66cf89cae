"""The publisher against a real Mosquitto: outages, kills, refusals, last wills; and against the embedded broker."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgevision.errors import Unavailable
from edgevision.identifiers import uuid7
from edgevision.publish.broker import EmbeddedBroker
from edgevision.publish.mqtt import Link, MqttSettings, Publisher, tail
from edgevision.publish.outbox import Outbox, OutboxSettings
from edgevision.publish.topics import Topics
from edgevision.records import Draft
from tests.publish.conftest import Mosquitto, Subscriber, await_true, free_port

TOPICS = Topics("edgevision", "press-1")


def drafts(count: int, camera: str = "cam-1", start: int = 0) -> list[Draft]:
    return [
        Draft(uuid7(time.time()), camera, TOPICS.event(camera), {"type": "new", "historical": False, "number": number}, "ng")
        for number in range(start, start + count)
    ]


def numbers(payloads: list[bytes]) -> list[int]:
    return [json.loads(payload)["number"] for payload in payloads]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "outbox.sqlite")
    yield box
    box.close()


@pytest.fixture
def publish(outbox: Outbox) -> Iterator[Callable[..., Publisher]]:
    """A function that starts publishers; all are stopped at the end."""
    made: list[Publisher] = []

    def start(settings: MqttSettings, **more: object) -> Publisher:
        made.append(Publisher(settings, TOPICS, outbox, **more))  # type: ignore[arg-type]
        made[-1].start()
        return made[-1]

    yield start
    for publisher in made:
        publisher.stop(0.2)


def test_events_arrive_in_order_and_are_acked(mosquitto: Mosquitto, outbox: Outbox, publish: Callable[..., Publisher]) -> None:
    with Subscriber(mosquitto.settings()) as subscriber:
        publisher = publish(mosquitto.settings())
        for camera in ("cam-1", "cam-2"):
            outbox.commit(drafts(50, camera))
        assert publisher.wait_drained(10)
        await_true(lambda: len(subscriber.of("event")) == 100)
    for camera in ("cam-1", "cam-2"):
        assert numbers(subscriber.of(f"{camera}/event")) == list(range(50))
    assert publisher.stats().protocol == "5"
    assert outbox.stats().acked == 100


def test_what_was_committed_while_the_broker_was_away_arrives_as_historical(
    make_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    broker = make_mosquitto()
    outbox = Outbox(tmp_path / "o.sqlite", OutboxSettings(historical_after_s=0))
    publisher = Publisher(broker.settings(reconnect_min_s=1.0, reconnect_max_s=1.0), TOPICS, outbox)
    publisher.start()
    await_true(lambda: publisher.stats().failures > 0)
    assert "nobody listens there" in publisher.stats().state
    outbox.commit(drafts(30))
    broker.start()
    with Subscriber(broker.settings()) as subscriber:
        assert publisher.wait_drained(10)
        await_true(lambda: len(subscriber.of("event")) == 30)
    assert numbers(subscriber.of("event")) == list(range(30))
    assert all(json.loads(payload)["historical"] for payload in subscriber.of("event"))
    assert publisher.stop(2)
    outbox.close()


def test_a_broker_killed_in_the_middle_costs_duplicates_at_most(
    mosquitto: Mosquitto, outbox: Outbox, publish: Callable[..., Publisher]
) -> None:
    with Subscriber(mosquitto.settings()) as subscriber:
        publisher = publish(mosquitto.settings(reconnect_min_s=0.5, reconnect_max_s=0.5))
        for round_number in range(3):
            outbox.commit(drafts(40, start=40 * round_number))
            await_true(lambda wanted=40 * round_number + 5: outbox.stats().acked >= wanted)  # type: ignore[misc]
            mosquitto.kill()
            mosquitto.start()
            subscriber.await_ready(round_number + 2)
        outbox.commit(drafts(1, start=120))
        assert publisher.wait_drained(10)
        await_true(lambda: 120 in numbers(subscriber.of("event")))
    heard = [json.loads(payload) for payload in subscriber.of("event")]
    assert outbox.stats().acked == 121
    first_heard = list(dict.fromkeys(message["number"] for message in heard))
    assert first_heard == sorted(first_heard)
    assert len({(message["number"], message["seq"]) for message in heard}) == len(first_heard)


def test_a_denied_topic_holds_its_camera_until_the_acl_is_mended(
    make_mosquitto: Callable[..., Mosquitto], outbox: Outbox, publish: Callable[..., Publisher], tmp_path: Path
) -> None:
    acl = tmp_path / "acl"
    allowed = [
        "topic readwrite edgevision/press-1/cam-1/#",
        "topic readwrite edgevision/press-1/availability",
        "topic read #",
        "topic read $SYS/#",
    ]
    acl.write_text("\n".join(allowed) + "\n")
    broker = make_mosquitto(f"acl_file {acl}")
    broker.start()
    told: list[str] = []
    with Subscriber(broker.settings()) as subscriber:
        publisher = publish(broker.settings(), tell=lambda level, text: told.append(text))
        outbox.commit(drafts(5, "cam-2") + drafts(5, "cam-1"))
        await_true(lambda: outbox.stats().acked == 5 and publisher.stats().kept >= 2)
        assert publisher.stats().alarms == (
            "mqtt: the broker refuses cam-2 messages: edgevision/press-1/cam-2/event: Not authorized (0x87); they are kept;"
            " mend the broker's ACL or quota",
        )
        assert outbox.stats().pending == 5
        acl.write_text("\n".join([*allowed, "topic readwrite edgevision/press-1/cam-2/#"]) + "\n")
        broker.reload()
        assert publisher.wait_drained(10)
        await_true(lambda: len(subscriber.of("event")) == 10)
    assert numbers(subscriber.of("cam-2/event")) == list(range(5))
    assert publisher.stats().alarms == ()
    assert any("accepts edgevision/press-1/cam-2/event again" in text for text in told)


def test_a_message_too_large_for_the_broker_is_set_aside_and_the_rest_goes_on(
    make_mosquitto: Callable[..., Mosquitto], outbox: Outbox, publish: Callable[..., Publisher]
) -> None:
    broker = make_mosquitto("max_packet_size 2000")
    broker.start()
    publisher = publish(broker.settings())
    large = Draft(uuid7(1.0), "cam-1", TOPICS.event("cam-1"), {"type": "new", "historical": False, "filling": "x" * 3000}, "ng")
    outbox.commit([large, *drafts(3)])
    assert publisher.wait_drained(10)
    assert (outbox.stats().acked, outbox.stats().set_aside, publisher.stats().set_aside) == (3, 1, 1)


def test_states_are_retained_and_come_before_online(mosquitto: Mosquitto, outbox: Outbox, publish: Callable[..., Publisher]) -> None:
    with Subscriber(mosquitto.settings()) as early:
        publisher = Publisher(mosquitto.settings(), TOPICS, outbox)
        publisher.retain(TOPICS.state(), b'{"since":1}')
        publisher.retain(TOPICS.availability("cam-1"), b"online")
        publisher.start()
        assert publisher.wait_connected(5)
        await_true(lambda: len(early.of("press-1/availability")) == 1)
        assert [topic for topic, _ in early.heard if topic.startswith("edgevision")] == [
            "edgevision/press-1/state",
            "edgevision/press-1/cam-1/availability",
            "edgevision/press-1/availability",
        ]
        publisher.retain(TOPICS.availability("cam-1"), b"offline")
        await_true(lambda: early.of("cam-1/availability") == [b"online", b"offline"])
        with Subscriber(mosquitto.settings()) as late:
            await_true(lambda: len([topic for topic, _ in late.heard if topic.startswith("edgevision")]) == 3)
            assert dict(late.heard)["edgevision/press-1/cam-1/availability"] == b"offline"
        publisher.stop(2)
        await_true(lambda: early.of("press-1/availability") == [b"online", b"offline"])


CHILD = textwrap.dedent(
    """
    import sys, time
    from edgevision.publish.mqtt import MqttSettings, Publisher
    from edgevision.publish.outbox import Outbox
    from edgevision.publish.topics import Topics
    from edgevision.records import Draft
    from edgevision.identifiers import uuid7
    topics = Topics("edgevision", "press-1")
    outbox = Outbox(sys.argv[2])
    if sys.argv[1] != "0":
        publisher = Publisher(MqttSettings(port=int(sys.argv[1])), topics, outbox)
        publisher.start()
        publisher.wait_connected(10)
    number = 0
    while True:
        body = {"type": "new", "historical": False, "number": number}
        outbox.commit([Draft(uuid7(time.time()), "cam-1", topics.event("cam-1"), body, "ng")])
        print(number, flush=True)
        number += 1
    """
)


def run_child_until(count: int, port: int, path: Path) -> list[int]:
    """Let the child commit, kill it with -9; the numbers whose commit had returned."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(port), str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = [int(child.stdout.readline()) for _ in range(count)]
    child.kill()
    said += [int(line) for line in child.stdout.read().split()]
    child.wait()
    child.stdout.close()
    return said


def test_kill_9_loses_nothing_and_the_last_will_speaks(mosquitto: Mosquitto, tmp_path: Path) -> None:
    path = tmp_path / "o.sqlite"
    with Subscriber(mosquitto.settings()) as subscriber:
        said = run_child_until(60, mosquitto.port, path)
        await_true(lambda: subscriber.of("press-1/availability") == [b"online", b"offline"])
        said_offline = run_child_until(20, 0, path)
        outbox = Outbox(path)
        publisher = Publisher(mosquitto.settings(), TOPICS, outbox)
        publisher.start()
        assert publisher.wait_drained(10)
        publisher.stop(2)
        outbox.close()
        await_true(lambda: subscriber.of("press-1/availability")[-1] == b"offline")
    heard = [json.loads(payload) for payload in subscriber.of("event")]
    numbers_by_boot: dict[str, list[int]] = {}
    for message in heard:
        numbers_by_boot.setdefault(message["boot_id"], []).append(message["number"])
    first, second = (list(dict.fromkeys(found)) for found in numbers_by_boot.values())
    assert first[: len(said)] == said
    assert second[: len(said_offline)] == said_offline
    seqs = list(dict.fromkeys(message["seq"] for message in heard))
    assert seqs == list(range(1, len(first) + len(second) + 1))


def test_commands_reach_the_daemon_and_are_answered(mosquitto: Mosquitto, outbox: Outbox, publish: Callable[..., Publisher]) -> None:
    commands: list[tuple[str, bytes]] = []

    def obey(topic: str, payload: bytes) -> None:
        commands.append((topic, payload))
        if payload == b"bad":
            raise ValueError("bad")
        if "request" in topic:
            publisher.reply(TOPICS.response("reload"), b'{"status":"ok"}')

    other = Link(mosquitto.settings(), "someone")
    other.open()
    other.send(TOPICS.request("reload"), b"retained", is_retained=True)
    other.pump(0.5)
    with Subscriber(mosquitto.settings()) as subscriber:
        publisher = publish(mosquitto.settings(), on_message=obey)
        assert publisher.wait_connected(5)
        await_true(lambda: subscriber.of("press-1/availability") == [b"online"])
        other.send(TOPICS.setting("cam-1", "enabled", "set"), b"OFF")
        other.send(TOPICS.setting("cam-1", "enabled", "set"), b"bad")
        other.send("edgevision/press-2/request/reload", b"not for us")
        other.send(TOPICS.request("reload"), b"{}")
        other.pump(0.1)
        await_true(lambda: len(subscriber.of("response/reload")) == 1)
    other.close()
    assert [payload for _, payload in commands] == [b"OFF", b"bad", b"{}"]


def test_a_broker_that_never_answers_is_left(outbox: Outbox, publish: Callable[..., Publisher]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as dumb:
        settings = MqttSettings(port=dumb.getsockname()[1], connect_timeout_s=0.2, reconnect_min_s=0.02, reconnect_max_s=0.05)
        publisher = publish(settings)
        await_true(lambda: publisher.stats().failures >= 2)
        assert "gave no answer" in publisher.stats().state


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host": "no-such-host.invalid"}, "mend mqtt.host"),
        ({"tls": True, "ca_file": "/nowhere/ca.pem"}, "a certificate file is missing"),
        ({"username": "u", "password_file": "/nowhere/password"}, "mqtt.password_file /nowhere/password: No such file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes: dict[str, object], words: str) -> None:
    link = Link(MqttSettings.model_validate({"port": free_port(), "connect_timeout_s": 1.0, **changes}), "x")
    with pytest.raises(Unavailable, match=words) as caught:
        link.open()
    assert "\n" not in str(caught.value)


def test_a_wrong_password_is_said(make_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    (tmp_path / "users").write_text("")
    (tmp_path / "secret").write_text("wrong\n")
    broker = make_mosquitto(f"password_file {tmp_path / 'users'}")
    broker.configure("allow_anonymous false", f"password_file {tmp_path / 'users'}")
    broker.start()
    for protocol in (5, "3.1.1"):
        link = Link(broker.settings(username="u", password_file=str(tmp_path / "secret"), protocol=protocol), "x", protocol)  # type: ignore[arg-type]
        with pytest.raises(Unavailable, match=r"check mqtt\.username and mqtt\.password_file"):
            link.open()


def test_the_embedded_broker_carries_events_without_a_warning(outbox: Outbox) -> None:
    told: list[tuple[str, str]] = []
    heard: list[bytes] = []
    stop = threading.Event()
    with EmbeddedBroker() as broker:
        settings = MqttSettings(host=broker.host, port=broker.port, protocol="3.1.1")
        ear = threading.Thread(
            target=tail, args=(settings, ["ready", "+/+/+/event"], lambda _, payload: heard.append(payload), stop.is_set)
        )
        ear.start()
        knock = Link(settings, "knock", "3.1.1")
        knock.open()
        await_true(lambda: bool(heard) or (knock.send("ready", b"?"), knock.pump(0.05))[0] == 0)
        knock.close()
        publisher = Publisher(settings, TOPICS, outbox, tell=lambda level, text: told.append((level, text)))
        publisher.start()
        outbox.commit(drafts(20))
        assert publisher.wait_drained(10)
        assert publisher.stop(2)
        await_true(lambda: heard.count(b"?") + 20 <= len(heard))
        stop.set()
        ear.join()
    assert numbers([payload for payload in heard if payload != b"?"]) == list(range(20))
    assert [level for level, _ in told] == ["info"]


def test_stopping_while_the_broker_is_away_is_quick_and_keeps_the_events(outbox: Outbox, publish: Callable[..., Publisher]) -> None:
    publisher = publish(MqttSettings(port=free_port(), reconnect_min_s=5.0))
    outbox.commit(drafts(3))
    await_true(lambda: publisher.stats().failures > 0)
    started_s = time.monotonic()
    assert publisher.stop(10) is False
    assert time.monotonic() - started_s < 3
    assert outbox.stats().pending == 3


def test_a_broker_that_is_frozen_is_left_and_found_again(mosquitto: Mosquitto, outbox: Outbox, publish: Callable[..., Publisher]) -> None:
    assert mosquitto.process is not None
    publisher = publish(mosquitto.settings(answer_timeout_s=0.5, connect_timeout_s=0.3))
    assert publisher.wait_connected(5)
    mosquitto.process.send_signal(signal.SIGSTOP)
    outbox.commit(drafts(5))
    await_true(lambda: publisher.stats().failures >= 2)
    mosquitto.process.send_signal(signal.SIGCONT)
    assert publisher.wait_drained(10)


class ScriptedBroker(threading.Thread):
    """Takes one connection after the other; `script` gets the socket and the protocol level the client asked for."""

    def __init__(self, script: Callable[[socket.socket, int], None]):
        super().__init__(daemon=True)
        self._script = script
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.levels: list[int] = []
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                self.levels.append(connection.recv(4096)[8])
                self._script(connection, self.levels[-1])

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


def ack_everything(connection: socket.socket) -> None:
    """Read QoS 1 publishes of MQTT 3.1.1, answer each."""
    stream = connection.makefile("rb")
    while head := stream.read(1):
        length = shift = 0
        while (byte := stream.read(1)[0]) & 0x80:
            length, shift = length | (byte & 0x7F) << shift, shift + 7
        packet = stream.read(length | byte << shift)
        if head[0] >> 4 == 3:
            topic_length = int.from_bytes(packet[:2], "big")
            connection.sendall(b"\x40\x02" + packet[2 + topic_length : 4 + topic_length])


@pytest.mark.parametrize("refusal", [b"\x20\x03\x00\x84\x00", b"\x20\x02\x00\x01"])
def test_a_broker_of_the_old_protocol_is_spoken_to_in_it_with_a_warning(
    outbox: Outbox, publish: Callable[..., Publisher], refusal: bytes
) -> None:
    def script(connection: socket.socket, level: int) -> None:
        if level == 5:
            connection.sendall(refusal)
        else:
            connection.sendall(b"\x20\x02\x00\x00")
            ack_everything(connection)

    broker = ScriptedBroker(script)
    told: list[tuple[str, str]] = []
    publisher = publish(MqttSettings(port=broker.port), tell=lambda level, text: told.append((level, text)))
    outbox.commit(drafts(5))
    assert publisher.wait_drained(5)
    assert broker.levels == [5, 4]
    assert [level for level, _ in told] == ["warning", "info"]
    assert "0x84" in told[0][1]
    publisher.stop(1)
    broker.close()


def test_a_broker_that_hangs_up_over_one_message_gets_the_others(outbox: Outbox, publish: Callable[..., Publisher]) -> None:
    def script(connection: socket.socket, level: int) -> None:
        connection.sendall(b"\x20\x03\x00\x00\x00")
        while packet := connection.recv(65536):
            if b"poison" in packet:
                connection.sendall(b"\xe0\x02\x95\x00")
                return
            ack_everything_in(packet, connection)

    def ack_everything_in(packet: bytes, connection: socket.socket) -> None:
        for position in range(len(packet) - 4):
            if packet[position : position + 4] == b"\x00" + bytes([len(name)]) + name[:2]:
                mid = position + 2 + len(name)
                connection.sendall(b"\x40\x02" + packet[mid : mid + 2])

    name = TOPICS.event("cam-1").encode()
    broker = ScriptedBroker(script)
    publisher = publish(MqttSettings(port=broker.port, reconnect_min_s=0.02, reconnect_max_s=0.05))
    poison = Draft(uuid7(1.0), "cam-1", TOPICS.event("cam-1"), {"historical": False, "number": "poison"}, "ng")
    outbox.commit([*drafts(2), poison, *drafts(2, start=2)])
    assert publisher.wait_drained(5)
    assert (outbox.stats().acked, outbox.stats().set_aside) == (4, 1)
    broker.close()


def make_certificates(folder: Path) -> None:
    """An authority, and a broker and a node that it vouches for."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
    for name in ("broker", "node"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.pem",
            "-days", "2", "-extfile", "names",
        )  # fmt: skip


def test_mutual_tls(make_mosquitto: Callable[..., Mosquitto], outbox: Outbox, publish: Callable[..., Publisher], tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    make_certificates(tmp_path)
    files = {"cafile": "ca.pem", "certfile": "broker.pem", "keyfile": "broker.key"}
    broker = make_mosquitto(*(f"{key} {tmp_path / name}" for key, name in files.items()), "require_certificate true")
    broker.start()
    trust = {"tls": True, "ca_file": str(tmp_path / "ca.pem")}
    proof = {"cert_file": str(tmp_path / "node.pem"), "key_file": str(tmp_path / "node.key")}
    publisher = publish(broker.settings(**trust, **proof))
    outbox.commit(drafts(30))
    assert publisher.wait_drained(10)
    for incomplete, words in ((trust, "TLS failed|connection was lost"), ({"tls": True, **proof}, "TLS failed .*CERTIFICATE_VERIFY")):
        with pytest.raises(Unavailable, match=words):
            Link(broker.settings(**incomplete), "stranger").open()


def test_a_long_outage_costs_no_file_descriptors(outbox: Outbox, publish: Callable[..., Publisher]) -> None:
    publisher = publish(MqttSettings(port=free_port(), reconnect_min_s=0.01, reconnect_max_s=0.01))
    await_true(lambda: publisher.stats().failures >= 5)
    before = len(list(Path("/proc/self/fd").iterdir()))
    await_true(lambda: publisher.stats().failures >= 40)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
