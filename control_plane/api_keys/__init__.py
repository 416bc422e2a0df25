"""API keys: what callers of a gateway show. Each is shown once; afterwards only its keyed hash is known."""
