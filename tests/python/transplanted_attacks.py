#!/usr/bin/env python3
"""Attacks recorded elsewhere, set into the traffic of a real home → how many are detected, and false episodes a day.

    tests/python/transplanted_attacks.py make DATA OUT      captures of the home and of the attacks → OUT/*.pcap, OUT/attacks.json
    tests/python/transplanted_attacks.py count OUT ALERTS   alerts of `lapwing-agent replay OUT/home.pcap --alerts ALERTS`

`make` writes home.pcap (all days, with the attacks), quiet.pcap (the days before the first attack), train.pcap and
calibrate.pcap (two parts of quiet.pcap, to make a release of the site), and test.pcap (the days with attacks).
Attacks begin every 3.5 hours. Their addresses are replaced by hosts of the home, their times are moved, and their packets get
Ethernet headers; nothing else changes. transplanted_attacks.json lists captures and replaced addresses; DATA is the folder
that its paths are relative to. The captures are not part of this repository; docs/measurements.md says where they are from.

An attack is detected if an episode of one of its hosts opens between its first packet and two minutes after its last.
An episode is false if it opens outside of all attacks. Needs Python's standard library only.
"""
import collections
import ipaddress
import json
import pathlib
import struct
import sys

INTERVAL_S = 3.5 * 3600
GRACE_S = 120
DAY_S = 86400
ETHERNET, LINUX_SLL, RAW = 1, 113, (12, 14, 101, 228)


def pcap_frames(data):
    """(time, link type, frame) of a classic capture."""
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    fraction = 1e9 if data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d") else 1e6
    (link,) = struct.unpack_from(order + "I", data, 20)
    at = 24
    while at + 16 <= len(data):
        seconds, part, length, _ = struct.unpack_from(order + "IIII", data, at)
        yield seconds + part / fraction, link & 0xFFFF, data[at + 16 : at + 16 + length]
        at += 16 + length


def resolution(options, order):
    """Ticks a second, from the options of an interface description."""
    at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from(order + "HH", options, at)
        if code == 9:
            exponent = options[at + 4]
            return 2.0 ** (exponent & 0x7F) if exponent & 0x80 else 10.0**exponent
        at += 4 + (length + 3 & ~3)
    return 1e6


def pcapng_frames(data):
    """(time, link type, frame) of a pcapng file."""
    at, order, interfaces = 0, "<", []
    while at + 12 <= len(data):
        (kind,) = struct.unpack_from(order + "I", data, at)
        if kind == 0x0A0D0D0A:
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        (length,) = struct.unpack_from(order + "I", data, at + 4)
        if kind == 1:
            (link,) = struct.unpack_from(order + "H", data, at + 8)
            interfaces.append((link, resolution(data[at + 16 : at + length - 4], order)))
        elif kind == 6:
            number, high, low, captured = struct.unpack_from(order + "IIII", data, at + 8)
            link, ticks = interfaces[number]
            yield (high << 32 | low) / ticks, link, data[at + 28 : at + 28 + captured]
        at += max(length, 12)


def packets(path):
    """(time, EtherType, packet) of the IPv4 and ARP packets of a capture."""
    data = path.read_bytes()
    frames = pcapng_frames(data) if data[:4] == b"\x0a\x0d\x0d\x0a" else pcap_frames(data)
    for time, link, frame in frames:
        if link in RAW:
            kind, at = 0x0800, 0
        elif link in (ETHERNET, LINUX_SLL):
            at = 14 if link == ETHERNET else 16
            kind = int.from_bytes(frame[at - 2 : at], "big")
        else:
            raise SystemExit(f"{path}: link type {link} is not supported")
        while kind == 0x8100:
            kind, at = int.from_bytes(frame[at + 2 : at + 4], "big"), at + 4
        if (kind == 0x0800 and len(frame) >= at + 20) or (kind == 0x0806 and len(frame) >= at + 28):
            yield time, kind, bytearray(frame[at:])


def replacements(hosts, found):
    """Addresses to replace. "busiest-target" stands for the destination of the most packets."""
    targets = collections.Counter(bytes(packet[16:20]) for _, kind, packet in found if kind == 0x0800)
    packed = lambda text: ipaddress.IPv4Address(text).packed
    busiest = targets.most_common(1)[0][0]
    return {busiest if old == "busiest-target" else packed(old): packed(new) for old, new in hosts.items()}


