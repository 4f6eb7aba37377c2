"""Presets: validation, overrides, and messages that name the key and the remedy."""

import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.methods.catalogue import METHODS
from engine.methods.knobs import idle
from engine.preset import elsewhere
from engine.preset.load import keys, load, load_file
from engine.preset.method import Method, set_for_nothing

MINIMAL = '[model]\npath = "m"\n[task]\nname = "sst2"\n'


def refused(overrides: list[str] | None = None, text: str = MINIMAL) -> str:
    with pytest.raises(UserError) as caught:
        load("p", text, overrides or [])
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_overrides_are_toml_else_text() -> None:
    loaded = load(
        "p",
        MINIMAL,
        ["run.steps=1_000", "method.lr=1e-6", "task.train=a b.csv", "task.template={sentence} It was"],
    )
    assert (loaded.run.steps, loaded.method.lr) == (1000, 1e-6)
    assert (loaded.task.train, loaded.task.template) == ("a b.csv", "{sentence} It was")


def test_a_text_key_takes_what_looks_like_a_number() -> None:
    loaded = load("p", MINIMAL, ["model.path=123", "task.label=1"])
    assert (loaded.model.path, loaded.task.label) == ("123", "1")


def test_the_verbalizer_is_text_on_both_sides() -> None:
    loaded = load("p", MINIMAL, ['task.verbalizer={0 = "bad", 1 = 5}', "task.verbalizer.2=so-so"])
    assert loaded.task.verbalizer == {"0": "bad", "1": "5", "2": "so-so"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("methd.lr=1", "--set methd.lr: unknown key; did you mean 'method.lr'?"),
        ("lr=1", "--set lr: unknown key; did you mean 'method.lr'?"),
        ("method.beta=0.9", "--set method.beta: unknown key; did you mean 'method.momentum'?"),
        ("method.n_perts=8", "--set method.n_perts: unknown key; did you mean 'method.queries'?"),
        ("method.theta=1.4", "--set method.theta: unknown key; did you mean 'method.angle'?"),
        ("method.lr=true", "p: method.lr: expected a number, not true; Learning rate."),
        ("run.patience=true", "p: run.patience: expected a number, not true; "),
        ("method.ratchet=1", "p: method.ratchet: expected true or false, not 1; "),
        ("method.lr=1e300", "p: method.lr: is more or less than a step can be taken with; use 1e-30 to 1e30, not"),
        ("method.eps=1e-320", "p: method.eps: is more or less than a step can be taken with; use 1e-30 to 1e30, not"),
        ("run.steps", "--set run.steps: expected key=value, for example --set method.lr=1e-6"),
        (
            "run.steps=0",
            "p: run.steps: input should be greater than or equal to 1, not 0; Optimisation steps.",
        ),
        ("method.lr=inf", "p: method.lr: input should be a finite number, not inf; Learning rate."),
        ("method.eps=nan", "p: method.eps: input should be a finite number, not nan; Size of the"),
        ("method.name=adam", "p: method.name: input should be"),
        ("model.device=gpu", "p: model.device: string should match pattern"),
    ],
)
def test_a_bad_override_is_refused(override: str, message: str) -> None:
    assert refused([override]).startswith(message)


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        ("learning_rate", "method.lr"),
        ("training.learning-rate", "method.lr"),
        ("method.Learning_Rate", "method.lr"),
        ("num_train_epochs", "run.steps"),
        ("model_name_or_path", "model.path"),
        ("train_file", "task.train"),
        ("data.path", "task.train"),
        ("bs", "run.batch_size"),
        ("zo_eps", "method.eps"),
        ("step_interval", "method.interval"),
        ("lozo_rank", "method.rank"),
        ("LR", "method.lr"),
        ("model.name", "model.path"),
        ("eval.steps", "run.eval_every"),
        ("method.learning_rates", "method.lr"),
        ("task.prompts", "task.template"),
        ("task.completions", "task.target"),
        ("modell_name_or_path", "model.path"),
    ],
)
def test_what_other_trainers_call_a_key_is_understood(foreign: str, ours: str) -> None:
    assert refused([f"{foreign}=1"]) == f"--set {foreign}: unknown key; did you mean '{ours}'?"
    section, _, name = foreign.rpartition(".")
    head = f"[{section}]\n"
    if head in MINIMAL:
        text = MINIMAL.replace(head, f"{head}{name} = 1\n")
    else:
        text = f"{head if section else ''}{name} = 1\n{MINIMAL}"
    line = refused(text=text)
    assert line.startswith(f"p: {foreign}: unknown key; did you mean '{ours}'?")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("method.seed", "run.seed"),
        ("run.dtype", "model.dtype"),
        ("training.Batch_Size", "run.batch_size"),
        ("task.lable", "task.label"),
        ("methd.name", "method.name"),
        ("tsk.name", "task.name"),
        ("method.nam", "method.name"),
        ("run.eval", "run.eval_every"),
        ("METHOD", "method"),
    ],
)
def test_a_key_in_the_wrong_section_or_misspelt(wrong: str, right: str) -> None:
    assert refused([f"{wrong}=1"]) == f"--set {wrong}: unknown key; did you mean '{right}'?"


