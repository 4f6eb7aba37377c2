"""zotui: fine-tune a language model from a terminal, with nothing but forward passes."""
