"""The built-in demo: a tiny language model and a review data set, made here, once, without a network.

Both are synthetic (see `engine.tasks.demo_reviews`). The model is a real causal language model in OPT's layout,
pretrained by backpropagation for some seconds. Its text teaches it which reviews are positive, but not to
say so as the demo's prompt asks; zeroth-order fine-tuning then teaches it that.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import AcquireReturnProxy, FileLock

from engine.tasks import demo_reviews
from engine.tasks.demo_reviews import Review

Report = Callable[[str, float], None]
"""Told what is being done and how far the whole build is (0..1, never less than before)."""

VERSION = 2  # to be raised with every change of the recipe: what older versions built is not used then
SEED = 20250
TRAIN_EXAMPLES = 1000
VALIDATION_EXAMPLES = 500

_VOCABULARY = 1024
_HIDDEN = 128
_LAYERS = 2
_HEAD = 32  # a head size that vLLM's attention on CPU has
_CONTEXT = 256

# Pretraining lasts until the model knows which reviews are positive, which it grasps rather suddenly, and
# sooner or later with the last bits of the arithmetic; then the learning rate falls to zero.
_MOST_STEPS = 1600
_COOL_DOWN = 250
_TYPICAL_STEPS = 700  # for the progress bar
_KNOWS = 0.9  # share of the reviews of which the model would say something that fits
_LOOK_EVERY = 50
_SHORT = 70  # characters
_BATCH = 32
_LR = 4e-3
_WARM_UP = 50

_LOADING, _TEXT, _PRETRAINING, _SAVING = 0.0, 0.15, 0.2, 0.98  # how far the build is when each begins


@dataclass(frozen=True)
class Demo:
    """Where the demo lies."""

    model: Path  # a folder in the Hugging Face layout
    train: Path  # JSON lines with "sentence" and "label" (1 is positive)
    validation: Path


def ensure_demo(cache: Path, report: Report) -> Demo:
    """Build the demo under `cache` unless it is there.

    It is built aside and moved into place when complete; a second process waits for the first.
    """
    home = cache / f"demo-{VERSION}"
    demo = Demo(home / "model", home / "train.jsonl", home / "validation.jsonl")
    if home.is_dir():
        return demo
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / "demo.lock", report):
        if not home.is_dir():
            for left_over in cache.glob("demo-building-*"):  # by a process that was killed
                shutil.rmtree(left_over, ignore_errors=True)
            aside = Path(tempfile.mkdtemp(prefix="demo-building-", dir=cache))
            try:
                _build(aside, report)
                aside.chmod(0o755)
                aside.rename(home)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    report("demo ready", 1.0)
    return demo


def _alone(lock: Path, report: Report) -> AcquireReturnProxy[FileLock]:
    """Hold the lock, which the system releases even if this process is killed."""

    def waiting() -> bool:
        report("waiting for another process that builds the demo", 0.0)
        return False  # not to be given up

    return FileLock(lock).acquire(poll_interval=0.2, cancel_check=waiting)


def _build(folder: Path, report: Report) -> None:
    report("loading torch", _LOADING)
    import torch
    import transformers  # noqa: F401  # the slow import, while the report says so

    report("writing reviews", _TEXT)
    rng = random.Random(SEED)
    seen: set[str] = set()
    train = _balanced(rng, TRAIN_EXAMPLES, seen)
    validation = _balanced(rng, VALIDATION_EXAMPLES, seen)
    _write(folder / "train.jsonl", train)
    _write(folder / "validation.jsonl", validation)
    documents = [demo_reviews.document(rng, _fresh(rng, seen)) for _ in range(_MOST_STEPS * _BATCH)]
    # Of the short texts half come first: what words mean is learned from them in a fraction of the time.
    documents.sort(key=lambda text: (len(text) > _SHORT or rng.random() < 0.5, rng.random()))

    tokenizer = _tokenizer(documents)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():  # leaves the caller's generator alone
        torch.manual_seed(SEED)
        model = _model(tokenizer)
        _pretrain(model, tokenizer, documents, train, report)
    report("saving the model", _SAVING)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")


def _fresh(rng: random.Random, seen: set[str]) -> Review:
    """A review that is not among `seen`, where it is then entered: no two splits share one."""
    while True:
        review = demo_reviews.review(rng)
        if review.sentence not in seen:
            seen.add(review.sentence)
            return review


def _balanced(rng: random.Random, count: int, seen: set[str]) -> list[Review]:
    """`count` new reviews, half of them positive, in random order."""
    wanted = [count // 2, count - count // 2]
    reviews: list[Review] = []
    while len(reviews) < count:
        review = _fresh(rng, seen)
        if wanted[review.label]:
            wanted[review.label] -= 1
            reviews.append(review)
    return reviews


def _write(path: Path, reviews: list[Review]) -> None:
    lines = (json.dumps({"sentence": review.sentence, "label": review.label}) for review in reviews)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _tokenizer(documents: list[str]) -> Any:
    """A byte-level BPE with OPT's special tokens; as in OPT, </s> also begins a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(documents[-10_000:], trainer)
    start = bpe.token_to_id("</s>")
    bpe.post_processor = processors.TemplateProcessing(
        single="</s> $A", pair="</s> $A </s> $B", special_tokens=[("</s>", start)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="</s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=_CONTEXT,
    )


def model_config(**special: int | None) -> Any:
    """The configuration of the demo's model; `special` are the ids of its special tokens."""
    from transformers import OPTConfig

    return OPTConfig(
        vocab_size=_VOCABULARY,
        hidden_size=_HIDDEN,
        word_embed_proj_dim=_HIDDEN,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HIDDEN // _HEAD,
        ffn_dim=4 * _HIDDEN,
        max_position_embeddings=_CONTEXT,
        do_layer_norm_before=True,
        tie_word_embeddings=True,
        dropout=0.0,
        attention_dropout=0.0,
        **special,
    )


def _model(tokenizer: Any) -> Any:
    """A new model in OPT's layout with random weights."""
    from transformers import OPTForCausalLM

    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return OPTForCausalLM(model_config(**special))


def _pretrain(model: Any, tokenizer: Any, documents: list[str], reviews: list[Review], report: Report) -> None:
    """AdamW over the documents, none twice, until the model can tell good reviews from bad ones."""
    import torch
    from torch.nn.functional import cross_entropy

    optimizer = torch.optim.AdamW(model.parameters(), lr=_LR, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    last, share = _MOST_STEPS, 0.0
    for step in range(_MOST_STEPS):
        if step % _LOOK_EVERY == 0 and last == _MOST_STEPS and knowledge(model, tokenizer, reviews) >= _KNOWS:
            last = min(_MOST_STEPS, step + _COOL_DOWN)
        if step == last:
            break
        # While the end is not in sight progress slows down; then it goes evenly to the end.
        share += (1 - share) / (last - step if last < _MOST_STEPS else _TYPICAL_STEPS)
        report("pretraining the model", _PRETRAINING + (_SAVING - _PRETRAINING) * share)
        for group in optimizer.param_groups:
            group["lr"] = _LR * min((step + 1) / _WARM_UP, (last - step) / _COOL_DOWN, 1.0)
        ids, _ = _padded(tokenizer, documents[step * _BATCH : (step + 1) * _BATCH])
        # Padding comes last and attention is causal: nothing that counts can see it.
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        loss = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=tokenizer.pad_token_id)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()


def knowledge(model: Any, tokenizer: Any, reviews: list[Review], most: int = 200) -> float:
    """Of how many reviews (0..1) the model would sooner say a word that fits than one that does not.

    The verdicts that the demo's prompt asks for are not among the words: those are left to fine-tuning.
    """
    import torch

    ids, ends = _padded(tokenizer, [f"{review.sentence} It was" for review in reviews[:most]])
    bad, good = (
        [tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0] for word in words]
        for words in demo_reviews.LOADED
    )
    with torch.no_grad():
        chances = model(input_ids=ids, use_cache=False).logits[torch.arange(len(ids)), ends].softmax(-1)
    says_good = chances[:, good].sum(-1) > chances[:, bad].sum(-1)
    return float((says_good == torch.tensor([review.label == 1 for review in reviews[:most]])).float().mean())


def _padded(tokenizer: Any, texts: list[str]) -> tuple[Any, Any]:
    """Token ids padded on the right, (texts, longest), and the position of each text's last token."""
    import torch

    tokens = tokenizer(texts)["input_ids"]
    longest = max(map(len, tokens))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in tokens])
    return ids, torch.tensor([len(row) - 1 for row in tokens])
