"""A run on disk. Nothing here needs torch."""
