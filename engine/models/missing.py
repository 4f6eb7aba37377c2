"""Whether a model's files hold all the weights that it needs, in the shapes that it needs.

What is missing transformers would draw at random, with a warning among many; a run would train on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.errors import UserError
from engine.models.headers import TensorHeader
from engine.models.suitable import check_folder
from engine.models.weights import read_pickles
from engine.stdio import hushed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MOST = 3  # tensors to name


def check_weights(
    path: str, *, trust_remote_code: bool, headers: Mapping[str, TensorHeader] | None = None
) -> list[str]:
    """Raise `UserError` unless the files in the folder `path` are whole and hold every weight of the model.

    What they hold beyond that is returned by name; transformers passes over it. `headers`: what
    `engine.models.suitable.check_folder` read there, if it has.

    transformers itself says what it would read from where, with its renaming, tying and converting of weights; it is
    given tensors without data.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    found = (check_folder(path) if headers is None else headers) or read_pickles(Path(path))
    config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    with torch.device("meta"), hushed():
        skeleton = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    shapes = {name: tuple(tensor.shape) for name, tensor in skeleton.state_dict().items()}
    missing, wrong, unused = _compare(skeleton, found)
    where = f"model.path: {path}"
    if missing:
        named = ", ".join(f"{name} {_by(shapes[name])}" for name in missing[:_MOST])
        more = f" and {len(missing) - _MOST} more" if len(missing) > _MOST else ""
        hint = ""
        if set(missing) == {"lm_head.weight"}:
            hint = "; if the head is the embeddings, its config.json has to say so (tie_word_embeddings)"
        elif len(missing) == len(shapes) and found:
            hint = f"; its files have other names, such as {next(iter(found))}"
        raise UserError(
            f"{where}: its files lack weights that the model needs: {named}{more}; take a whole model{hint}"
        )
    if wrong:
        name, there, needed = wrong[0]
        more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise UserError(
            f"{where}: its config.json does not fit its files: {name} is {_by(there)} there, the model needs "
            f"{_by(needed)}{more}; take both from one model"
        )
    return unused


def _compare(
    skeleton: PreTrainedModel, found: Mapping[str, TensorHeader]
) -> tuple[list[str], list[tuple[str, tuple[int, ...], tuple[int, ...]]], list[str]]:
    """The names that no file has; name, shape there and shape needed of those that do not fit; and names too many."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.modeling_utils import LoadStateDictConfig

    # What from_pretrained does between reading headers and reading data (transformers 5.0 to 5.24). Its public way
    # there needs `accelerate` to leave tensors on meta.
    setting = LoadStateDictConfig(
        device_map={"": torch.device("meta")},
        dtype=torch.bfloat16,
        ignore_mismatched_sizes=True,
        weight_mapping=get_model_conversion_mapping(skeleton, None, None),
    )
    tensors = {name: torch.empty(one.shape, dtype=torch.bfloat16, device="meta") for name, one in found.items()}
    answer: Any = type(skeleton)._load_pretrained_model(skeleton, tensors, None, setting)
    told = answer[0] if isinstance(answer, tuple) else answer
    skeleton.tie_weights(missing_keys=told.missing_keys, recompute_mapping=False)
    adjust: Any = skeleton._adjust_missing_and_unexpected_keys  # leaves out what a model does not mind
    if len(inspect.signature(adjust).parameters) == 1:
        adjust(told)
        missing, unexpected = told.missing_keys, told.unexpected_keys
    else:  # the first of transformers 5
        missing, unexpected = adjust(told.missing_keys, told.unexpected_keys)
    wrong = [(name, tuple(there), tuple(needed)) for name, there, needed in told.mismatched_keys]
    return sorted(missing), sorted(wrong), sorted(unexpected)


def _by(shape: tuple[int, ...]) -> str:
    return f"({' x '.join(map(str, shape))})"
