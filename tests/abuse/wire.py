"""Interface, duration -> ordinary traffic, a planted scan, and abuse of the packet path as raw frames; counts of what was sent.

Ordinary traffic is a recorded day's, with its own gaps. The attacker's scan runs in the middle, among all the rest.
"""

import gzip
import itertools
import random
import socket
import struct
import time
from collections import Counter
from pathlib import Path

ATTACKER = "192.168.1.66"
VICTIM = "192.168.1.5"
SCANNED_PORTS = 300
# Seconds without abuse at the start, as a part of the duration, and at most.
QUIET = (0.1, 30)
TICK_S = 0.02
ETHERNET = bytes([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1])
# At most so many seconds between two bursts, and their length.
BURST_EVERY_S = 30
BURST_S = 1.0
BURST_FLOWS = 4096
# Frames a second in a burst around the scan. In the first and the last quarter, bursts are as fast as possible, so that
# the capture ring overflows: the agent then meters a share of the flows, and must have recovered when the scan begins.
# Runs that are too short for that have no such bursts in the first quarter.
BURST_RATE = 10_000
OVERFLOW = (0.25, 0.75)
RECOVERY_S = 60
SCAN_FROM = 0.4


def ip4(text: str) -> bytes:
    return socket.inet_aton(text)


def ethernet(kind: int, body: bytes) -> bytes:
    return ETHERNET + struct.pack(">H", kind) + body


