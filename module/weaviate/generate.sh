#!/bin/sh
# Compiles proto/prism/v1/prism.proto to prismv1/: `module/weaviate/generate.sh [FOLDER]`, default the committed one.
# Needs Go and, in $PYTHON (python3), the protoc of grpcio-tools.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
into=${1:-$here/prismv1}
plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
# the versions of the runtimes that Weaviate's go.mod names
GOBIN=$plugins go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
GOBIN=$plugins go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.1
mkdir -p "$into"
PATH=$plugins:$PATH "${PYTHON:-python3}" -m grpc_tools.protoc -I "$here/../../proto/prism/v1" \
	--go_out="$into" --go_opt=paths=source_relative \
	--go-grpc_out="$into" --go-grpc_opt=paths=source_relative prism.proto
