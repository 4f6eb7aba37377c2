"""A model and reviews that are made in a moment, of nothing but random numbers: a fault needs no better ones."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy
from safetensors.numpy import save_file

from engine.tasks import demo_reviews

_HIDDEN, _HEADS, _LAYERS, _CONTEXT = 128, 4, 2, 128
_SPECIAL = ("<pad>", "</s>", "<unk>")


@dataclass(frozen=True)
class Small:
    """Where they lie."""

    model: Path
    train: Path
    validation: Path


def make(folder: Path) -> Small:
    """The same bytes every time, without torch, whose import would take longer than all the rest."""
    made = Small(folder / "model", folder / "train.jsonl", folder / "validation.jsonl")
    made.model.mkdir(parents=True)
    chance = random.Random(0)
    for path, count in ((made.train, 64), (made.validation, 96)):
        reviews = [demo_reviews.review(chance) for _ in range(count)]
        path.write_text("".join(json.dumps({"sentence": r.sentence, "label": r.label}) + "\n" for r in reviews))
    words = sorted(set(f"{made.train.read_text()} {made.validation.read_text()} It was great terrible".split()))
    vocabulary = _write_tokenizer(made.model, words)
    _write_model(made.model, vocabulary)
    return made


def _write_tokenizer(folder: Path, words: list[str]) -> int:
    from tokenizers import Tokenizer, models, pre_tokenizers

    known = {word: number for number, word in enumerate([*_SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"pad_token": "<pad>", "bos_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>"}
    about = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    return len(known)


def _write_model(folder: Path, vocabulary: int) -> None:
    """A model in OPT's layout."""
    config = {
        "architectures": ["OPTForCausalLM"],
        "model_type": "opt",
        "vocab_size": vocabulary,
        "hidden_size": _HIDDEN,
        "word_embed_proj_dim": _HIDDEN,
        "ffn_dim": 4 * _HIDDEN,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "max_position_embeddings": _CONTEXT,
        "do_layer_norm_before": True,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
        "dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    draw = numpy.random.default_rng(0)
    tensors: dict[str, numpy.ndarray] = {}

    def add(name: str, *shape: int) -> None:
        tensors[f"model.decoder.{name}.weight"] = draw.normal(0, 0.08, shape).astype(numpy.float32)

    def add_linear(name: str, rows: int, columns: int) -> None:
        add(name, rows, columns)
        tensors[f"model.decoder.{name}.bias"] = numpy.zeros(rows, numpy.float32)

    def add_norm(name: str) -> None:
        tensors[f"model.decoder.{name}.weight"] = numpy.ones(_HIDDEN, numpy.float32)
        tensors[f"model.decoder.{name}.bias"] = numpy.zeros(_HIDDEN, numpy.float32)

    add("embed_tokens", vocabulary, _HIDDEN)
    add("embed_positions", _CONTEXT + 2, _HIDDEN)
    add_norm("final_layer_norm")
    for layer in range(_LAYERS):
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            add_linear(f"layers.{layer}.self_attn.{part}", _HIDDEN, _HIDDEN)
        add_norm(f"layers.{layer}.self_attn_layer_norm")
        add_linear(f"layers.{layer}.fc1", 4 * _HIDDEN, _HIDDEN)
        add_linear(f"layers.{layer}.fc2", _HIDDEN, 4 * _HIDDEN)
        add_norm(f"layers.{layer}.final_layer_norm")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
