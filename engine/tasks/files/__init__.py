"""Files of data, a kind each: read without a guess at types, and without a cache."""
