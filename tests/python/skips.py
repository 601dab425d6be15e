"""A check that cannot run on this machine → one line on standard output and one in the skip report of tests/run."""

import os


def skip(what, why):
    print(f"!! SKIPPED: {what}: {why}")
    if report := os.environ.get("LAPWING_SKIPS"):
        with open(report, "a", encoding="utf-8") as file:
            file.write(f"{what}: {why}\n")
