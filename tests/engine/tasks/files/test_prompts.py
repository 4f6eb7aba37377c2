"""The text that is trained on is the text in the file: generated files of every kind, prompt by prompt.

The files are written here by hand, by what each format says, so that a reader and a writer of one library cannot agree
on a mistake. What a prompt does to a value, and all it does, is defined here once more: white space at its ends is off.
"""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from tests.engine.tasks.small_tasks import prompts

ROWS = 500  # of a file

WHOLE = [
    "007", "1e5", "1.50", "-0", "+1", "1,5", "1;5", "0x1F", "1_000", "2024-01-01", "2024-01-01T12:00:00Z", "12:30",
    "TRUE", "false", "null", "None", "NA", "N/A", "nan", "NaN", "Infinity", "-inf", "#N/A", "[1, 2]", '{"a": 1}',
    "{text}", "=1+1", "'x'", '"x"', '"', '""', "''", "\\", "\\n", "\\u0041", "a\\", "<s>", "</s>",
    "%s", "sep=;", "# no comment", "",
]  # fmt: skip

PIECES = [
    '"', '""', "'", ",", ";", "\t", "|", "\n", "\r\n", "\r", "\\", "/", " ", "  ", ":", "{", "}", "[", "]", "\x01",
    "\x1f", "\x7f", "\x85", "\xa0", "\u2028", "\u2029", "\u200b", "\u200f", "\u202e", "\ufeff", "\ufffd", "e\u0301",
    "é", "ß", "İ", "日本", "שלום", "مرحبا", "👩‍👩‍👧", "🎬", "\U0010ffff", "film", "great", "0", "1.0",
    "T", "null", "<", "&amp;",
]  # fmt: skip


def _text(chance: random.Random, delimiter: str) -> str:
    if chance.random() < 0.2:
        return chance.choice(WHOLE)
    text = "".join(chance.choices(PIECES, k=chance.randint(1, 12)))
    both = delimiter == "\t" and ("\n" in text or "\r" in text)  # which is refused beside tabs
    return text.replace("\t", " ") if both else text


def _in_prompt(text: str) -> str:
    """By definition: what Unicode calls white space is off at both ends, and nothing else is done."""
    kept = [place for place, character in enumerate(text) if not character.isspace()]
    return text[kept[0] : kept[-1] + 1] if kept else ""


def _delimited(chance: random.Random, texts: list[str], delimiter: str) -> str:
    """RFC 4180: a field in quotes has its quotes twice; one that needs them has them, another may."""

    def field(text: str) -> str:
        needed = any(mark in text for mark in (delimiter, "\n", "\r")) or text.startswith('"')
        return '"' + text.replace('"', '""') + '"' if needed or chance.random() < 0.3 else text

    end = chance.choice(["\n", "\r\n"])
    lines = [delimiter.join(["", "other", "text", "label"])]
    for number, text in enumerate(texts):
        if chance.random() < 0.05:
            lines.append("")
        lines.append(delimiter.join([str(number), field(_text(chance, delimiter)), field(text), str(number % 2)]))
    return end.join(lines) + chance.choice(["", end])


def _json(chance: random.Random, text: str, number: int) -> str:
    """RFC 8259: a character of a string may be itself, or escaped, but for those that must be."""

    def string(text: str) -> str:
        return '"' + "".join(character(one) for one in text) + '"'

    def character(one: str) -> str:
        if one in '"\\' or one < " " or chance.random() < 0.1:
            units = one.encode("utf-16-be")
            return "".join(f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2))
        return one

    odd = chance.choice(['{"text": "no"}', "[1, null]", "1e400", "true", '"\\ud800"', "null"])
    pairs = [f'"text": {string(text)}', f"{string('label')}: {number % 2}", f'"odd": {odd}']
    chance.shuffle(pairs)
    return "{" + chance.choice([",", " , "]).join(pairs) + "}"


def _write(path: Path, chance: random.Random, texts: list[str], delimiter: str) -> None:
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        import pyarrow
        import pyarrow.parquet

        kind = chance.choice([pyarrow.string(), pyarrow.large_string(), pyarrow.binary()])
        values = pyarrow.array([text.encode() for text in texts], pyarrow.binary()).cast(kind)
        odd = pyarrow.array([[{"text": text}] for text in texts])
        numbers = [number % 2 for number in range(len(texts))]
        table = pyarrow.table({"odd": odd, "text": values, "label": numbers})
        pyarrow.parquet.write_table(table, path, row_group_size=chance.randint(1, ROWS))
        return
    if name.endswith((".csv", ".tsv")):
        content = _delimited(chance, texts, delimiter)
    else:
        rows = [_json(chance, text, number) for number, text in enumerate(texts)]
        end = chance.choice(["\n", "\r\n", "\n\n"])
        content = f"[{f',{end}'.join(rows)}]" if name.endswith(".json") else end.join(rows) + chance.choice(["", end])
    packed = (chance.choice(["", "\ufeff"]) + content).encode()
    path.write_bytes(gzip.compress(packed, 1) if path.suffix == ".gz" else packed)


@pytest.mark.parametrize(
    ("name", "files"),
    [("t.csv", 5), ("t.tsv", 2), ("t.csv.gz", 2), ("t.jsonl", 3), ("t.json", 2), ("t.ndjson.gz", 2), ("t.parquet", 4)],
)
def test_every_prompt_is_the_text_in_the_file(
    name: str, files: int, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(files):
        chance = random.Random(f"{name}/{seed}")
        delimiter = "\t" if ".tsv" in name else chance.choice(",;\t|")
        texts = [_text(chance, delimiter) for _ in range(ROWS)]
        _write(Path(name), chance, texts, delimiter)
        found = prompts(name, template="[{text}] {label}")  # of which one column is never empty
        wanted = [f"[{_in_prompt(text)}] {number % 2}" for number, text in enumerate(texts)]
        differ = [both for both in zip(wanted, found, strict=True) if both[0] != both[1]]
        assert differ == [], f"seed {seed}: {len(differ)} of {ROWS}, first {json.dumps(differ[0])}"
