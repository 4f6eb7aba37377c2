"""New from my file: from a file of one's own to a preset, by what an engine makes of it."""
