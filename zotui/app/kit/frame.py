"""The frame around every part of a screen."""

from __future__ import annotations


def frame(name: str, focus: str = "", *, within: bool = False) -> str:
    """The CSS of a framed widget, lit in the colour `focus` while it has the focus, or one `within` it has."""
    css = f"""
    {name} {{
        border: round $line; border-title-color: $foreground; border-subtitle-color: $quiet;
        background: $surface; padding: 0 1; scrollbar-size-vertical: 1;
    }}
    """
    lit = f"{name}:focus{'-within' * within} {{ border: round {focus}; background-tint: $foreground 0%; }}\n"
    return css + (lit if focus else "")
