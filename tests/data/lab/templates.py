"""Splits the recordings into sessions: the frames of one recorded session of one host."""
import glob, json, os
from packets import Frame, read
from places import HOSTS, SITES

GROUP = 1  # the group bit in the first byte of a MAC address


class Session:
    def __init__(self, entry):
        self.__dict__.update(entry)
        self.frames = []  # (microseconds since the first, frame, wire length)

    def length(self):
        return self.frames[-1][0] if self.frames else 0


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def load(folder):
    """All sessions with at least one frame, in the order of recording."""
    entries = []
    for path in sorted(glob.glob(f"{folder}/sessions-*.json")):
        entries += json.load(open(path))
    result = []
    for site, place in SITES.items():
        for lan, part in place["lans"].items():
            hosts = {mac(h.mac): h for h in HOSTS[site] if h.lan == lan}
            for phase, cut in (("benign", cut_benign), ("attacks", cut_attacks)):
                path = f"{folder}/{phase}-{site}-{lan}.pcap"
                mine = [e for e in entries if e["site"] == site and e["phase"] == phase]
                if os.path.exists(path) and mine:
                    result += cut(path, [e for e in mine if e["host"] in
                                         [h.name for h in hosts.values()]], hosts, mac(part["mac"]), site, lan)
    result = [s for s in result if s.frames]
    for s in result:
        start = s.frames[0][0]
        s.frames = [(t - start, f, w) for t, f, w in s.frames]
    return result


def cut_benign(path, entries, hosts, gw, site, lan):
    by_host = {}
    for e in entries:
        by_host.setdefault(e["host"], []).append(Session(e))
    adverts, owner = [], {}

    def active(name, when):
        for s in by_host.get(name, []):
            if s.begin * 1e6 <= when < s.end * 1e6:
                return s
        return None

    for when, data, wire in read(path):
        f = Frame(data)
        to, sender = data[0:6], data[6:12]
        if sender == gw and to[0] & GROUP:
            if f.proto == 58 and data[f.l4] == 134:
                advert = Session(dict(phase="benign", site=site, host="gateway-" + lan, kind="router-advert",
                                      begin=when / 1e6, end=when / 1e6, code=0))
                advert.frames.append((when, data, wire))
                adverts.append(advert)
                continue
            if f.kind != 0x0806:
                continue
        # Assign multicast traffic by sender: several hosts may use the same addresses.
        key = None if to[0] & GROUP else f.conversation()
        if key is not None and f.sport is not None and key in owner:
            s = owner[key]
            # A port reused much later belongs to a newer session.
            if when < s.end * 1e6 + 3e6:
                s.frames.append((when, data, wire))
                continue
        if f.kind == 0x0806 and sender == gw and to[0] & GROUP:
            wanted = ".".join(str(b) for b in data[f.ip + 24:f.ip + 28])
            name = next((h.name for h in hosts.values() if h.ip == wanted), None)
        elif sender in hosts:
            name = hosts[sender].name
            if active(name, when) is None and to in hosts:
                name = hosts[to].name
        elif to in hosts:
            name = hosts[to].name
        else:
            name = None
        s = active(name, when) if name else None
        if s is None:
            continue
        if key is not None and f.sport is not None:
            if f.proto == 6 and not f.flags & 2:
                continue  # the tail of a conversation whose start was not recorded
            owner[key] = s
        s.frames.append((when, data, wire))
    sessions = [s for group in by_host.values() for s in group] + adverts
    for s in sessions:
        s.frames.sort(key=lambda r: r[0])
    return sorted(sessions, key=lambda s: s.begin)


def cut_attacks(path, entries, hosts, gw, site, lan):
    sessions = [Session(e) for e in entries]
    for when, data, wire in read(path):
        if data[6:12] == gw and data[0] & GROUP and Frame(data).kind != 0x0806:
            continue
        for s in sessions:
            if s.begin * 1e6 <= when < s.end * 1e6:
                s.frames.append((when, data, wire))
    return sessions
