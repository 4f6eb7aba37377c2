"""A model's tokenizer, read as its own files say."""

from __future__ import annotations

from typing import Any

from engine.models.facts import explained


def read_tokenizer(path: str, *, trust_remote_code: bool) -> Any:
    """The model's tokenizer. Raises `UserError` if there is none, or it would run code of its own."""
    from transformers import AutoTokenizer
    from transformers.models.auto.tokenization_auto import get_tokenizer_config, tokenizer_class_from_name

    try:
        asked = get_tokenizer_config(path)
        known = tokenizer_class_from_name(asked.get("tokenizer_class") or "")
        if asked.get("auto_map") and known is None and not trust_remote_code:
            raise ValueError("without trust_remote_code it would be read as another one")
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except Exception as error:  # noqa: BLE001 - whatever a file that is something else may raise; `tokenizers` has no kinds
        raise explained(path, error, "has no usable tokenizer") from None
