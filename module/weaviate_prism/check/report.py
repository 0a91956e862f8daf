"""Findings for people and for machines."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from weaviate_prism.check.findings import Finding, Level


class Output(Console):
    """To stdout. A reader that leaves is the command line's matter: rich itself ends with 1, which means red here."""

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def write(console: Console, finding: Finding) -> None:
    """One line, and one for the cure. Coloured where the console is a terminal and NO_COLOR is not set."""
    line = Text.assemble(
        (f"{finding.level:<7}", finding.level.value), f"{finding.about}: {finding.says} [{finding.check}]"
    )
    console.print(line, soft_wrap=True)
    if finding.cure:
        console.print(Text(f"{'':7}cure: {finding.cure}"), soft_wrap=True)


def conclude(console: Console, findings: Sequence[Finding]) -> None:
    counted = counts(findings)
    console.print(", ".join(f"{number} {level}" for level, number in counted.items()), soft_wrap=True)


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """How many there are of each level, none left out."""
    counted = Counter(each.level for each in findings)
    return {level.value: counted[level] for level in Level}


def as_json(findings: Sequence[Finding]) -> str:
    """An object: a number for each level, and `findings` with level, check, about, says and cure."""
    return json.dumps({**counts(findings), "findings": [dataclasses.asdict(each) for each in findings]}, indent=2)
