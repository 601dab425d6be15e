"""Reads and writes pcap files, parses frames, and updates checksums after changes."""
import gzip, ipaddress, struct

MAGIC_US, MAGIC_NS = 0xA1B2C3D4, 0xA1B23C4D
PROTOCOL_NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}


def read(path):
    """Yields (microseconds, frame, wire length)."""
    data = (gzip.open if str(path).endswith(".gz") else open)(path, "rb").read()
    magic = struct.unpack("<I", data[:4])[0]
    if magic not in (MAGIC_US, MAGIC_NS):
        raise ValueError(f"{path}: not a little-endian pcap file")
    unit = 1 if magic == MAGIC_US else 1000
    at = 24
    while at + 16 <= len(data):
        sec, part, kept, wire = struct.unpack_from("<4I", data, at)
        at += 16
        if at + kept > len(data):
            break  # the capture ends within a record
        yield sec * 1_000_000 + part // unit, data[at:at + kept], wire
        at += kept


def write(path, records, snap=128):
    head = struct.pack("<IHHiIII", MAGIC_US, 2, 4, 0, 0, snap, 1)
    body = [head]
    for when, frame, wire in records:
        body.append(struct.pack("<4I", when // 1_000_000, when % 1_000_000, len(frame), wire))
        body.append(bytes(frame))
    data = b"".join(body)
    if str(path).endswith(".gz"):
        data = pack(data)
    with open(path, "wb") as out:
        out.write(data)
    return len(data)


def pack(data):
    """Reproducible gzip: no file name and no time in the header."""
    import io
    box = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, box, 0) as out:
        out.write(data)
    return box.getvalue()


class Frame:
    """Offsets of the parts of a frame. `proto` is None if the frame is not IP."""
    __slots__ = ("vlan", "kind", "ip", "six", "proto", "src", "dst", "l4", "sport", "dport",
                 "flags", "payload", "ip_length", "fragment")

    def __init__(self, data):
        self.proto = self.sport = self.dport = self.vlan = None
        self.flags, self.six, self.fragment = 0, False, False
        at = 12
        kind = struct.unpack_from("!H", data, at)[0]
        if kind == 0x8100:
            self.vlan = struct.unpack_from("!H", data, 14)[0] & 0xfff
            at = 16
            kind = struct.unpack_from("!H", data, at)[0]
        self.kind, self.ip = kind, at + 2
        ip = self.ip
        if kind == 0x0800 and len(data) >= ip + 20:
            self.src, self.dst = data[ip + 12:ip + 16], data[ip + 16:ip + 20]
            self.proto, self.l4 = data[ip + 9], ip + (data[ip] & 15) * 4
            self.ip_length = struct.unpack_from("!H", data, ip + 2)[0]
            self.fragment = bool(struct.unpack_from("!H", data, ip + 6)[0] & 0x3fff)
        elif kind == 0x86DD and len(data) >= ip + 40:
            self.six = True
            self.src, self.dst = data[ip + 8:ip + 24], data[ip + 24:ip + 40]
            self.proto, self.l4 = data[ip + 6], ip + 40
            self.ip_length = 40 + struct.unpack_from("!H", data, ip + 4)[0]
            if self.proto == 0 and len(data) >= self.l4 + 8:  # hop-by-hop, as MLD has it
                self.proto, self.l4 = data[self.l4], self.l4 + 8 + data[self.l4 + 1] * 8
        if self.proto in (6, 17) and not self.fragment and len(data) >= self.l4 + 8:
            self.sport, self.dport = struct.unpack_from("!HH", data, self.l4)
            self.payload = self.l4 + 8
            if self.proto == 6 and len(data) >= self.l4 + 20:
                self.flags = data[self.l4 + 13]
                self.payload = self.l4 + (data[self.l4 + 12] >> 4) * 4

    def source(self):
        return str(ipaddress.ip_address(bytes(self.src)))

    def target(self):
        return str(ipaddress.ip_address(bytes(self.dst)))

    def conversation(self):
        """One key for both directions, or None."""
        if self.proto is None:
            return None
        if self.sport is not None:
            ends = sorted([(bytes(self.src), self.sport), (bytes(self.dst), self.dport)])
        else:
            ends = sorted([(bytes(self.src), 0), (bytes(self.dst), 0)])
        return (self.proto, *ends[0], *ends[1])

    def checksum_at(self):
        return {6: self.l4 + 16, 17: self.l4 + 6, 1: self.l4 + 2, 58: self.l4 + 2}.get(self.proto)


def ones_sum(data):
    if len(data) % 2:
        data = bytes(data) + b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def change(data, at, new, base, checksum_at):
    """Writes `new` at `at` and updates the checksum incrementally (RFC 1624).

    This works on cut frames too, where the whole sum cannot be made again.
    """
    if checksum_at is not None and checksum_at + 2 <= len(data):
        old = struct.unpack_from("!H", data, checksum_at)[0]
        difference = sum((n - data[at + i]) << (0 if (at + i - base) % 2 else 8)
                         for i, n in enumerate(new))
        total = ((~old & 0xffff) + difference) % 0xffff
        struct.pack_into("!H", data, checksum_at, ~total & 0xffff)
    data[at:at + len(new)] = new


def checksums_right(data, wire):
    """Whether the checksum is correct, or None if the frame is truncated."""
    f = Frame(data)
    if f.proto is None:
        return None
    if not f.six and ones_sum(data[f.ip:f.l4 if f.proto else f.ip + 20]) != 0xffff:
        return False
    end = f.ip + f.ip_length
    if f.fragment or end > len(data) or f.checksum_at() is None:
        return None
    if f.proto == 17 and data[f.l4 + 6:f.l4 + 8] == b"\0\0":
        return None
    body = bytes(data[f.l4:end])
    pseudo = b"" if f.proto == 1 else bytes(f.src) + bytes(f.dst) + struct.pack("!II", f.proto, len(body))
    return ones_sum(pseudo + body) == 0xffff
