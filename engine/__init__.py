"""The zotui engine: a subprocess that fine-tunes a language model with forward passes.

`engine.protocol.events`, `engine.preset.schema`, `engine.runs.directory` and `engine.errors` are its public face: they
import nothing heavy and are all that the app may use. Start it with `python -m engine`.
"""

__version__ = "0.1.0"
