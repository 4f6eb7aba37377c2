"""What the cockpit knows of a run; no widgets."""
