"""The zotui engine: a subprocess that fine-tunes a language model with forward passes.

Start it with `python -m engine`. What the app may import of it (`protocol`, `preset`, `runs`, `errors`, `text`) loads
nothing heavy; README.md beside this file is the map.
"""

__version__ = "0.7.0"
