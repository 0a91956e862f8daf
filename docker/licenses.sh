#!/bin/sh
# Copies the licence texts and notices of the modules that a Go executable is made of: licenses.sh EXECUTABLE FOLDER
set -eu
mkdir -p "$2"
folder=$(cd "$2" && pwd)
cache=$(go env GOMODCACHE)
# Lines such as: dep github.com/google/uuid v1.6.0 h1:...; `mod` is Weaviate itself, (devel) are our modules.
modules=$(go version -m "$1" | awk '($1 == "mod" || $1 == "dep") && $3 != "(devel)" { print $2 "@" $3 }')
# shellcheck disable=SC2086 # one argument for each
downloaded=$(go mod download -json $modules)

echo "$downloaded" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",$/\1/p' | while read -r module; do
	cd "$module"
	texts=$(find . -type f \( -iname 'licen[cs]e' -o -iname 'licen[cs]e[.-]*' -o -iname 'copying*' -o -iname 'notice*' \) \
		! -name '*.go')
	[ "$texts" ] || {
		echo "licenses.sh: no licence text in $module" >&2
		exit 1
	}
	echo "$texts" | while read -r text; do
		copy=$folder/${module#"$cache/"}/${text#./}
		mkdir -p "${copy%/*}"
		cp "$text" "$copy"
	done
done
