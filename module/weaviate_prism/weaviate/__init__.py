"""A real Weaviate without Docker: `binary` finds or builds it, `native` one with Prism's modules; `server` runs it."""
