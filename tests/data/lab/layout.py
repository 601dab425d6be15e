"""Places recorded sessions on the timetable of simulated days and writes the captures with their labels."""
import calendar, csv, ipaddress, os, random
import templates, timetable
from packets import Frame, PROTOCOL_NAMES, write
from places import HOSTS, SITES
from rewrite import Ports, place

HEADER = ["from_s", "to_s", "label", "kind", "source", "target", "source_port", "target_port",
          "protocol", "note"]


def midnight(day):
    return calendar.timegm((2025, 3, day, 0, 0, 0))


class Pool:
    """The recorded sessions of one site, by host and kind; half 0 or half 1 of the variants."""
    def __init__(self, sessions, site, half):
        self.by, seen = {}, {}
        for s in sessions:
            if s.site != site or s.phase != "benign":
                continue
            key = (s.host, s.kind)
            seen[key] = seen.get(key, 0) + 1
            if seen[key] % 2 == half or s.kind in ("dhcp", "router-advert") and seen[key] < 3:
                self.by.setdefault(key, []).append(s)

    def pick(self, dice, host, kind):
        found = self.by.get((host, kind))
        # Prefer small sessions: they are more common in homes and keep the files small.
        return dice.choices(found, [(40 + len(s.frames)) ** -1.3 for s in found])[0] if found else None


def without_neighbour_talk(session, keep):
    if keep:
        return session
    copy = templates.Session({k: v for k, v in session.__dict__.items() if k != "frames"})
    copy.frames = [r for r in session.frames if not neighbour_talk(Frame(r[1]), r[1])]
    return copy


def neighbour_talk(f, data):
    return f.kind == 0x0806 or f.proto == 58 and data[f.l4] in (135, 136)


def benign(pool, site, day, dice, window, scale=0.3):
    """The benign frames of a window (hours) of a day: a list of placed sessions."""
    ports, placed = Ports(dice), []
    low, high = (midnight(day) + h * 3600 for h in window)
    devices = [(h.name, h.lan) for h in HOSTS[site]]
    for name, lan in devices:
        vlan, last_arp = SITES[site]["lans"][lan]["vlan"], -1e9
        for second, kind, stretch in timetable.of_device(name, dice, scale):
            session = pool.pick(dice, name, kind)
            when = midnight(day) + second
            if session is None or not (low - 7200 <= when < high):
                continue
            keep = kind == "neighbours" or second - last_arp > 400 or dice.random() < 0.03
            if keep:
                last_arp = second
            session = without_neighbour_talk(session, keep)
            if not session.frames:
                continue
            frames = place(session, int(when * 1e6), dice, ports, vlan, stretch)
            frames = [r for r in frames if low * 1e6 <= r[0] < high * 1e6]
            if frames:
                placed.append(frames)
    for lan, part in SITES[site]["lans"].items():
        now = low + dice.uniform(0, 600)
        while now < high:
            session = pool.pick(dice, "gateway-" + lan, "router-advert")
            if session:
                placed.append(place(session, int(now * 1e6), dice, ports, part["vlan"]))
            now += dice.uniform(500, 700)
    return placed


def row_matches(row, f, when):
    if not row["from"] <= when <= row["to"] or f.proto is None:
        return False
    if PROTOCOL_NAMES.get(f.proto) != row["protocol"]:
        return False
    ends = [(ipaddress.ip_address(bytes(f.src)), f.sport), (ipaddress.ip_address(bytes(f.dst)), f.dport)]
    for (a, ap), (b, bp) in (ends, ends[::-1]):
        if within(a, row["source"]) and within(b, row["target"]) and \
                row["source_port"] in ("*", str(ap)) and row["target_port"] in ("*", str(bp)):
            return True
    return False


def within(address, text):
    if text == "*":
        return True
    net = ipaddress.ip_network(text)
    return address.version == net.version and address in net


def attack_rows(session, frames):
    begin, end = frames[0][0], frames[-1][0]
    return [{"from": begin, "to": end, "kind": session.kind, "source": s, "target": t,
             "source_port": sp, "target_port": tp, "protocol": p, "note": n}
            for s, t, sp, tp, p, n in session.rows]


def with_attacks(background, attacks, site, when, dice, stretch=None):
    """Inserts the attacks and removes background sessions that match a label row."""
    rows, out = [], []
    for session, start in zip(attacks, when):
        lan = next(h.lan for h in HOSTS[site] if h.name == session.host)
        long_gap = (stretch or {}).get(session.name, 0)
        frames = place(session, int(start * 1e6), dice, Ports(dice), SITES[site]["lans"][lan]["vlan"],
                       long_gap, as_recorded=True)
        mine = attack_rows(session, frames)
        rows += [r for r in mine if any(row_matches(r, Frame(d), t) for t, d, _ in frames)]
        out.append(frames)
    clean = []
    for frames in background:
        near = [r for r in rows if r["from"] <= frames[-1][0] and r["to"] >= frames[0][0]]
        if near and any(row_matches(r, Frame(d), t) for t, d, _ in frames for r in near):
            continue
        clean.append(frames)
    return clean + out, rows


