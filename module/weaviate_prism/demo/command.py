"""The command: its flags, the order of its steps, what is left behind, and the exit status."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rich.console import Console

OBJECTS = 300
REPORT, NATIVE_REPORT = Path("prism-demo.html"), Path("prism-demo-native.html")
INTERRUPTED = 130  # what a shell reports for Ctrl-C


def run(argv: Sequence[str]) -> int:
    """Runs the demo. 0 only if every expectation holds, 1 if not, 2 for a flag that makes no sense, 130 for Ctrl-C."""
    options = parse(argv)

    from rich.console import Console
    from weaviate.exceptions import WeaviateBaseError

    from weaviate_prism.demo.service import DemoError
    from weaviate_prism.weaviate.binary import WeaviateError

    # Tables are for reading: in a pipe or a log too.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    # All like Ctrl-C, so that neither a server nor the folder stays behind.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, interrupted)
    try:
        return demonstrate(options, console)
    except KeyboardInterrupt:
        console.print("stopped; both servers are down and the folder is removed")
        return INTERRUPTED
    except (DemoError, WeaviateError, WeaviateBaseError) as error:
        console.print(f"prism demo: {error}", style="red", markup=False)
        return 1


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags; ends the process with status 2 for a wrong one."""
    parser = argparse.ArgumentParser(
        prog="prism demo",
        description="Start Prism and a real Weaviate, import pictures and clips, search and rerank them.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--native", action="store_true", help="through Prism's own modules, in a Weaviate that is built with them"
    )
    parser.add_argument("--keep", action="store_true", help="leave both servers running and say how to go on")
    parser.add_argument(
        "--objects", type=int, default=OBJECTS, metavar="N", help="how many objects to import (default: %(default)s)"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help=f"where the report goes (default: {REPORT}, or {NATIVE_REPORT})",
    )
    options = parser.parse_args(argv)
    options.report = options.report or (NATIVE_REPORT if options.native else REPORT)

    from weaviate_prism.demo.gallery import FEWEST, MOST

    if not FEWEST <= options.objects <= MOST:
        parser.error(f"--objects: must be between {FEWEST} and {MOST}, not {options.objects}")
    # Said now, not after the minute that everything else takes.
    if not os.access(options.report.resolve().parent, os.W_OK):
        parser.error(f"--report: cannot write into the folder of {options.report}")
    return options


def interrupted(*_: object) -> NoReturn:
    """Ends the demo. Python drops an exception that a signal raises inside a destructor, so it comes again."""
    sys.unraisablehook = lambda _: None  # and without a word about the ones dropped
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    raise KeyboardInterrupt


def demonstrate(options: argparse.Namespace, console: Console) -> int:
    """Everything between the flags and the exit status; both servers and the folder are gone in the end."""
    with contextlib.ExitStack() as stack:
        try:
            return play(options, console, stack)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)  # the servers are stopped in peace


def play(options: argparse.Namespace, console: Console, stack: contextlib.ExitStack) -> int:
    """Starts what `stack` ends, imports, searches, reports."""
    from weaviate_prism.demo import collection, gallery, report, scenario, service, snippet, tables, ways
    from weaviate_prism.weaviate.server import WeaviateServer

    way = ways.NATIVE if options.native else ways.STOCK
    binary = way.binary(console.print)
    folder = Path(tempfile.mkdtemp(prefix="prism-demo-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    prism = stack.enter_context(service.Prism(folder))
    # Objects are drawn while the models load.
    objects = gallery.make(options.objects)
    tables.introduce(console, objects)
    gallery.draw(objects, console)
    with console.status("waiting for Prism's models"):
        prism.wait()
    with console.status("starting Weaviate"):
        server = WeaviateServer(prism.url, folder / "weaviate", binary=binary, environment=way.environment(prism))
        weaviate = stack.enter_context(server)
    console.print(f"Prism at {prism.url}, Weaviate at {weaviate.url} with {way.modules}")
    with weaviate.client() as client:
        imported = collection.fill(client, way, objects, console)
        results = scenario.play(client, objects, imported, console)
    tables.conclude(console, results)
    report.write(options.report, results)
    console.print(f"report: {options.report.resolve()}", soft_wrap=True)
    if options.keep:
        snippet.explain(console, weaviate, prism, folder)
        stack.pop_all()
    return 0 if results.good else 1