class Frames:
    """Builds frames; every field that varies comes from one random generator."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.identification = 0
        self.forged = 0
        self.scanned = 0

    def tcp(self, source: int, port: int, flags: int = 2) -> bytes:
        return struct.pack(">HHIIBBHHH", source, port, 1, 1, 0x50, flags, 0x2000, 0, 0)

    def ipv4(self, source: bytes, target: bytes, protocol: int, body: bytes, fragment: int = 0x4000) -> bytes:
        self.identification = (self.identification + 1) & 0xFFFF
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), self.identification, fragment, 64, protocol, 0)
        return ethernet(0x0800, head + source + target + body)

    def ipv6(self, source: bytes, target: bytes, following: int, body: bytes) -> bytes:
        return ethernet(0x86DD, struct.pack(">IHBB", 0x60000000, len(body), following, 64) + source + target + body)

    def outside(self) -> bytes:
        return bytes([203, self.random.randrange(200), self.random.randrange(250), 1 + self.random.randrange(250)])

    def client_port(self) -> int:
        return self.random.randrange(1024, 65000)

    def decoy(self) -> list[bytes]:
        """One packet of a source that never appears again."""
        self.forged += 1
        source = b"\x0a" + struct.pack(">I", self.forged)[1:]
        return [self.ipv4(source, self.outside(), 6, self.tcp(self.client_port(), 80))]

    def decoy6(self) -> list[bytes]:
        self.forged += 1
        source = b"\xfd" + bytes(11) + struct.pack(">I", self.forged)
        return [self.ipv6(source, b"\xfd" + bytes(14) + b"\x05", 6, self.tcp(self.client_port(), 80))]

    def noisy(self) -> list[bytes]:
        """One of 64 forged hosts that look infected."""
        source = bytes([192, 168, 1, 130 + self.random.randrange(64)])
        return [self.ipv4(source, self.outside(), 6, self.tcp(self.client_port(), 23))]

    def tiny_fragments(self) -> list[bytes]:
        source, target = bytes([192, 168, 2, self.random.randrange(256)]), ip4(VICTIM)
        segment = self.tcp(self.client_port(), self.random.randrange(1024))
        first = self.ipv4(source, target, 6, segment[:8], 0x2000)
        self.identification -= 1
        parts = [first, self.ipv4(source, target, 6, segment[8:], 1)]
        return parts if self.random.random() < 0.5 else parts[::-1]

    def lone_fragment(self) -> list[bytes]:
        """A first fragment without the others, or one of the others without the first."""
        source = bytes([192, 168, 3, self.random.randrange(256)])
        place = self.random.choice([0x2000, 0x2000 + 100, 100])
        return [self.ipv4(source, ip4(VICTIM), 17, bytes(64), place)]

    def extension_headers(self) -> list[bytes]:
        count, octets = self.random.choice([(9, 8), (1, 512), (40, 8), (2, 264)])
        body = b""
        for number in range(count):
            following = 60 if number + 1 < count else 6
            data = b"\x01\x04" + bytes(4)
            while len(data) + 2 < octets:
                filler = min(octets - 4 - len(data), 255)
                data += bytes([1, filler]) + bytes(filler)
            body += (bytes([following, octets // 8 - 1]) + data)[:octets]
        source = b"\xfd" + bytes(14) + bytes([100 + self.random.randrange(100)])
        return [self.ipv6(source, b"\xfd" + bytes(14) + b"\x05", 60, body + self.tcp(self.client_port(), 22))]

    def malformed(self) -> list[bytes]:
        """A frame that breaks a rule, or many of them."""
        good = bytearray(self.ipv4(ip4("192.168.1.77"), self.outside(), 6, self.tcp(self.client_port(), 443)))
        kind = self.random.randrange(8)
        if kind == 0:
            good[14] = self.random.randrange(256)  # version and header length
        elif kind == 1:
            good[16:18] = struct.pack(">H", self.random.randrange(20))  # total length below the header
        elif kind == 2:
            good[46] = 0x10  # TCP data offset
        elif kind == 3:
            return [ethernet(0x8100, b"\x00\x01\x81\x00" * 12 + b"\x08\x00" + bytes(20))]
        elif kind == 4:
            return [ethernet(self.random.choice([0x0800, 0x86DD, 0x0806, 0x8864]), bytes(self.random.randrange(20)))]
        elif kind == 5:
            return [ETHERNET + self.random.randbytes(self.random.randrange(2, 1500))]
        elif kind == 6:
            return [ethernet(0x0806, self.random.randbytes(28))]
        else:
            for _ in range(4):
                good[self.random.randrange(12, len(good))] = self.random.randrange(256)
        return [bytes(good)]

    def scan(self) -> list[bytes]:
        """One port of the planted scan, and the answer that it is closed."""
        self.scanned += 1
        client, port = 40000 + self.scanned, self.scanned
        return [
            self.ipv4(ip4(ATTACKER), ip4(VICTIM), 6, self.tcp(client, port)),
            self.ipv4(ip4(VICTIM), ip4(ATTACKER), 6, self.tcp(port, client, 0x14)),
        ]

    def burst(self) -> list[bytes]:
        """One frame of each of many flows."""
        return [
            self.ipv4(
                bytes([192, 168, 1, 1 + flow // 64]),
                ip4("203.0.113.7"),
                17,
                struct.pack(">HHHH", 40000 + flow % 64, 5001, 26, 0) + bytes(18),
            )
            for flow in range(BURST_FLOWS)
        ]


def recorded(capture: Path) -> list[tuple[float, bytes]]:
    """Frames of a gzip-compressed classic capture, with their times from the first."""
    data, frames, place = gzip.decompress(capture.read_bytes()), [], 24
    while place + 16 <= len(data):
        seconds, micros, kept, _ = struct.unpack_from("<IIII", data, place)
        frames.append((seconds + micros / 1e6, data[place + 16 : place + 16 + kept]))
        place += 16 + kept
    return [(at - frames[0][0], frame) for at, frame in frames]


class Sender:
    """Sends frames at their rates; frames that the kernel does not accept are not counted."""

    def __init__(self, interface: str, seconds: float, capture: Path):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.socket.bind((interface, 0))
        self.frames = Frames(1)
        self.sent = Counter()
        self.ordinary = recorded(capture)
        self.place = 0
        self.seconds = seconds
        self.quiet = min(QUIET[0] * seconds, QUIET[1])
        # Name -> frames or pairs a second, builder.
        self.rates = {
            "decoys": (1100, self.frames.decoy),
            "decoys, IPv6": (200, self.frames.decoy6),
            "noisy hosts": (13, self.frames.noisy),
            "tiny fragments": (40, self.frames.tiny_fragments),
            "lone fragments": (200, self.frames.lone_fragment),
            "extension headers": (40, self.frames.extension_headers),
            "malformed": (100, self.frames.malformed),
        }
        self.owed = Counter()
        self.scan_from = max(self.quiet, seconds * SCAN_FROM)
        self.scan_rate = max(10, SCANNED_PORTS / (seconds * 0.3))
        recovers = seconds * (SCAN_FROM - OVERFLOW[0]) >= RECOVERY_S
        self.bounded = (seconds * OVERFLOW[0] if recovers else 0, seconds * OVERFLOW[1])

    def send(self, name: str, frames: list[bytes]) -> None:
        for frame in frames:
            try:
                self.socket.send(frame)
                self.sent[name] += 1
            except OSError:
                self.sent["not accepted"] += 1

    def play_ordinary(self, now: float) -> None:
        while self.place < len(self.ordinary) and self.ordinary[self.place][0] <= now:
            self.send("ordinary", [self.ordinary[self.place][1]])
            self.place += 1

    def owe(self, name: str, rate: float, build) -> None:
        self.owed[name] += rate * TICK_S
        while self.owed[name] >= 1:
            self.owed[name] -= 1
            self.send(name, build())

    def burst(self, frames: list[bytes], start: float, overflows: bool) -> None:
        parts = [frames[place : place + 200] for place in range(0, len(frames), 200)]
        for part in itertools.cycle(parts):
            if (now := time.monotonic() - start) >= BURST_S:
                return
            self.send("bursts", part)
            if not overflows:
                time.sleep(max(0.0, 200 / BURST_RATE - (time.monotonic() - start - now)))

    def run(self) -> dict:
        burst = self.frames.burst()
        start = time.monotonic()
        burst_every = min(BURST_EVERY_S, self.seconds / 5)
        next_burst = self.quiet + burst_every / 3
        tick = start
        while (now := time.monotonic() - start) < self.seconds:
            self.play_ordinary(now)
            if now >= self.quiet:
                for name, (rate, build) in self.rates.items():
                    self.owe(name, rate, build)
            if now >= self.scan_from and self.frames.scanned < SCANNED_PORTS:
                self.owe("planted scan", self.scan_rate, self.frames.scan)
            if now >= next_burst:
                next_burst += burst_every
                self.burst(burst, time.monotonic(), not self.bounded[0] <= now < self.bounded[1])
            tick = max(tick + TICK_S, time.monotonic() - 1)
            time.sleep(max(0.0, tick - time.monotonic()))
        return dict(self.sent)


def run(interface: str, seconds: float, capture: Path, results) -> None:
    """Runs in a process of its own; puts the counts into the queue."""
    results.put(("wire", Sender(interface, seconds, capture).run()))
