"""Flows of a capture by Argus, NFStream and nDPI, in the format of `flow_tallies`."""

import csv
import re
import shutil
import subprocess
from pathlib import Path

from flow_tallies import ACTIVE_TIMEOUT_S, IDLE_TIMEOUT_S, PROTOCOLS, Flow, endpoint

ARGUS_PROTOCOLS = {"ipv6-icmp": "icmpv6", "igmp": "2", "esp": "50", "gre": "47", "sctp": "132"}
# nDPI writes names where the agent writes numbers.
NDPI_PROTOCOLS = {"IGMP": "2", "ESP": "50", "AH": "51", "OSPF": "89", "PIM": "103", "VRRP": "112", "PGM": "113", "SCTP": "132"}
# "	1	UDP 10.0.0.1:53 <-> [fe80::1]:5353 [VLAN: 3]…[6 pkts/1254 bytes <-> 6 pkts/418 bytes]"
NDPI_FLOW = re.compile(
    r"^\t\d+\t(?P<protocol>\S+) (?P<source>\S+) <?-> (?P<destination>\S+) .*?"
    r"\[(?P<there>\d+) pkts/(?P<there_octets>\d+) bytes <?-> (?P<back>\d+) pkts/(?P<back_octets>\d+) bytes\]"
)


def has_argus():
    return shutil.which("argus") and shutil.which("ra")


def argus(capture, directory):
    """Argus counts octets on the wire, and reports all flows at the end of its input (status interval: an hour)."""
    data = Path(directory) / "argus.data"
    data.unlink(missing_ok=True)
    run = {"check": True, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "timeout": 300}
    subprocess.run(["argus", "-X", "-r", capture, "-w", data, "-S", "3600", "-A"], **run)
    fields = "stime ltime proto saddr sport daddr dport spkts dpkts sbytes dbytes".split()
    text = subprocess.run(["ra", "-X", "-r", data, "-n", "-u", "-p", "6", "-c", ",", "-L", "0", "-s", *fields], **run).stdout
    flows = []
    for row in csv.DictReader(text.decode().splitlines()):
        if row["Proto"] == "man":
            continue
        protocol = ARGUS_PROTOCOLS.get(row["Proto"], row["Proto"])
        flows.append(
            Flow(
                protocol=protocol,
                source=endpoint(row["SrcAddr"], port(protocol, row["Sport"])),
                destination=endpoint(row["DstAddr"], port(protocol, row["Dport"])),
                start=int(row["StartTime"].replace(".", "")) * 1000,
                end=int(row["LastTime"].replace(".", "")) * 1000,
                packets=(int(row["SrcPkts"] or 0), int(row["DstPkts"] or 0)),
                octets=(0, 0),
                frame_octets=(int(row["SrcBytes"] or 0), int(row["DstBytes"] or 0)),
            )
        )
    return flows


def port(protocol, text):
    """Argus puts ICMP types and identifiers into the port columns."""
    return int(text) if protocol in ("tcp", "udp", "sctp") and text.isdigit() else 0


def nfstream(capture, accounting_mode, idle=IDLE_TIMEOUT_S, active=ACTIVE_TIMEOUT_S):
    """NFStream's flows. Accounting mode 0 counts octets on the wire, 1 those of the network layer."""
    from nfstream import NFStreamer

    rows = NFStreamer(
        source=str(capture),
        idle_timeout=idle,
        active_timeout=active,
        accounting_mode=accounting_mode,
        n_dissections=0,
        n_meters=1,
    )
    return [from_nfstream(row, accounting_mode) for row in rows]


def from_nfstream(row, accounting_mode):
    octets = (row.src2dst_bytes, row.dst2src_bytes)
    return Flow(
        protocol=PROTOCOLS.get(row.protocol, str(row.protocol)),
        source=endpoint(row.src_ip, row.src_port),
        destination=endpoint(row.dst_ip, row.dst_port),
        start=row.bidirectional_first_seen_ms * 1_000_000,
        end=row.bidirectional_last_seen_ms * 1_000_000,
        packets=(row.src2dst_packets, row.dst2src_packets),
        octets=octets if accounting_mode == 1 else (0, 0),
        frame_octets=octets if accounting_mode == 0 else (0, 0),
    )


def ndpi(result):
    """Flows of an nDPI result file: packets, octets on the wire, no end times."""
    flows = []
    for line in result.read_text(errors="replace").splitlines():
        found = NDPI_FLOW.match(line)
        if not found:
            continue
        flows.append(
            Flow(
                protocol=NDPI_PROTOCOLS.get(found["protocol"], found["protocol"].lower()),
                source=ndpi_endpoint(found["source"]),
                destination=ndpi_endpoint(found["destination"]),
                start=0,
                end=0,
                packets=(int(found["there"]), int(found["back"])),
                octets=(0, 0),
                frame_octets=(int(found["there_octets"]), int(found["back_octets"])),
            )
        )
    return flows


def ndpi_endpoint(text):
    address, _, number = text.rpartition(":")
    return endpoint(address.strip("[]"), int(number))
