"""Everything that knows vLLM's insides, run inside vLLM's worker; the runtime outside uses its public API."""
