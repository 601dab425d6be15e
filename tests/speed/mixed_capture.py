"""The project's own captures, again and again, as one plain pcap file of at least so many packets.

    mixed_capture.py PACKETS OUTPUT CAPTURE...

Every repetition is moved on in time by what the captures span, so that flows do not run into the next repetition's.
Cut packets are filled up with zeros to their octets on the wire: Argus and NFStream then have the same work.
"""

import gzip
import struct
import sys
from pathlib import Path

SNAPLEN = 262_144
HEADER = struct.Struct("<IIII")


def packets(path):
    """(microseconds, wire octets, bytes) of a little-endian pcap file."""
    data = Path(path).read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    at = 24
    while at < len(data):
        seconds, microseconds, captured, wire = HEADER.unpack_from(data, at)
        yield seconds * 1_000_000 + microseconds, wire, data[at + 16 : at + 16 + captured]
        at += 16 + captured


def main(count, output, *captures):
    # Each capture begins where the one before ended; one pass is what all of them hold.
    one_pass, now = [], 0
    for capture in captures:
        rows = list(packets(capture))
        one_pass += [(now + at - rows[0][0], wire, data) for at, wire, data in rows]
        now = one_pass[-1][0] + 120_000_000
    written, base = 0, 1_700_000_000_000_000
    with open(output, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAPLEN, 1))
        while written < int(count):
            for at, wire, data in one_pass:
                file.write(HEADER.pack(*divmod(base + at, 1_000_000), wire, wire) + data.ljust(wire, b"\0"))
            written += len(one_pass)
            base += now
    print(f"{written} packets, {base // 1_000_000 - 1_700_000_000} s of capture time")


if __name__ == "__main__":
    main(*sys.argv[1:])
