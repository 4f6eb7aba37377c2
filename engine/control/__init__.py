"""What scalars alone decide: the learning rate of a step, clipping, going back to the best state."""
