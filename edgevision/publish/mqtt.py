"""From the outbox to the broker, for ever: the only door to paho. In: the outbox's messages, retained states. Out: MQTT, and commands.

A `Link` is one connection. The `Publisher` has one thread that owns it: connects, feeds, reads answers, and connects again with growing
pauses. What goes wrong is a state, a count and a line through `tell`, never an exception in another thread.
"""

from __future__ import annotations

import os
import random
import select
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgevision.errors import EdgevisionError, Unavailable
from edgevision.identifiers import uuid7
from edgevision.publish.bell import Bell
from edgevision.publish.connection import (
    UNSUPPORTED_PROTOCOL,
    Answer,
    CutOff,
    MqttSettings,
    Protocol,
    ProtocolRefused,
    PublisherStats,
    Received,
    connect_cause,
    password,
    refusal_remedy,
)
from edgevision.publish.desk import Desk
from edgevision.publish.feeder import Feeder
from edgevision.publish.outbox import Outbox, Tell
from edgevision.publish.session import Session
from edgevision.publish.topics import Topics

__all__ = ["Link", "MqttSettings", "Publisher", "PublisherStats", "tail"]

COMMAND_LIMIT_BYTES = 65_536
COMMANDS_WAITING = 256
ANY_SIZE = 268_435_455
PUMP_S = 0.25
GOODBYE_S = 1.0
REST_SLICE_S = 5.0
OnMessage = Callable[[str, bytes], None]


