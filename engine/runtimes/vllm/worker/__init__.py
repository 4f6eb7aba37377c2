"""All that knows vLLM's insides; it runs inside vLLM's worker."""
