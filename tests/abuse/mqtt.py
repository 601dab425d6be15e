"""Broker, duration -> forged, oversized, misordered and endless MQTT messages, slow clients and floods of connections; counts
of what was sent and what the broker answered.

Orderly forgers wait for the broker's answer to each publication, so that its refusals can be compared with its counters.
"""

import asyncio
import itertools
import logging
import socket
import struct
import time
from collections import Counter

# Time to wait for an answer.
ANSWER_S = 20
# The embedded broker's reason codes of refused publications: not authorized, topic name invalid, quota exceeded.
NOT_AUTHORIZED, BAD_TOPIC, QUOTA = 0x87, 0x90, 0x97
# Seconds from which an attack that needs longer runs.
LONG_S = 300
SCHEMA = bytes.fromhex("41bc2fdb3960516aca8aae7138fef92e7a0db2dd91fadbd77951c8897c477fd0")


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + varint(len(body)) + body


def connect(client: str, packet_bytes: int | None = None) -> bytes:
    properties = b"" if packet_bytes is None else b"\x27" + struct.pack(">I", packet_bytes)
    return packet(0x10, text("MQTT") + bytes([5, 2, 0, 60, len(properties)]) + properties + text(client))


def publish(topic: str, payload: bytes, number: int, first: int = 0x32) -> bytes:
    return packet(first, text(topic) + struct.pack(">H", number) + b"\0" + payload)


def subscribe(*filters: str) -> bytes:
    return packet(0x82, b"\0\1\0" + b"".join(text(one) + b"\0" for one in filters))


def topic(agent: str, kind: str) -> str:
    return f"lapwing/v1/agent/{agent}/{kind}"


# Messages of agents (docs/mqtt.md): version, run, number, time, body.


def message(run: int, number: int, kind: int, body: bytes) -> bytes:
    return b"\1" + varint(run) + varint(number) + varint(0) + bytes([kind]) + body


def alert(run: int, number: int, episode: int) -> bytes:
    host = bytes(10) + b"\xff\xff\x0a\x00" + struct.pack(">H", number & 0xFFFF)
    nats = struct.pack("<fff", 20, 21, 3)
    body = varint(episode) + b"\0" + host + b"\0" + varint(1) + varint(128) + nats + varint(400) + varint(399)
    return message(run, number, 0, body + b"\0" + varint(22) + b"\0\0" + varint(3))


def samples(number: int, schema: bytes, rows: int) -> bytes:
    row = varint(9) + varint(48) + struct.pack("<48f", *[1.5] * 48) + b"\0\0"
    return message(1, number, 1, schema + varint(1000) + varint(rows) + row * rows)


def status(online: bool) -> bytes:
    words = b"".join(varint(len(word)) + word.encode() for word in ("default", "0.1.0", "int8"))
    return message(1, 0, 3, bytes([online]) + words + varint(0) + b"\0" + SCHEMA)


def update(number: int) -> bytes:
    return message(1, number, 4, varint(9) + varint(4) + varint(7) + b"expired")


class Client:
    """A connection that waits for answers and counts them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counts: Counter):
        self.reader, self.writer, self.counts = reader, writer, counts
        self.number = 0

    async def next(self) -> tuple[int, bytes]:
        first = (await self.reader.readexactly(1))[0]
        length = shift = 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        return first, await self.reader.readexactly(length)

    async def publish(self, publications: list[tuple[str, bytes]], retain: bool = False) -> None:
        """Sends all at QoS 1 and counts the broker's answers by reason code; those without an answer, too."""
        data = b""
        for where, payload in publications:
            self.number = self.number % 0xFFFF + 1
            data += publish(where, payload, self.number, 0x33 if retain else 0x32)
        self.counts["published"] += len(publications)
        waiting = len(publications)
        try:
            self.writer.write(data)
            async with asyncio.timeout(ANSWER_S):
                while waiting:
                    first, body = await self.next()
                    if first >> 4 == 4:
                        waiting -= 1
                        self.counts[f"answered {body[2] if len(body) > 2 else 0:#04x}"] += 1
        finally:
            self.counts["unanswered"] += waiting

    def close(self) -> None:
        self.writer.transport.abort()


