"""What is read from files and the hub, and what is refused in which words."""

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.preset.task import Task
from engine.tasks.load import check_sources
from tests.engine.tasks.small_tasks import ROWS, Words, load, prompts, refused, unchecked, write


@pytest.fixture(autouse=True)
def _home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["train.jsonl", "train.json", "train.csv", "train.parquet", "TRAIN.CSV"])
def test_every_kind_of_file_reads_the_same(name: str) -> None:
    tokenizer = Words()
    Path(write(name.lower(), ROWS)).rename(name)
    check_sources(Task(name="sst2", train=name, validation=name))
    loaded = load(tokenizer, train=name, validation=name)
    assert [tokenizer.text(e.prompt) for e in loaded.train] == [f"film {i} It was" for i in range(20)]
    assert [tokenizer.text(o) for o in loaded.train[0].options] == ["terrible", "great"]
    assert [e.label for e in loaded.train] == [0, 1] * 10
    assert (loaded.objective, loaded.option_texts) == ("classification", ["terrible", "great"])


def test_a_file_that_changed_is_read_again() -> None:
    write("train.jsonl", ROWS)
    assert len(load().train) == 20
    write("train.jsonl", ROWS[:3])
    assert len(load().train) == 3


def test_a_file_of_the_same_size_and_time_is_read_again() -> None:
    for text in ("first", "other"):
        write("train.jsonl", [{"text": text, "label": 1}] * 2)
        os.utime("train.jsonl", (1_700_000_000, 1_700_000_000))
        assert prompts("train.jsonl") == [text] * 2


