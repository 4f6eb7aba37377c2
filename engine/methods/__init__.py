"""A page for each method of the family: formula, source, what its name brings."""
