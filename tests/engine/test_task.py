"""From files to token ids: what is read, what is refused and in which words, and the order of the batches."""

import csv
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from engine import preset, task
from engine.errors import UserError
from engine.tokens import Encoder, Example

ROWS = [{"sentence": f" film {i} \n", "label": i % 2, "unused": [i]} for i in range(20)]


class Words:
    """A stand-in tokenizer: a token per word, with the special tokens that are asked for."""

    def __init__(self, begin: list[int] | None = None, end: list[int] | None = None, merges: str = "") -> None:
        self.begin, self.end, self.merges = begin or [], end or [], merges
        self.ids: dict[str, int] = {}
        self.bos_token_id = self.begin[0] if self.begin else None

    def __call__(self, texts: Any, add_special_tokens: bool = True) -> dict[str, Any]:
        if isinstance(texts, list):
            return {"input_ids": [self(text, add_special_tokens)["input_ids"] for text in texts]}
        if self.merges:
            texts = texts.replace(self.merges, self.merges.replace(" ", "_"))
        ids = [self.ids.setdefault(word, 100 + len(self.ids)) for word in texts.split()]
        return {"input_ids": [*self.begin, *ids, *self.end] if add_special_tokens else ids}

    def text(self, ids: tuple[int, ...]) -> str:
        words = {number: word for word, number in self.ids.items()}
        return " ".join(words.get(i, f"<{i}>") for i in ids)


@pytest.fixture(autouse=True)
def _home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(path: str, rows: list[dict[str, Any]]) -> str:
    """Rows as a file of the kind that its name says."""
    if path.endswith(".jsonl"):
        Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.endswith(".json"):
        Path(path).write_text(json.dumps(rows))
    elif path.endswith(".csv"):
        with Path(path).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def load(tokenizer: Any = None, *, seed: int = 0, max_length: int = 64, **keys: Any) -> task.Task:
    keys = {"name": "sst2", "train": "train.jsonl", "validation": "train.jsonl"} | keys
    return task.load_task(
        preset.Task(**{k: v for k, v in keys.items() if v is not None}),
        tokenizer or Words(),
        seed=seed,
        max_length=max_length,
    )


def refused(**keys: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(**keys)
    message = str(caught.value)
    assert "\n" not in message
    return message


def unchecked(**keys: Any) -> str:
    """The message of the cheap check."""
    with pytest.raises(UserError) as caught:
        task.check_sources(preset.Task(**{"name": "sst2", "validation": "train.jsonl"} | keys))
    return str(caught.value)


# -- reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["train.jsonl", "train.json", "train.csv", "train.parquet", "TRAIN.CSV"])
def test_every_kind_of_file_reads_the_same(name: str) -> None:
    tokenizer = Words()
    Path(write(name.lower(), ROWS)).rename(name)
    task.check_sources(preset.Task(name="sst2", train=name, validation=name))
    loaded = load(tokenizer, train=name, validation=name)
    assert [tokenizer.text(e.prompt) for e in loaded.train] == [f"film {i} It was" for i in range(20)]
    assert [tokenizer.text(o) for o in loaded.train[0].options] == ["terrible", "great"]
    assert [e.label for e in loaded.train] == [0, 1] * 10
    assert (loaded.objective, loaded.option_texts, loaded.notes) == (
        "classification",
        ["terrible", "great"],
        [],
    )


def test_csv_text_stays_as_written() -> None:
    write("train.csv", [{"sentence": "NA", "label": "007"}, {"sentence": "007", "label": "NA"}])
    tokenizer = Words()
    loaded = load(tokenizer, train="train.csv", validation="train.csv", verbalizer={"007": "yes", "NA": "no"})
    assert [tokenizer.text(e.prompt) for e in loaded.train] == ["NA It was", "007 It was"]
    assert [e.label for e in loaded.train] == [0, 1]


def test_a_file_that_changed_is_read_again() -> None:
    write("train.jsonl", ROWS)
    assert len(load().train) == 20
    write("train.jsonl", ROWS[:3])
    assert len(load().train) == 3


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


# -- refusals ---------------------------------------------------------------------------------------


def test_a_file_that_is_not_there() -> None:
    write("train.jsonl", ROWS)
    message = "task.train: trian.jsonl: no such file; did you mean 'train.jsonl'?"
    assert refused(train="trian.jsonl") == message
    assert unchecked(train="trian.jsonl") == message
    assert unchecked(train="no/t.csv") == "task.train: no/t.csv: no such file; there is no folder no"


def test_what_is_no_source() -> None:
    Path("notes.txt").touch()
    kinds = ".jsonl, .json, .csv, .parquet"
    assert unchecked(train="notes.txt") == f"task.train: notes.txt: unknown kind of file; give one of {kinds}"
    assert unchecked(train="glue") == (f"task.train: glue: neither a file ({kinds}) nor a hub id name[:config]@split")
    assert unchecked(train=".") == f"task.train: . is a folder; give one file ({kinds})"


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
        "task.target and task.verbalizer are both set; keep one, or say which by task.objective"
    )
    bare = {"name": None, "train": "t.csv", "template": "{sentence}"}
    assert unchecked(**bare) == ("task.verbalizer: missing; set label -> option text, or task.target for objective lm")
    assert unchecked(**bare, verbalizer={"0": "a", "1": "b"}) == (
        "task.label: missing; the column that holds the label"
    )
    assert unchecked(**bare, objective="lm") == (
        "task.target: missing; objective lm learns this text, for example '{answer}'"
    )
    assert unchecked(name=None, train="t.csv", target="{a}").startswith("task.template: missing; ")