def test_a_section_is_no_key() -> None:
    theirs = ", ".join(f"method.{name}" for name in Method.model_fields)
    assert refused(["method=1"]) == f"--set method: is a section, no key; its keys are {theirs}"
    assert refused(text=f"method = 1\n{MINIMAL}") == f"p: method: is a section, not 1; its keys are {theirs}"


def test_a_key_of_another_trainer_within_a_section_of_its_own_is_found() -> None:
    text = MINIMAL + "[training]\nfancy = true\n[training.optim]\nfoo = 1\nlearning_rate = 1e-5\n"
    assert refused(text=text) == "p: training.optim.learning_rate: unknown key; did you mean 'method.lr'?"
    assert refused(text=MINIMAL + "[lora]\nfancy = 1\n") == "p: lora: unknown key"


def test_a_key_that_is_not_needed_says_why() -> None:
    line = refused(["gradient_checkpointing=true"])
    assert line.startswith("--set gradient_checkpointing: unknown key; no gradient is taken here")


def test_names_from_elsewhere_lead_to_keys_that_are_there() -> None:
    assert set(elsewhere.KEYS.values()) <= set(keys())
    tails = {key.rpartition(".")[2] for key in keys()}
    assert not tails & {name.rpartition(".")[2] for name in elsewhere.KEYS if "." not in name}


def test_a_misspelt_section_is_named_before_what_it_leaves_missing() -> None:
    text = MINIMAL.replace("[model]", "[modle]")
    assert refused(text=text) == "p: modle: unknown key; did you mean 'model'? (and 1 more)"


def test_a_missing_key_is_named_with_its_meaning() -> None:
    assert refused(text='[model]\n[task]\nname="sst2"') == (
        "p: model.path: missing; Folder of a model, its hub id, or builtin:demo."
    )


def test_a_task_needs_a_name_or_data() -> None:
    assert refused(text='[model]\npath="m"\n[task]\nlabel="y"').startswith(
        "p: task: set task.name to a built-in task, or task.train to a file or hub id"
    )


def test_torn_toml_is_refused() -> None:
    assert refused(text="[model").startswith("p: not valid TOML: ")


def test_a_resolved_preset_reads_back_the_same() -> None:
    loaded = load("p", MINIMAL, ["method.eps=1e-3", "task.verbalizer.1=great", "run.eval_every=5"])
    assert load("again", loaded.to_toml()) == loaded


def test_local_paths_become_absolute_and_hub_ids_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.jsonl").touch()
    (tmp_path / "weights").mkdir()
    (tmp_path / "part-0.parquet").touch()
    paths = ["task.train=here.jsonl", "task.validation=a/b@train", "task.test=part-*.parquet", "model.path=weights"]
    loaded = load("p", MINIMAL, paths)
    fixed = loaded.absolute()
    assert fixed.task.test == str(tmp_path / "part-*.parquet")
    assert fixed.task.train == str(tmp_path / "here.jsonl")
    assert fixed.task.validation == "a/b@train"
    assert fixed.model.path == str(tmp_path / "weights")
    assert fixed.run == loaded.run


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(f'description = "caf\u00e9"\n{MINIMAL}', encoding="utf-16")
    with pytest.raises(UserError, match=r"p\.toml: is not UTF-8 \(at byte 0\); save it as UTF-8$"):
        load_file(tmp_path / "p.toml")
    with pytest.raises(UserError, match=r"gone\.toml: cannot be read \(No such file or directory\)$"):
        load_file(tmp_path / "gone.toml")


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(f'description = "caf\u00e9"\n{MINIMAL}', encoding="utf-8-sig")
    assert load_file(tmp_path / "p.toml").description == "caf\u00e9"


FOLDER = Path(__file__).parents[3] / "presets"
KEYS = keys()


