"""A real Weaviate without Docker, for the demo and the tests: `binary` finds or builds it, `server` runs it."""
