"""`prism serve` with another fake embedder: `altered.py LOAD_SECONDS NAME DIMENSIONS serve ...`"""

from __future__ import annotations

import dataclasses
import sys
import time

from weaviate_prism import profiles
from weaviate_prism.cli import main
from weaviate_prism.models import fake
from weaviate_prism.values import ModelInfo


def alter(load_seconds: float, name: str, dimensions: int) -> None:
    original = fake._info

    def info(kind: str, dimensions: int) -> ModelInfo:
        time.sleep(load_seconds if kind == "embedder" else 0)
        return dataclasses.replace(original(kind, dimensions), name=name)

    fake._info = info
    fake.DIMENSIONS = dimensions
    profiles.own_name = lambda source: name


if __name__ == "__main__":
    seconds, name, dimensions = sys.argv[1:4]
    del sys.argv[1:4]
    alter(float(seconds), name, int(dimensions))
    sys.exit(main())
