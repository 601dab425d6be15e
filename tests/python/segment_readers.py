"""Checks that DuckDB and Polars read a segment as it is, every value bit for bit, and find its metadata and order.

    segment_readers.py [--program FILE]

--program: path of the built example `segment_rows`. Default: run it with cargo.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import duckdb
import numpy
import polars

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEADING = 13
FEATURES = 48


def written(program, folder):
    """Path of a new segment, its columns before the features as lists of texts, and its features as bits."""
    command = ["cargo", "run", "--quiet", "--package", "lapwing-segments", "--example", "segment_rows", "--"]
    subprocess.run([*([program] if program else command), folder], check=True, cwd=ROOT)
    index = json.loads((folder / "segments.json").read_text(encoding="utf-8"))
    with open(folder / "rows.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    features = numpy.fromfile(folder / "features.bin", "<u4").reshape(-1, FEATURES)
    assert len(rows) == len(features) == index["segments"][0]["rows"], "the program wrote different numbers of rows"
    return folder / index["segments"][0]["file"], header, rows, features


def text(value):
    """A value as rows.csv has it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def check(reader, names, rows, features, expected):
    """Compares what a reader found with what was written."""
    header, expected_rows, expected_features = expected
    assert names[:LEADING] == header, f"{reader}: columns {names[:LEADING]}"
    assert len(names) == LEADING + FEATURES and names[LEADING] == "duration_ms", f"{reader}: columns {names}"
    found = [[text(value) for value in row] for row in rows]
    for number, (row, expected_row) in enumerate(zip(found, expected_rows, strict=True)):
        assert row == expected_row, f"{reader}: row {number} is {row}, expected {expected_row}"
    bits = numpy.ascontiguousarray(features, "<f4").view("<u4")
    wrong = numpy.argwhere(bits != expected_features)
    assert not len(wrong), f"{reader}: {len(wrong)} features differ, first at {wrong[0]}"
    print(f"{reader}: {len(found)} rows of {len(names)} columns are equal")


def with_duckdb(path, expected):
    connection = duckdb.connect()
    relation = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
    names = [column[0] for column in relation.description]
    columns = relation.fetchnumpy()
    rows = connection.execute(f"SELECT {', '.join(names[:LEADING])} FROM read_parquet(?)", [str(path)]).fetchall()
    features = numpy.stack([numpy.ma.getdata(columns[name]) for name in names[LEADING:]], axis=1)
    check("DuckDB", names, rows, features, expected)
    query = "SELECT decode(key), decode(value) FROM parquet_kv_metadata(?)"
    metadata = dict(connection.execute(query, [str(path)]).fetchall())
    assert metadata["lapwing.format"] == "1" and metadata["lapwing.group"] == "home", metadata
    assert len(metadata["lapwing.schema"]) == 64, metadata
    agents = "SELECT count(*), min(at_ns) <= max(at_ns) FROM read_parquet(?) WHERE agent = 'gateway-3' AND score IS NULL"
    count, ordered = connection.execute(agents, [str(path)]).fetchone()
    assert count == sum(row[0] == "gateway-3" and row[9] == "" for row in expected[1]) and ordered, count


def with_polars(path, expected):
    frame = polars.read_parquet(path)
    rows = frame.select(frame.columns[:LEADING]).rows()
    features = frame.select(frame.columns[LEADING:]).to_numpy()
    check("Polars", frame.columns, rows, features, expected)
    few = polars.scan_parquet(path).filter(polars.col("agent") == "gateway-3").collect()
    assert len(few) == sum(row[0] == "gateway-3" for row in expected[1]), len(few)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", type=pathlib.Path)
    program = arguments.parse_args().program
    with tempfile.TemporaryDirectory() as folder:
        path, *expected = written(program, pathlib.Path(folder))
        with_duckdb(path, expected)
        with_polars(path, expected)


if __name__ == "__main__":
    sys.exit(main())
