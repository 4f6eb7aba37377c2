"""Every fault that zotui promises to survive, injected for real into real runs, and what it cost.

`python -m tests.faults` prints the table, `--long` the one with many more tries; `tests/test_faults.py` asserts it.
A file holds the faults of one kind, `trial.py` what is counted, `workshop.py` what the runs are made of.
"""
