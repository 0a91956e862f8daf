.PHONY: setup demo test test-go test-python test-weaviate-1.38 lint bench proto

# Go lies there where .ci/setup found no other.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# All that the other targets need; takes a second once it is there.
setup:
	.ci/setup

# Prism and a real Weaviate on a few hundred drawn objects; writes a report.
demo: setup
	.venv/bin/prism demo

test: test-go test-python

test-python: setup
	.venv/bin/prism weaviate build
	.venv/bin/pytest

# The race detector needs a C compiler.
test-go: setup
	@command -v gcc >/dev/null || echo "no gcc: Go's tests run without the race detector"
	cd module/weaviate && go test $$(command -v gcc >/dev/null && echo -race) ./...

# Compiles and tries an older Weaviate with the native modules: three minutes on two cores, more if they are busy.
test-weaviate-1.38: setup
	.venv/bin/pytest -o faulthandler_timeout=1800 tests/older

lint: setup
	.venv/bin/ruff check && .venv/bin/ruff format --check
	.venv/bin/mypy
	cd module/weaviate && "$$(go env GOROOT)/bin/gofmt" -d . hook/*.go.txt | (! grep .)
	cd module/weaviate && go vet ./... && go run $(STATICCHECK) ./...
	generated=$$(mktemp -d) && PYTHON=$(CURDIR)/.venv/bin/python module/weaviate/generate.sh $$generated && \
		diff -r module/weaviate/prismv1 $$generated && rm -r $$generated
	.venv/bin/shellcheck .ci/run module/weaviate/*.sh docker/*.sh
	.venv/bin/hadolint docker/*.Dockerfile
	.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml

# On an otherwise idle machine; downloads infinity-emb, 6 GB with what it needs, where it is not there yet.
bench: setup
	.venv/bin/pytest -s -o faulthandler_timeout=0 tests/bench

# Compiles proto/ again, for Go too; `setup` does so for Python by itself when a proto has changed.
proto: setup
	.venv/bin/uv sync --frozen --inexact --reinstall-package weaviate-prism
	PYTHON=$(CURDIR)/.venv/bin/python module/weaviate/generate.sh
