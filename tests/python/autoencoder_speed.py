"""Training a gateway-sized autoencoder is no slower than with PyTorch, and comes to the same loss.

    autoencoder_speed.py [--rows N] [--epochs N] [--seeds N]

Both train 48-24-8-24-48 (ReLU, linear latent layer and output, He's uniform weights, biases 0) on the same rows made
here, with Adam at 3e-3, mean squared error, batches of 1,024, one thread. Seconds are processor time, the best of the
seeds; the loss is over all rows after the last epoch, mean over the seeds. Ours are two: burn, which releases are
trained with, and the products by hand of `evaluate`. It fails when either takes longer, or its loss is higher by more
than three standard errors and by more than a tenth. Needs requirements-torch.txt (several GB).
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


def made_rows(count, columns=48, kinds=12, seed=7):
    """A mixture of curved sheets, as flows are: few degrees of freedom, several kinds, some noise."""
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


def ours(engine, rows, epochs, seeds, program):
    with tempfile.NamedTemporaryFile(suffix=".rows") as file:
        file.write(struct.pack("<II", *rows.shape) + rows.tobytes())
        file.flush()
        told = subprocess.run(
            [*program, engine, file.name, str(seeds), str(epochs), str(BATCH), str(RATE), *map(str, HIDDEN)],
            cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE,
        ).stdout
    return [json.loads(line) for line in told.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--program", help="the built example; default: cargo runs it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cargo = ["cargo", "run", "--quiet", "--package", "lapwing-neural", "--example", "autoencoder_speed", "--"]
    program = [arguments.program] if arguments.program else cargo
    rows = made_rows(arguments.rows)
    runs = {
        **{f"lapwing, {engine}": ours(engine, rows, arguments.epochs, arguments.seeds, program) for engine in ("plain", "burn")},
        f"PyTorch {torch.__version__}": [theirs(rows, arguments.epochs, seed) for seed in range(arguments.seeds)],
    }
    figures = []
    for name, run in runs.items():
        seconds = min(one["seconds"] for one in run) / arguments.epochs
        losses = [one["loss"] for one in run]
        figures.append((seconds, statistics.mean(losses), statistics.stdev(losses) / len(losses) ** 0.5))
        print(f"{name}: {seconds:.3f} s an epoch of {len(rows)} rows, loss {figures[-1][1]:.5f} ± {figures[-1][2]:.5f}")
    *own, (their_s, their_loss, their_error) = figures
    for our_s, our_loss, our_error in own:
        noise = max(0.1 * their_loss, 3 * (our_error**2 + their_error**2) ** 0.5)
        if our_s > their_s or our_loss > their_loss + noise:
            sys.exit("FAILED: slower, or a worse loss")


if __name__ == "__main__":
    main()
