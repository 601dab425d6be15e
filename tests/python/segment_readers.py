"""Checks that DuckDB, Polars and pandas read segments as they are, every value bit for bit, and find metadata and order:
one segment with every kind of value, and all segments that a store made of its journal as `serve` does.

    segment_readers.py [--program FILE --stored FILE]

--program, --stored: paths of the built examples `segment_rows` and `stored_segments`. Default: run them with cargo.
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
import pandas
import polars

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEADING = 13
FEATURES = 48


def run(program, package, example, folder):
    command = ["cargo", "run", "--quiet", "--package", package, "--features", "testing", "--example", example, "--"]
    subprocess.run([*([program] if program else command), folder], check=True, cwd=ROOT)


def plain(folder):
    """What an example wrote beside the segments: columns before the features as lists of texts, and features as bits."""
    with open(folder / "rows.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    features = numpy.fromfile(folder / "features.bin", "<u4").reshape(-1, FEATURES)
    assert len(rows) == len(features), "the program wrote different numbers of rows"
    return header, rows, features


def written(program, folder):
    """Path of a new segment, and its rows."""
    run(program, "lapwing-segments", "segment_rows", folder)
    index = json.loads((folder / "segments.json").read_text(encoding="utf-8"))
    header, rows, features = plain(folder)
    assert len(rows) == index["segments"][0]["rows"], "the program wrote different numbers of rows"
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


def with_pandas(path, expected):
    frame = pandas.read_parquet(path)
    leading = frame[frame.columns[:LEADING]].astype({"score": object})
    rows = [[None if value is pandas.NA or value != value else value for value in row] for row in leading.itertuples(index=False)]
    rows = [[int(value) if column == 9 and value is not None else value for column, value in enumerate(row)] for row in rows]
    check("pandas", list(frame.columns), rows, frame[frame.columns[LEADING:]].to_numpy(), expected)


ORDER = ["agent", "at_ns", "arrival", "row"]


def of_store(program, folder):
    """Reads all segments of a store at once."""
    run(program, "lapwing-store", "stored_segments", folder)
    expected = plain(folder)
    places = folder / "store.sqlite.segments"
    files = sorted(places.glob("segment-*.parquet"))
    assert len(files) > 2, files
    connection = duckdb.connect()
    relation = connection.execute(f"SELECT * FROM read_parquet(?) ORDER BY {', '.join(ORDER)}", [str(places / "*.parquet")])
    names = [column[0] for column in relation.description]
    rows = relation.fetchall()
    features = numpy.array([row[LEADING:] for row in rows], "<f4")
    check(f"DuckDB, {len(files)} segments", names, [row[:LEADING] for row in rows], features, expected)
    frame = polars.read_parquet(places / "*.parquet").sort(ORDER)
    features = frame.select(frame.columns[LEADING:]).to_numpy()
    check(f"Polars, {len(files)} segments", frame.columns, frame.select(frame.columns[:LEADING]).rows(), features, expected)
    frame = pandas.concat([pandas.read_parquet(file) for file in files]).sort_values(ORDER)
    assert len(frame) == len(expected[1]) and frame["agent"].nunique() == 3, len(frame)
    features = numpy.ascontiguousarray(frame[frame.columns[LEADING:]].to_numpy(), "<f4").view("<u4")
    assert (features == expected[2]).all(), "pandas: features differ"
    print(f"pandas, {len(files)} segments: {len(frame)} rows are equal")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", type=pathlib.Path)
    arguments.add_argument("--stored", type=pathlib.Path)
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        of_store(arguments.stored, pathlib.Path(folder))
    program = arguments.program
    with tempfile.TemporaryDirectory() as folder:
        path, *expected = written(program, pathlib.Path(folder))
        with_duckdb(path, expected)
        with_polars(path, expected)
        with_pandas(path, expected)


if __name__ == "__main__":
    sys.exit(main())