@pytest.mark.parametrize("verbalizer", [{"0": "a"}, {"0": "a", "1": " a"}, {"0": "a", "1": "b", "2": "b"}])
def test_options_must_differ(verbalizer: dict[str, str]) -> None:
    assert unchecked(train="t.csv", verbalizer=verbalizer) == (
        "task.verbalizer: needs two or more labels, each with an option text of its own"
    )


def test_an_empty_option() -> None:
    assert unchecked(train="t.csv", verbalizer={"0": "a", "1": " "}).startswith(
        "task.verbalizer: an option text is empty"
    )


def test_a_label_without_an_option() -> None:
    write("train.jsonl", [*ROWS[:2], {"sentence": "a", "label": -1}])
    assert refused() == ("train.jsonl: row 3: label '-1' is not in task.verbalizer (it has 0, 1); add it there")


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
    assert refused() == f"train.jsonl: row 2: {message}"


def test_an_empty_cell_of_a_csv_is_missing() -> None:
    Path("t.csv").write_text("sentence,label\nfine,1\nfine,\n")
    assert refused(train="t.csv", validation="t.csv") == (
        "t.csv: row 2: column 'label' has no label; mend or remove the row"
    )


def test_an_empty_target() -> None:
    write("train.jsonl", [{"q": "a", "a": " "}] * 2)
    assert refused(name=None, template="{q}", target="{a}") == (
        "train.jsonl: row 1: task.target is empty there; mend or remove the row"
    )


def test_an_empty_prompt() -> None:
    write("train.jsonl", [{"sentence": " ", "label": 0}])
    message = "train.jsonl: row 1: the prompt is empty; the model needs a token before the options"
    assert refused(template="{sentence}") == message
    assert load(Words(begin=[1]), template="{sentence}").train[0].prompt == (1,)


def test_a_file_without_rows() -> None:
    Path("none.jsonl").touch()
    Path("none.csv").write_text("sentence,label\n")
    assert unchecked(train="none.jsonl") == "none.jsonl: is empty; task.train needs at least one row"
    assert refused(train="none.jsonl") == "none.jsonl: is empty; task.train needs at least one row"
    assert refused(train="none.csv") == "none.csv: has no rows; task.train needs at least one"


def test_a_file_that_is_damaged() -> None:
    Path("bad.jsonl").write_text('{"sentence": "a", "label": 0}\n{"sentence": \n')
    assert unchecked(train="bad.jsonl") == "bad.jsonl: line 2 is not JSON; write one object per line"
    Path("list.jsonl").write_text("[1, 2]\n")
    assert unchecked(train="list.jsonl") == "list.jsonl: line 1 is not an object; write one object per line"
    Path("bad.parquet").write_text("PAR?")
    assert unchecked(train="bad.parquet").startswith("bad.parquet: cannot be read (")
    assert refused(train="bad.parquet").startswith("bad.parquet: cannot be read as PARQUET (")
    assert refused(train="bad.jsonl").startswith("bad.jsonl: cannot be read as JSON (")


def test_a_hub_id_out_of_reach_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2
    import huggingface_hub

    def unreachable(self: Any, *args: Any, **kwargs: Any) -> None:
        raise httpx2.ConnectError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    write("train.jsonl", ROWS)
    began = time.monotonic()
    assert refused(validation="nobody/nothing-there@validation") == (
        "task.validation: nobody/nothing-there@validation: the Hugging Face hub cannot be reached "
        "(no route to host), and it is not in the local cache; "
        "go online or set task.validation to a local file"
    )
    assert time.monotonic() - began < 5
    assert task.check_sources(preset.Task(name="sst2")) is None


