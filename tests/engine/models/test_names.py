"""What one side calls a matrix is found among what another side calls it."""

from __future__ import annotations

import pytest

from engine.models.names import Names

_GEMMA = (
    "language_model.model.layers.3.self_attn.q_proj.weight",
    "vision_tower.encoder.layers.3.self_attn.q_proj.weight",
)


@pytest.mark.parametrize(
    ("name", "others", "found"),
    [
        ("model.layers.1.mlp.fc1.weight", ["layers.1.mlp.fc1.weight", "layers.11.mlp.fc1.weight"], 0),
        ("layers.1.fc1.weight", ["model.layers.1.fc1.weight"], 0),
        ("model.layers.1.attention.dense.weight", ["gpt_neox.layers.1.attention.dense.weight"], 0),
        ("transformer.h.0.mlp.c_fc.weight", ["h.0.mlp.c_fc.weight"], 0),
        ("model.decoder.project_in.weight", ["decoder.project_in.weight"], 0),
        ("model.language_model.layers.3.self_attn.q_proj.weight", _GEMMA, 0),
        ("model.vision_tower.vision_model.encoder.layers.3.self_attn.q_proj.weight", _GEMMA, 1),
        ("model.layers.3.fc1.weight", ["a.layers.3.fc1.weight", "b.layers.3.fc1.weight"], None),
        ("model.layers.3.mlp.fc1.weight", ["model.layers.2.mlp.fc1.weight"], None),
        ("model.layers.3.mlp.experts.0.w1.weight", ["model.layers.3.mlp.experts.1.w1.weight"], None),
    ],
)  # fmt: skip
def test_the_name_that_means_the_same_from_the_blocks_on(name: str, others: list[str], found: int | None) -> None:
    assert Names(others).find(name) == (None if found is None else others[found])
