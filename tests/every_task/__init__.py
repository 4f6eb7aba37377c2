"""Every task by the commands that a user has: `python -m tests.every_task`."""
