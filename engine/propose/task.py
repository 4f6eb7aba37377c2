"""From the columns of a file to a task: its kind, prompt and what is learned, and why. Pure: it reads no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import UserError
from engine.preset.task import Kind
from engine.propose.choices import choices_in
from engine.propose.columns import Column, columns_of, same_rows
from engine.propose.labels import is_label, label_among, verbalizer_of
from engine.propose.prompt import Prompt, prompt_of
from engine.text import listed

_TARGETS = (
    "output", "response", "completion", "answer", "answers", "reply", "solution", "summary", "translation", "chosen",
    "highlights", "target", "answers_spans", "answer_text", "assistant", "correct_answer",
)  # fmt: skip
_INSIDE = ("text", "spans", "value", "aliases", "answer")  # what an object of answers calls its texts
_LONG = 60  # characters of an answer that is likely to be more than one line, or to end in its own way


@dataclass
class Proposed:
    """Keys of `[task]`, each with why it was chosen; and what is to be checked."""

    keys: dict[str, Any] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)

    def put(self, key: str, value: Any, why: str) -> None:
        """Propose a value."""
        self.keys[key], self.why[key] = value, why


def propose(
    values: Mapping[str, Sequence[Any]], given: Mapping[str, Any], names: Mapping[str, Sequence[str]] | None = None
) -> Proposed:
    """A task for these columns. Raises `UserError` where nothing can be made of them, without the file's name.

    `given` are keys of the task that are decided; `names` what the numbers of a column's classes are called.
    """
    columns = columns_of(values)
    _check_given(columns, given)
    kind = _kind_of(given)
    if kind in (None, "text") and "target" not in given and (chat := _chat(columns, given)):
        return chat
    columns = [column for column in columns if column.nameable]
    usable = [column for column in columns if column.holds in ("text", "number", "truth", "texts")]
    found: Proposed | None = None
    if kind in (None, "multiple-choice"):
        found = _multiple_choice(usable, given)
    if found is None and kind in (None, "classification"):
        found = _classification(usable, given, names or {})
    if found is None and kind in (None, "generation"):
        found = _generation(usable, given)
    if found is None and kind in (None, "text"):
        found = _text(usable, given)
    if found is None:
        raise _nothing(list(values), columns_of(values), kind)
    return found


def _kind_of(given: Mapping[str, Any]) -> Kind | None:
    """What the given keys say of the kind, if they do."""
    if given.get("kind"):
        kind: Kind = given["kind"]
        return kind
    said: dict[str, Kind] = {"choices": "multiple-choice", "target": "generation", "messages": "text"}
    return next((kind for key, kind in said.items() if key in given), "classification" if "label" in given else None)


def _check_given(columns: Sequence[Column], given: Mapping[str, Any]) -> None:
    for key in ("label", "answers", "messages"):
        if key in given and given[key] not in {name for c in columns for name in (c.name, c.name.partition(".")[0])}:
            raise UserError(f"task.{key}: no column '{given[key]}' (it has {listed([c.name for c in columns])})")


def _chat(columns: Sequence[Column], given: Mapping[str, Any]) -> Proposed | None:
    chats = [column for column in columns if column.holds == "messages"]
    chats.sort(key=lambda column: column.key not in ("messages", "conversation", "conversations"))
    if "messages" in given:
        chats = [column for column in chats if column.name == given["messages"]]
    if not chats:
        return None
    found = Proposed()
    turns = sum(len(value or ()) for value in chats[0].values)
    why = f"'{chats[0].name}' holds conversations ({turns:,} turns)"
    found.put("kind", "text", why)
    found.put("messages", chats[0].name, "the model's chat template writes it; what the assistant says is learned")
    if others := [column.name for column in chats[1:]]:
        found.checks.append(f"{listed(others)} hold conversations too; task.messages says which is learned")
    return found


def _multiple_choice(columns: Sequence[Column], given: Mapping[str, Any]) -> Proposed | None:
    choices = choices_in(columns)
    if choices is None:
        return None
    found = Proposed()
    one = len(choices.columns) == 1
    shown = listed([f"'{column.name}'" for column in choices.columns])
    found.put("kind", "multiple-choice", f"a row has its own choices ({shown}), and '{choices.right.name}' is right")
    taken = {column.name for column in (*choices.columns, choices.right)}
    prompt = prompt_of([c for c in columns if c.name not in taken], "Answer:")
    if prompt is None:
        return None
    _put_prompt(found, prompt, columns, taken)
    each = "one for each element of the list" if one else "a column each"
    found.put("choices", [f"{{{column.name}}}" for column in choices.columns], each)
    key = "answers" if choices.by == "text" else "label"
    found.put(key, choices.right.name, f"says which is right, by its {choices.by}")
    return found


def _classification(
    columns: Sequence[Column], given: Mapping[str, Any], names: Mapping[str, Sequence[str]]
) -> Proposed | None:
    label = label_among(columns, str(given.get("label", "")))
    if label is None:
        return None
    found = Proposed()
    twins = [c for c in columns if c is not label and c.holds in ("text", "number", "truth") and same_rows(c, label)]
    words = next((c for c in twins if c.holds == "text" and c.full), None)
    if "label" not in given and label.holds == "number" and words is not None and not names.get(label.name):
        twins, label = [label, *(c for c in twins if c is not words)], words
    verbalizer, say = verbalizer_of(label, names.get(label.name, ()), given.get("verbalizer", {}))
    shown = f"'{label.name}' has {len(verbalizer)} labels in {len(label.values):,} rows ({listed(list(verbalizer), 6)})"
    found.put("kind", "classification", shown)
    taken = {label.name, *(column.name for column in twins)}
    ending = f"{label.title}:"
    prompt = prompt_of([c for c in columns if c.name not in taken], ending)
    if prompt is None and "template" not in given:
        return None
    if prompt:
        _put_prompt(found, prompt, columns, taken)
    found.put("label", label.name, "the column of the label" if not twins else f"{twins[0].name} says the same")
    found.put("verbalizer", verbalizer, "what the model is asked to choose from")
    if say:
        found.checks.append(say)
    return found


def _generation(columns: Sequence[Column], given: Mapping[str, Any]) -> Proposed | None:
    target = _target(columns)
    if "target" in given:
        taken = {column.name for column in columns if f"{{{column.name}" in str(given["target"])}
    elif target is None:
        return None
    else:
        taken = {target.name}
    if target is not None:  # what else is inside the same object
        taken |= {
            c.name for c in columns if "." in c.name and c.name.partition(".")[0] == target.name.partition(".")[0]
        }
    found = Proposed()
    shown = listed(sorted(taken)) if target is None or "target" in given else target.name
    ending = f"{target.title}:" if target is not None else "Answer:"
    prompt = prompt_of([c for c in columns if c.name not in taken], ending, free=True)
    if prompt is None and "template" not in given:
        return None
    found.put("kind", "generation", f"'{shown}' is a text of its own in every row, to be written behind a prompt")
    if prompt:
        _put_prompt(found, prompt, columns, taken)
    if target is not None and "target" not in given:
        _put_target(found, target)
        if not any(target.key.partition(".")[0] == name for name in _TARGETS):
            found.checks.append(f"nothing says that '{target.name}' is what is to be written; task.target does")
    return found


def _put_target(found: Proposed, target: Column) -> None:
    if target.mean_length > _LONG or any("\n" in text.strip() for text in target.texts):
        found.put("target", f"{{{target.name}}}", "what is learned")
        found.put("end", "eos", "answers are long or have several lines: the model learns to end them")
    else:
        found.put("target", f"{{{target.name}}}\n", "what is learned; answers are one line, and end with it")
    if target.holds == "texts":
        found.put("answers", target.name, "a list: its first text is learned, any of them counts")


def _target(columns: Sequence[Column]) -> Column | None:
    """What is to be written: by its name; or of two texts the second."""
    scalar = [c for c in columns if (c.full and not c.aside) or c.key.partition(".")[0] in _TARGETS]
    named = [c for c in scalar if c.key in _TARGETS or _is_inside(c)]
    if named:  # numbers are seldom what is to be written where there is a text
        return min(named, key=lambda c: (c.holds == "number", _TARGETS.index(c.key.partition(".")[0])))
    texts = [column for column in scalar if column.holds == "text"]
    return texts[1] if len(texts) == 2 else None


def _is_inside(column: Column) -> bool:
    outer, _, inner = column.key.partition(".")
    return outer in _TARGETS and inner in _INSIDE and column.holds in ("text", "texts")


def _text(columns: Sequence[Column], given: Mapping[str, Any]) -> Proposed | None:
    texts = [c for c in columns if c.holds == "text" and c.full and not c.aside and not is_label(c)]
    known = [column for column in texts if column.key in ("text", "content", "body", "document")]
    if "target" not in given and not known and len(texts) != 1:
        return None
    found = Proposed()
    if "target" in given:
        found.put("kind", "text", "as task.target has it")
        return found
    column = (known or texts)[0]
    found.put("kind", "text", f"'{column.name}' is a text without a label or an answer")
    found.put("target", f"{{{column.name}}}", "all of it is learned")
    if others := [c.name for c in columns if c is not column]:
        found.checks.append(f"left out: {listed(others)}")
    return found


def _put_prompt(found: Proposed, prompt: Prompt, columns: Sequence[Column], taken: set[str]) -> None:
    found.put("template", prompt.template, f"the prompt, of {listed(prompt.columns)}")
    if others := [c.name for c in columns if c.name not in taken and c.name not in prompt.columns]:
        found.checks.append(f"not in the prompt: {listed(others)}")
    found.checks += prompt.checks


def _nothing(present: Sequence[str], columns: Sequence[Column], kind: Kind | None) -> UserError:
    """What to say where no task is found."""
    wanted = {
        None: "it takes a text with a label, with choices and the right one, or with an answer; a text alone; or "
        "messages, a list of {role, content}",
        "classification": "a classification takes a text, and a column of two or more labels that come again",
        "multiple-choice": "a multiple choice takes a text, columns such as choice1 and choice2 or a list, and which "
        "is right",
        "generation": "a generation takes a text, and a text that answers it",
        "text": "it takes a column of texts, or of messages, a list of {role, content}",
    }[kind]
    if holes := [c for c in columns if c.holds == "text" and not c.full]:
        missing = sum(value is None for value in holes[0].values)
        wanted = (
            f"'{holes[0].name}' has no value in {missing:,} of {len(holes[0].values):,} rows, which are to be removed"
        )
    turns = [c.name for c in columns if c.holds == "other" and any(_is_sharegpt(value) for value in c.values[:1])]
    if turns:
        wanted = f"'{turns[0]}' says from and value; write its turns as {{role, content}}"
    return UserError(
        f"nothing can be made of its columns ({listed(present)}): {wanted}; or say by --set task.KEY=VALUE"
    )


def _is_sharegpt(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and {"from", "value"} <= set(one) for one in value)
