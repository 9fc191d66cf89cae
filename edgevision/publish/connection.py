"""How the broker is reached, what it may answer, and the words for what goes wrong. Keeps nothing, knows no library."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgevision.errors import Unavailable
from edgevision.records import Settings

Protocol = Literal[5, "3.1.1"]
REFUSED = 0x80  # from here on a reason code is a refusal
UNSUPPORTED_PROTOCOL = 0x84


class MqttSettings(Settings):
    """How the broker is reached."""

    host: str = Field("127.0.0.1", min_length=1, description="Name or address of the broker.")
    port: int = Field(1883, ge=1, le=65535, description="Its port; 8883 is usual with TLS.")
    base: str = Field("edgevision", pattern="^[a-z0-9_-]{1,32}$", description="First level of every topic.")
    protocol: Protocol = Field(5, description="MQTT version; with 3.1.1 a broker cannot say that it refused a message.")
    username: str | None = Field(None, description="User name for the broker.")
    password_file: str | None = Field(None, description="File with the password; a plain name is looked up among systemd's credentials.")
    tls: bool = Field(False, description="Encrypt, and check the broker's certificate.")
    ca_file: str | None = Field(None, description="Certificates to trust instead of the system's.")
    cert_file: str | None = Field(None, description="This node's certificate, for mutual TLS.")
    key_file: str | None = Field(None, description="The key of this node's certificate.")
    keepalive_s: int = Field(20, ge=5, le=3600, description="After 1.5 times this silence the broker declares the node offline.")
    connect_timeout_s: float = Field(5.0, ge=0.1, le=60, description="How long a connection may take.")
    answer_timeout_s: float = Field(10.0, ge=0.5, le=300, description="A message unanswered for so long means that the connection is dead.")
    reconnect_min_s: float = Field(0.5, ge=0.01, le=60, description="First pause before connecting again; it doubles, with jitter.")
    reconnect_max_s: float = Field(30.0, ge=0.01, le=600, description="Longest pause before connecting again.")
    window: int = Field(20, ge=1, le=20, description="Messages on their way at once, one for each camera and lane.")
    backlog_per_s: float = Field(200.0, ge=1, le=10000, description="Messages a second at which the backlog of an outage is sent.")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the broker said to one message. Codes from 0x80 on are refusals."""

    packet_id: int
    code: int
    meaning: str


@dataclass(frozen=True, slots=True)
class Received:
    """One message from the broker."""

    topic: str
    payload: bytes
    is_retained: bool


@dataclass(frozen=True, slots=True)
class PublisherStats:
    """The connection in numbers, since `start`. `state` is one line for a person."""

    is_connected: bool
    state: str
    protocol: str
    connects: int
    failures: int
    accepted: int
    kept: int
    set_aside: int
    alarms: tuple[str, ...] = ()


class CutOff(Unavailable):
    """The broker ended the connection and said why."""

    def __init__(self, text: str, code: int, meaning: str):
        super().__init__(text)
        self.code = code
        self.meaning = meaning


class ProtocolRefused(Unavailable):
    """The broker does not speak this version of MQTT: ask again with another."""


def password(path: str | None, environment: Mapping[str, str]) -> str | None:
    """The first line of the file. Read at each connection, so that a changed password is found."""
    if path is None:
        return None
    file = Path(path)
    credentials = environment.get("CREDENTIALS_DIRECTORY")
    if credentials and "/" not in path:
        file = Path(credentials) / path
    try:
        return file.read_text("utf-8").partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise Unavailable(f"mqtt.password_file {file}: {error.strerror}; let the service's user read it") from error


def connect_cause(error: Exception) -> str:
    """Why no connection came about, and what to do."""
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there; start the broker or mend mqtt.host and mqtt.port"
    if isinstance(error, TimeoutError):
        return "no answer; check the network, mqtt.host and any firewall"
    if isinstance(error, socket.gaierror):
        return f"the name is not known ({error.strerror}); mend mqtt.host or the name server"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error}); check mqtt.ca_file, mqtt.cert_file, mqtt.key_file and the clock"
    if isinstance(error, FileNotFoundError):
        return "a certificate file is missing; check mqtt.ca_file, mqtt.cert_file and mqtt.key_file"
    return f"{error}; check the network, mqtt.host and mqtt.port"


def refusal_remedy(code: int) -> str:
    """What to do when the broker answers a connection with this code."""
    if code in (0x86, 0x87):
        return "check mqtt.username and mqtt.password_file"
    if code == UNSUPPORTED_PROTOCOL:
        return "set mqtt.protocol to 3.1.1"
    if code == 0x85:
        return "another client may not use this id; check mqtt.base and node.id"
    return "see the broker's log"
