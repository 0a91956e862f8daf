"""`prism check`: its flags, and the exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from weaviate_prism.config import Settings

if TYPE_CHECKING:
    from weaviate_prism.check.findings import Finding

WEAVIATE = "http://localhost:8080"
WEAVIATE_GRPC_PORT = 50051
PRISM = f"http://localhost:{Settings().http_port}"


def run(argv: Sequence[str]) -> int:
    """Reports. 0 where nothing is red, 1 where something is, 2 for a wrong flag or a service that cannot be reached."""
    options = parse(argv)

    import grpc
    import httpx
    from weaviate.exceptions import WeaviateBaseError

    from weaviate_prism.check.addresses import shown
    from weaviate_prism.check.reaching import CheckError

    try:
        found = report(options)
    except (CheckError, WeaviateBaseError, httpx.HTTPError, grpc.RpcError) as error:
        print(f"prism check: error: {shown(str(error))}", file=sys.stderr)
        return 2
    return int(any(each.level == "red" for each in found))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags; ends the process with status 2 for a wrong one."""
    parser = argparse.ArgumentParser(
        prog="prism check",
        description="Looks at a running Weaviate and the Prism behind it for mistakes, and names the cures. Changes "
        "nothing. Keys are taken from the variables WEAVIATE_API_KEY and PRISM_API_KEY.",
        epilog="Exit status: 0 nothing is red, 1 something is, 2 a wrong flag or a service that cannot be reached.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--weaviate", default=WEAVIATE, metavar="URL", help="Weaviate's REST API (default: %(default)s)")
    grpc = f"Weaviate's gRPC API (default: the same host, port {WEAVIATE_GRPC_PORT})"
    add("--weaviate-grpc", default="", metavar="HOST:PORT", help=grpc)
    add("--prism", default=PRISM, metavar="URL", help="Prism's HTTP port (default: %(default)s)")
    grpc = f"Prism's gRPC port, https://HOST:PORT for TLS (default: the same host, port {Settings().grpc_port})"
    add("--prism-grpc", default="", metavar="HOST:PORT", help=grpc)
    seen = "Prism's address as Weaviate sees it and collections name it, such as http://prism:8090; may be repeated"
    add("--seen-as", action="append", default=[], metavar="URL", help=seen)
    only = "look at this collection only; may be repeated"
    add("--collection", action="append", default=[], metavar="NAME", help=only)
    add("--json", action="store_true", help="for machines: one JSON object")
    options = parser.parse_args(argv)
    check_url(parser, "--weaviate", options.weaviate)
    check_url(parser, "--prism", options.prism)
    for url in options.seen_as:
        check_url(parser, "--seen-as", url)
    check_address(parser, "--weaviate-grpc", options.weaviate_grpc)
    check_address(parser, "--prism-grpc", options.prism_grpc)
    options.weaviate_grpc = options.weaviate_grpc or beside(options.weaviate, WEAVIATE_GRPC_PORT)
    options.prism_grpc = options.prism_grpc or beside(options.prism, Settings().grpc_port)
    return options


def beside(url: str, port: int) -> str:
    """Another port of a URL's host."""
    host = urlsplit(url).hostname or ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_url(parser: argparse.ArgumentParser, flag: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        parser.error(f"{flag}: must be http://HOST:PORT or https://HOST:PORT, not {url!r}")


def check_address(parser: argparse.ArgumentParser, flag: str, address: str) -> None:
    _, colon, port = address.rpartition(":")
    if address and not address.startswith("unix:") and not (colon and port.isdigit()):
        parser.error(f"{flag}: must be HOST:PORT, not {address!r}")


def report(options: argparse.Namespace) -> list[Finding]:
    """Looks, and prints what it finds when it is found; JSON in the end."""
    from weaviate_prism.check import checks, report
    from weaviate_prism.check.database import Database
    from weaviate_prism.check.service import Service

    console = report.Output()
    database = Database(options.weaviate, options.weaviate_grpc, os.environ.get("WEAVIATE_API_KEY", ""))
    service = Service(options.prism, options.prism_grpc, os.environ.get("PRISM_API_KEY", ""))
    ours = [options.prism, *options.seen_as]
    found = []
    with service, database:
        for each in checks.findings(database, service, ours, options.collection):
            found.append(each)
            if not options.json:
                report.write(console, each)
    if options.json:
        print(report.as_json(found))
    else:
        report.conclude(console, found)
    return found
