"""What is worth saying of the examples before a run learns from them: their classes, and what is in both splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.tasks.example import Example
from engine.text import listed

_MOST_CLASSES = 12  # that are counted one by one
_MOST_NAMED = 5
_SHARE = 0.5  # of the validation examples: with so many in train an evaluation says what is known by heart


@dataclass
class Remarks:
    """Lines for the log and the preflight."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def remark_on_classes(options: dict[str, str], split: str, examples: Sequence[Example], said: Remarks) -> None:
    """How many examples of each class there are in a split; a warning where a class, or every other one, has none.

    `options` are the verbalizer's, label -> option text, in the order that an example's label counts in.
    """
    counted = Counter(example.label for example in examples)
    names = [f"{label} ({text})" for label, text in options.items()]
    has, total = [counted[number] for number in range(len(names))], len(examples)
    if len(names) <= _MOST_CLASSES:
        each = ", ".join(f"{name} {count:,}" for name, count in zip(names, has, strict=True))
        line = f"task.{split}: examples of each class: {each}"
    else:
        few, many = min(has), max(has)
        line = (
            f"task.{split}: {len(names)} classes of {few:,} ({names[has.index(few)]}) to {many:,} "
            f"({names[has.index(many)]}) examples"
        )
    missing = [name for name, count in zip(names, has, strict=True) if not count]
    if total and len(missing) == len(names) - 1:
        only = names[has.index(total)]
        of = f"{missing[0]}" if len(missing) == 1 else f"the {len(missing)} others"
        so = "a run learns to say it always" if split == "train" else "an evaluation cannot tell what was learned"
        said.warnings.append(f"task.{split}: all {total:,} examples are of one class, {only}, none of {of}: {so}")
    elif missing:
        said.warnings.append(
            f"task.{split}: {len(missing)} of {len(names)} classes have no example: {listed(missing, _MOST_NAMED)}"
        )
    said.notes.append(line)


def remark_on_overlap(
    kind: str, train: Sequence[Example], validation: Sequence[Example], *, same: str, said: Remarks
) -> None:
    """How many validation examples are trained on; a warning if it is half of them, or all of the splits are one.

    `same` says what both splits are, such as "the same file", if they are one.

    Two examples are the same if their prompts are, token for token, and where a text is learned that too.
    """
    if kind in ("generation", "text"):
        known = {(example.prompt, example.options) for example in train}
        both = sum((example.prompt, example.options) in known for example in validation)
    else:
        prompts = {example.prompt for example in train}
        both = sum(example.prompt in prompts for example in validation)
    if not both and not same:
        return
    fact = f"{both:,} of {len(validation):,} validation examples are trained on as well"
    if same or both >= _SHARE * len(validation):
        which = f"task.train and task.validation are {same}; " if same else ""
        said.warnings.append(f"{which}{fact}: evaluations do not show what is learned beyond them")
    else:
        said.notes.append(fact)