def test_files_are_read_as_utf_8_whatever_the_locale() -> None:
    rows = [{"text": "Größe 日本", "label": 1}]
    read = (
        "import sys; from engine.tasks import sources; print(ascii([sources.read(sources.parse('k', name), ['text'], "
    )
    read += "lambda found: None).columns['text'] for name in sys.argv[1:]]))"
    names = ["t.csv", "t.jsonl", "t.json", "t.parquet"]
    for name in names:
        write(name, rows)
    odd = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    odd["PYTHONPATH"] = str(Path(engine.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", read, *names], env=odd, capture_output=True, text=True)
    assert done.stdout.strip() == ascii([["Größe 日本"]] * 4), done.stderr


def test_a_name_is_a_name_whatever_is_in_it() -> None:
    for name in ("reviews1.jsonl", "star-old.csv", "~odd.csv", "a b.jsonl", "x{y}.jsonl"):
        write(name, [{"text": f"in {name}", "label": 1}])
    for name in ("reviews[1].jsonl", "star*.csv", "st?r*.csv", "~odd.csv", "a b.jsonl", "x{y}.jsonl"):
        write(name, [{"text": f"in {name}", "label": 1}])
        assert prompts(name) == [f"in {name}"]
    Path("star*.csv").unlink()
    assert unchecked(train="star*.csv").startswith("task.train: star*.csv: no such file")
    assert unchecked(train="reviews[2].jsonl").startswith("task.train: reviews[2].jsonl: no such file")
    assert unchecked(train="~nobody-of-that-name/x.csv").startswith("task.train: ~nobody-of-that-name/x.csv: no such")
    assert "xxx.csv: no such file" in unchecked(train="x" * 300 + ".csv")


def test_a_folder_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: nothing is kept from root."""

    def denied(path: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    Path("data").mkdir()
    write("data/t.parquet", ROWS)
    monkeypatch.setattr(Path, "iterdir", denied)
    assert unchecked(train="data") == "task.train: data: the folder cannot be read (Permission denied)"


def test_what_cannot_be_read_twice_or_at_all() -> None:
    os.mkfifo("pipe.csv")
    assert unchecked(train="pipe.csv") == "task.train: pipe.csv: is not a file that can be read again; save it as one"
    Path("packed.parquet.gz").touch()
    assert unchecked(train="packed.parquet.gz").startswith("task.train: packed.parquet.gz: unknown kind of file")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "text,label\nx,1\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("t.jsonl", gzip.compress(b"{}", mtime=0), "is compressed; give it a name that ends in .gz"),
        ("t.csv", b"PK\x03\x04 and so on", "is a zip archive or a spreadsheet; unpack it, or save it as CSV"),
        ("t.json", b"PAR1 and so on", "is a Parquet file; give it a name that ends in .parquet"),
        ("t.csv.gz", b"text,label\n", "cannot be read (Not a gzipped file (b'te'))"),
        (
            "t.csv.gz",
            gzip.compress(b"text,label\n" + b"x,1\n" * 99, mtime=0)[:-20],
            "cannot be read (Compressed file ended before the end-of-stream marker was reached)",
        ),
    ],
)
def test_files_that_are_not_what_their_name_says(name: str, content: bytes, message: str) -> None:
    Path(name).write_bytes(content)
    assert refused(train=name, template="{text}") == f"{name}: {message}"


@pytest.mark.parametrize("name", ["t.csv.gz", "t.tsv.GZ", "t.jsonl.gz", "t.ndjson.gz", "t.json.gz"])
def test_compressed_files(name: str) -> None:
    plain = name.lower().removesuffix(".gz").replace("tsv", "csv").replace("ndjson", "jsonl")
    rows = [{"text": "Größe\n2", "label": 1}] * 3
    write(plain, rows)
    packed = Path(plain).read_bytes()
    Path(name).write_bytes(gzip.compress(packed[:20]) + gzip.compress(packed[20:]))  # as `cat a.gz b.gz` makes it
    assert prompts(name) == ["Größe\n2"] * 3


@pytest.mark.parametrize(
    ("label", "verbalizer", "index"),
    [
        (1, {"0": "bad", "1": "good"}, 1),
        (1.0, {"0": "bad", "1": "good"}, 1),
        ("1", {"0": "bad", "1.0": "good"}, 1),
        (" pos ", {"neg": "bad", "pos": "good"}, 1),
        (True, {"false": "bad", "true": "good"}, 1),
        (True, {"False": "bad", "True": "good"}, 1),
        (True, {"0": "bad", "1": "good"}, 1),
        (-1, {"1": "good", "-1": "bad"}, 1),
        (0, {"1": "good", "0": "bad"}, 1),
    ],
)
def test_labels_match_the_keys_of_the_verbalizer(label: Any, verbalizer: dict[str, str], index: int) -> None:
    write("train.jsonl", [{"sentence": "a", "label": label}])
    assert load(verbalizer=verbalizer).train[0].label == index


def test_explicit_keys_override_what_the_name_brings() -> None:
    write("train.jsonl", [{"text": "fine", "y": "b"}])
    tokenizer = Words()
    loaded = load(tokenizer, template="{text} ->", label="y", verbalizer={"a": "no", "b": "oh yes", "c": "maybe"})
    assert loaded.option_texts == ["no", "oh yes", "maybe"]
    assert tokenizer.text(loaded.train[0].prompt) == "fine ->"
    assert [len(option) for option in loaded.train[0].options] == [1, 2, 1]
    assert loaded.train[0].label == 1


def test_objective_lm_learns_the_target() -> None:
    write("train.jsonl", [{"q": " two and two ", "a": " four "}] * 2)
    tokenizer = Words()
    loaded = load(tokenizer, name=None, template="Q: {q}? A:", target="{a} .")
    assert (loaded.objective, loaded.option_texts) == ("lm", [])
    example = loaded.train[0]
    assert tokenizer.text(example.prompt) == "Q: two and two? A:"
    assert [tokenizer.text(o) for o in example.options] == ["four ."]
    assert example.label == 0


def test_an_explicit_target_beats_the_verbalizer_that_the_name_brings() -> None:
    write("train.jsonl", ROWS)
    assert load(target="{label}").objective == "lm"


def test_a_file_that_is_not_there() -> None:
    write("train.jsonl", ROWS)
    message = "task.train: trian.jsonl: no such file; did you mean 'train.jsonl'?"
    assert refused(train="trian.jsonl") == message
    assert unchecked(train="trian.jsonl") == message
    assert unchecked(train="no/t.csv") == "task.train: no/t.csv: no such file; there is no folder no"


def test_what_is_no_source() -> None:
    Path("notes.txt").touch()
    kinds = ".jsonl, .ndjson, .json, .csv, .tsv, all of them also as .gz, or .parquet"
    assert unchecked(train="notes.txt") == f"task.train: notes.txt: unknown kind of file; give one of {kinds}"
    assert unchecked(train="glue") == (f"task.train: glue: neither a file ({kinds}) nor a hub id name[:config]@split")
    assert unchecked(train=".") == f"task.train: . is a folder without Parquet files; give one file ({kinds})"


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.parquet", "t.json"])
def test_a_column_that_is_not_there(name: str) -> None:
    write(name, ROWS)
    message = (
        f"task.template: no column 'sentense' in {name} (it has sentence, label, unused); did you mean 'sentence'?"
    )
    assert refused(train=name, validation=name, template="{sentense} It was") == message
    if name != "t.json":  # too dear to look into before the start
        assert unchecked(train=name, validation=name, template="{sentense} It was") == message
    message = f"task.label: no column 'lable' in {name} (it has sentence, label, unused); did you mean 'label'?"
    assert refused(train=name, validation=name, label="lable") == message


@pytest.mark.parametrize("text", ["", " \t"])
def test_a_blank_path_is_not_the_current_folder(text: str) -> None:
    write("train.jsonl", ROWS)
    write("other.parquet", ROWS)
    message = "task.train: is empty; set it to a file or a hub id name[:config]@split"
    assert refused(train=text) == unchecked(train=text) == message
    assert unchecked(train="train.jsonl", test=text) == message.replace("train", "test")


def test_test_is_checked_when_it_is_given() -> None:
    write("train.jsonl", ROWS)
    assert unchecked(train="train.jsonl", test="t.csv") == "task.test: t.csv: no such file"


@pytest.mark.parametrize("text", ["{sentence", "{} It was", "{sentence!r}", "{sentence:>9}"])
def test_a_template_that_does_not_parse(text: str) -> None:
    message = unchecked(train="train.jsonl", template=text)
    assert message.startswith(f"task.template: {text!r}: ")
    assert message.endswith("; write {{ and }} for plain braces")


def test_a_template_without_a_column() -> None:
    assert unchecked(train="train.jsonl", template="It was") == (
        "task.template: 'It was' names no column; write one in braces, as in {sentence}"
    )


def test_what_to_predict_must_be_said_once() -> None:
    both = {"target": "{label}", "verbalizer": {"0": "a", "1": "b"}}
    assert unchecked(train="t.csv", **both) == (
        "task.target and task.verbalizer are both set; keep one, or say which by task.kind"
    )
    bare = {"name": None, "train": "t.csv", "template": "{sentence}"}
    assert unchecked(**bare) == (
        'task.verbalizer: missing; set label -> option text, as in { 0 = "bad", 1 = "good" }; or task.choices, or '
        "task.target, for another kind of task"
    )
    assert unchecked(**bare, verbalizer={"0": "a", "1": "b"}) == (
        "task.label: missing; the column that holds the label"
    )
    assert unchecked(**bare, objective="lm") == (
        "task.target: missing; kind generation learns this text, for example '{answer}'"
    )
    assert unchecked(name=None, train="t.csv", target="{a}").startswith("task.template: missing; ")


def test_options_must_differ() -> None:
    assert unchecked(train="t.csv", verbalizer={"0": "a"}) == (
        "task.verbalizer: needs two or more labels, each with an option text of its own"
    )
    for verbalizer in ({"0": "a", "1": " a"}, {"x": "b", "0": "a", "1": "a"}):
        assert unchecked(train="t.csv", verbalizer=verbalizer) == (
            "task.verbalizer: labels 0 and 1 both stand for 'a'; give each an option text of its own"
        )


def test_an_empty_option() -> None:
    assert unchecked(train="t.csv", verbalizer={"0": "a", "1": " "}).startswith(
        "task.verbalizer: an option text is empty"
    )


def test_a_label_without_an_option() -> None:
    write("train.jsonl", [*ROWS[:2], {"sentence": "a", "label": -1}])
    assert refused() == ("train.jsonl: line 3: label '-1' is not in task.verbalizer (it has 0, 1); add it there")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"sentence": None, "label": 1}, "column 'sentence' has no text; mend or remove the row"),
        ({"sentence": "a", "label": None}, "column 'label' has no label; mend or remove the row"),
        ({"sentence": "a"}, "column 'label' has no label; mend or remove the row"),
    ],
)
def test_a_value_that_is_missing(row: dict[str, Any], message: str) -> None:
    write("train.jsonl", [{"sentence": "a", "label": 0}, row])
    assert refused() == f"train.jsonl: line 2: {message}"


def test_an_empty_cell_of_a_csv_is_empty_text_but_no_label() -> None:
    Path("t.csv").write_text("title,sentence,label\n,fine,1\nBad,,0\n")
    found = prompts("t.csv", "{title}: {sentence}")
    assert found == [": fine", "Bad:"]
    write("t.jsonl", [{"title": "", "sentence": "fine", "label": 1}, {"title": "Bad", "sentence": "", "label": 0}])
    assert prompts("t.jsonl", "{title}: {sentence}") == found
    Path("t.csv").write_text("sentence,label\nfine,1\nfine,\n")
    assert refused(train="t.csv", validation="t.csv") == (
        "t.csv: line 3: column 'label' has no label; mend or remove the row"
    )


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_prompt_of_empty_columns_is_refused(name: str) -> None:
    write(name, [{"title": "a", "sentence": "b", "label": 1}, {"title": "", "sentence": " ", "label": 1}])
    place = "line 3" if name == "t.csv" else "line 2"
    keys = {"train": name, "validation": name}
    assert refused(**keys) == f"{name}: {place}: column 'sentence' has no text; mend or remove the row"
    assert refused(**keys, template="{title}: {sentence}, {title}") == (
        f"{name}: {place}: columns 'title', 'sentence' have no text; mend or remove the row"
    )
    assert len(load(rules=1, **keys).train) == 2  # runs that began with such rows go on


def test_an_empty_target() -> None:
    for a in (" ", ""):
        write("train.jsonl", [{"q": "a", "a": a}] * 2)
        assert refused(name=None, template="{q}", target="{a}") == (
            "train.jsonl: line 1: task.target is empty there; mend or remove the row"
        )
    Path("t.csv").write_text("q,a\nb,\n")
    assert refused(name=None, template="{q}", target="{a}", train="t.csv", validation="t.csv") == (
        "t.csv: line 2: task.target is empty there; mend or remove the row"
    )


def test_an_empty_prompt() -> None:
    write("train.jsonl", [{"sentence": "fine", "label": 0}])
    keys: dict[str, Any] = {"name": None, "template": "", "target": "{sentence}"}
    message = "train.jsonl: line 1: the prompt is empty; the model needs a token before the options"
    assert refused(**keys) == message
    assert load(Words(begin=[1]), **keys).train[0].prompt == (1,)


def test_a_file_without_rows() -> None:
    Path("none.jsonl").touch()
    Path("none.csv").write_text("sentence,label\n")
    assert unchecked(train="none.jsonl") == "none.jsonl: is empty; task.train needs at least one row"
    assert refused(train="none.jsonl") == "none.jsonl: is empty; task.train needs at least one row"
    assert refused(train="none.csv") == "none.csv: has no rows; task.train needs at least one"


def test_a_file_that_is_damaged() -> None:
    Path("bad.jsonl").write_text('{"sentence": "a", "label": 0}\n{"sentence": \n')
    message = "bad.jsonl: line 2 is not JSON (Expecting value, character 15); write one object per line"
    assert unchecked(train="bad.jsonl") == refused(train="bad.jsonl") == message
    Path("list.jsonl").write_text("[1, 2]\n")
    assert unchecked(train="list.jsonl") == "list.jsonl: line 1 is not an object; write one object per line"
    Path("bad.parquet").write_text("PAR?")
    assert unchecked(train="bad.parquet").startswith("bad.parquet: cannot be read as Parquet (")
    assert refused(train="bad.parquet").startswith("bad.parquet: cannot be read as Parquet (")


def test_a_hub_id_out_of_reach_is_asked_for_once_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2

    asked: list[str] = []

    def unreachable(self: Any, request: httpx2.Request) -> None:
        asked.append(request.url.path)
        raise httpx2.ConnectError("no route to host")

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", unreachable)
    write("train.jsonl", ROWS)
    assert refused(validation="nobody/nothing-there@validation") == (
        "task.validation: nobody/nothing-there@validation: the Hugging Face hub cannot be reached "
        "(no route to host), and it is not in the local cache; "
        "go online or set task.validation to a local file"
    )
    assert asked == ["/api/datasets/nobody/nothing-there"]  # and not again and again; nor of the local file
    assert check_sources(Task(name="sst2")) is None


def test_a_hub_id_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    write("train.jsonl", ROWS)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert refused(train="../x@train").startswith("task.train: ../x@train: neither a file")
    assert refused(train="a--b@train") == (
        "task.train: a--b@train: no such data set on the hub (or it is private: `hf auth login`)"
    )
