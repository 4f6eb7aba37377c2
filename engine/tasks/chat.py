"""A conversation as the model's own chat template writes it, and which of it is learned: what the assistant says.

The template says where a turn of the assistant begins (what it writes to have one generated), and by what it ends (what
stands behind it, up to white space), so that the model learns to end its turns. What the turns say is data: special
tokens in it are text.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from engine.errors import UserError, first_line
from engine.tasks.table import Turns
from engine.tasks.template import Filled

_ASSISTANT = "assistant"


class Chat(NamedTuple):
    """A conversation as one text, and where what is learned of it begins and ends."""

    text: Filled
    learned: tuple[tuple[int, int], ...]


def check_template(tokenizer: Any) -> None:
    """Raise `UserError` where the model has no chat template."""
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            "task.messages: this model's tokenizer has no chat template; take a model that is tuned for chat, or set "
            "task.template and task.target"
        )


def render(turns: Turns, tokenizer: Any, where: str) -> Chat:
    """A conversation, of which every turn of the assistant is learned. Raises `UserError` where there is none."""
    if not any(role == _ASSISTANT for role, _ in turns):
        raise UserError(f"{where}: no turn is the assistant's, of which alone is learned; mend or remove the row")
    whole = _apply(tokenizer, turns, where)
    data, learned, cursor = [], [], 0
    for number, (role, said) in enumerate(turns):
        content, own = said.strip(), role == _ASSISTANT
        if own and not content:
            raise UserError(f"{where}: a turn of the assistant is empty; mend or remove the row")
        begin = cursor
        if own:
            before = _apply(tokenizer, turns[:number], where, begins=True) if number else ""
            if not whole.startswith(before):
                raise _changes("writes what comes before a turn of the assistant otherwise when others follow", where)
            begin = len(before)
        at = whole.find(content, max(begin, cursor))
        if at < 0:
            raise _changes(f"changes or leaves out what the {role} says", where)
        cursor = at + len(content)
        data.append((at, cursor))
        if own:
            ended = _apply(tokenizer, turns[: number + 1], where)
            tail = ended[ended.find(content, begin) + len(content) :]
            learned.append((begin, cursor + len(_common(whole[cursor:], tail).rstrip())))
    return Chat(Filled(whole, tuple(span for span in data if span[0] < span[1])), tuple(learned))


def _apply(tokenizer: Any, turns: Turns, where: str, *, begins: bool = False) -> str:
    """What the template writes; with `begins` as if the assistant's turn were to begin."""
    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=begins))
    except Exception as error:  # noqa: BLE001 - templates raise what they like
        raise UserError(
            f"{where}: the model's chat template refuses the conversation ({first_line(error)}); mend or remove the row"
        ) from None


def _common(one: str, other: str) -> str:
    """What two texts begin with."""
    return one[: next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(other))]


def _changes(how: str, where: str) -> UserError:
    return UserError(f"{where}: the model's chat template {how}, so what is learned cannot be told; mend or remove it")