def checksum(header):
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def moved(found, new, start):
    """The attack's packets from `start` on, with the home's addresses, as Ethernet frames."""
    begin = found[0][0]
    for time, kind, packet in found:
        for at in (12, 16) if kind == 0x0800 else (14, 24):
            packet[at : at + 4] = new.get(bytes(packet[at : at + 4]), packet[at : at + 4])
        source, target = bytes(packet[12:16]), bytes(packet[16:20])
        if kind == 0x0800:
            packet[10:12] = bytes(2)
            packet[10:12] = checksum(bytes(packet[: (packet[0] & 15) * 4])).to_bytes(2, "big")
        else:
            source, target = bytes(packet[14:18]), b"\xff" * 4
        addresses = b"\x02\0" + target + b"\x02\0" + source
        yield start + time - begin, addresses + kind.to_bytes(2, "big") + bytes(packet)


def write(path, frames):
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, ETHERNET))
        for time, frame in frames:
            seconds = int(time)
            micros = min(round((time - seconds) * 1e6), 999_999)
            out.write(struct.pack("<IIII", seconds, micros, len(frame), len(frame)) + frame)


def make(data, out):
    plan = json.loads((pathlib.Path(__file__).parent / "transplanted_attacks.json").read_text())
    out.mkdir(parents=True, exist_ok=True)
    home = []
    for name in plan["home"]:
        content = (data / name).read_bytes()
        home += [(time, frame) for time, _, frame in pcap_frames(content)]
    home.sort(key=lambda frame: frame[0])
    train_until, attacks_from = plan["train-until-s"], plan["attacks-from-s"]
    days = [frame for frame in home if frame[0] < plan["until-s"]]
    attacks, labels, start = [], [], attacks_from + 3600
    for attack in plan["attacks"]:
        found = list(packets(data / attack["capture"]))
        new = replacements(attack["hosts"], found)
        frames = list(moved(found, new, start))
        attacks += frames
        hosts = [str(ipaddress.IPv4Address(address)) for address in new.values()]
        labels.append({"name": attack["name"], "from_s": start, "until_s": max(frames)[0], "hosts": hosts})
        start += INTERVAL_S
    quiet = [frame for frame in days if frame[0] < attacks_from]
    test = sorted([frame for frame in days if frame[0] >= attacks_from] + attacks, key=lambda frame: frame[0])
    write(out / "quiet.pcap", quiet)
    write(out / "train.pcap", [frame for frame in quiet if frame[0] < train_until])
    write(out / "calibrate.pcap", [frame for frame in quiet if frame[0] >= train_until])
    write(out / "test.pcap", test)
    write(out / "home.pcap", quiet + test)
    (out / "attacks.json").write_text(json.dumps({"begin_s": days[0][0], "attacks": labels}, indent=1))
    print(f"{len(quiet) + len(test)} packets of {(days[-1][0] - days[0][0]) / DAY_S:.1f} days, {len(labels)} attacks")


def count(out, alerts):
    plan = json.loads((out / "attacks.json").read_text())
    labels, begin_s = plan["attacks"], plan["begin_s"]
    opened = [json.loads(line) for line in alerts.read_text().splitlines()]
    opened = [alert for alert in opened if alert["state"] == "opened" and not alert["test"]]
    inside = lambda alert, label: label["from_s"] <= alert["at_s"] <= label["until_s"] + GRACE_S
    detected = 0
    for label in labels:
        concerns = lambda alert: alert["host"] in label["hosts"] or any(p["address"] in label["hosts"] for p in alert["peers"])
        delays = [alert["at_s"] - label["from_s"] for alert in opened if inside(alert, label) and concerns(alert)]
        detected += bool(delays)
        print(f"{label['name']:28} {f'after {min(delays):.1f} s' if delays else 'missed'}")
    false = [alert for alert in opened if not any(inside(alert, label) for label in labels)]
    days = collections.Counter(int((alert["at_s"] - begin_s) // DAY_S) for alert in false)
    each = ", ".join(f"day {day + 1}: {days[day]}" for day in sorted(days))
    print(f"{detected} of {len(labels)} attacks detected, {len(false)} false episodes ({each or 'none'})")


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("make", "count"):
        raise SystemExit(__doc__)
    {"make": make, "count": count}[sys.argv[1]](pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
