"""Runs the abuse of tests/abuse/run: starts agent and trainer, all attackers at once, samples memory, then checks.

abuse.py PROGRAMS FOLDER SECONDS
"""

import json
import multiprocessing
import queue
import sys
import time
from pathlib import Path

import browsers
import mqtt
import wire
from pair import AGENT, Pair

CAPTURE = Path("tests/data/captures/home-a-benign-2.pcap.gz")
# When the agent is stopped, as a part of the duration, and for how long: then its ring overflows on any machine.
PAUSE_AT = 0.85
PAUSE_S = 3
# Time for the last alert to arrive and for queues to empty, seconds. An agent whose name was taken waits for a minute.
SETTLE_S = 150
# The highest memory of the last third may exceed that of the middle third by this share, and this many KiB.
GROWTH, GROWTH_KIB = 0.05, 1024
# Highest resident memory, KiB: the agent's budget of 12 MiB and its program; the trainer, built without optimisation.
LIMIT_KIB = {"agent": 24 * 1024, "trainer": 300 * 1024}
# Duration from which everything is checked, seconds.
LONG_S = 300

# Counters of the agent that must exceed 0, by the path in its status; and those that need a long run.
DROPPED_BY_AGENT = [
    "refused", "irregular", "irregular_hosts.evicted", "fragments_without_first", "fragment_evictions",
    "flows.evicted", "hosts.evicted", "hosts_turned_away", "concealment_held_back", "interfaces.dropped", "shed",
]
DROPPED_BY_AGENT_LONG = ["flooding_sources", "evidence_evictions"]
# The same for the trainer's counters.
DROPPED_BY_TRAINER = [
    "bad_topic", "bad_message", "bad_kind", "rejected", "duplicates", "duplicate_alerts", "takeovers",
    "illegal", "connections_refused", "idle_closed", "publications_refused", "filters_refused", "undelivered",
    "http_requests_rejected", "http_connections_cut", "http_connections_broken",
]
DROPPED_BY_TRAINER_LONG = ["throttled", "refused", "retained_dropped"]


class Checks:
    def __init__(self):
        self.failed = 0

    def check(self, passed: bool, text: str) -> None:
        self.failed += not passed
        print(f"{'passed' if passed else 'FAILED'}: {text}", flush=True)


def value(status: dict, path: str) -> int:
    """A counter of the agent's status; the sum of a table or list of them."""
    name, _, rest = path.partition(".")
    found = status[name]
    if isinstance(found, list):
        return sum(value(one, rest) for one in found)
    if rest:
        return value(found, rest)
    return sum(found.values()) if isinstance(found, dict) else found


def softnet_drops() -> int:
    """Frames dropped by the kernel's receive queue: the second column of each processor's line."""
    return sum(int(line.split()[1], 16) for line in Path("/proc/net/softnet_stat").read_text().splitlines())


def attack(pair: Pair, seconds: float) -> tuple[dict, list[dict]]:
    """Runs all attackers; returns their counts, and the memory of both programs once a second."""
    results = multiprocessing.Queue()
    attackers = [
        multiprocessing.Process(target=wire.run, args=("va", seconds, CAPTURE, results)),
        multiprocessing.Process(target=mqtt.run, args=(*pair.broker, seconds, AGENT, results)),
        multiprocessing.Process(target=browsers.run, args=(*pair.dashboard, seconds, str(pair.folder / "agent.sock"), results)),
    ]
    for attacker in attackers:
        attacker.start()
    memory, counts = [], {}
    begun, paused = time.monotonic(), False
    while len(counts) < len(attackers) and pair.is_running():
        memory.append(pair.memory_kib())
        if not paused and time.monotonic() - begun > seconds * PAUSE_AT:
            pair.pause_agent(PAUSE_S)
            paused = True
        try:
            name, found = results.get(timeout=1)
            counts[name] = found
        except queue.Empty:
            if not any(attacker.is_alive() for attacker in attackers):
                break
    for attacker in attackers:
        attacker.terminate()
        attacker.join()
    return counts, memory[: int(seconds)]


def is_scan(alert: dict) -> bool:
    return alert["host"] == wire.ATTACKER and alert["role"] == "source" and alert["release"] > 0


def settle(pair: Pair) -> float:
    """Waits until the planted scan is stored, the outbox is empty and no counter moves; returns how long it took."""
    begun, before = time.monotonic(), None
    while time.monotonic() < begun + SETTLE_S and pair.is_running():
        now = (pair.status()["packets"], pair.status()["outbox_waiting"], pair.counters()["received"])
        if now == before and now[1] == 0 and any(is_scan(alert) for alert in pair.alerts()):
            break
        before = now
        time.sleep(2)
    return time.monotonic() - begun


def check_memory(checks: Checks, memory: list[dict], is_long: bool) -> None:
    third = len(memory) // 3
    for name in ("agent", "trainer"):
        parts = [max(sample[name] for sample in memory[part * third : (part + 1) * third]) for part in range(3)]
        text = f"memory of the {name}, highest of each third: {', '.join(f'{kib:,} KiB' for kib in parts)}"
        checks.check(max(parts) <= LIMIT_KIB[name], f"{text}; limit {LIMIT_KIB[name]:,} KiB")
        if is_long:
            bound = parts[1] * (1 + GROWTH) + GROWTH_KIB
            checks.check(parts[2] <= bound, f"memory of the {name} is flat: last third at most {bound:,.0f} KiB")


