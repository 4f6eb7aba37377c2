"""The colours of several curves, in an order that the colour-blind can tell apart (after Okabe and Ito)."""

ON_DARK = ("#56b4e9", "#e69f00", "#2fbf95", "#e08cc4", "#f0e442", "#e8743b", "#c9ccd8", "#9a8cff")
ON_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#b0508f", "#a87400", "#2a94c9", "#4a4f5c", "#6a51c9")


def colour(number: int, dark: bool) -> str:
    """Of the curve with that number, counted from 0; after eight they come again."""
    colours = ON_DARK if dark else ON_LIGHT
    return colours[number % len(colours)]