def test_a_hub_id_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    write("train.jsonl", ROWS)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert refused(train="../x@train").startswith("task.train: ../x@train: neither a file")
    assert refused(train="a--b@train") == (
        "task.train: a--b@train: no such data set on the hub (or it is private: `hf auth login`)"
    )


# -- sampling ---------------------------------------------------------------------------------------


def test_the_training_sample_follows_the_seed_and_the_validation_sample_does_not() -> None:
    write("train.jsonl", ROWS)
    tokenizer = Words()
    first, again, other = (load(tokenizer, seed=s, train_examples=8, validation_examples=8) for s in (0, 0, 1))
    assert first == again
    assert len(first.train) == len(set(e.prompt for e in first.train)) == 8
    assert first.train != other.train
    assert first.validation == other.validation
    assert len(first.validation) == 8


def test_asking_for_more_than_there_is_takes_all_and_says_so() -> None:
    write("train.jsonl", ROWS)
    loaded = load(train_examples=21)
    assert len(loaded.train) == 20
    assert loaded.notes == ["task.train_examples is 21, train.jsonl has 20: all are used"]


def test_without_a_validation_split_a_part_is_held_out() -> None:
    write("train.jsonl", ROWS)
    keys = {"name": None, "validation": None, "template": "{sentence}", "label": "label"}
    tokenizer = Words()
    first, other = (load(tokenizer, seed=s, **keys, verbalizer={"0": "no", "1": "yes"}) for s in (0, 1))
    assert (len(first.train), len(first.validation)) == (18, 2)
    assert not {e.prompt for e in first.train} & {e.prompt for e in first.validation}
    assert first.validation == other.validation
    assert first.notes == ["no task.validation: 2 of 20 rows of train.jsonl are held out to validate on"]
    write("train.jsonl", ROWS[:1])
    assert refused(**keys, verbalizer={"0": "no", "1": "yes"}) == (
        "train.jsonl: has one row, none is left to validate on; set task.validation"
    )


def test_a_split_for_an_evaluation_is_the_one_of_training() -> None:
    write("train.jsonl", ROWS)
    write("test.jsonl", ROWS[:5])
    chosen = preset.Task(
        name=None,
        train="train.jsonl",
        test="test.jsonl",
        template="{sentence}",
        label="label",
        verbalizer={"0": "no", "1": "yes"},
        train_examples=4,
    )
    tokenizer = Words()
    loaded = task.load_task(chosen, tokenizer, seed=3, max_length=64)
    for split, expected in (("train", loaded.train), ("validation", loaded.validation)):
        assert task.load_split(chosen, split, tokenizer, max_length=64, seed=3) == expected  # type: ignore[arg-type]
    assert len(task.load_split(chosen, "test", tokenizer, max_length=64)) == 5
    without = chosen.model_copy(update={"test": None})
    with pytest.raises(UserError, match=r"^task.test is not set; --set task.test=FILE, or evaluate another split$"):
        task.load_split(without, "test", tokenizer, max_length=64)


# -- tokens -----------------------------------------------------------------------------------------


def test_special_tokens_stay_at_the_start_and_go_at_the_end() -> None:
    write("train.jsonl", ROWS)
    tokenizer = Words(begin=[1], end=[2])
    example = load(tokenizer).train[0]
    assert Encoder(tokenizer).leading == 1
    assert example.prompt[0] == 1
    assert 2 not in example.prompt
    assert all(len(option) == 1 and option[0] > 2 for option in example.options)


def test_a_begin_token_that_is_also_the_end_token() -> None:
    encoder = Encoder(Words(begin=[2]))
    assert encoder.leading == 1
    assert encoder(["a"])[0][0] == 2
    assert len(encoder(["a"])[0]) == 2


def test_a_begin_token_that_the_tokenizer_leaves_out_is_put_there_unless_told_not_to() -> None:
    write("train.jsonl", LONG)
    tokenizer = Words()
    tokenizer.bos_token_id = 7
    assert load(tokenizer).train[1].prompt[0] == 7
    assert load(tokenizer, max_length=8, too_long="truncate").train[0].prompt[0] == 7
    assert 7 not in load(tokenizer, bos="never").train[1].prompt


def test_a_template_that_ends_in_a_space_still_joins_by_one() -> None:
    write("train.jsonl", ROWS[:1])

    class Letters(Words):
        def __call__(self, texts: Any, add_special_tokens: bool = True) -> dict[str, Any]:
            if isinstance(texts, list):
                return {"input_ids": [list(map(ord, text)) for text in texts]}
            return {"input_ids": list(map(ord, texts))}

    example = load(Letters(), template="{sentence} ").train[0]
    assert "".join(map(chr, example.prompt + example.options[1])) == "film 0 great"


