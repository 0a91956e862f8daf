"""`prism weaviate`: builds a Weaviate with Prism's modules inside."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from weaviate_prism.weaviate.binary import VERSION, WeaviateError
from weaviate_prism.weaviate.native import build_native, ensure_native, native_path


def run(argv: Sequence[str]) -> int:
    """Builds, telling its progress on stderr, and prints the executable's path. 1 where it cannot be had or written."""
    options = parse(argv)
    try:
        path = build(options)
    except (WeaviateError, OSError) as error:
        print(f"prism weaviate build: error: {error}", file=sys.stderr)
        return 1
    print(path.resolve())
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags; ends the process with status 2 for a wrong one."""
    parser = argparse.ArgumentParser(prog="prism weaviate", allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    what = f"compile Weaviate {VERSION} with multi2vec-prism and reranker-prism inside"
    build = commands.add_parser(
        "build",
        help=what,
        description=f"{what[0].upper()}{what[1:]}. Needs Go 1.21 or newer; minutes the first time, seconds later.",
        allow_abbrev=False,
    )
    build.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=f"where the executable goes (default: {native_path().parent}, under weaviate-client's name for it)",
    )
    build.add_argument(
        "--fast-blob-check",
        action="store_true",
        help="check blobs by a table: the verdict of Weaviate's regular expression, some 80 times faster",
    )
    return parser.parse_args(argv)


def build(options: argparse.Namespace) -> Path:
    if options.output is None:
        return ensure_native(options.fast_blob_check, say)
    build_native(options.output, options.fast_blob_check, say)
    return Path(options.output)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
