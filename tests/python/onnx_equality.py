"""Checks that onnxruntime's outputs are bit-identical to the int8 engine's for every exported network and batch size.

    onnx_equality.py [--timing] [FOLDER]

FOLDER: output of `lapwing-equality-dump`. Default: create it first. Batch sizes: 1, 7, 64. `--timing` also compares
speed on one thread, and fails if tract at batch size 64 is slower per row than onnxruntime, or if int8 at batch size 1
takes more than 0.15 of onnxruntime's time. The onnxruntime session is called through Python, so the cost of an empty
call is printed too.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy
import onnx
import onnxruntime

FEATURES = 48
BATCHES = (1, 7, 64)
ROOT = pathlib.Path(__file__).resolve().parents[2]


def session(path, threads=1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(network, rows):
    """Rows [n, 48] -> outputs [n, 48 + latent]."""
    columns = numpy.ascontiguousarray(rows.T[None])
    reconstruction, latent = network.run(["reconstruction", "latent"], {"input": columns})
    return numpy.concatenate([reconstruction[0].T, latent[0].T], axis=1)


def check(path, entry, rows):
    """Number of values that differ, over all batch sizes."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    expected = numpy.fromfile(path.with_suffix(".bin"), numpy.int8).reshape(len(rows), FEATURES + entry["latent"])
    network = session(path)
    different = 0
    for batch in BATCHES:
        found = numpy.concatenate([run(network, rows[at : at + batch]) for at in range(0, len(rows), batch)])
        wrong = numpy.argwhere(found != expected)
        if len(wrong):
            row, column = wrong[0]
            print(f"{entry['name']}: batch {batch}: {len(wrong)} values differ, first in row {row}, column {column}: "
                  f"onnxruntime {found[row, column]}, int8 {expected[row, column]}")
        different += len(wrong)
    return different


def nanos_per_row(path, rows, batch):
    """Best of several rounds. Binds input and output beforehand to minimise Python's overhead."""
    network = session(path)
    binding = network.io_binding()
    columns = onnxruntime.OrtValue.ortvalue_from_numpy(numpy.ascontiguousarray(rows[:batch].T[None]))
    binding.bind_ortvalue_input("input", columns)
    for name in ("reconstruction", "latent"):
        binding.bind_output(name)
    best = float("inf")
    for _ in range(9):
        start = time.perf_counter_ns()
        for _ in range(400):
            network.run_with_iobinding(binding)
        best = min(best, (time.perf_counter_ns() - start) / 400 / batch)
    return best


def empty_call_nanos(folder):
    """Time of one run of an empty network."""
    helper = onnx.helper
    kind = onnx.TensorProto.INT8
    values = [helper.make_tensor_value_info(name, kind, [1, FEATURES, "N"]) for name in ("input", "reconstruction")]
    latent = helper.make_tensor_value_info("latent", kind, [1, FEATURES, "N"])
    nodes = [helper.make_node("Identity", ["input"], [name]) for name in ("reconstruction", "latent")]
    graph = helper.make_graph(nodes, "nothing", values[:1], [values[1], latent])
    path = folder / "nothing.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)
    return nanos_per_row(path, numpy.zeros((1, FEATURES), numpy.int8), 1)


def timing(folder, index, rows):
    """Whether every default-sized network meets the ratios."""
    print(f"onnxruntime, one call of an empty network: {empty_call_nanos(folder):.0f} ns")
    fast = True
    print(f"{'ns per row':38}{'ort b1':>9}{'int8 b1':>9}{'ratio':>7}{'ort b64':>9}{'tract b64':>10}{'ratio':>7}")
    for number, entry in enumerate(index):
        if not entry["name"].startswith(("default", "trained")):
            continue
        path = folder / f"{number:02}.onnx"
        ort_1, ort_64 = nanos_per_row(path, rows, 1), nanos_per_row(path, rows, 64)
        single, batched = entry["int8_1"] / ort_1, entry["tract_64"] / ort_64
        print(f"{entry['name']:38}{ort_1:9.0f}{entry['int8_1']:9.0f}{single:7.3f}{ort_64:9.0f}"
              f"{entry['tract_64']:10.0f}{batched:7.3f}")
        fast &= single <= 0.15 and batched <= 1.0
    return fast


def dump(folder):
    command = ["cargo", "run", "--quiet", "--bin", "lapwing-equality-dump", "--"]
    subprocess.run([*command, str(folder)], cwd=ROOT, check=True)


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--timing"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(arguments[0] if arguments else temporary)
        if not arguments:
            dump(folder)
        index = json.loads((folder / "index.json").read_text())
        rows = numpy.fromfile(folder / "rows.bin", numpy.int8).reshape(-1, FEATURES)
        different = sum(check(folder / f"{number:02}.onnx", entry, rows) for number, entry in enumerate(index))
        values = sum((FEATURES + entry["latent"]) * len(rows) * len(BATCHES) for entry in index)
        print(f"{len(index)} networks, {len(rows)} rows, batch {BATCHES}: {different} of {values} values differ")
        fast = timing(folder, index, rows) if "--timing" in sys.argv else True
    return 0 if different == 0 and fast else 1


if __name__ == "__main__":
    sys.exit(main())
