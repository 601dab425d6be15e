"""Rewrites a recorded session as a distinct repetition at a new time.

Changed: client ports, TCP sequence numbers and time stamps, IP ids, DNS ids, DHCP and echo ids,
small time jitter, and the VLAN tag of the IoT network at home-b.
Kept: the order of the frames, their sizes, their flags, and the servers' replies.
"""
import struct
from packets import Frame, change

KEEP_FULL = 1      # payload frames per direction kept up to the snap length
KEEP_BYTES = 4     # payload bytes kept of the later ones
SMALL_PORTS = {53, 67, 68, 5353, 1900, 123, 23, 2323, 547, 546}
CLIENT_PORTS = (32768, 60999)


class Ports:
    """Gives each repetition a client port that no earlier one used with the same endpoint."""
    def __init__(self, dice):
        self.dice, self.used = dice, set()

    def new(self, proto, source, target):
        while True:
            port = self.dice.randint(*CLIENT_PORTS)
            if (proto, source, target, port) not in self.used:
                self.used.add((proto, source, target, port))
                return port


def new_times(session, dice, stretch):
    """Varies each gap slightly; long gaps of a stretched connection become `stretch` s."""
    now, before, times = 0.0, 0, []
    for t, _, _ in session.frames:
        gap = t - before
        before = t
        if stretch and gap > 350_000:
            now += max(1.0, dice.gauss(stretch, stretch * 0.06)) * 1e6
        else:
            now += gap * dice.uniform(0.97, 1.03)
        times.append(int(now))
    return times


def add32(data, at, amount):
    return struct.pack("!I", (struct.unpack_from("!I", data, at)[0] + amount) & 0xffffffff)


def place(session, start, dice, ports, vlan=None, stretch=0, as_recorded=False):
    """The session's frames at their new times: (microseconds, frame, wire length)."""
    times = new_times(session, dice, stretch)
    convs, out, kept, echo, ids = {}, [], {}, {}, {}
    names, lease = {}, dice.getrandbits(32)
    for (old, data, wire), t in zip(session.frames, times):
        data = bytearray(data)
        f = Frame(data)
        if not as_recorded and f.proto is not None and not f.fragment:
            rewrite(f, data, dice, ports, convs, echo, ids, names, lease, (t - old) // 1000)
        elif stretch and f.proto == 6:
            shift_clock(f, data, (t - old) // 1000)
        if f.sport is not None and not {f.sport, f.dport} & SMALL_PORTS:
            way = (f.conversation(), bytes(f.src), f.sport)
            if len(data) > f.payload:
                kept[way] = kept.get(way, 0) + 1
                if kept[way] > KEEP_FULL:
                    data = data[:f.payload + KEEP_BYTES]
        if vlan is not None:
            data[12:12] = struct.pack("!HH", 0x8100, vlan)
            data, wire = data[:128], wire + 4
        out.append((start + t, bytes(data), wire))
    return out


def shift_clock(f, data, ms):
    for at, length, kind in options(f, data):
        if kind == 8 and length == 10:
            change(data, at + 2, add32(data, at + 2, ms), f.l4, f.l4 + 16)


def options(f, data):
    at, end = f.l4 + 20, min(f.payload, len(data))
    while at + 1 < end:
        kind = data[at]
        if kind == 0:
            return
        if kind == 1:
            at += 1
            continue
        length = data[at + 1]
        if length < 2 or at + length > end:
            return
        yield at, length, kind
        at += length


def rewrite(f, data, dice, ports, convs, echo, ids, names, lease, shift):
    if not f.six:
        number = struct.unpack_from("!H", data, f.ip + 4)[0]
        if number:
            add = ids.setdefault(bytes(f.src), dice.randrange(65536))
            change(data, f.ip + 4, struct.pack("!H", (number + add) & 0xffff), f.ip, f.ip + 10)
    check = f.checksum_at()
    if f.proto == 17 and data[f.l4 + 6:f.l4 + 8] == b"\0\0":
        check = None
    if f.proto in (1, 58):
        kind = data[f.l4]
        if kind in ((8, 0) if f.proto == 1 else (128, 129)):
            new = echo.setdefault(bytes(data[f.l4 + 4:f.l4 + 6]), dice.randrange(65536))
            change(data, f.l4 + 4, struct.pack("!H", new), f.l4, check)
        elif kind in ((3, 11) if f.proto == 1 else (1, 3)):
            quoted_port(f, data, convs, check)
        return
    if f.sport is None:
        return
    key = f.conversation()
    conv = convs.get(key)
    if conv is None:
        conv = convs[key] = dict(client=(bytes(f.src), f.sport), seq={}, clock={}, map={}, port=f.sport)
        if f.sport >= 32768 and f.proto in (6, 17):
            conv["port"] = ports.new(f.proto, bytes(f.src), (bytes(f.dst), f.dport))
    forward = (bytes(f.src), f.sport) == conv["client"]
    if f.proto == 6:
        rewrite_tcp(f, data, dice, conv, forward, shift, check)
    elif 53 in (f.sport, f.dport) and len(data) >= f.l4 + 10:
        old = bytes(data[f.l4 + 8:f.l4 + 10]) + struct.pack("!H", conv["port"])
        new = names.setdefault(old, dice.randrange(65536))
        change(data, f.l4 + 8, struct.pack("!H", new), f.l4, check)
    elif 67 in (f.sport, f.dport) and len(data) >= f.l4 + 16:
        change(data, f.l4 + 12, struct.pack("!I", lease), f.l4, check)
    change(data, f.l4 + (0 if forward else 2), struct.pack("!H", conv["port"]), f.l4, check)
    f.sport, f.dport = struct.unpack_from("!HH", data, f.l4)


def rewrite_tcp(f, data, dice, conv, forward, shift, check):
    mine = conv["seq"].setdefault(forward, dice.getrandbits(32))
    theirs = conv["seq"].setdefault(not forward, dice.getrandbits(32))
    if data[f.l4 + 4:f.l4 + 8] != b"\0\0\0\0" or not f.flags & 4:
        change(data, f.l4 + 4, add32(data, f.l4 + 4, mine), f.l4, check)
    if f.flags & 0x10:
        change(data, f.l4 + 8, add32(data, f.l4 + 8, theirs), f.l4, check)
    for at, length, kind in list(options(f, data)):
        if kind == 8 and length == 10:
            clock = conv["clock"].setdefault(forward, dice.getrandbits(31))
            other = conv["clock"].setdefault(not forward, dice.getrandbits(31))
            old = bytes(data[at + 2:at + 6])
            new = add32(data, at + 2, clock + shift)
            conv["map"][forward, old] = new
            change(data, at + 2, new, f.l4, check)
            back = bytes(data[at + 6:at + 10])
            if back != b"\0\0\0\0":
                change(data, at + 6, conv["map"].get((not forward, back)) or
                       add32(data, at + 6, other), f.l4, check)
        elif kind == 5:
            for edge in range(at + 2, at + length - 3, 4):
                change(data, edge, add32(data, edge, theirs), f.l4, check)


def quoted_port(f, data, convs, check):
    """Rewrites the client port of the frame quoted in an ICMP error."""
    inner = f.l4 + 8
    at = inner + (40 if f.six else (data[inner] & 15) * 4 if inner < len(data) else 0)
    if at + 4 > len(data):
        return
    for conv in convs.values():
        if data[at:at + 2] == struct.pack("!H", conv["client"][1]):
            change(data, at, struct.pack("!H", conv["port"]), f.l4, check)
            return