@pytest.mark.parametrize("name", ["opt-13b-sst2", "opt-1.3b-sst2", "qwen3-0.6b-sst2"])
def test_a_packaged_preset_documents_every_knob(name: str) -> None:
    """Every key of the schema is there, set or commented out, with a comment above it."""
    lines = (FOLDER / f"{name}.toml").read_text().splitlines()
    loaded = load_file(FOLDER / f"{name}.toml")
    assert loaded.description
    for key in KEYS:
        word = key.rpartition(".")[2]
        at = [i for i, line in enumerate(lines) if line.removeprefix("# ").startswith(f"{word} = ")]
        assert at, f"{key} is not in {name}"
        above = lines[at[0] - 1]
        assert above.startswith("# "), f"{key} has no comment in {name}"


@pytest.mark.parametrize("name", ["opt-13b-sst2", "opt-1.3b-sst2", "qwen3-0.6b-sst2"])
def test_what_a_packaged_preset_comments_out_is_valid(name: str) -> None:
    """Taking the comment sign from a key gives a preset that is still valid."""
    text = (FOLDER / f"{name}.toml").read_text()
    for line in text.splitlines():
        inner = line.removeprefix("# ")
        if line.startswith("# ") and inner.split(" = ")[0] in {key.rpartition(".")[2] for key in KEYS}:
            tomllib.loads(inner)
            load(name, text.replace(line, inner))


def test_the_demo_has_every_key_with_a_word_behind_it() -> None:
    lines = [line.removeprefix("# ") for line in (FOLDER / "demo.toml").read_text().splitlines()]
    for key in KEYS:
        word = key.rpartition(".")[2]
        found = [line for line in lines if line.startswith(f"{word} = ")]
        assert found and (word == "description" or all(" # " in line for line in found)), key


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"lozo"}))
def test_every_method_has_a_preset_that_shows_what_its_name_brings(name: str) -> None:
    """Each key with a comment above it, and every key that the name brings other than LoZO's has a line."""
    text = (FOLDER / f"{name}.toml").read_text()
    loaded = load_file(FOLDER / f"{name}.toml")
    assert loaded.description and loaded.method == Method(name=name)
    lines = text.splitlines()
    for before, line in pairwise(lines):
        if " = " in line and not line.startswith("#") and not before.startswith("["):
            assert before.startswith("# ") or before.partition(" = ")[0] in ("train_examples", "steps", "eval_every"), (
                line
            )
    shown = set(tomllib.loads(text)["method"])
    fixed = set(METHODS[name].fixed)
    assert {key for key, value in METHODS[name].brings.items() if value != getattr(Method(), key)} <= shown | fixed
    # The scope is what its directions move, but for dense ones, which may move either.
    without = fixed | idle(loaded.method) | ({"scope"} if loaded.method.direction != "dense" else set())
    assert set(Method.model_fields) - without <= shown


def test_the_papers_preset_is_the_papers_setting() -> None:
    loaded = load_file(FOLDER / "opt-13b-sst2.toml")
    assert (loaded.model.path, loaded.model.dtype) == ("facebook/opt-13b", "float16")
    assert (loaded.method.rank, loaded.method.interval, loaded.method.eps, loaded.method.lr) == (
        2,
        50,
        1e-3,
        1e-7,
    )
    assert (loaded.run.steps, loaded.run.batch_size) == (20_000, 16)
    assert (loaded.task.train_examples, loaded.task.validation_examples) == (1000, 1000)


def test_another_method_leaves_out_what_the_file_says_of_its_own_but_not_what_belongs_to_none() -> None:
    text = MINIMAL + '[method]\nname = "lozo"\nlr = 3e-6\nrank = 4\nschedule = "cosine"\nclip = 3.0\n'
    found = load("p", text, ["method.name=lozo-m", "method.eps=1e-2"]).method
    assert (found.name, found.lr, found.rank, found.eps) == ("lozo-m", 1e-6, 4, 1e-2)  # its page says rank 4 as well
    assert (found.update, found.schedule, found.clip) == ("momentum", "cosine", 3.0)
    assert load("p", text, ["method.name=lozo"]).method.lr == 3e-6


def test_keys_that_change_nothing_are_named() -> None:
    assert set_for_nothing(Method()) == [] and set_for_nothing(Method(name="mezo")) == []
    assert set_for_nothing(Method(alpha=3.0, momentum=0.5)) == ["method.alpha", "method.momentum"]
    assert set_for_nothing(Method(name="mezo", rank=99)) == ["method.rank"]
