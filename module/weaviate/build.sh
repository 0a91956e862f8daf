#!/bin/sh
# Builds Weaviate with Prism's modules inside: build.sh OUTPUT [--fast-blob-check]
#
# Needs Go. Takes the release that go.mod names, whose content go.sum pins; WEAVIATE_VERSION=1.38.11 takes another,
# pinned by Go's checksum database only. Writes OUTPUT, Go's caches and a scratch folder. Weaviate's source stays
# as it is in the module cache: the compiler is shown changed copies of a few files (`go help build`, -overlay).
set -eu

weaviate=github.com/weaviate/weaviate
server=$weaviate/cmd/weaviate-server

fail() {
	echo "build.sh: $*" >&2
	exit 1
}

# unpacked_hash: the hash of the module cache's copy of Weaviate, in hexadecimal: Go's "h1".
unpacked_hash() {
	(cd "$source" && find . -type f | LC_ALL=C sort | tr '\n' '\0' | xargs -0 sha256sum) |
		sed "s|  \./|  $weaviate@$version/|" | sha256sum | cut -d ' ' -f 1
}

# pinned_hash: the same by go.sum.
pinned_hash() {
	sed -n "s|^$weaviate $version h1:||p" "$scratch/build.sum" | base64 -d | od -An -v -t x1 | tr -d ' \n'
}

# overlay FILE: shows the compiler the scratch folder's copy of FILE, a path in Weaviate's source.
overlay() {
	replaced="$replaced${replaced:+, }\"$scratch/weaviate/$1\": \"$scratch/${1##*/}\""
}

# patch FILE ANCHOR REPLACEMENT: changes the one place of FILE's copy that holds ANCHOR.
patch() {
	copy=$scratch/${1##*/}
	count=$(grep -oF -e "$2" "$copy" | wc -l)
	[ "$count" -eq 1 ] || fail "$1 of Weaviate $version: expected once, found $((count)) times: $2"
	ANCHOR=$2 REPLACEMENT=$3 awk '
		at = index($0, ENVIRON["ANCHOR"]) {
			$0 = substr($0, 1, at - 1) ENVIRON["REPLACEMENT"] substr($0, at + length(ENVIRON["ANCHOR"]))
		}
		{ print }' "$copy" >"$copy.patched"
	mv "$copy.patched" "$copy"
}

# borrow FILE: makes a copy of FILE, a path in Weaviate's source, to be patched and shown to the compiler.
borrow() {
	[ -f "$source/$1" ] || fail "$1 of Weaviate $version: there is no such file"
	cat "$source/$1" >"$scratch/${1##*/}"
	overlay "$1"
}

usage="usage: build.sh OUTPUT [--fast-blob-check]"
[ $# -eq 1 ] || { [ $# -eq 2 ] && [ "$2" = --fast-blob-check ]; } || fail "$usage"
case $1 in
-* | '') fail "$usage" ;;
/*) output=$1 ;;
*) output=$PWD/$1 ;;
esac

cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP

# Nobody's workspace or flags, which may contradict those below; an empty GOFLAGS would mean those of `go env -w`.
export GOWORK=off GOFLAGS=-trimpath CGO_ENABLED=0
cat go.mod >"$scratch/build.mod"
cat go.sum >"$scratch/build.sum"
pinned=$(go list -m -f '{{.Version}}' "$weaviate")
version=v${WEAVIATE_VERSION:-${pinned#v}}
mod='readonly'
if [ "$version" != "$pinned" ]; then
	go mod edit -require="$weaviate@$version" "$scratch/build.mod"
	mod=mod # completes go.sum
fi
# Downloads the release, which fails if it is not what go.sum pins.
source=$(go list -mod=$mod -modfile="$scratch/build.mod" -find -f '{{.Module.Dir}}' "$server")
# Go trusts what it once unpacked: https://go.dev/ref/mod#go-mod-verify, which takes 30 s for all modules.
[ "$(unpacked_hash)" = "$(pinned_hash)" ] || fail "$source is not what go.sum pins: remove it"

replaced=
borrow adapters/handlers/rest/configure_api.go
patch adapters/handlers/rest/configure_api.go \
	'err := registerModules(appState); err != nil' 'err := registerModulesAndPrism(appState); err != nil'
cat hook/prism_hook.go.txt >"$scratch/prism_hook.go"
overlay adapters/handlers/rest/prism_hook.go
if [ $# -eq 2 ]; then
	validation=usecases/objects/validation/properties_validation.go
	borrow $validation
	patch $validation '"regexp"' '"prism.local/weaviate/blobcheck"'
	# The whole expression, so that another one stops the build: blobcheck is proved equal to this one.
	# shellcheck disable=SC2016 # Go's quotes
	patch $validation 'base64Regex := regexp.MustCompile(`^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$`)' ''
	patch $validation 'base64Regex.MatchString(typed)' 'blobcheck.Valid(typed)'
fi
printf '{"Replace": {%s}}\n' "$replaced" >"$scratch/overlay.json"

# Go refuses an overlay of files beneath the module cache, but not of files beneath a link to it.
ln -s "$source" "$scratch/weaviate"
go mod edit -replace="$weaviate=$scratch/weaviate" "$scratch/build.mod"
echo "build.sh: compiling Weaviate $version with Prism's modules" >&2
# -trimpath, above, and -ldflags as for the stock server, so that both share Go's build cache.
go build -mod=$mod -modfile="$scratch/build.mod" -overlay="$scratch/overlay.json" \
	-buildvcs=false -ldflags "-s -w" -o "$output" "$server"