class Link:
    """One connection. `open` first, then `send` and `pump` in turn until `close`. Not for two threads."""

    def __init__(self, settings: MqttSettings, client_id: str, protocol: Protocol = 5, will: tuple[str, str] | None = None):
        self.receive_maximum = 65535
        self.packet_limit = ANY_SIZE
        self._settings = settings
        self._where = f"mqtt {settings.host}:{settings.port}"
        self._answers: list[Answer] = []
        self._received: list[Received] = []
        self._unanswered: set[int] = set()  # packet ids
        self._is_up = False
        self._lost: Unavailable | None = None
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if protocol == 5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if protocol == 5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = settings.connect_timeout_s
        if will is not None:
            self._client.will_set(will[0], will[1], qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe

    def open(self) -> None:
        """Connect and wait for the broker's welcome. Raises Unavailable with the cause, ProtocolRefused for a wrong version."""
        settings = self._settings
        try:
            self._secure()
            self._client.connect(settings.host, settings.port, settings.keepalive_s)
        except (OSError, ValueError) as error:
            raise Unavailable(f"{self._where}: {connect_cause(error)}") from error
        deadline_s = time.monotonic() + settings.connect_timeout_s
        while not self._is_up:
            if time.monotonic() > deadline_s:
                raise Unavailable(
                    f"{self._where}: it took the connection but gave no answer; if it is a broker of MQTT 3.1.1, set mqtt.protocol"
                )
            self.pump(0.1)

    def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for messages; a refusal shows as an Answer."""
        if filters:
            self._client.subscribe([(name, 1) for name in filters])

    def send(self, topic: str, payload: bytes, qos: int = 1, is_retained: bool = False) -> int:
        """Hand a message over; its packet id, which the Answer will carry. Raises Unavailable when the connection is gone."""
        deadline_s = time.monotonic() + self._settings.answer_timeout_s
        while qos > 0 and len(self._unanswered) >= min(self.receive_maximum, self._settings.window):
            if time.monotonic() > deadline_s:
                raise Unavailable(f"{self._where}: no answer for {self._settings.answer_timeout_s:g} s; connecting again")
            self.pump(0.1)
        info = self._client.publish(topic, payload, qos, is_retained)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._lost or Unavailable(f"{self._where}: the connection is gone ({info.rc.name})")
        if qos > 0:
            self._unanswered.add(info.mid)
        return info.mid

    def pump(self, timeout_s: float, bell: Bell | None = None) -> None:
        """Move bytes for at most `timeout_s`, less when the bell rings. Raises Unavailable when the connection is lost."""
        connection = self._client.socket()
        if self._lost is not None or connection is None:
            raise self._lost or Unavailable(f"{self._where}: the connection is gone")
        has_decrypted = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        poll = select.poll()
        poll.register(connection, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        if bell is not None:
            poll.register(bell, select.POLLIN)
        ready = dict(poll.poll(0 if has_decrypted else timeout_s * 1000))
        if bell is not None:
            bell.wait(0)
        happened = ready.get(connection.fileno(), 0)
        if has_decrypted or happened & ~select.POLLOUT:
            self._client.loop_read()
        if happened & select.POLLOUT:
            self._client.loop_write()
        self._client.loop_misc()
        if self._lost is not None:
            raise self._lost

    def answers(self) -> list[Answer]:
        """What the broker answered since the last call."""
        taken, self._answers = self._answers, []
        return taken

    def received(self) -> list[Received]:
        """What came in since the last call."""
        taken, self._received = self._received, []
        return taken

    def close(self) -> None:
        """Say goodbye; the broker then publishes no last will. Never raises."""
        self._client.disconnect()
        self._client.loop_write()
        self.drop()

    def drop(self) -> None:
        """Close without a goodbye: the broker publishes the last will."""
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    def _secure(self) -> None:
        settings = self._settings
        if settings.username is not None:
            self._client.username_pw_set(settings.username, password(settings.password_file, os.environ))
        if settings.tls:
            self._client.tls_set(settings.ca_file, settings.cert_file, settings.key_file)

    def _on_connect(
        self, client: paho.Client, data: Any, flags: paho.ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            text = f"{self._where}: refused: {code} (0x{code.value:02x}); {refusal_remedy(code.value)}"
            is_protocol = code.value == UNSUPPORTED_PROTOCOL
            self._lost = ProtocolRefused(text) if is_protocol else Unavailable(text)
            return
        self._is_up = True
        self.receive_maximum = getattr(properties, "ReceiveMaximum", 65535)
        self.packet_limit = getattr(properties, "MaximumPacketSize", ANY_SIZE)

    def _on_disconnect(
        self, client: paho.Client, data: Any, flags: paho.DisconnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if self._lost is None:
            text = f"{self._where}: the connection was lost: {code}"
            self._lost = CutOff(text, code.value, str(code)) if flags.is_disconnect_packet_from_server else Unavailable(text)

    def _on_publish(self, client: paho.Client, data: Any, packet_id: int, code: ReasonCode, properties: Properties | None) -> None:
        if packet_id in self._unanswered:
            self._unanswered.discard(packet_id)
            self._answers.append(Answer(packet_id, code.value, str(code)))

    def _on_subscribe(self, client: paho.Client, data: Any, packet_id: int, codes: list[ReasonCode], properties: Properties | None) -> None:
        self._answers += [Answer(packet_id, code.value, f"subscription: {code}") for code in codes if code.is_failure]

    def _on_message(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        if len(message.payload) <= COMMAND_LIMIT_BYTES and len(self._received) < COMMANDS_WAITING:
            self._received.append(Received(message.topic, bytes(message.payload), message.retain))


class Publisher:
    """Feeds one node's outbox to one broker."""

    def __init__(
        self,
        settings: MqttSettings,
        topics: Topics,
        outbox: Outbox,
        *,
        on_message: OnMessage | None = None,
        tell: Tell = lambda level, text: None,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        """`on_message` gets (topic, payload) of each `set` and `request`, on the publisher's thread, and must return at once."""
        self._settings = settings
        self._topics = topics
        self._outbox = outbox
        self._on_message = on_message
        self._tell = tell
        self._monotonic = monotonic
        self._feeder = Feeder(outbox, settings.window, settings.backlog_per_s, monotonic, tell)
        self._protocol = settings.protocol
        self._chance = random.Random(topics.client_id)  # for jitter
        self._moved = threading.Condition()
        self._desk = Desk()
        self._state = "not started"
        self._is_connected = False
        self._connects = 0
        self._failures = 0
        self._stop_at_s: float | None = None
        self.advanced_s = monotonic()  # when its thread last went round
        self._bell = Bell()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._outbox.on_commit = self.wake
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Drain, publish `offline`, disconnect; all within `timeout_s`. True when nothing is left waiting. Events stay in the outbox."""
        self._stop_at_s = self._monotonic() + timeout_s
        self.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s + GOODBYE_S)
        if not self._thread.is_alive():
            self._outbox.on_commit = lambda: None
            self._bell.close()
        return self._outbox.stats().pending == 0

    def wake(self) -> None:
        """There is something to send."""
        self._bell.ring()

    def retain(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """The value of a retained topic, from now on and after every reconnect. The same value again costs nothing."""
        if self._desk.retain(topic, payload, qos):
            self.wake()

    def reply(self, topic: str, payload: bytes) -> None:
        """Say something once, on the present connection; whoever asked is not waited for over an outage."""
        self._desk.reply(topic, payload)
        self.wake()

    def wait_drained(self, timeout_s: float) -> bool:
        """Wait until nothing waits in the outbox; False when it did not come to that."""
        with self._moved:
            return self._moved.wait_for(lambda: self._outbox.stats().pending == 0, timeout_s)

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until the broker has welcomed us; False when it did not."""
        with self._moved:
            return self._moved.wait_for(lambda: self._is_connected, timeout_s)

    def stats(self) -> PublisherStats:
        """The numbers as of now."""
        counts = self._feeder.counts
        return PublisherStats(
            is_connected=self._is_connected,
            state=self._state,
            protocol=str(self._protocol),
            connects=self._connects,
            failures=self._failures,
            accepted=counts["accepted"],
            kept=counts["kept"],
            set_aside=counts["set_aside"],
            alarms=self._feeder.alarms + self._desk.alarms,
        )

    def _run(self) -> None:
        pause_s = 0.0
        while True:
            self.advanced_s = self._monotonic()
            link = Link(self._settings, self._topics.client_id, self._protocol, (self._topics.availability(), "offline"))
            try:
                link.open()
                pause_s = 0.0
                self._serve(link)
                return
            except ProtocolRefused as error:
                if self._protocol == 5:
                    self._protocol = "3.1.1"
                    self._tell("warning", f"{error}; using 3.1.1 now: a broker cannot say there that it refused a message")
                    continue
                self._failed(str(error))
            except EdgevisionError as error:
                if isinstance(error, CutOff):
                    self._feeder.cut_off(error.code, error.meaning)
                self._failed(str(error))
            except Exception as error:  # the last line of defence: this thread must outlive a surprise, and say so
                self._failed(f"mqtt: unexpected {type(error).__name__}: {error}; please report this")
            finally:
                link.drop()
            pause_s = min(self._settings.reconnect_max_s, max(self._settings.reconnect_min_s, pause_s * 2))
            if not self._rest(pause_s * self._chance.uniform(0.7, 1.3)):
                return

    def _serve(self, link: Link) -> None:
        """Feed one connection until the stop is due. Raises Unavailable when the connection is lost."""
        session = Session(link, self._feeder, self._desk, self._topics, self._monotonic)
        session.welcome(self._topics.commands if self._on_message is not None else ())
        self._connects += 1
        self._move(True, f"connected to {self._settings.host}:{self._settings.port} with MQTT {self._protocol}")
        self._tell("info", f"mqtt: {self._state}")
        while not self._is_done():
            self.advanced_s = self._monotonic()
            session.send()
            link.pump(self._feeder.pause_s(PUMP_S), self._bell)
            session.read(self._settings.answer_timeout_s)
            with self._moved:
                self._moved.notify_all()
            for message in link.received():
                self._obey(message)
        session.goodbye(GOODBYE_S)
        self._move(False, "stopped")

    def _obey(self, message: Received) -> None:
        """A retained command would be obeyed again at each connect, so it is not obeyed at all."""
        if self._on_message is None or message.is_retained:
            return
        try:
            self._on_message(message.topic, message.payload)
        except Exception as error:  # a command from outside must not end the way to the broker
            self._tell("error", f"mqtt: {message.topic}: {type(error).__name__}: {error}; the command was dropped")

    def _is_done(self) -> bool:
        """True when the stop is due and nothing is left, or its time is up."""
        if self._stop_at_s is None:
            return False
        is_drained = self._outbox.stats().pending == 0 and self._desk.is_idle
        return is_drained or self._monotonic() > self._stop_at_s

    def _failed(self, text: str) -> None:
        self._failures += 1
        self._move(False, text)
        self._tell("warning", text)

    def _move(self, is_connected: bool, state: str) -> None:
        with self._moved:
            self._is_connected, self._state = is_connected, state
            self._moved.notify_all()

    def _rest(self, pause_s: float) -> bool:
        """Wait before connecting again. False when a stop is due: the broker is away, what waits stays in the outbox."""
        end_s = self._monotonic() + pause_s
        while self._stop_at_s is None:
            left_s = end_s - self._monotonic()
            if left_s <= 0:
                return True
            self.advanced_s = self._monotonic()
            self._bell.wait(min(left_s, REST_SLICE_S))
        return False


def tail(
    settings: MqttSettings, topics: Sequence[str], callback: Callable[[str, bytes], None], stop: Callable[[], bool], again_s: float = 1.0
) -> None:
    """Hand every message on these topics (filters) to `callback` until `stop()`; reconnects.

    Raises Unavailable when the first connection fails.
    """
    has_connected = False
    protocol = settings.protocol
    while not stop():
        link = Link(settings, f"tail-{uuid7(time.time())}", protocol)
        try:
            link.open()
            link.subscribe(topics)
            has_connected = True
            while not stop():
                link.pump(0.2)
                for message in link.received():
                    callback(message.topic, message.payload)
            link.close()
        except ProtocolRefused:
            if protocol == "3.1.1":
                raise
            protocol = "3.1.1"
        except Unavailable:
            if not has_connected:
                raise
            time.sleep(again_s)
        finally:
            link.drop()
