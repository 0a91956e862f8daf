"""Every kind of error has its status at every door."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from weaviate_prism import errors
from weaviate_prism.errors import MESSAGE_CHARACTERS, PrismError
from weaviate_prism.server.rest.errors import STATUS, complete
from weaviate_prism.server.rpc import CODES


def kinds(base: type[PrismError] = PrismError) -> Iterator[type[PrismError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_both_tables_are_complete() -> None:
    assert set(STATUS) == set(CODES) == set(kinds())


def test_only_what_is_not_the_clients_doing_is_a_5xx() -> None:
    server = {kind for kind, status in STATUS.items() if status >= 500}
    assert server == {errors.DeadlineExceeded, errors.Unavailable, errors.Internal}


def test_kinds_are_counted_in_snake_case() -> None:
    assert {kind("").kind for kind in kinds()} >= {"invalid_input", "too_large", "deadline_exceeded"}


def test_an_error_keeps_its_kind_when_it_names_its_item() -> None:
    error = errors.TooLarge("9 bytes").about("images[3]")
    assert type(error) is errors.TooLarge
    assert error.message == "images[3]: 9 bytes"


def test_all_results_or_one_error_that_names_every_bad_one() -> None:
    assert complete({"a": 1, "b": 2}) == {"a": 1, "b": 2}
    with pytest.raises(errors.TooLarge, match=r"^b: x; c: y$"):
        complete({"a": 1, "b": errors.InvalidInput("x"), "c": errors.TooLarge("y")})


def test_the_error_of_many_bad_items_is_cut_at_whole_messages() -> None:
    many = {f"texts[{number}]": errors.InvalidInput(f"bad {number}") for number in range(10_000)}
    with pytest.raises(errors.InvalidInput) as raised:
        complete(many)
    assert len(raised.value.message) < MESSAGE_CHARACTERS + 100
    named = raised.value.message.count("bad")
    assert raised.value.message.endswith(f"; and {10_000 - named} more")


def test_of_items_with_the_same_error_some_are_named() -> None:
    few = {f"texts[{number}]": errors.InvalidInput("bad") for number in range(3)}
    with pytest.raises(errors.InvalidInput, match=r"^texts\[0\], texts\[1\], texts\[2\]: bad; images\[0\]: worse$"):
        complete(few | {"images[0]": errors.InvalidInput("worse")})
    many = {f"texts[{number}]": errors.InvalidInput("bad") for number in range(10_000)}
    with pytest.raises(errors.InvalidInput, match=r"^texts\[0\], .*, texts\[19\] and 9980 more: bad$"):
        complete(many)


def test_one_long_message_is_cut() -> None:
    assert len(errors.NotFound("x" * 100_000).message) <= MESSAGE_CHARACTERS
