"""Counts packets, flows, protocols and attack matches of the captures, for the README and check-captures.

usage: count.py FOLDER
"""
import collections, csv, glob, os, sys
from packets import Frame, PROTOCOL_NAMES, read


def labels(path):
    with open(path, newline="") as sheet:
        return list(csv.DictReader(sheet))


def labels_path(capture):
    return capture.replace(".pcap.gz", "").replace(".pcap", "") + ".labels.csv"


def count(path):
    packets, flows, kinds, vlan = 0, set(), collections.Counter(), 0
    first = last = None
    for when, data, _ in read(path):
        f = Frame(data)
        packets += 1
        first = when if first is None else first
        last = when
        vlan += f.vlan is not None
        kinds["arp" if f.kind == 0x0806 else PROTOCOL_NAMES.get(f.proto, "other")] += 1
        key = f.conversation()
        if key is not None:
            flows.add(key)
    return dict(packets=packets, flows=len(flows), hours=(last - first) / 3.6e9, kinds=kinds, vlan=vlan)


def main():
    total = 0
    for path in sorted(glob.glob(f"{sys.argv[1]}/*.pcap*")):
        c, size = count(path), os.path.getsize(path)
        total += size
        print(f"| `{os.path.basename(path)}` | {size} | {c['hours']:.2f} | {c['packets']} | {c['flows']} | "
              + " | ".join(str(c["kinds"][k]) for k in ("tcp", "udp", "icmp", "icmp6", "arp", "other"))
              + f" | {c['vlan']} |")
    print("total bytes", total)


if __name__ == "__main__":
    main()
