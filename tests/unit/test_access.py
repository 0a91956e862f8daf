"""Which headers show the key."""

from __future__ import annotations

import base64

import pytest

from weaviate_prism.errors import Unauthenticated
from weaviate_prism.server.access import Access

KEY = "s3cret:with-a-colon"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "header", [f"Bearer {KEY}", f"bearer {KEY}", f"Bearer  {KEY}", basic(f"anybody:{KEY}"), basic(f":{KEY}")]
)
def test_the_key_opens(header: str) -> None:
    Access(KEY).check(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        KEY,
        "Bearer",
        "Bearer ",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY.upper()}",
        "Bearer \N{SNOWMAN}",
        "Bearer \udcff",
        f"Token {KEY}",
        basic(KEY),
        basic(f"{KEY}:"),
        basic("anybody:"),
        "Basic ",
        "Basic ????",
        "Basic \N{SNOWMAN}",
    ],
)
def test_nothing_else_does(header: str) -> None:
    with pytest.raises(Unauthenticated) as raised:
        Access(KEY).check(header)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("header", ["", "Bearer anything"])
def test_without_a_key_everybody_is_let_in(header: str) -> None:
    Access("").check(header)
