"""What a model, or a state of a run, makes of a task."""
