"""Mixes captures, repeated and in given shares, into one plain pcap file of PACKETS packets.

    mixed_capture.py home PACKETS OUTPUT       the project's own captures, one after the other: the worst case
    mixed_capture.py gateway PACKETS OUTPUT    several types of real traffic at once, as a gateway sees them
    mixed_capture.py ordinary PACKETS OUTPUT   the same without attacks: training data for a gateway's release

`home` contains traffic of idle home devices and attacks: 3.4 packets per flow record. `gateway` takes most of its
packets from web, app and streaming sessions and cameras, like the traffic statistics of homes; `GATEWAY` lists its
shares. It needs the captures that `tests/run` reads from the folder in LAPWING_SHARED_DATA.

Each repetition is shifted in time by the duration of its captures, so that flows do not span repetitions. Truncated
packets are padded with zeros to their length on the wire, so that Argus and NFStream do the same work.
"""

import gzip
import heapq
import os
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "tests/data/captures"
SHARED = Path(os.environ.get("LAPWING_SHARED_DATA", ROOT.parent / "shared/data"))
SNAPLEN = 262_144
HEADER = struct.Struct("<IIII")
MAGIC = {b"\xd4\xc3\xb2\xa1": 1, b"\x4d\x3c\xb2\xa1": 1000}
BEGIN_US = 1_700_000_000_000_000
GAP_US = 120_000_000

HOME = [OWN / f"home-{name}.pcap.gz" for name in ("a-benign", "a-attacks", "b-benign", "b-attacks", "a-benign-2")]

ATTACKS = "scans, floods and guessing"

# Type of traffic: its share of the packets, and captures of it. Excludes captures whose clock jumps (instagram) and
# formats other than pcap over Ethernet.
NDPI = "reddit pinterest tumblr teams telegram whatsappfiles wa_video wa_voice youtube_quic waze weibo " \
       "starcraft_battle quic-mvfst-22 dnscrypt-v2-doh tor teamviewer"
GATEWAY = {
    "web, apps, calls and streaming": (0.60, [SHARED / f"ndpi/default/pcap/{name}.pcap" for name in NDPI.split()]
                                       + [SHARED / "joy/pcaps/firefox58.pcap"]),
    "cameras": (0.15, [SHARED / f"tj-iot/pcaps/blink-cam-0{number}.pcap" for number in (1, 2, 3)]),
    "lock hub and smart plug": (0.05, [SHARED / "nku-lifecycle/traffic_demo/xiaodu_plug/xiaodu_plug.pcap",
                                       SHARED / "tj-iot/pcaps/ultraloq-hub-01.pcap"]),
    "a home's day: DNS, NTP, MQTT, discovery": (0.15, [OWN / "home-a-benign.pcap.gz"]),
    ATTACKS: (0.05, [OWN / "home-a-attacks.pcap.gz"]),
}


def packets(path):
    """(microseconds, wire octets, bytes) of a little-endian pcap file."""
    data = Path(path).read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    ticks = MAGIC[data[:4]]
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, captured, wire = HEADER.unpack_from(data, at)
        yield seconds * 1_000_000 + fraction // ticks, wire, data[at + 16 : at + 16 + captured]
        at += 16 + captured


def repeated(captures, count):
    """`count` packets of the captures, one after the other, repeated from the first."""
    one_pass, now = [], 0
    for capture in captures:
        rows = list(packets(capture))
        one_pass += [(now + max(0, at - rows[0][0]), wire, data) for at, wire, data in rows]
        now = max(at for at, _, _ in one_pass) + GAP_US
    base = BEGIN_US
    while True:
        for at, wire, data in one_pass:
            if count == 0:
                return
            count -= 1
            yield base + at, wire, data
        base += now


def missing():
    """Missing captures of the gateway mix."""
    return [path for _, captures in GATEWAY.values() for path in captures if not path.exists()]


def write(kind, count, output):
    """Writes the mix; returns the number of packets."""
    if kind == "home":
        streams = [repeated(HOME, count)]
    else:
        parts = [part for name, part in GATEWAY.items() if kind == "gateway" or name != ATTACKS]
        whole = sum(share for share, _ in parts)
        streams = [repeated(captures, int(count * share / whole)) for share, captures in parts]
    written = 0
    with open(output, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAPLEN, 1))
        for at, wire, data in heapq.merge(*streams, key=lambda row: row[0]):
            file.write(HEADER.pack(*divmod(at, 1_000_000), wire, wire) + data[:wire].ljust(wire, b"\0"))
            written += 1
    return written


if __name__ == "__main__":
    print(write(sys.argv[1], int(sys.argv[2]), sys.argv[3]), "packets")
