"""What moves in the conventional loop, and how: the weights along low-rank or dense directions, or an adapter."""
