"""A rate that is found: first guesses from probes, short forks of one loaded model, successive halving."""
