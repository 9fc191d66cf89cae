"""A proxy between a node and its broker that writes down every message and answer, and makes trouble by the dice.

    python benchmarks/reliability/proxy.py --listen PORT --broker PORT --record FILE [--cut 0.01] [--swallow 0.01] [--refuse 0.02]

Trouble, each with its chance for a PUBLISH of quality 1 on an event topic: `cut` resets the connection after the message went on, `swallow`
lets the broker's answer disappear and then resets it, `refuse` answers with a reason code that an operator could mend and passes nothing
on. One line of JSON is written for each message before it goes on ("sent"), each refusal ("refused"), each answer that came ("acked").
A packet is passed on whole or not at all. One thread a direction; MQTT 5 only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import struct
import threading
from contextlib import suppress

MENDABLE = (0x80, 0x83, 0x87, 0x97)
PUBLISH, PUBACK = 3, 4


class Hurt(Exception):
    """This connection ends now."""


class Passage:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, broker: socket.socket, record: int, chances: argparse.Namespace, dice: random.Random):
        self.client, self.broker, self.record, self.chances, self.dice = client, broker, record, chances, dice
        self.open: dict[int, str] = {}  # packet id -> event id
        self.doomed: set[int] = set()  # packet ids whose answer shall disappear
        self.lock = threading.Lock()

    def note(self, what: str, **fields: object) -> None:
        os.write(self.record, (json.dumps({"what": what, **fields}) + "\n").encode())

    def up(self) -> None:
        """From the node to the broker."""
        for kind, flags, packet, body in packets(self.client):
            if kind == PUBLISH and flags & 0x06 and self.is_event(body):
                self.publish(packet, body)
            else:
                self.broker.sendall(packet)

    def is_event(self, body: bytes) -> bool:
        size = int.from_bytes(body[:2], "big")
        return body[2 : 2 + size].endswith(b"/event")

    def publish(self, packet: bytes, body: bytes) -> None:
        size = int.from_bytes(body[:2], "big")
        packet_id = int.from_bytes(body[2 + size : 4 + size], "big")
        properties, start = variable(body, 4 + size)
        payload = json.loads(body[start + properties :])
        chance = self.dice.random()
        if chance < self.chances.refuse:
            code = self.dice.choice(MENDABLE)
            self.note("refused", event_id=payload["event_id"], code=code)
            with self.lock:
                self.client.sendall(bytes((PUBACK << 4, 3)) + packet_id.to_bytes(2, "big") + bytes((code,)))
            return
        self.open[packet_id] = payload["event_id"]
        if chance < self.chances.refuse + self.chances.swallow:
            self.doomed.add(packet_id)
        self.note("sent", payload=payload)
        self.broker.sendall(packet)
        if chance > 1 - self.chances.cut:
            raise Hurt

    def down(self) -> None:
        """From the broker to the node."""
        for kind, _, packet, body in packets(self.broker):
            if kind == PUBACK:
                packet_id = int.from_bytes(body[:2], "big")
                code = body[2] if len(body) > 2 else 0
                event_id = self.open.pop(packet_id, None)
                if event_id is not None:
                    self.note("acked", event_id=event_id, code=code)
                if packet_id in self.doomed:
                    raise Hurt
            with self.lock:
                self.client.sendall(packet)

    def run(self, direction: str) -> None:
        with suppress(OSError, Hurt, IndexError):
            getattr(self, direction)()
        for end in (self.client, self.broker):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a goodbye
                end.shutdown(socket.SHUT_RDWR)


def packets(end: socket.socket):
    """Whole packets from a socket: type, flags, all its bytes, its bytes after the head."""
    stream = end.makefile("rb")
    while head := stream.read(1):
        size = shift = 0
        length = b""
        while True:
            byte = stream.read(1)
            length += byte
            size |= (byte[0] & 0x7F) << shift
            shift += 7
            if not byte[0] & 0x80:
                break
        body = stream.read(size)
        if len(body) < size:
            return
        yield head[0] >> 4, head[0] & 0x0F, head + length + body, body


def variable(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length in `data`, and where what follows it starts."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("listen", "broker"):
        arguments.add_argument(f"--{name}", type=int, required=True)
    arguments.add_argument("--record", required=True)
    arguments.add_argument("--seed", type=int, default=0)
    for name, chance in (("cut", 0.01), ("swallow", 0.01), ("refuse", 0.02)):
        arguments.add_argument(f"--{name}", type=float, default=chance)
    options = arguments.parse_args()
    record = os.open(options.record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    dice = random.Random(options.seed)
    server = socket.create_server(("127.0.0.1", options.listen))
    while True:
        client, _ = server.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            broker = socket.create_connection(("127.0.0.1", options.broker), timeout=2)
        except OSError:
            client.close()
            continue
        broker.settimeout(None)
        broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        passage = Passage(client, broker, record, options, dice)
        for direction in ("up", "down"):
            threading.Thread(target=passage.run, args=(direction,), daemon=True).start()


if __name__ == "__main__":
    main()
