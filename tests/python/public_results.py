"""Evaluates every method on the public tables, for docs/results.md, and checks the results against goals.

    public_results.py [--lab PROGRAM] [--seeds 1,2,3] [--only TEXT] [--goals]

Each line is one command, repeated for each seed (which changes split, fit and threshold): ROC-AUC; accuracy of the
predicted classes; recall and false-alarm rate at the threshold from benign validation rows; for attack classifiers F1
with benign as a class, F1 over attack classes only (strict, end to end) and F1 on true attacks; seconds to fit.
Means over seeds ± standard deviation. `--goals` runs only commands with a goal. LAPWING_PUBLIC_DATA is the folder of the
tables. Default: ../shared/data next to the repository. Needs no package.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("LAPWING_PUBLIC_DATA", ROOT.parent / "shared" / "data"))
TABLES = {
    "cic-ids2017": DATA / "cic-ids2017-improved" / "rnd_2500",
    "unsw-nb15": DATA / "unsw-nb15" / "UNSW_NB15_dev.csv.gz",
    "nsl-kdd": DATA / "nsl-kdd" / "KDDTrain+.txt.gz",
}
DIFFICULTY = ROOT / "docs" / "examples" / "nsl-kdd-difficulty.toml"
CLASSIFIERS = [
    "random-forest", "gradient-boosting", "bagging", "voting", "decision-tree", "logistic-regression", "svm",
    "latent-logistic", "kfac-network",
]
BENIGN_ONLY = ["autoencoder", "isolation-forest", "pca", "dbscan"]
RARITY = "sbytes,dbytes,smean,dmean,spkts+dpkts,service+smean,service+sbytes+dbytes,service+dmean"
CODES = ["--masking", "0.1", "--codes", "1000"]
# Methods that would take hours on all 75,600 training rows of NSL-KDD train on fewer; every test row is scored.
REDUCED = {"kfac-network": "20000", "latent-logistic": "20000", "autoencoder": "20000", "dbscan": "5000"}
INT8 = ["--exclude", "stcpb,dtcpb", "--categories", "surprisal", "--hidden", "256,32,256", *CODES, "--combine", RARITY]


def runs():
    """Table, method, further options, goals: figure -> minimum mean over seeds."""
    for kind in TABLES:
        for method in CLASSIFIERS + BENIGN_ONLY:
            goals = {}
            if kind == "cic-ids2017" and method in ("kfac-network", "random-forest", "gradient-boosting"):
                goals = {"accuracy": 0.995}
            reduced = ["--training-rows", REDUCED[method]] if kind == "nsl-kdd" and method in REDUCED else []
            yield kind, method, reduced, goals
    for unknown in ("0", "0.05", "0.1", "0.15", "0.2", "0.25"):
        goals = {"recall": 0.97} | ({"answered F1": 0.88, "answered F1 end to end": 0.88} if unknown == "0.2" else {})
        yield "unsw-nb15", "two-stage", ["--false-positive-rate", "0.025", "--unknown", unknown], goals
    yield "unsw-nb15", "autoencoder", INT8, {"int8": 0.96}
    yield "nsl-kdd", "random-forest", ["--split", "random"], {}
    yield "nsl-kdd", "random-forest", ["--split", "random", "--kind", "table", "--schema", str(DIFFICULTY)], {"accuracy": 0.9995}
    yield "nsl-kdd", "gradient-boosting", ["--split", "random"], {}
    yield "nsl-kdd", "autoencoder", ["--hidden", "256,64,256", "--leave-out-kinds"], {"left_out": 0.95}


def answered(classes):
    """For classified attacks: weighted F1 over classes, the same with false alarms on benign rows included, and their
    share of all attacks."""
    names = classes["answers"]
    benign, *attacks = [dict(zip(names, row)) for row in classes["confusion"]]
    classified = [(kind, {name: count for name, count in row.items() if name not in ("unknown", "benign")})
                  for kind, row in zip(classes["classes"][1:], attacks)]
    total = sum(sum(row.values()) for _, row in classified)

    def weighted(false_alarms):
        counts = [(row.get(kind, 0), sum(row.values()), sum(other.get(kind, 0) for _, other in classified) + false_alarms.get(kind, 0))
                 for kind, row in classified]
        return sum(2 * correct / max(1, rows + predicted) * rows for correct, rows, predicted in counts) / max(1, total)

    return {"answered F1": weighted({}), "answered F1 end to end": weighted(benign),
            "answered": total / max(1, sum(sum(row.values()) for row in attacks))}


def figures(result):
    """Extracts the figures from one run's JSON."""
    of, classes = result["figures"], result["figures"].get("by-probability") or {}
    found = {
        "auc": of["roc-auc"]["value"],
        "accuracy": classes.get("accuracy"),
        "recall": of["recall"]["value"],
        "false alarms": of["false-positive-rate"]["value"],
        "F1 with benign": (classes.get("all") or {}).get("weighted") if classes.get("kinds") else None,
        "macro with benign": (classes.get("all") or {}).get("macro") if classes.get("kinds") else None,
        "kind F1": (classes.get("kinds") or {}).get("weighted"),
        "kind macro": (classes.get("kinds") or {}).get("macro"),
        "naming F1": (classes.get("on-attacks") or {}).get("weighted"),
        "naming macro": (classes.get("on-attacks") or {}).get("macro"),
        "left_out": (result.get("left-out-mean") or {}).get("auc"),
        "int8": ((result.get("int8") or {}).get("measured") or {}).get("auc-int8"),
        "seconds": result["cost"]["fit-s"],
    }
    if classes.get("kinds"):
        found |= answered(classes)
    return {name: value for name, value in found.items() if isinstance(value, (int, float))}


def evaluate(lab, kind, method, options, seed):
    kind_words = [] if "--kind" in options else ["--kind", kind]
    command = [lab, "evaluate", *kind_words, "--train", str(TABLES[kind]), "--method", method, "--seed", str(seed)]
    command += ["--resamples", "0", "--json", "-", *options]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{run.stderr.strip()}")
    return figures(json.loads(run.stdout))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", "--trainer", default="lapwing-lab", help="path of lapwing-lab. Default: from PATH")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--only", default="", help="run only commands (table, method, options) that contain this text")
    parser.add_argument("--goals", action="store_true", help="run only commands with a goal")
    arguments = parser.parse_args()
    seeds, missed = [int(seed) for seed in arguments.seeds.split(",")], 0
    for kind, method, options, goals in runs():
        words = " ".join([kind, method, *options])
        if arguments.only not in words or (arguments.goals and not goals):
            continue
        if not TABLES[kind].exists():
            print(f"SKIPPED: {words}: no {TABLES[kind]}")
            continue
        found = [evaluate(arguments.lab, kind, method, options, seed) for seed in seeds]
        common = [name for name in found[0] if all(name in run for run in found)]
        means = {name: statistics.fmean(run[name] for run in found) for name in common}
        spread = {name: statistics.stdev(run[name] for run in found) if len(seeds) > 1 else 0.0 for name in means}
        cells = [f"{name} {means[name]:.4f} ± {spread[name]:.4f}" for name in means if name != "seconds"]
        failed = {name: minimum for name, minimum in goals.items() if means.get(name, 0.0) < minimum}
        faults = [f"MISSED: {name} {means.get(name, 0.0):.4f} < {minimum}" for name, minimum in failed.items()]
        missed += len(faults)
        print(f"{words}: {', '.join(cells)}, {means['seconds']:.1f} s {'; '.join(faults)}", flush=True)
    print(f"{missed} goals missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
