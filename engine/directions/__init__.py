"""Directions drawn, summed up and folded into the weights."""