def check_packets(checks: Checks, sent: dict, status: dict, softnet: int) -> None:
    frames = sum(number for name, number in sent.items() if name != "not accepted")
    read, dropped = value(status, "interfaces.packets"), value(status, "interfaces.dropped")
    checks.check(
        frames == read + dropped + softnet,
        f"{frames:,} frames sent = {read:,} read + {dropped:,} dropped by the ring + {softnet:,} by the kernel's queue",
    )
    refused, shed = value(status, "refused"), status["shed"]
    checks.check(
        read == status["packets"] + shed,
        f"{read:,} frames read = {status['packets'] - refused:,} metered + {refused:,} rejected + {shed:,} shed",
    )


def check_messages(checks: Checks, answers: dict, counters: dict) -> None:
    parts = ["stored", "duplicates", "refused", "rejected", "throttled", "bad_message", "bad_kind"]
    total = sum(counters[part] for part in parts)
    listed = " + ".join(f"{counters[part]:,} {part}" for part in parts)
    checks.check(counters["received"] == total, f"{counters['received']:,} messages received = {listed}")
    unanswered = answers.get("unanswered", 0)
    for codes, names in [
        ((mqtt.NOT_AUTHORIZED, mqtt.QUOTA), ("publications_refused", "overrun")),
        ((mqtt.BAD_TOPIC,), ("bad_topic",)),
    ]:
        refused = sum(answers.get(f"answered {code:#04x}", 0) for code in codes)
        counted = sum(counters[name] for name in names)
        checks.check(
            refused <= counted <= refused + unanswered,
            f"{refused:,} publications refused with {', '.join(f'{code:#04x}' for code in codes)}, "
            f"{unanswered:,} unanswered; counted as {' and '.join(names)}: {counted:,}",
        )


def check_drops(checks: Checks, status: dict, counters: dict, is_long: bool) -> None:
    agent = DROPPED_BY_AGENT + (DROPPED_BY_AGENT_LONG if is_long else [])
    trainer = DROPPED_BY_TRAINER + (DROPPED_BY_TRAINER_LONG if is_long else [])
    for who, found in [
        ("agent", {name: value(status, name) for name in agent}),
        ("trainer", {name: counters[name] for name in trainer}),
    ]:
        missing = [name for name, number in found.items() if number == 0]
        listed = ", ".join(f"{name} {number:,}" for name, number in found.items())
        checks.check(not missing, f"the {who} counts every kind of drop: {listed}; 0: {', '.join(missing) or 'none'}")


def check_logs(checks: Checks, pair: Pair, codes: list) -> None:
    for name, code in zip(("agent", "trainer"), codes):
        log = pair.log(name)
        bad = [line for line in log.splitlines() if "panicked" in line or "ERROR" in line or "has overflowed" in line]
        lines = log.count("\n")
        checks.check(not bad, f"log of the {name}: {lines} lines, none about a panic or an error {bad[:3] or ''}")
        checks.check(code == 0, f"the {name} ended with {code} when asked to")


def main(programs: Path, folder: Path, seconds: float) -> bool:
    is_long = seconds >= LONG_S
    if not is_long:
        print(f"under {LONG_S} s: not checked are flat memory, {', '.join(DROPPED_BY_AGENT_LONG + DROPPED_BY_TRAINER_LONG)}")
    drops_before = softnet_drops()
    pair = Pair(programs, folder)
    checks = Checks()
    try:
        counts, memory = attack(pair, seconds)
        checks.check(pair.is_running(), f"agent and trainer run after {len(memory)} s of abuse")
        if not pair.is_running() or len(counts) < 3:
            return False
        took = settle(pair)
        status, counters, alerts = pair.status(), pair.counters(), pair.alerts()
        checks.check(pair.is_running(), f"agent and trainer run after a further {took:.0f} s")
    finally:
        codes = pair.stop()
    (folder / "results.json").write_text(json.dumps(dict(sent=counts, memory=memory, status=status, counters=counters)))
    scans = [alert for alert in alerts if is_scan(alert)]
    others = len({alert["host"] for alert in alerts}) - bool(scans)
    checks.check(bool(scans), f"the trainer stored an alert about the planted scan, and alerts about {others} other hosts")
    check_memory(checks, memory, is_long)
    check_packets(checks, counts["wire"], status, softnet_drops() - drops_before)
    check_messages(checks, counts["mqtt"], counters)
    check_drops(checks, status, counters, is_long)
    check_logs(checks, pair, codes)
    failures = [f"{name}: {key}" for name, found in counts.items() for key in found if key.startswith("failed")]
    checks.check(not failures, f"the attackers themselves did not fail {failures or ''}")
    for name, found in counts.items():
        print(f"{name}: {', '.join(f'{key} {number:,}' for key, number in sorted(found.items()))}")
    return checks.failed == 0


if __name__ == "__main__":
    sys.exit(0 if main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])) else 1)
