"""From a data file to examples, and from scores to a loss."""
