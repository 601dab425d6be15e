"""Activity patterns: when each device runs which session during a day.

EVERY: (kind, seconds between, jitter as a share).
PEOPLE: (kind, times per day), distributed over the hours by HOURS.
LINES: long idle connections, one after another: (kind, first hour, last hour, seconds per heartbeat).
"""

HOURS = {  # share of a person's use, per hour of the day
    "work-at-home": [0, 0, 0, 0, 0, 0, 1, 3, 6, 7, 7, 6, 4, 6, 7, 6, 5, 4, 3, 6, 8, 7, 4, 1],
    "evening":      [1, 0, 0, 0, 0, 0, 1, 4, 3, 1, 1, 1, 3, 1, 1, 1, 2, 4, 6, 9, 10, 9, 6, 3],
    "television":   [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 4, 9, 10, 9, 5, 2],
    "any":          [1] * 24,
}
ALL = {"EVERY": [("ntp", 1020, 0.05), ("dhcp", 21600, 0.03), ("neighbours", 7200, 0.3)],
       "PEOPLE": [("name", 10, "any"), ("name-outside", 5, "any"), ("name-failed", 6, "any"),
                  ("ping-gateway", 3, "any")]}
MDNS = [("mdns", 2700, 0.3)]

DEVICES = {
    "laptop": dict(EVERY=MDNS, PEOPLE=[
        ("browse", 54, "evening"), ("check-mail", 50, "evening"), ("api-call", 60, "evening"),
        ("ssh", 8, "evening"), ("scp-down", 2, "evening"), ("scp-up", 2, "evening"),
        ("download", 2, "evening"), ("upload", 3, "evening"), ("local-web", 8, "evening"),
        ("call", 1, "evening"), ("refused", 6, "evening"), ("no-answer", 5, "evening"),
        ("ping-outside", 3, "evening")],
        LINES=[("push-line", 8, 24, 150), ("quiet-line", 17, 23, 110)]),
    "phone": dict(EVERY=MDNS, PEOPLE=[
        ("browse", 56, "evening"), ("check-mail", 60, "evening"), ("api-call", 110, "evening"),
        ("app-sync", 40, "any"), ("refused", 3, "evening"), ("no-answer", 4, "evening"),
        ("ping-outside", 1, "evening")],
        LINES=[("push-line", 0, 24, 270), ("quiet-line", 0, 24, 240)]),
    "tv": dict(EVERY=MDNS + [("ssdp", 1500, 0.2)], PEOPLE=[
        ("menu", 40, "television"), ("stream", 6, "television"), ("video-udp", 3, "television"),
        ("local-web", 6, "television")]),
    "camera": dict(EVERY=[("heartbeat", 50, 0.06), ("status", 1500, 0.04)],
                   PEOPLE=[("clip", 12, "any")]),
    "plug": dict(EVERY=[("heartbeat", 180, 0.05)], LINES=[("telemetry-line", 0, 24, 100)]),
    "thermostat": dict(EVERY=[("telemetry", 1080, 0.05), ("local-telemetry", 480, 0.06),
                              ("weather", 3600, 0.05)], PEOPLE=[("refused", 2, "any")]),
    "nas": dict(EVERY=MDNS + [("status", 1800, 0.05), ("update-check", 14400, 0.1)],
                AT=[("backup", 2.3)]),
    "pc": dict(EVERY=MDNS, PEOPLE=[
        ("browse", 56, "work-at-home"), ("check-mail", 70, "work-at-home"),
        ("api-call", 60, "work-at-home"), ("ssh", 10, "work-at-home"), ("scp-down", 3, "work-at-home"),
        ("scp-up", 2, "work-at-home"), ("download", 2, "work-at-home"), ("upload", 3, "work-at-home"),
        ("local-web", 6, "work-at-home"), ("call", 2, "work-at-home"), ("refused", 5, "work-at-home"),
        ("no-answer", 5, "work-at-home"), ("ping-outside", 4, "work-at-home")],
        LINES=[("push-line", 7, 23, 160), ("quiet-line", 8, 19, 120)]),
    "tablet": dict(EVERY=MDNS, PEOPLE=[
        ("browse", 44, "evening"), ("check-mail", 25, "evening"), ("api-call", 60, "evening"),
        ("app-sync", 30, "any"), ("refused", 2, "evening"), ("no-answer", 2, "evening"),
        ("ping-outside", 1, "evening")], LINES=[("push-line", 0, 24, 290)]),
    "speaker": dict(EVERY=MDNS + [("ssdp", 1800, 0.2)], PEOPLE=[("music", 9, "work-at-home")],
                    LINES=[("push-line", 0, 24, 300), ("quiet-line", 0, 24, 270)]),
    "printer": dict(EVERY=[("mdns", 1800, 0.2), ("ssdp", 2400, 0.2), ("update-check", 21600, 0.1)]),
    "meter": dict(EVERY=[("heartbeat", 60, 0.05), ("reading", 900, 0.02), ("telemetry", 1000, 0.05)]),
    "lock": dict(EVERY=[("heartbeat", 240, 0.05)], LINES=[("telemetry-line", 0, 24, 120)]),
    "recorder": dict(EVERY=[("heartbeat", 75, 0.06), ("status", 1200, 0.04)],
                     PEOPLE=[("clip", 8, "any")]),
}
STRETCHED = {"push-line", "quiet-line", "telemetry-line"}
BEATS = {"push-line": 29, "quiet-line": 19, "telemetry-line": 55}


def at_random_hour(dice, profile):
    weights = HOURS[profile]
    return (dice.choices(range(24), weights)[0] + dice.random()) * 3600


def of_device(name, dice, scale=1.0):
    """A day of one device: sorted (second of the day, kind, stretch)."""
    day, plan = [], DEVICES[name]
    for kind, period, jitter in ALL["EVERY"] + plan.get("EVERY", []):
        now = dice.uniform(0, period)
        while now < 86400:
            day.append((now, kind, 0))
            now += max(1.0, dice.gauss(period, period * jitter))
    for kind, count, profile in ALL["PEOPLE"] + plan.get("PEOPLE", []):
        for _ in range(max(1, round(dice.gauss(count * scale, (count * scale) ** 0.5 / 2)))):
            day.append((at_random_hour(dice, profile), kind, 0))
    for kind, first, last, beat in plan.get("LINES", []):
        now = first * 3600 + dice.uniform(0, 600)
        while now < last * 3600:
            day.append((now, kind, beat))
            now += BEATS[kind] * beat * dice.uniform(1.1, 1.25)
    for kind, hour in plan.get("AT", []):
        day.append((hour * 3600 + dice.uniform(0, 900), kind, 0))
    return sorted(day)


def rhythm_text(name, scale):
    plan = DEVICES[name]
    parts = [f"{k} each {p} s" for k, p, _ in plan.get("EVERY", []) + ALL["EVERY"]]
    parts += [f"{k} about {max(1, round(n * scale))} a day" for k, n, _ in plan.get("PEOPLE", [])]
    parts += [f"{k} with a beat of {b} s" for k, _, _, b in plan.get("LINES", [])]
    parts += [f"{k} nightly" for k, _ in plan.get("AT", [])]
    return "; ".join(parts)