def test_options_that_begin_inside_the_prompts_last_token() -> None:
    write("train.jsonl", ROWS[:1])
    tokenizer = Words(merges="was great")
    loaded = load(tokenizer)
    example = loaded.train[0]
    assert tokenizer.text(example.prompt) == "film 0 It"
    assert [tokenizer.text(option) for option in example.options] == ["was terrible", "was_great"]
    assert loaded.notes[0] == ("train.jsonl: in 1 of 1 examples the options begin inside the prompt's last token")


def test_options_that_share_their_first_token_keep_it() -> None:
    write("train.jsonl", ROWS[:1])
    example = load(verbalizer={"0": "not good", "1": "not bad"}).train[0]
    assert [len(option) for option in example.options] == [2, 2]


LONG = [{"sentence": "a b c d e f g h", "label": 0}, {"sentence": "a", "label": 1}]


def test_too_long_is_refused_with_the_remedy() -> None:
    write("train.jsonl", LONG)
    assert refused(max_length=8) == (
        "train.jsonl: 1 of 2 examples are longer than 8 tokens (longest 11); "
        "set task.too_long=truncate or task.too_long=skip"
    )
    assert len(load(max_length=11).train) == 2


def test_too_long_is_cut_from_the_left_behind_the_begin_token() -> None:
    write("train.jsonl", LONG)
    tokenizer = Words(begin=[1])
    loaded = load(tokenizer, max_length=8, too_long="truncate")
    assert tokenizer.text(loaded.train[0].prompt) == "<1> e f g h It was"
    assert loaded.train[0].length == 8
    assert tokenizer.text(loaded.train[1].prompt) == "<1> a It was"
    assert "1 of 2 examples are longer than 8 tokens (longest 12); their prompts are cut" in loaded.notes[0]


def test_a_target_that_alone_is_too_long_cannot_be_cut() -> None:
    write("train.jsonl", [{"q": "a", "a": "b " * 9}] * 2)
    assert refused(name=None, template="{q}", target="{a}", max_length=8, too_long="truncate") == (
        "train.jsonl: an option or target alone is 9 tokens, more than fit into 8; set task.too_long=skip"
    )


def test_too_long_is_skipped() -> None:
    write("train.jsonl", LONG)
    loaded = load(max_length=8, too_long="skip")
    assert [e.label for e in loaded.train] == [1]
    assert loaded.notes[0].endswith("; they are skipped")
    assert refused(max_length=3, too_long="skip").endswith(", none is left; set task.too_long=truncate")


def test_a_real_tokenizer_on_real_data(shared: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(shared / "models" / "opt-reviews"))
    sst2 = shared / "data" / "sst2"
    told: list[tuple[str, float | None]] = []
    loaded = task.load_task(
        preset.Task(
            name="sst2",
            train=str(sst2 / "train.jsonl"),
            validation=str(sst2 / "validation.jsonl"),
            train_examples=100,
        ),
        tokenizer,
        seed=0,
        max_length=512,
        report=lambda text, fraction: told.append((text, fraction)),
    )
    assert (len(loaded.train), len(loaded.validation), loaded.notes) == (100, 872, [])
    first = json.loads((sst2 / "validation.jsonl").read_text().splitlines()[0])
    example = loaded.validation[0]
    assert tokenizer.decode(example.prompt) == f"</s>{first['sentence']} It was"
    assert [tokenizer.decode(option) for option in example.options] == [" terrible", " great"]
    assert example.label == first["label"]
    assert told[-1] == ("tokenising validation", 1.0)


# -- batches ----------------------------------------------------------------------------------------

EXAMPLES = [Example((i,), ((0,), (1,)), 0) for i in range(10)]


def numbers(step: int, size: int = 4, seed: int = 0) -> list[int]:
    return [e.prompt[0] for e in task.batch(EXAMPLES, step, size, seed)]


def test_every_epoch_is_another_permutation() -> None:
    drawn = [number for step in range(5) for number in numbers(step)]  # 20 draws: two epochs
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert drawn[:10] != drawn[10:]


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    later = numbers(7)
    assert numbers(7) == later
    assert [numbers(s, seed=1) for s in range(3)] != [numbers(s, seed=0) for s in range(3)]


def test_the_order_is_the_same_on_every_python() -> None:
    """A resumed run must see the batches of the first one: this order is part of the run's format."""
    assert numbers(0, size=10) == [1, 6, 9, 0, 8, 4, 5, 3, 2, 7]


def test_a_batch_may_be_larger_than_the_data() -> None:
    assert set(Counter(numbers(0, size=25)).values()) == {2, 3}
