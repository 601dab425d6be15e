"""Checks that our methods match scikit-learn's quality, and that ensembles take at most twice its time.

    methods_agreement.py [--seeds N] [--only METHOD] [--made-only]

Both fit each method with the same settings on generated tables and, if shared/data exists next to the repository, on
NSL-KDD (trained on a random half of its training file, tested on the other) and UNSW-NB15 (split without feature rows
common to both sides). Times are CPU seconds on one thread. Quality is a mean over seeds; it fails if ours is lower by
more than the method's tolerance. Speed can fail only for forests and boosting: fit or score above twice scikit-learn's.
"""

import argparse
import csv
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import zlib

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skips import skip

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("LAPWING_SHARED_DATA", ROOT.parent / "shared" / "data"))
RADIUS, NEIGHBOURS = 5.0, 10


class PcaResidual:
    """Squared distance from the subspace with 95 % of the variance."""

    def fit(self, rows):
        self.scale = StandardScaler().fit(rows)
        self.plane = PCA(0.95, svd_solver="full").fit(self.scale.transform(rows))
        return self

    def score(self, rows):
        rows = self.scale.transform(rows)
        return ((rows - self.plane.inverse_transform(self.plane.transform(rows))) ** 2).sum(axis=1)


class NearestNeighbour:
    """Distance to the fifth nearest of all benign rows."""

    def fit(self, rows):
        self.scale = StandardScaler().fit(rows)
        self.near = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(self.scale.transform(rows))
        return self

    def score(self, rows):
        return self.near.kneighbors(self.scale.transform(rows))[0][:, -1]


class DbscanDistance:
    """Distance to the nearest core row of clusters of a fixed radius."""

    def fit(self, rows):
        self.scale = StandardScaler().fit(rows)
        rows = self.scale.transform(rows)
        cores = DBSCAN(eps=RADIUS, min_samples=NEIGHBOURS).fit(rows).core_sample_indices_
        self.near = NearestNeighbors(n_neighbors=1).fit(rows[cores])
        return self

    def score(self, rows):
        return self.near.kneighbors(self.scale.transform(rows))[0][:, 0]


class IsolationScore(IsolationForest):
    def score(self, rows):
        return -self.score_samples(rows)


# Our settings, their estimator by seed, quality tolerance, whether speed is checked.
CLASSIFIERS = [
    ({"method": "decision-tree"}, lambda seed: DecisionTreeClassifier(random_state=seed), 0.006, False),
    # The standard deviation between seeds is .002; .006 is about two standard deviations of a difference.
    ({"method": "random-forest"}, lambda seed: RandomForestClassifier(100, n_jobs=1, random_state=seed), 0.006, True),
    (
        {"method": "random-forest", "bootstrap": False, "tree": {"columns": "square-root", "random_cuts": True}},
        lambda seed: ExtraTreesClassifier(100, n_jobs=1, random_state=seed),
        0.004,
        False,
    ),
    ({"method": "bagging"}, lambda seed: BaggingClassifier(n_estimators=10, random_state=seed), 0.006, False),
    (
        {"method": "logistic-regression"},
        lambda seed: make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)),
        0.002,
        False,
    ),
    (
        {"method": "svm"},
        # Classes by Platt scaling, as in ours; plain LinearSVC uses the largest distance.
        lambda seed: CalibratedClassifierCV(
            make_pipeline(StandardScaler(), LinearSVC(random_state=seed)), cv=3, ensemble=False
        ),
        0.006,
        False,
    ),
    (
        {"method": "gradient-boosting"},
        lambda seed: HistGradientBoostingClassifier(early_stopping=False, random_state=seed),
        0.004,
        True,
    ),
]
SCORERS = [
    ({"method": "isolation-forest"}, lambda seed: IsolationScore(max_samples=256, n_jobs=1, random_state=seed), 0.02, True),
    ({"method": "pca"}, lambda seed: PcaResidual(), 0.001, False),
    ({"method": "neighbours", "limit": 200_000}, lambda seed: NearestNeighbour(), 0.001, False),
    (
        {"method": "dbscan", "radius": RADIUS, "neighbours": NEIGHBOURS, "limit": 20_000},
        lambda seed: DbscanDistance(),
        0.001,
        False,
    ),
]


def generated(classes):
    rows, labels = make_classification(
        30_000, 40, n_informative=15, n_redundant=10, n_classes=classes, class_sep=1.2, flip_y=0.02, random_state=classes
    )
    rows = rows.astype(numpy.float32)
    return (rows[:20_000], labels[:20_000]), (rows[20_000:], labels[20_000:])


def one_hot(columns):
    """Text columns -> numbers; non-numeric columns are one-hot encoded."""
    found = []
    for column in columns:
        try:
            found.append(numpy.array(column, dtype=numpy.float32)[:, None])
        except ValueError:
            names = sorted(set(column))
            found.append((numpy.array(column)[:, None] == numpy.array(names)).astype(numpy.float32))
    return numpy.concatenate(found, axis=1)


def nsl_kdd():
    """41 features, three of them one-hot; label = attack or not; random halves (seed 0)."""
    with gzip.open(DATA / "nsl-kdd" / "KDDTrain+.txt.gz", "rt") as file:
        table = list(csv.reader(file))
    rows = one_hot([list(column) for column in list(zip(*table))[:41]])
    labels = numpy.array([int(row[41] != "normal") for row in table])
    order = numpy.random.default_rng(0).permutation(len(rows))
    half = len(rows) // 2
    return tuple((rows[part], labels[part]) for part in (order[:half], order[half:]))


