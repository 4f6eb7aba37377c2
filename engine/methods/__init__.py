"""The methods, one a page: formula, source, estimate, update."""
