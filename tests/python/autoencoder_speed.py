"""Checks that training a gateway-sized autoencoder is no slower than with PyTorch and reaches the same loss.

    autoencoder_speed.py [--rows N] [--epochs N] [--seeds N]

Both train 48-24-8-24-48 (ReLU, linear latent layer and output, uniform He initialization, biases 0) on the same
synthetic rows, with Adam at 3e-3, mean squared error, batch size 1,024, one thread. Seconds are CPU time, the best of
all seeds; the loss is over all rows after the last epoch, averaged over the seeds. The check fails if lapwing takes
longer, or if its loss is higher by more than three standard errors and more than a tenth. Needs
requirements-torch.txt (several GB).
"""

import argparse
import json
import os
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time

for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "MATMUL_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
HIDDEN, BATCH, RATE = (24, 8, 24), 1024, 3e-3


def synthetic_rows(count, columns=48, kinds=12, seed=7):
    """A mixture of noisy curved manifolds of few dimensions, like flows."""
    random = numpy.random.default_rng(seed)
    kind = random.integers(kinds, size=count)
    centres, axes = random.normal(size=(kinds, columns)), random.normal(size=(kinds, 4, columns)) * 0.5
    inner = random.normal(size=(count, 4))
    rows = centres[kind] + numpy.einsum("rk,rkc->rc", inner, axes[kind]) + 0.1 * random.normal(size=(count, columns))
    return numpy.tanh(rows).astype("<f4")


def network(columns, seed):
    torch.manual_seed(seed)
    widths, layers = (columns, *HIDDEN, columns), []
    for index, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        relu = index in (0, 2)
        layer = torch.nn.Linear(inputs, outputs)
        limit = (3 * (2 if relu else 1) / inputs) ** 0.5
        torch.nn.init.uniform_(layer.weight, -limit, limit)
        torch.nn.init.zeros_(layer.bias)
        layers += [layer, torch.nn.ReLU()] if relu else [layer]
    return torch.nn.Sequential(*layers)


def theirs(rows, epochs, seed):
    rows, model = torch.from_numpy(rows), network(rows.shape[1], seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    start = time.process_time()
    for _ in range(epochs):
        order = torch.randperm(len(rows))
        for batch in order.split(BATCH):
            batch = rows[batch]
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(batch), batch).backward()
            optimizer.step()
    seconds = time.process_time() - start
    with torch.no_grad():
        return {"seconds": seconds, "loss": torch.nn.functional.mse_loss(model(rows), rows).item()}


def ours(rows, epochs, seeds, program):
    with tempfile.NamedTemporaryFile(suffix=".rows") as file:
        file.write(struct.pack("<II", *rows.shape) + rows.tobytes())
        file.flush()
        output = subprocess.run(
            [*program, file.name, str(seeds), str(epochs), str(BATCH), str(RATE), *map(str, HIDDEN)],
            cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE,
        ).stdout
    return [json.loads(line) for line in output.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--program", help="path of the built example [default: run it with cargo]")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cargo = ["cargo", "run", "--quiet", "--example", "autoencoder_speed", "--"]
    program = [arguments.program] if arguments.program else cargo
    rows = synthetic_rows(arguments.rows)
    runs = {
        "lapwing": ours(rows, arguments.epochs, arguments.seeds, program),
        f"PyTorch {torch.__version__}": [theirs(rows, arguments.epochs, seed) for seed in range(arguments.seeds)],
    }
    figures = []
    for name, run in runs.items():
        seconds = min(one["seconds"] for one in run) / arguments.epochs
        losses = [one["loss"] for one in run]
        figures.append((seconds, statistics.mean(losses), statistics.stdev(losses) / len(losses) ** 0.5))
        print(f"{name}: {seconds:.3f} s an epoch of {len(rows)} rows, loss {figures[-1][1]:.5f} ± {figures[-1][2]:.5f}")
    (our_s, our_loss, our_error), (their_s, their_loss, their_error) = figures
    noise = max(0.1 * their_loss, 3 * (our_error**2 + their_error**2) ** 0.5)
    if our_s > their_s or our_loss > their_loss + noise:
        sys.exit("FAILED: slower, or a worse loss")


if __name__ == "__main__":
    main()
