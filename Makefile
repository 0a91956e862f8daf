.PHONY: setup demo test lint bench proto

# All that the other targets need; takes a second once it is there.
setup:
	.ci/setup

# Prism and a real Weaviate on a few hundred drawn objects; writes a report.
demo: setup
	.venv/bin/prism demo

test: setup
	.venv/bin/pytest

lint: setup
	.venv/bin/ruff check && .venv/bin/ruff format --check
	.venv/bin/mypy

bench: setup
	.venv/bin/pytest -s tests/bench

# Compiles proto/ again; `setup` does so by itself when a proto has changed.
proto: setup
	.venv/bin/uv sync --frozen --reinstall-package weaviate-prism
