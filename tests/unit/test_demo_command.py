"""The flags of `prism demo`."""

from __future__ import annotations

from pathlib import Path

import pytest

from weaviate_prism.demo import command
from weaviate_prism.demo.gallery import FEWEST


def test_defaults() -> None:
    options = command.parse([])
    assert (options.native, options.keep, options.objects) == (False, False, 300)
    assert options.report == Path("prism-demo.html")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--objects", str(FEWEST - 1)], "--objects"),
        (["--objects", "many"], "--objects"),
        (["--report", "/nowhere/report.html"], "--report"),
        (["--kep"], "--kep"),
    ],
)
def test_wrong_flag_ends_with_status_2_and_its_name(
    flags: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        command.run(flags)
    assert end.value.code == 2
    assert named in capsys.readouterr().err
