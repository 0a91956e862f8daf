"""The `prism` command. Each subcommand imports what it needs, so that `--help` answers without PyTorch."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from weaviate_prism import __version__, config
from weaviate_prism.tracing import TraceFilter

# As a shell tells of a program that SIGPIPE ended.
NO_READER = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand; returns the exit status. Ends quietly where nobody reads on, as `| head` does."""
    try:
        try:
            return command(argv)
        finally:
            sys.stdout.flush()  # else it fails where Python ends, with a trace
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER


def command(argv: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="prism", description="Multimodal vectorizing and reranking for Weaviate.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"prism {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, what) in COMMANDS.items():
        # without arguments of its own: what follows is parsed by the command
        commands.add_parser(name, help=what, add_help=False)
    args, rest = parser.parse_known_args(argv)
    run, _ = COMMANDS[args.command]
    return run(rest)


def serve(argv: Sequence[str]) -> int:
    """Serves until a signal or a fault; 2 for settings that do not parse."""
    handler = logging.StreamHandler()
    handler.addFilter(TraceFilter())
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s%(trace)s", handlers=[handler])
    try:
        settings = config.parse_command(argv, os.environ)
        return start(settings)
    except config.SettingsError as error:
        print(f"prism serve: error: {error}", file=sys.stderr)
        return 2


def start(settings: config.Settings) -> int:
    """
    Raises:
        SettingsError: the file that they name is wrong.
    """
    logging.getLogger().setLevel(settings.log_level.upper())
    # OpenMP's threads spin while they wait, on cores that Weaviate needs: 32 pictures took 7-49 ms each instead of
    # 11 on a busy machine. With a thousand turns, some 50 us, a batch of 32 took 48 ms on an idle one,
    # and 60 without any: to wake a thread takes as long. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

    from weaviate_prism.server import app

    return app.run(settings)


def demo(argv: Sequence[str]) -> int:
    from weaviate_prism.demo.command import run

    return run(argv)


def models(argv: Sequence[str]) -> int:
    from weaviate_prism.models.command import run

    return run(argv)


def check(argv: Sequence[str]) -> int:
    from weaviate_prism.check.command import run

    return run(argv)


def weaviate(argv: Sequence[str]) -> int:
    from weaviate_prism.weaviate.command import run

    return run(argv)


COMMANDS = {
    "serve": (serve, "run the service: gRPC and HTTP doors in front of the models"),
    "demo": (demo, "start Prism and a real Weaviate, import pictures and clips, search and rerank them"),
    "models": (models, "what is known of published models, and how to use one from Weaviate"),
    "check": (check, "look at a running Weaviate and Prism for mistakes, and name the cures"),
    "weaviate": (weaviate, "build a Weaviate with Prism's modules inside"),
}

if __name__ == "__main__":
    sys.exit(main())
