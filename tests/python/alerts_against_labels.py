#!/usr/bin/env python3
"""Compares the alerts of a replay with a capture's labels: detected attacks, delays, and alerts outside of attacks.

    lapwing-agent replay home-a-attacks.pcap.gz --release site-1.lwr --key site-1.pub --alerts alerts.json
    tests/python/alerts_against_labels.py alerts.json tests/data/captures/home-a-attacks.labels.csv

An episode counts for an attack if it opens between the attack's start and 60 s after its end, on the attack's source or
target. Standard library only.
"""

import csv
import json
import sys

GRACE_S = 60


def main(alerts_path, labels_path):
    with open(alerts_path) as lines:
        opened = [alert for alert in map(json.loads, lines) if alert["state"] == "opened"]
    with open(labels_path) as rows:
        attacks = [row for row in csv.DictReader(rows) if row["label"] != "benign"]
    if not attacks:
        sys.exit(f"{labels_path}: no attacks, expected rows whose label is not benign")
    delays, explained = {}, set()
    for attack in attacks:
        begin, end = float(attack["from_s"]), float(attack["to_s"])
        hosts = {attack["source"], attack["target"]}
        delays.setdefault(attack["kind"], [])
        for place, alert in enumerate(opened):
            if begin <= alert["at_s"] <= end + GRACE_S and alert["host"] in hosts:
                explained.add(place)
                delays[attack["kind"]].append(alert["at_s"] - begin)
    for kind, seconds in sorted(delays.items()):
        print(f"{kind:20} " + (f"detected after {min(seconds):7.1f} s" if seconds else "missed"))
    found = sum(1 for seconds in delays.values() if seconds)
    print(f"{found} of {len(delays)} attack types detected; {len(opened)} episodes, {len(opened) - len(explained)} outside of attacks")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
