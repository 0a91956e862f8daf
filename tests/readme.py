"""The code blocks of the README, for the tests that execute them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS: list[str] = re.findall(r"^```\w*\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def block(part: str) -> str:
    """The one block with this text in it."""
    (found,) = (each for each in BLOCKS if part in each)
    return found
