"""From the hidden states of the scored rows to the scores of the picks, through vLLM's output head.

Logits of picks are computed in float32 from the head's own rows; vLLM's head rounds its logits to the
model's precision, in which a perturbation may vanish, and is asked for the normaliser alone.
"""

from __future__ import annotations

from typing import Any

import torch

from engine.runtimes.vllm.worker.forward import Batch

_ROWS = 512  # of full logits at a time: vocabulary x rows x 4 bytes each
_PICKS = 1024  # at a time: hidden size x picks x signs x 4 bytes each


@torch.inference_mode()
def option_logits(model: Any, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Logits of the targets alone, (signs, picks) in float32: the normaliser cancels between options.

    hidden is (signs, rows, width), of the rows that predict something.
    """
    head, processor = _head(model)
    parts = []
    for picked, targets in zip(batch.picked.split(_PICKS), batch.targets.split(_PICKS), strict=True):
        logits = (hidden[:, picked].float() * head.weight[targets].float()).sum(-1)
        if getattr(head, "bias", None) is not None:
            logits = logits + head.bias[targets].float()
        parts.append(logits)
    whole = torch.cat(parts, dim=1)
    if processor.soft_cap is not None:
        whole = torch.tanh(whole / processor.soft_cap) * processor.soft_cap
    return whole * processor.scale


@torch.inference_mode()
def log_probabilities(model: Any, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Log-probabilities of the targets over the whole vocabulary, (signs, picks) in float32.

    Every row goes through the head once, however many picks it has.
    """
    signs, rows, width = hidden.shape
    normalisers = [model.compute_logits(some).float().logsumexp(-1) for some in hidden.reshape(-1, width).split(_ROWS)]
    return option_logits(model, hidden, batch) - torch.cat(normalisers).view(signs, rows)[:, batch.picked]


def _head(model: Any) -> tuple[Any, Any]:
    """The output head and what is done to its logits: those of the language model, in one that sees as well."""
    if not hasattr(model, "logits_processor"):
        model = model.get_language_model()
    # Gemma 2 and Cohere have no head of their own, only the embeddings.
    return (model.lm_head if hasattr(model, "lm_head") else model.model.embed_tokens), model.logits_processor
