"""The themes: one accent, three colours that mean something, greys for the rest.

The colour-blind ones take their colours from Okabe and Ito's palette, made lighter or darker until they stand out
from the background, and from each other whatever cone is missing.
"""

from __future__ import annotations

from textual.theme import Theme

from zotui.home.config import ThemeName


def _theme(name: ThemeName, *, dark: bool, greys: dict[str, str], **meaning: str) -> Theme:
    """A theme from its greys (from the background to the text) and the colours that mean something."""
    return Theme(
        name=name,
        foreground=greys["text"],
        background=greys["background"],
        surface=greys["surface"],
        panel=greys["panel"],
        dark=dark,
        primary=meaning["primary"],
        secondary=meaning["secondary"],
        accent=meaning["accent"],
        success=meaning["success"],
        warning=meaning["warning"],
        error=meaning["error"],
        variables={
            "faint": greys["faint"],
            "line": greys["line"],
            "quiet": greys["quiet"],
            "footer-background": greys["footer"],
            "footer-key-foreground": meaning["primary"],
            "footer-description-foreground": greys["footer-text"],
            "block-cursor-background": meaning["cursor"],
            "block-cursor-foreground": greys["cursor-text"],
            "block-cursor-text-style": "none",
            "block-cursor-blurred-background": greys["blurred"],
            "block-cursor-blurred-foreground": greys["text"],
            "input-selection-background": meaning["cursor"],
            "text-disabled": greys["quiet"],  # also what an empty field says of itself, which must be read
            "scrollbar": greys["scrollbar"],
            "scrollbar-background": greys["surface"],
            "scrollbar-hover": greys["scrollbar-hover"],
            "scrollbar-active": meaning["secondary"],
            "scrollbar-background-hover": greys["surface"],
            "scrollbar-background-active": greys["surface"],
        },
    )


_ON_DARK = {
    "background": "#12141c",
    "surface": "#171a24",
    "panel": "#20242f",
    "faint": "#2b3040",
    "line": "#363d52",
    "quiet": "#959eb8",
    "text": "#cdd3e6",
    "footer": "#171a24",
    "footer-text": "#9aa3bd",
    "cursor-text": "#e6eaf6",
    "blurred": "#1e2230",
    "scrollbar": "#2b3040",
    "scrollbar-hover": "#3b445c",
}
_ON_LIGHT = {
    "background": "#f3f4f8",
    "surface": "#fbfbfd",
    "panel": "#e8eaf1",
    "faint": "#dfe2eb",
    "line": "#c3c9d8",
    "quiet": "#566079",
    "text": "#2b3040",
    "footer": "#e8eaf1",
    "footer-text": "#4c556d",
    "cursor-text": "#1d2230",
    "blurred": "#e8eaf1",
    "scrollbar": "#cfd4e0",
    "scrollbar-hover": "#b5bccd",
}

DARK = _theme(
    "zotui-dark",
    dark=True,
    greys=_ON_DARK,
    primary="#8aadf4",
    secondary="#5b6a8f",
    accent="#c6a0f6",
    success="#8fc99b",
    warning="#e0bd7a",
    error="#e57a86",
    cursor="#273250",
)
LIGHT = _theme(
    "zotui-light",
    dark=False,
    greys=_ON_LIGHT,
    primary="#2f5fc4",
    secondary="#7a87a8",
    accent="#7f46b8",
    success="#286c3d",
    warning="#99660a",
    error="#b8323f",
    cursor="#d3def6",
)
COLOUR_BLIND_DARK = _theme(
    "colour-blind-dark",
    dark=True,
    greys=_ON_DARK,
    primary="#6f92d8",
    secondary="#5b6a8f",
    accent="#d68fb8",
    success="#64e2ad",
    warning="#ffea23",
    error="#d66a20",
    cursor="#1b3750",
)
COLOUR_BLIND_LIGHT = _theme(
    "colour-blind-light",
    dark=False,
    greys=_ON_LIGHT,
    primary="#104494",
    secondary="#7a87a8",
    accent="#aa4499",
    success="#007544",
    warning="#906e1f",
    error="#701a0a",
    cursor="#d5e7f7",
)

THEMES = (DARK, LIGHT, COLOUR_BLIND_DARK, COLOUR_BLIND_LIGHT)
COUNTERPART = {one.name: THEMES[place ^ 1].name for place, one in enumerate(THEMES)}
"""The dark theme of a light one, and the other way round."""
