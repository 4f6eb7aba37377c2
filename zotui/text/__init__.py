"""How things are written: numbers, names, findings."""
