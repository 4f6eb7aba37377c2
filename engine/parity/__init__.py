"""Is it the same trajectory? A recording, or the other runtime, taken step by step."""
