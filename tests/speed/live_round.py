"""Evaluates tests/speed/live: one round, or with `total` all rounds against the goals (exit code 1: missed)."""

import csv
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path


def softnet_drops(path: Path) -> int:
    """Frames dropped by the kernel's receive queue: the second column of each processor's line."""
    return sum(int(line.split()[1], 16) for line in path.read_text().splitlines())


def check_frames(folder: Path, sizes: set[int], flows: int) -> None:
    """Checks that the frames of every record have one of the sent sizes: the agent received single frames."""
    seen = set()
    with open(folder / "records.csv", newline="") as file:
        for row in csv.DictReader(file):
            octets, packets = int(row["forward_frame_octets"]), int(row["forward_packets"])
            if octets not in {size * packets for size in sizes}:
                sys.exit(f"a record of {packets} frames has {octets} octets; sent frame sizes: {sorted(sizes)}")
            seen.add((row["source"], row["source_port"]))
    if len(seen) != flows:
        sys.exit(f"records of {len(seen)} flows, sent {flows}")


def one_round(folder: Path, name: str, sizes: str, unit: str, goal: str) -> None:
    """Prints the frames sent, read and lost, and stores the result for the total."""
    sent, read, status = (json.loads((folder / f"{part}.json").read_text()) for part in ("sent", "summary", "status"))
    frames, seconds, packets = sent["frames"], sent["seconds"], read["packets"]
    dropped, shed = read["kernel_drops"], status["shed"]
    drops = softnet_drops(folder / "softnet.after") - softnet_drops(folder / "softnet.before")
    lost = frames - packets
    if lost == 0:
        check_frames(folder, {int(size) for size in sizes.split(",")}, sent["flows"])
        if read["frame_octets"] != sent["octets"]:
            sys.exit(f"{sent['octets']} octets sent, {read['frame_octets']} read")
    gigabits = sent["octets"] * 8 / seconds / 1e9
    threads = [(line.split()[0], int(line.split()[-1])) for line in (folder / "threads").read_text().splitlines()]
    per = sum(time for _, time in threads) / max(packets + shed, 1)
    shares = ", ".join(f"{thread} {time / max(packets + shed, 1):.0f}" for thread, time in sorted(threads, key=lambda one: -one[1]))
    print(f"{name}: sent {frames} ({frames / seconds:.0f} frames/s, {gigabits:.2f} Gbit/s); read {packets}, lost {lost}: "
          f"{dropped} by the ring, {shed} shed under load, {drops} by the kernel's queue; "
          f"load {Path('/proc/loadavg').read_text().split()[0]}")
    print(f"  agent's CPU {per:.0f} ns per packet, {per * frames / seconds / 1e7:.0f} % of one core: {shares}")
    rate = frames / seconds if unit == "frames/s" else gigabits
    with open(folder / "results.jsonl", "a") as file:
        file.write(json.dumps({"name": name, "unit": unit, "goal": float(goal), "rate": rate, "lost": lost}) + "\n")


def say(rate: float, unit: str) -> str:
    """Formats a rate."""
    return f"{rate:,.0f}" if unit == "frames/s" else f"{rate:.2f}"


def total(folder: Path) -> bool:
    """Prints whether each goal was reached; returns whether all were."""
    rounds = defaultdict(list)
    for line in (folder / "results.jsonl").read_text().splitlines():
        one = json.loads(line)
        rounds[one["name"], one["unit"], one["goal"]].append(one)
    reached = []
    for (name, unit, goal), found in rounds.items():
        good = sum(one["lost"] == 0 and one["rate"] >= goal for one in found)
        rates = [one["rate"] for one in found]
        reached.append(good == len(found))
        low, middle, high = (say(rate, unit) for rate in (min(rates), statistics.median(rates), max(rates)))
        print(f"{'reached' if reached[-1] else 'MISSED'}: {name}, no loss at {goal:,.0f} {unit} or more in {good} of "
              f"{len(found)} rounds; {low} to {high} {unit}, median {middle}; lost {sum(one['lost'] for one in found)}")
    return all(reached)


if __name__ == "__main__":
    where, words = Path(sys.argv[1]), sys.argv[2:]
    if words == ["total"]:
        sys.exit(0 if total(where) else 1)
    one_round(where, *words)