class Abuse:
    """The attacks on one broker, all at once."""

    def __init__(self, host: str, port: int, seconds: float, agent: str):
        self.address = (host, port)
        self.seconds = seconds
        self.agent = agent
        self.counts = Counter()
        self.end = time.monotonic() + seconds
        self.names = itertools.count()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.counts["connections"] += 1
        return await asyncio.open_connection(*self.address)

    async def client(self, name: str, packet_bytes: int | None = None) -> Client:
        reader, writer = await self.open()
        client = Client(reader, writer, self.counts)
        writer.write(connect(name, packet_bytes))
        async with asyncio.timeout(ANSWER_S):
            first, body = await client.next()
        if first != 0x20 or body[1] != 0:
            raise ConnectionError("refused")
        return client

    async def repeat(self, every: float, attack) -> None:
        """Runs an attack again and again; a closed connection or a missing answer only ends that round."""
        name = attack.__name__
        while time.monotonic() < self.end:
            begun = time.monotonic()
            try:
                await attack()
                self.counts[f"{name}: rounds"] += 1
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self.counts[f"{name}: ended by the broker"] += 1
            await asyncio.sleep(max(0.01, every - (time.monotonic() - begun)))

    async def forged(self) -> None:
        """Messages that do not decode, do not belong, repeat, or are numbered out of order or range."""
        number = next(self.names)
        name = f"forger-{number % 40}"
        client = await self.client(name)
        own = lambda kind: topic(name, kind)
        # A run of its own each time, whose numbers start again.
        run, far = 2 + number, (1 << 64) - 1
        schema = struct.pack(">I", number % 40) * 8
        await client.publish(
            [
                (own("alert"), b"\xff" * 200),
                (own("alert"), alert(run, 1, 1)[:20]),
                (own("health"), b""),
                (own("alert"), status(True)),
                (own("alert"), alert(run, 0, 1)),
                (own("alert"), alert(run, far, 1)),
                (own("sample"), samples(1, SCHEMA, 0)),
                (own("sample"), samples(far, SCHEMA, 1)),
                (own("sample"), samples(number + 2, schema, 2)),
                (own("update"), update(number + 1)),
                (own("update"), update(number + 1)),
                *[(own("alert"), alert(run, order, order)) for order in (3, 1, 2, 3, 1000)],
                (topic(self.agent, "alert"), alert(run, 1, 1)),
                (topic(self.agent, "ack"), b"\1\1\1\0"),
                (own("ack"), b"\1\1\1\0"),
                ("lapwing/v1/group/default/release", b"\1\0"),
                ("lapwing/v1/artifact/" + "0" * 64 + "/0", bytes(1000)),
                ("é", b""),
                ("lapwing/v1/agent//alert", b""),
                (own("x" * 80), b""),
            ]
        )
        await client.publish([(own("alert"), alert(run, 4, 4)), (own("status"), bytes(5000))], retain=True)
        client.close()

    async def loud(self) -> None:
        """One name that sends far more than its rate, at first from a full allowance."""
        client = await self.client("loud")
        run, numbers = 1 + int(time.monotonic()), itertools.count(1)
        while time.monotonic() < self.end:
            await client.publish([(topic("loud", "alert"), alert(run, n, n)) for n in itertools.islice(numbers, 70)])
            await asyncio.sleep(0.1)
        client.close()

    async def many_names(self) -> None:
        """Ever new names, each with a retained status as large as is accepted; every sixth registers as an agent."""
        for _ in range(10):
            number = next(self.names)
            name = f"name-{number}"
            client = await self.client(name)
            await client.publish([(topic(name, "status/json"), bytes(4000))], retain=True)
            if number % 6 == 0:
                await client.publish([(topic(name, "status"), status(True))])
            client.close()

    async def takeovers(self) -> None:
        """Two connections of one name."""
        clients = [await self.client("twin"), await self.client("twin")]
        await asyncio.sleep(0.1)
        for client in clients:
            client.close()

    async def agent_takeover(self) -> None:
        """Takes the name of the real agent."""
        (await self.client(self.agent)).close()

    async def illegal(self) -> None:
        """Bytes that no client may send: before CONNECT, after it, oversized, of QoS 2, truncated."""
        hello = connect("illegal")
        for data in [
            b"\x20\x01\0",
            b"\xb0\x01\0",
            b"\x90\x03\0\x01\0",
            b"GET / HTTP/1.1\r\n\r\n",
            publish(topic("illegal", "alert"), b"early", 1),
            connect("x" * 200),
            hello + hello,
            hello + b"\x20\x03\0\0\0",
            hello + publish(topic("illegal", "alert"), bytes(70_000), 1),
            hello + b"\x32\xff\xff\xff\x7f",
            hello + b"\x32\xff\xff\xff\xff\xff",
            hello + publish(topic("illegal", "alert"), b"twice", 1, 0x34),
            hello + packet(0x62, b"\0\1"),
            hello + packet(0x50, b"\0\1"),
            hello + packet(0x32, text("t") + b"\0\1\3\x23\0\1"),
            hello + packet(0x82, b"\0\1\0"),
        ]:
            reader, writer = await self.open()
            writer.write(data)
            async with asyncio.timeout(ANSWER_S):
                await reader.read()
            writer.transport.abort()

    async def filters(self) -> None:
        client = await self.client(f"filters-{next(self.names)}")
        client.writer.write(subscribe(*[f"lapwing/{number}/{'x' * 60}/#" for number in range(40)]))
        client.writer.write(subscribe("$share/lapwing-collectors/lapwing/v1/agent/+/alert", "#/#"))
        await asyncio.sleep(1)
        client.close()

    async def deaf(self) -> None:
        """Subscribers of everything: one accepts no packet that large, the others never read."""
        small = await self.client("small-packets", 40)
        small.writer.write(subscribe("#"))
        sockets = []
        for number in range(4):
            deaf = socket.socket()
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            sockets.append(deaf)
            await asyncio.get_running_loop().sock_connect(deaf, self.address)
            await asyncio.get_running_loop().sock_sendall(deaf, connect(f"deaf-{number}") + subscribe("#"))
        await asyncio.sleep(min(45, max(1, self.end - time.monotonic())))
        small.close()
        for deaf in sockets:
            deaf.close()

    async def half_open(self) -> None:
        """Connections that send nothing, or CONNECT byte by byte, or most of a large packet."""
        writers = []
        for number in range(100):
            _, writer = await self.open()
            writers.append(writer)
            if number % 5 == 0:
                name = f"large-{number}"
                writer.write(connect(name) + publish(topic(name, "alert"), bytes(60_000), 1)[:9000])
        for byte in connect("slow")[:12]:
            for writer in writers[1::5]:
                writer.write(bytes([byte]))
            await asyncio.sleep(1)
        for writer in writers:
            writer.transport.abort()

    async def connection_flood(self) -> None:
        """More clients than the broker may have. A few at a time, each until it is accepted or refused: the broker closes the oldest
        of many that have not said CONNECT, and would never be full."""
        held = []
        for first in range(0, 700, 20):
            clients = [self.client(f"flood-{number}") for number in range(first, first + 20)]
            held += await asyncio.gather(*clients, return_exceptions=True)
        for client in held:
            if isinstance(client, Client):
                client.close()

    async def run(self) -> dict:
        attacks = [
            self.repeat(0.5, self.forged),
            self.repeat(1, self.loud),
            self.repeat(0.15, self.many_names),
            self.repeat(2, self.takeovers),
            self.repeat(1, self.illegal),
            self.repeat(2, self.filters),
            self.repeat(1, self.deaf),
            self.repeat(1, self.half_open),
            self.repeat(20, self.connection_flood),
        ]
        tasks = [asyncio.create_task(attack) for attack in attacks]
        if self.seconds >= LONG_S:
            for part in (0.25, 0.6):
                tasks.append(asyncio.create_task(self.later(self.seconds * part, self.agent_takeover)))
        await asyncio.wait(tasks, timeout=self.seconds + ANSWER_S)
        for task in tasks:
            if task.done() and task.exception():
                self.counts[f"failed: {task.exception()!r}"] += 1
            task.cancel()
        return dict(self.counts)

    async def later(self, seconds: float, attack) -> None:
        await asyncio.sleep(seconds)
        await attack()


def run(host: str, port: int, seconds: float, agent: str, results) -> None:
    """Runs in a process of its own; puts the counts into the queue."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # It warns of writes to closed connections.
    results.put(("mqtt", asyncio.run(Abuse(host, port, seconds, agent).run())))
