"""Methods, one after the other, in one vLLM engine: whether they are what they should be, and what a step costs."""
