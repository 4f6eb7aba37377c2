"""SQuAD's measures of a generated text."""

from __future__ import annotations

import pytest

from engine.tasks.answers import exact_match, f1, normalised


def test_what_is_compared() -> None:
    assert normalised("  The  U.S. Army's\n(an) answer: 1,500 ") == "us armys answer 1500"
    assert normalised("The.") == normalised("") == ""
    assert normalised("theatre") == "theatre"


@pytest.mark.parametrize(
    ("text", "answers", "exact", "near"),
    [
        ("the Norman conquest", ["Norman Conquest."], 1.0, 1.0),
        ("in 1066", ["1066", "the year 1066"], 0.0, 2 / 3),  # the nearest answer counts
        ("cat cat dog", ["cat dog dog"], 0.0, 2 / 3),  # each word as often as in both
        ("a", ["the"], 1.0, 1.0),
        ("", ["yes"], 0.0, 0.0),
        ("one two", ["three"], 0.0, 0.0),
        ("no", ["yes", "No!"], 1.0, 1.0),
    ],
)
def test_how_near_a_text_is(text: str, answers: list[str], exact: float, near: float) -> None:
    assert exact_match(text, answers) == exact
    assert f1(text, answers) == pytest.approx(near)