def merge(placed):
    return sorted((r for frames in placed for r in frames), key=lambda r: r[0])


def device_rows(site, begin, end, scale):
    return [[f"{begin / 1e6:.6f}", f"{end / 1e6:.6f}", "benign", h.name, h.ip, "*", "*", "*", "*",
             timetable.rhythm_text(h.name, scale)] for h in HOSTS[site]]


def save(folder, name, placed, site, scale, rows=()):
    records = merge(placed)
    size = write(f"{folder}/{name}", records)
    stem = name.replace(".pcap.gz", "").replace(".pcap", "")
    with open(f"{folder}/{stem}.labels.csv", "w", newline="") as out:
        sheet = csv.writer(out, lineterminator="\n")
        sheet.writerow(HEADER)
        sheet.writerows(device_rows(site, records[0][0], records[-1][0], scale))
        for r in sorted(rows, key=lambda r: r["from"]):
            sheet.writerow([f"{r['from'] / 1e6:.6f}", f"{r['to'] / 1e6:.6f}", "attack", r["kind"],
                            r["source"], r["target"], r["source_port"], r["target_port"],
                            r["protocol"], r["note"]])
    print(f"{name}: {len(records)} packets, {size} bytes, {len(rows)} attack rows")


BEACON_GAP = {"home-a": {"beacon": 45}, "home-b": {"beacon": 60}}
ATTACK_HOURS = {"home-a": (14, 20), "home-b": (11, 17)}
# Minutes after the start of the window.
ATTACK_MINUTES = {
    "home-a": dict(zip(("syn-scan", "udp-scan", "sweep", "ssh-brute", "mqtt-brute", "syn-flood", "spread",
                        "slow-http", "tunnel", "exfiltration", "beacon"),
                       (22, 47, 71, 98, 126, 152, 180, 209, 237, 266, 296))),
    "home-b": dict(zip(("connect-scan", "service-scan", "lan-sweep", "ssh-brute", "udp-flood", "syn-flood",
                        "spread", "slow-http", "tunnel", "exfiltration", "beacon"),
                       (19, 44, 75, 101, 131, 158, 186, 213, 241, 270, 301))),
}


def everything(recordings, folder, seed, scale=0.3):
    os.makedirs(folder, exist_ok=True)
    sessions = templates.load(recordings)
    pools = {(site, half): Pool(sessions, site, half) for site in SITES for half in (0, 1)}
    days = (("home-a-benign.pcap.gz", "home-a", 0, 3, (0, 24)),
            ("home-b-benign.pcap.gz", "home-b", 0, 3, (0, 24)),
            ("home-a-benign-2.pcap.gz", "home-a", 1, 5, (8, 20)))
    for name, site, half, day, window in days:
        dice = random.Random(f"{seed}-{name}")
        save(folder, name, benign(pools[site, half], site, day, dice, window, scale), site, scale)
    for site, day in (("home-a", 6), ("home-b", 7)):
        dice = random.Random(f"{seed}-{site}-attacks")
        window = ATTACK_HOURS[site]
        attacks = [s for s in sessions if s.phase == "attacks" and s.site == site]
        when = [midnight(day) + window[0] * 3600 + ATTACK_MINUTES[site][s.name] * 60 + dice.uniform(0, 50)
                for s in attacks]
        ground = benign(pools[site, 1], site, day, dice, window, scale)
        placed, rows = with_attacks(ground, attacks, site, when, dice, BEACON_GAP[site])
        save(folder, f"{site}-attacks.pcap.gz", placed, site, scale, rows)
    demo(folder, pools, sessions, seed)


def demo(folder, pools, sessions, seed):
    """Nine minutes of a home with a port scan and a password attack."""
    dice = random.Random(f"{seed}-demo")
    attacks = [s for s in sessions if s.phase == "attacks" and s.site == "home-a"
               and s.name in ("udp-scan", "mqtt-brute")]
    start = midnight(6) + 16 * 3600
    ground = benign(pools["home-a", 1], "home-a", 6, dice, (16, 16 + 9 / 60), 0.7)
    placed, rows = with_attacks(ground, attacks, "home-a", [start + 180, start + 330][:len(attacks)], dice)
    save(folder, "demo.pcap", placed, "home-a", 0.7, rows)
