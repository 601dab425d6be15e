#!/usr/bin/env python3
"""Compares the attack types that the trainer assigns to alerts with a capture's labels.

    cargo demo --keep demo
    lapwing-trainer alerts --store demo/store.sqlite --agent home-b --limit 500 --json alerts.json
    tests/python/alert_kinds_against_labels.py alerts.json tests/data/captures/home-b-attacks.labels.csv

An episode belongs to the attacks that it overlaps, up to 60 s after their end, on their source or target. If the model
was not trained on an attack's type, `unknown` is correct. --learned FILE: labels of the training data. Standard library
only.
"""

import argparse
import csv
import ipaddress
import json

GRACE_S = 60


def attacks(path):
    with open(path) as rows:
        return [row for row in csv.DictReader(rows) if row["label"] != "benign"]


def concerns(host, end):
    """Whether an attack's source or target matches the host; spoofed sources (`*`) match no host."""
    return end != "*" and ipaddress.ip_address(host) in ipaddress.ip_network(end)


def kinds_of(alert, labels):
    """Types of the attacks that the episode may belong to."""
    first, last = alert["since-s"], alert["at-s"]
    during = [row for row in labels if first <= float(row["to_s"]) + GRACE_S and last >= float(row["from_s"])]
    return {row["kind"] for row in during if any(concerns(alert["host"], row[end]) for end in ("source", "target"))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alerts")
    parser.add_argument("labels")
    parser.add_argument("--learned", help="labels of the training data. Default: the model was trained on all types")
    args = parser.parse_args()
    labels = attacks(args.labels)
    begin, end = min(float(row["from_s"]) for row in labels), max(float(row["to_s"]) for row in labels) + GRACE_S
    with open(args.alerts) as text:
        alerts = [alert for alert in json.load(text) if begin - 1 <= alert["since-s"] <= end]
    learned = {row["kind"] for row in attacks(args.learned)} if args.learned else {row["kind"] for row in labels}
    table = {}
    for alert in sorted(alerts, key=lambda alert: alert["since-s"]):
        true = kinds_of(alert, labels)
        kind, answer = "/".join(sorted(true)) or "no attack", alert["kind"]
        known = bool(true & learned)
        right = answer in true if known else answer == "unknown"
        outcome = "right" if right else "unknown" if answer == "unknown" else "wrong"
        table.setdefault((kind, known), []).append(outcome)
        share = alert["kind-probability"]
        print(f"{kind:20} {alert['host']:16} {alert['role']:6} {answer:20} "
              f"{'-' if share is None else f'{share:.2f}':>5} by {alert['kind-rows']} rows: {outcome}")
    print(f"\n{'kind':20} {'learned':8} {'alerts':>6} {'right':>6} {'unknown':>8} {'wrong':>6}")
    for (kind, known), outcomes in table.items():
        counts = [outcomes.count(word) for word in ("right", "unknown", "wrong")]
        print(f"{kind:20} {'yes' if known else 'no':8} {len(outcomes):6} {counts[0]:6} {counts[1]:8} {counts[2]:6}")
    for known in (True, False):
        outcomes = [word for (_, is_known), words in table.items() if is_known == known for word in words]
        what = "of learned kinds" if known else "of kinds not learned, or of no attack"
        counts = ", ".join(f"{outcomes.count(word)} {word}" for word in ("right", "unknown", "wrong"))
        print(f"{len(outcomes)} alerts {what}: {counts}")


if __name__ == "__main__":
    main()
