#!/usr/bin/env python3
"""Writes the episodes of a replay, each with the attack of the capture's labels that explains it, for the test of incidents.

    lapwing-agent replay home-a-attacks.pcap.gz --release firmware-configs/release/release.lwr \\
        --key firmware-configs/release/release.pub --alerts alerts.json
    tests/python/incident_alerts.py alerts.json tests/data/captures/home-a-attacks.labels.csv home-a

One line of JSON for each episode, with the fields of its last message that incidents depend on. An episode belongs to an
attack if it opens between the attack's start and 60 s after its end, on the attack's source or target. Standard library
only.
"""

import csv
import json
import sys

GRACE_S = 60
REASONS = 2


def main(alerts_path, labels_path, home):
    with open(labels_path) as rows:
        attacks = [row for row in csv.DictReader(rows) if row["label"] != "benign"]
    opened, last = {}, {}
    with open(alerts_path) as lines:
        for alert in map(json.loads, lines):
            opened.setdefault(alert["episode"], alert)
            last[alert["episode"]] = alert
    for number, alert in sorted(last.items()):
        first = opened[number]
        attack = next((row["kind"] for row in attacks if explains(row, first)), None)
        reasons = [
            {"feature": reason["feature"], "direction": direction(reason)} for reason in alert["reasons"][:REASONS]
        ]
        episode = {
            "home": home,
            "attack": attack,
            "host": alert["host"],
            "role": alert["role"],
            "since_s": int(alert["since_s"]),
            "ratio": round(alert["peak_nats"] / alert["limit_nats"], 2) if alert["limit_nats"] else 0,
            "peers": [[peer["address"], peer["flows"]] for peer in alert["peers"]],
            "port": alert["service_port"],
            "class": alert["resembles"],
            "reasons": reasons,
        }
        print(json.dumps(episode))


def explains(attack, alert):
    is_then = float(attack["from_s"]) <= alert["at_s"] <= float(attack["to_s"]) + GRACE_S
    return is_then and alert["host"] in {attack["source"], attack["target"]}


def direction(reason):
    if reason["value"] > reason["normal_high"]:
        return "high"
    return "low" if reason["value"] < reason["normal_low"] else "unusual here"


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
