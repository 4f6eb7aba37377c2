"""Whether a pre-tokenizer's regular expression can match across the space between a word and the next.

Asked of a text u + v, where u ends in a character that is no white space, and v begins with a space and one that
is none. If no match can hold the end of u and the beginning of v, nothing in u is cut otherwise because v
follows, and nothing in v because u comes before. That is read off the expression itself, part by part, for
what tokenizers are made of; whatever is not understood here counts as one that can.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d*,?\d*\})[+?]?")
_ESCAPE = re.compile(r"\\(?:[pP](?:\{\^?\w+\}|\w)|.)", re.DOTALL)
_GROUP = re.compile(r"\((?:\?(?:[ims]*:|>))?")
_LOOK_AHEAD = re.compile(r"\(\?[=!]\\?[Ss]\)")
_PROPERTY = re.compile(r"[LNPSM][a-z]?|Han")  # Unicode's categories and scripts in which there is no white space


class _Unknown(Exception):
    """Nothing is known of this expression."""


@dataclass(frozen=True)
class _Part:
    """What one part of an expression can match, how often."""

    space: bool  # " "
    other: bool  # what is no white space
    repeats: bool
    optional: bool


def never_crosses(pattern: str) -> bool:
    """Whether no match holds both a character that is no white space and a space after it."""
    try:
        return all(_safe(alternative) for alternative in _alternatives(pattern))
    except _Unknown:
        return False


def takes_spaces(pattern: str) -> bool:
    """Whether a match begins at every space that none holds already, so that nothing is left between matches there."""
    try:
        return any(alternative in (r"\s+", r"\s") for alternative in _alternatives(pattern))
    except _Unknown:
        return False


def _alternatives(pattern: str) -> list[str]:
    """An expression cut at its outermost `|`."""
    found, depth, begin, at = [], 0, 0, 0
    while at < len(pattern):
        sign = pattern[at]
        if sign == "\\":
            at += 1
        elif sign == "[":
            at = _end_of_class(pattern, at) - 1
        elif sign == "(":
            depth += 1
        elif sign == ")":
            depth -= 1
        elif sign == "|" and depth == 0:
            found.append(pattern[begin:at])
            begin = at + 1
        at += 1
    if depth:
        raise _Unknown
    return [*found, pattern[begin:]]


def _safe(alternative: str) -> bool:
    parts = _parts(alternative)
    if all(part is None or part.optional for part in parts):
        raise _Unknown  # it matches nothing at all, anywhere
    other = False  # may a part so far match what is no white space?
    for part in parts:
        if part is None:  # looks at what follows: harmless where only white space was matched
            if other:
                return False
            continue
        if part.space and (other or (part.repeats and part.other)):
            return False
        other = other or part.other
    return True


def _parts(text: str) -> list[_Part | None]:
    """The parts of an alternative; None for one that only looks ahead."""
    found: list[_Part | None] = []
    at = 0
    while at < len(text):
        if ahead := _LOOK_AHEAD.match(text, at):
            found.append(None)
            at = ahead.end()
            continue
        if text[at] == "$":
            found.append(None)
            at += 1
            continue
        space, other, at = _atom(text, at)
        quantifier = _QUANTIFIER.match(text, at)
        often = quantifier[0] if quantifier else ""
        found.append(_Part(space, other, often[:1] in ("*", "+", "{"), often.startswith(("?", "*", "{0", "{,"))))
        at += len(often)
    return found


def _atom(text: str, at: int) -> tuple[bool, bool, int]:
    """What the part at a place can match (a space, what is no white space), and where it ends."""
    sign = text[at]
    if sign == "[":
        end = _end_of_class(text, at)
        return (*_of_class(text[at + 1 : end - 1]), end)
    if sign == "\\":
        return (*_of_escape(_escape(text, at)), at + len(_escape(text, at)))
    if sign == "(":
        opened = _GROUP.match(text, at)
        if opened is None or text[opened.end() : opened.end() + 1] == "?":
            raise _Unknown  # looks behind, has a name, or is of a kind that is not known here
        end = _end_of_group(text, at)
        inner = [part for one in _alternatives(text[opened.end() : end - 1]) for part in _parts(one)]
        if any(part is None or part.space for part in inner):
            raise _Unknown
        return False, True, end
    if sign == ".":
        return True, True, at + 1
    if sign in "^)]{}*+?|":
        raise _Unknown
    return sign == " ", not sign.isspace(), at + 1


def _of_class(inside: str) -> tuple[bool, bool]:
    """What a class in brackets can match."""
    negated = inside.startswith("^")
    inside = inside.removeprefix("^")
    if "[" in _ESCAPE.sub("", inside) or "&&" in inside:
        raise _Unknown  # classes within classes
    space, only_white = False, True
    at = 0
    while at < len(inside):
        if inside[at] == "\\":
            escape = _escape(inside, at)
            here, other = _of_escape(escape)
            at += len(escape)
            if escape[1].isalnum() and inside[at : at + 1] == "-":
                raise _Unknown  # a range from what is no plain character
        else:
            here, other = inside[at] == " ", not inside[at].isspace()
            at += 1
        if inside[at : at + 1] == "-" and at + 1 < len(inside):  # a range
            if inside[at + 1] == "\\":
                raise _Unknown
            here, other = here or ord(inside[at - 1]) <= ord(" ") <= ord(inside[at + 1]), True
            at += 2
        space, only_white = space or here, only_white and not other
    return (not space, True) if negated else (space, not only_white)


def _of_escape(escape: str) -> tuple[bool, bool]:
    kind = escape[1]
    if kind == "s":
        return True, False
    if kind in "rntfv":
        return False, False
    if kind in "Sdw":
        return False, True
    if kind in "pP":
        if kind == "P" or not _PROPERTY.fullmatch(escape[2:].strip("{}")):
            raise _Unknown
        return False, True
    if kind.isalnum():  # \b, \A, \D, \x20, a reference
        raise _Unknown
    return kind == " ", not kind.isspace()


def _escape(text: str, at: int) -> str:
    found = _ESCAPE.match(text, at)
    if found is None:
        raise _Unknown
    return found[0]


def _end_of_class(text: str, at: int) -> int:
    at += 1
    at += text[at : at + 1] == "^"
    at += text[at : at + 1] == "]"
    while at < len(text) and text[at] != "]":
        at += 2 if text[at] == "\\" else 1
    if at >= len(text):
        raise _Unknown
    return at + 1


def _end_of_group(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "[":
            at = _end_of_class(text, at) - 1
        elif text[at] in "()":
            depth += 1 if text[at] == "(" else -1
            if depth == 0:
                return at + 1
        at += 1
    raise _Unknown
