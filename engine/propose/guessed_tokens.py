"""In the place of a tokenizer that is not here: so many characters a token. For lengths alone."""

from __future__ import annotations

import re
from typing import Any

# Characters, and the space before them: English has four and more to a token, so that lengths are rather too large.
_TOKEN = re.compile(r"\s*\S{1,3}|\s+")


class GuessedTokens:
    """What of a tokenizer the reading of examples takes. Chat is written as `role: content`."""

    bos_token_id = bos_token = None
    eos_token_id = 0
    chat_template = "guessed"

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._texts: list[str] = [""]

    def __len__(self) -> int:
        return len(self._texts)

    def __call__(self, texts: Any, **options: Any) -> dict[str, Any]:
        """The ids of a text, or of several."""
        if not isinstance(texts, str):
            return {"input_ids": [self(text)["input_ids"] for text in texts]}
        return {"input_ids": [self._id(token) for token in _TOKEN.findall(texts)]}

    def decode(self, ids: list[int], **options: Any) -> str:
        """The text of ids."""
        return "".join(self._texts[number] for number in ids)

    def apply_chat_template(self, messages: list[dict[str, str]], **options: Any) -> str:
        """A conversation as one text."""
        begun = "assistant:" if options.get("add_generation_prompt") else ""
        return "".join(f"{turn['role']}: {turn['content']}\n" for turn in messages) + begun

    def _id(self, text: str) -> int:
        if text not in self._ids:
            self._ids[text] = len(self._texts)
            self._texts.append(text)
        return self._ids[text]