def unsw():
    """Numeric and one-hot features; a checksum assigns rows with equal features to the same side."""
    with gzip.open(DATA / "unsw-nb15" / "UNSW_NB15_dev.csv.gz", "rt", encoding="utf-8-sig") as file:
        table = list(csv.DictReader(file))
    names = [name for name in table[0] if name not in ("id", "label", "attack_cat")]
    rows = one_hot([[row[name] for row in table] for name in names])
    labels = numpy.array([int(row["label"]) for row in table])
    first = numpy.array([zlib.crc32(row.tobytes()) % 2 == 0 for row in rows])
    return (rows[first], labels[first]), (rows[~first], labels[~first])


def write(path, part, classes):
    rows, labels = part
    with open(path, "wb") as file:
        file.write(numpy.array([len(rows), rows.shape[1], classes], dtype="<u4").tobytes())
        file.write(numpy.ascontiguousarray(rows, dtype="<f4").tobytes())
        file.write(labels.astype("<u4").tobytes())


def ours(binary, settings, folder, seed):
    command = [binary, "--threads", "1", "--seed", str(seed), folder / "train", folder / "test", json.dumps(settings)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{settings}: {run.stderr.strip()}")
    return json.loads(run.stdout)


def theirs(method, scorer, train, test):
    start = time.process_time()
    if scorer:
        benign = train[0][train[1] == 0]
        start = time.process_time()
        method.fit(benign)
        fit = time.process_time()
        quality = {"auc": roc_auc_score(test[1] > 0, method.score(test[0]))}
    else:
        method.fit(*train)
        fit = time.process_time()
        probability = getattr(method, "predict_proba", method.predict)
        answers = probability(test[0])
        called = answers if answers.ndim == 1 else method.classes_[answers.argmax(axis=1)]
        quality = {"accuracy": accuracy_score(test[1], called)}
    return quality | {"fit_s": fit - start, "score_s": time.process_time() - fit}


def build():
    command = ["cargo", "build", "--quiet", "--message-format=json", "--workspace", "--example", "agreement"]
    messages = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()
    return [path for line in messages if (path := json.loads(line).get("executable"))][-1]


def tables(made_only):
    """Name and loader of each table; a loader returns (train, test), each rows and labels."""
    yield "made, 2 classes", lambda: generated(2)
    yield "made, 6 classes", lambda: generated(6)
    for name, path, load in (("NSL-KDD", "nsl-kdd", nsl_kdd), ("UNSW-NB15", "unsw-nb15", unsw)):
        if made_only:
            continue
        if (DATA / path).is_dir():
            yield name, load
        else:
            skip(f"methods_agreement: {name}", f"no public data set {path}")


def comparisons(only, table):
    """Comparisons for a table: settings, method, tolerance, whether speed is checked, whether it is a scorer."""
    for entry in [(*known, False) for known in CLASSIFIERS] + [(*known, True) for known in SCORERS]:
        name = entry[0]["method"]
        # Pairwise distances on the wide tables take minutes in both; the generated tables suffice.
        if only in (None, name) and (name not in ("neighbours", "dbscan") or table.startswith("made")):
            yield entry


def compare(binary, folder, parts, entry, seeds):
    """Means over seeds of (quality, fit seconds, score seconds), ours and theirs, and the failed checks."""
    settings, method, tolerance, fast, scorer = entry
    keys = ("auc" if scorer else "accuracy", "fit_s", "score_s")
    pairs = [(ours(binary, settings, folder, seed), theirs(method(seed), scorer, *parts)) for seed in range(seeds)]
    means = [[statistics.fmean(pair[side][key] for pair in pairs) for side in (0, 1)] for key in keys]
    (quality, other), (fit, other_fit), (score, other_score) = means
    faults = [f"quality below by more than {tolerance}"] if quality < other - tolerance else []
    if fast and fit > 2 * other_fit:
        faults.append("fit slower than twice")
    if fast and score > 2 * other_score:
        faults.append("score slower than twice")
    return means, faults


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=2)
    arguments.add_argument("--only", help="run only this method")
    arguments.add_argument("--made-only", action="store_true", help="use generated tables only")
    arguments.add_argument("--binary", help="path of the built example `agreement`. Default: build it first")
    arguments = arguments.parse_args()
    binary = arguments.binary or build()
    wrong = 0
    print(f"{'table':16} {'method':22} {'ours':>8} {'theirs':>8} {'fit s':>8} {'theirs':>8} {'score s':>8} {'theirs':>8}")
    for table, load in tables(arguments.made_only):
        parts = load()
        classes = int(parts[0][1].max()) + 1
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for name, part in zip(("train", "test"), parts):
                write(folder / name, part, classes)
            for entry in comparisons(arguments.only, table):
                (quality, *seconds), faults = compare(binary, folder, parts, entry, arguments.seeds)
                wrong += len(faults)
                name = entry[0]["method"] + (" (extra)" if entry[0].get("bootstrap") is False else "")
                numbers = [f"{number:8.4f}" for number in quality] + [f"{n:8.3f}" for pair in seconds for n in pair]
                print(f"{table:16} {name:22} {' '.join(numbers)} {'; '.join(faults)}", flush=True)
    print(f"{wrong} failed checks")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
