#!/usr/bin/env python3
"""Writes the seed inputs of the targets `packet` and `capture_file` to corpus/. Needs only Python."""
import gzip
import pathlib
import struct

HERE = pathlib.Path(__file__).parent / "corpus"
MACS = bytes(range(12))


def ipv4(protocol, payload, fragment=0, options=b""):
    total = 20 + len(options) + len(payload)
    ihl = 0x45 + len(options) // 4
    head = struct.pack(">BBHHHBBH", ihl, 0, total, 7, fragment, 64, protocol, 0)
    return head + bytes([10, 0, 0, 1, 192, 0, 2, 7]) + options + payload


def ipv6(header, payload):
    return struct.pack(">IHBB", 0x60000000, len(payload), header, 64) + bytes(range(32)) + payload


def ethernet(kind, content):
    return MACS + struct.pack(">H", kind) + content


TCP = struct.pack(">HHIIBBHHH", 40000, 443, 1, 2, 0x80, 0x18, 8192, 0, 0) + b"\1" * 12 + b"hello"
UDP = struct.pack(">HHHH", 5353, 53, 12, 0) + b"abcd"
ICMP = struct.pack(">BBHI", 8, 0, 0, 1) + b"ping"
ARP = struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + MACS[:6] + b"\x0a\0\0\1" + MACS[6:] + b"\x0a\0\0\2"
CHAIN = bytes([43, 0, 1, 4, 0, 0, 0, 0]) + bytes([44, 0, 0, 0, 0, 0, 0, 0]) + bytes([51, 0, 0, 1, 0, 0, 0, 9])
CHAIN += bytes([60, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]) + bytes([17, 0, 1, 4, 0, 0, 0, 0]) + UDP
FRAMES = {
    "tcp": (0, ethernet(0x0800, ipv4(6, TCP))),
    "udp-options": (0, ethernet(0x0800, ipv4(17, UDP, options=b"\1" * 8))),
    "icmp": (0, ethernet(0x0800, ipv4(1, ICMP))),
    "fragment": (0, ethernet(0x0800, ipv4(17, UDP * 4, fragment=0x2001))),
    "sctp": (0, ethernet(0x0800, ipv4(132, bytes(28)))),
    "dccp": (0, ethernet(0x0800, ipv4(33, bytes([0, 1, 0, 2, 4]) + bytes(15)))),
    "ipv6-chain": (0, ethernet(0x86DD, ipv6(0, CHAIN))),
    "qinq": (0, ethernet(0x88A8, struct.pack(">HHHH", 7, 0x8100, 9, 0x0800) + ipv4(6, TCP))),
    "pppoe": (0, ethernet(0x8864, struct.pack(">BBHHH", 0x11, 0, 1, 99, 0x57) + ipv6(6, TCP))),
    "snap": (0, ethernet(60, bytes([0xAA, 0xAA, 3, 0, 0, 0]) + struct.pack(">H", 0x800) + ipv4(17, UDP))),
    "arp": (0, ethernet(0x0806, ARP)),
    "sll": (1, struct.pack(">HHH8sH", 0, 1, 6, MACS[:8], 0x0800) + ipv4(6, TCP)),
    "sll2": (2, struct.pack(">HHIHBB8s", 0x86DD, 0, 3, 1, 0, 6, MACS[:8]) + ipv6(58, ICMP)),
    "raw": (3, ipv4(17, UDP)),
    "loopback": (4, struct.pack("<I", 30) + ipv6(17, UDP)),
}


def block(order, kind, body):
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def pcap(order, magic):
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1)
    for seconds, (_, frame) in enumerate(list(FRAMES.values())[:4]):
        out += struct.pack(order + "IIII", seconds, 5, len(frame), len(frame)) + frame
    return out


def pcapng(order):
    frame = FRAMES["tcp"][1]
    clock = option(order, 9, b"\x8a") + option(order, 14, struct.pack(order + "q", 100)) + option(order, 13, b"\4")
    packet = struct.pack(order + "IIIII", 0, 1, 2, len(frame), len(frame)) + frame + bytes(-len(frame) % 4)
    old = struct.pack(order + "HHIIII", 1, 0, 1, 2, len(frame), len(frame)) + frame
    return b"".join([
        block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)),
        block(order, 1, struct.pack(order + "HHI", 1, 0, 96) + clock),
        block(order, 1, struct.pack(order + "HHI", 195, 0, 0)),
        block(order, 6, packet + option(order, 1, b"comment")),
        block(order, 3, struct.pack(order + "I", len(frame)) + frame),
        block(order, 2, old),
        block(order, 0x0BADCAFE, b"unknown"),
    ])


def write(target, name, data):
    (HERE / target).mkdir(parents=True, exist_ok=True)
    (HERE / target / name).write_bytes(data)


for name, (link, frame) in FRAMES.items():
    write("packet", name, bytes([link, 0, 0]) + frame)
write("packet", "snaplen", bytes([0, 4, 0]) + FRAMES["tcp"][1][:54])
write("capture_file", "pcap-little-micro", pcap("<", 0xA1B2C3D4))
write("capture_file", "pcap-big-nano", pcap(">", 0xA1B23C4D))
write("capture_file", "pcapng-little", pcapng("<"))
write("capture_file", "pcapng-big-then-little", pcapng(">") + pcapng("<"))
write("capture_file", "pcap-gzip", gzip.compress(pcap("<", 0xA1B2C3D4), mtime=0))
write("capture_file", "text", b"time,source,destination\n")
