"""What makes no sense is refused in a line that says why, and what to write instead."""

from __future__ import annotations

import pytest

from engine.errors import UserError
from engine.methods.catalogue import METHODS
from engine.preset.load import load
from engine.preset.method import Method, idle
from tests.engine.conftest import Runner


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        # Another method than the name says.
        (["name=lozo", "sides=one"], "lozo has sides = 'two', not 'one': leave sides out, or choose another name"),
        (["name=lozo", "direction=subspace"], "lozo has direction = 'low-rank', not 'subspace': leave direction out"),
        (["name=fzoo", "law=gaussian"], "fzoo has law = 'rademacher', not 'gaussian': leave law out"),
        (["name=fzoo", "weights=plain"], "fzoo has weights = 'spread', not 'plain'"),
        (["name=grzo", "sides=one"], "grzo has sides = 'two', not 'one'"),
        (["name=zo-muon", "update=sgd"], "zo-muon has update = 'msign', not 'sgd'"),
        (["name=lozo-m", "update=adam-scalar"], "lozo-m has update = 'momentum', not 'adam-scalar'"),
        # Pieces that do not go together.
        (["name=mezo-factorized", "scope=all"], "set scope = 'linear', or direction = 'dense'"),
        (["name=mezo-factorized", "scope=adapter"], "directions that are low-rank move the scope linear, not adapter"),
        (
            ["name=grzo", "update=msign"],
            "msign works on coordinates over an orthonormal basis that its directions",
        ),
        (["name=grzo", "update=adam"], "adam works on coordinates over an orthonormal basis that its directions"),
        (["name=subzero", "update=adam"], "update = 'adam' takes of a single direction the sign of each entry"),
        (["name=fzoo", "queries=2"], "weights = 'spread' compares the directions of a step, of which there are 2; set"),
        (["name=grzo", "shards=2"], "of which there are 2; set queries or shards to 3 or more"),
        (["name=lozo", "weights=rank"], "weights = 'rank' compares the directions of a step, of which there are 1"),
        (["name=lozo", "weights=centred", "queries=2"], "weights = 'centred' compares"),
        (["name=zo-muon", "law=rademacher"], "directions that are subspace are not made of signs; leave law out"),
        (["name=subzero", "normalise=rms"], "directions that are core have a size of their own; leave normalise out"),
        (["name=zo-muon", "weights=spread"], "the step of msign has the same size whatever the estimate is divided by"),
        (["name=lozo-m", "carry=drop", "interval=1"], "momentum would forget at every step what it remembers"),
        (["name=grzo", "update=adam-scalar", "interval=1"], "set carry = 'project', or a longer interval"),
        # More than there are.
        (
            ["name=grzo", "shards=5"],
            "method.shards = 5 are more parts than a batch of 4 has examples; lower method",
        ),
        (["name=subzero", "rank=129"], "k_proj.weight is 128 x 128, too small for a basis of 129 orthonormal columns"),
        (["name=zo-muon", "rank=200"], "set method.rank to 128 at most"),
        # Out of range.
        (
            ["shards=0"],
            "method.shards: is neither a number from 1 to 4,096 nor the word examples, not 0; Parts of the batch",
        ),
        (["shards=4097"], "method.shards: is neither a number from 1 to 4,096 nor the word examples, not 4097"),
        (["shards=many"], "method.shards: is neither a number from 1 to 4,096 nor the word examples, not 'many'"),
        (["queries=257"], "method.queries: input should be less than or equal to 256, not 257"),
        (["rank=513"], "method.rank: input should be less than or equal to 512, not 513"),
        (["momentum=1"], "method.momentum: input should be less than 1, not 1"),
        (["second_momentum=-0.1"], "method.second_momentum: input should be greater than or equal to 0"),
        (["warm_up=1"], "method.warm_up: input should be less than 1, not 1"),
        (
            ["update=adamw"],
            "method.update: input should be 'sgd', 'momentum', 'adam-scalar', 'msign', 'adam' or 'cone'",
        ),
        (["carry=yes"], "method.carry: input should be 'keep', 'project' or 'drop'"),
        (["law=cauchy"], "method.law: input should be 'gaussian' or 'rademacher'"),
        (["sides=both"], "method.sides: input should be 'two' or 'one'"),
        (["weights=std"], "method.weights: input should be 'plain', 'spread', 'centred' or 'rank'"),
    ],
)
def test_a_method_that_makes_no_sense_is_refused_with_reason_and_remedy(
    tiny_run: Runner, settings: list[str], said: str
) -> None:
    folder = tiny_run.home / "refused"
    done = tiny_run(*(f"method.{setting}" for setting in settings), folder=folder)
    assert done.code == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert said in line
    assert not folder.exists() and not any(event["type"] == "hello" for event in done.events)


def test_a_direction_for_every_example_follows_the_batch(tiny_run: Runner) -> None:
    text = tiny_run.preset.read_text().replace("lr = 1e-4", 'name = "grzo"')
    for batch in (3, 8, 64):
        wanted = load("tiny", text, [f"run.batch_size={batch}"])
        assert wanted.method.shards == "examples" and wanted.method.directions(batch) == batch
        assert load("again", wanted.to_toml()) == wanted
    with pytest.raises(UserError) as refused:
        load("tiny", text, ["run.batch_size=2"])
    assert str(refused.value) == (
        "tiny: method.shards = 'examples' of run.batch_size = 2: weights = 'spread' compares the directions of a step, "
        "of which there are 2; set queries or shards to 3 or more, or raise run.batch_size"
    )


def test_a_cone_has_an_angle_and_nothing_else_has() -> None:
    assert not idle(Method(name="conmezo")) & {"angle", "momentum", "carry"}
    assert "second_momentum" in idle(Method(name="conmezo"))
    assert all("angle" in idle(Method(name=name)) for name in METHODS if name != "conmezo")


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_brings_is_where_its_authors_search(name: str) -> None:
    for key, (least, most) in METHODS[name].ranges.items():
        brought = getattr(Method(name=name), key)
        assert least < most and least <= brought <= most, key
