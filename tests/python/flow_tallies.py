"""Flow records of the built agent and of other tools in one format: a tally for each pair of endpoints.

A key is (protocol, endpoint, endpoint) with the endpoints in a fixed order, so that it does not depend on which endpoint
a tool considers the initiator. A tally counts packets and octets sent by the first and by the second endpoint.
"""

import csv
import gzip
import ipaddress
import os
import struct
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Names written by the agent; other protocols are numbers.
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
# Both tools get the same timeouts, seconds; the active one is the longest that the agent allows.
IDLE_TIMEOUT_S, ACTIVE_TIMEOUT_S = 60, 3600


@dataclass
class Flow:
    """One exported row. Times are nanoseconds since the epoch."""

    protocol: str
    source: tuple
    destination: tuple
    start: int
    end: int
    packets: tuple
    octets: tuple
    frame_octets: tuple = (0, 0)
    end_reason: str = ""
    flags: tuple = (0, 0)
    icmp_type: int = 0

    @property
    def key(self):
        return key_of(self.protocol, self.source, self.destination)


@dataclass
class Tally:
    """Packets and octets sent by the first and by the second endpoint of a key, and their rows."""

    packets: list = field(default_factory=lambda: [0, 0])
    octets: list = field(default_factory=lambda: [0, 0])
    flows: list = field(default_factory=list)

    def counts(self):
        return tuple(self.packets), tuple(self.octets)


def key_of(protocol, source, destination):
    return (protocol, *sorted((source, destination)))


def endpoint(address, port):
    """Normalises an address; the port is 0 for protocols without ports (ICMP, ARP)."""
    try:
        address = str(ipaddress.ip_address(address))
    except ValueError:
        address = address.lower()
    return address, port


def tally(flows, octets="octets", without_ports=()):
    """Sums flows by key; protocols in `without_ports` are summed by address pair."""
    tallies = defaultdict(Tally)
    for flow in flows:
        source, destination = flow.source, flow.destination
        if flow.protocol in without_ports:
            source, destination = (source[0], 0), (destination[0], 0)
        entry = tallies[key_of(flow.protocol, source, destination)]
        order = (0, 1) if source <= destination else (1, 0)
        for place, packets, size in zip(order, flow.packets, getattr(flow, octets)):
            entry.packets[place] += packets
            entry.octets[place] += size
        entry.flows.append(flow)
    return {key: entry for key, entry in tallies.items() if any(entry.packets)}


def differences(ours, theirs):
    """Keys whose counts differ, with the counts of both sides (None if a side lacks the key)."""
    found = {}
    for key in ours.keys() | theirs.keys():
        pair = tuple(side[key].counts() if key in side else None for side in (ours, theirs))
        if pair[0] != pair[1]:
            found[key] = pair
    return found


def agent_binary():
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    return Path(os.environ.get("LAPWING_AGENT", Path(target) / "debug/lapwing-agent"))


def lapwing(capture, directory, idle=IDLE_TIMEOUT_S, active=ACTIVE_TIMEOUT_S):
    """The agent's records of a capture."""
    records = Path(directory) / "records.csv"
    command = [agent_binary(), "replay", capture, "--idle-timeout", f"{idle}s", "--active-timeout", f"{active}s"]
    # The agent meters a truncated capture up to its last whole packet and reports the truncation by its exit code.
    subprocess.run([*map(str, command), "--records", str(records)], stderr=subprocess.DEVNULL, timeout=300, check=False)
    with open(records, newline="") as file:
        return [from_record(row) for row in csv.DictReader(file)]


def from_record(row):
    def pair(name):
        return int(row[f"forward_{name}"]), int(row[f"reverse_{name}"])

    return Flow(
        protocol=row["protocol"],
        source=endpoint(row["source"], int(row["source_port"])),
        destination=endpoint(row["destination"], int(row["destination_port"])),
        start=int(row["start_s"].replace(".", "")),
        end=int(row["end_s"].replace(".", "")),
        packets=pair("packets"),
        octets=pair("octets"),
        frame_octets=pair("frame_octets"),
        end_reason=row["end_reason"],
        flags=pair("tcp_flags"),
        icmp_type=int(row["icmp_type"]),
    )


def padded(capture, directory):
    """Copies a little-endian pcap file and pads truncated packets with zeros to their length on the wire.

    For tools that reject or miscount truncated packets.
    """
    data = gzip.decompress(capture.read_bytes()) if capture.suffix == ".gz" else capture.read_bytes()
    copy = bytearray(data[:16] + struct.pack("<I", 262_144) + data[20:24])
    at = 24
    while at < len(data):
        seconds, fraction, captured, wire = struct.unpack_from("<IIII", data, at)
        copy += struct.pack("<IIII", seconds, fraction, wire, wire)
        copy += data[at + 16 : at + 16 + captured].ljust(wire, b"\0")
        at += 16 + captured
    path = Path(directory) / (capture.name.removesuffix(".gz"))
    path.write_bytes(copy)
    return path
