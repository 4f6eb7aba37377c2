"""`python -m tests.benchmarks.reading`: what it takes to read a data file, of every kind.

Each file is read in a process of its own, as a run reads it: the columns that a preset names, of rows that have more.
Prints Markdown; the peak is that of the whole process. Where other programs are at work, go by the processor's seconds.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_NAMES = ("train.csv", "train.tsv", "train.jsonl", "train.json", "train.jsonl.gz", "train.parquet")
_WANTED = ["text", "label"]


def main() -> int:
    """The command."""
    asked = _arguments()
    if asked.file:
        print(json.dumps(_read(asked.file)))
        return 0
    print(f"{asked.rows:,} rows of {asked.length} characters, a fifth of them not ASCII\n")
    print("| file | size, MB | seconds | of the processor | peak, MB |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name in _NAMES:
            path = Path(folder, name)
            _write(path, asked.rows, asked.length)
            command = [sys.executable, "-m", "tests.benchmarks.reading", "--file", str(path)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            assert found["rows"] == asked.rows
            size, peak = path.stat().st_size / 1e6, found["peak"] / 1e6
            print(f"| {name} | {size:.0f} | {found['seconds']:.1f} | {found['at_work']:.1f} | {peak:.0f} |", flush=True)
            path.unlink()
    return 0


def _read(path: Path) -> dict[str, float]:
    from engine.tasks import sources

    source = sources.parse("task.train", str(path))
    began, at_work = time.perf_counter(), time.process_time()
    table = sources.read(source, _WANTED, lambda present: None)
    seconds, at_work = time.perf_counter() - began, time.process_time() - at_work
    status = Path("/proc/self/status").read_text()  # getrusage would count the process that started this one
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return {"rows": len(table), "seconds": seconds, "at_work": at_work, "peak": int(peak) * 1024}


def _rows(count: int, length: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(0)
    words = ["film", "great", "weak", "plot,", '"really"', "the", "of", "it", "1e5"]
    for number in range(count):
        chosen = [*words, "Größe", "日本", "🎬"] if number % 5 == 0 else words
        text = " ".join(chance.choices(chosen, k=length // 4))[:length]
        yield {"id": number, "text": text, "label": number % 2, "meta": text[:20], "score": number / 7}


def _write(path: Path, count: int, length: int) -> None:
    rows = _rows(count, length)
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
        return
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8", newline="") as file:
        if path.suffix in (".csv", ".tsv"):
            writer = csv.DictWriter(
                file, ["id", "text", "label", "meta", "score"], delimiter="\t" if path.suffix == ".tsv" else ","
            )
            writer.writeheader()
            writer.writerows(rows)
        elif path.suffix == ".json":
            file.write("[")
            file.writelines(",\n" * (row["id"] > 0) + json.dumps(row, ensure_ascii=False) for row in rows)
            file.write("]")
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reading", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--length", type=int, default=500, help="characters of a text")
    parser.add_argument("--file", type=Path, help="read this one alone")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
