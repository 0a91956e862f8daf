"""Words for the facts of a scene: one plain sentence and the ways people would search for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from weaviate_prism.bundled.scenes import Facts, Query

_NUMBERS = {"one": "a", "two": "two", "three": "three", "four": "four"}
_INVERSE = {"left": ("to the left of", "to the right of"), "above": ("above", "below")}
_SHORT = {"left": ("left of", "right of"), "above": ("over", "under")}
_SHARES = {"quarter": "small", "half": "half", "most": "large"}
_MOVING = {
    "moves left": "moving left",
    "moves right": "moving right",
    "moves up": "moving up",
    "moves down": "moving down",
    "grows": "growing",
    "blinks": "blinking",
}


def phrases(facts: Facts) -> Iterator[Query]:
    """All phrasings of `facts`, the full caption first."""
    writers = {"group": _group, "pair": _pair, "chart": _chart, "clip": _clip}
    yield from writers[facts.kind](facts)


def _group(facts: Facts) -> Iterator[Query]:
    number = _NUMBERS[facts.count or "one"]
    noun = facts.shape if facts.count == "one" else f"{facts.shape}s"
    yield Query(f"{number} {facts.size} {facts.colour} {noun}", facts)
    yield Query(f"a picture of {number} {facts.size} {facts.colour} {noun}", facts)
    yield Query(f"{number} {facts.colour} {noun}, {facts.size}", facts)
    yield Query(f"{number} {facts.colour} {noun}", replace(facts, size=None))
    yield Query(f"a picture of {number} {facts.colour} {noun}", replace(facts, size=None))


def _pair(facts: Facts) -> Iterator[Query]:
    first, second = f"{facts.colour} {facts.shape}", f"{facts.other_colour} {facts.other_shape}"
    relation = facts.relation or "left"
    (forward, backward), (short, short_back) = _INVERSE[relation], _SHORT[relation]
    yield Query(f"a {first} {forward} a {second}", facts)
    yield Query(f"a {second} {backward} a {first}", facts)
    yield Query(f"a picture of a {first} {forward} a {second}", facts)
    yield Query(f"{first} {short} {second}", facts)
    yield Query(f"{second} {short_back} {first}", facts)


def _chart(facts: Facts) -> Iterator[Query]:
    if facts.shape == "pie":
        yield from _pie(facts)
        return
    noun = "bar chart" if facts.shape == "bars" else "line chart"
    going = {"rises": "rising", "falls": "falling"}[facts.change or "rises"]
    colourless = replace(facts, colour=None)
    yield Query(f"a {facts.colour} {noun} that {facts.change}", facts)
    yield Query(f"a {going} {facts.colour} {noun}", facts)
    yield Query(f"{facts.colour} {noun} that {facts.change}", facts)
    yield Query(f"{noun} that {facts.change}", colourless)
    yield Query(f"{going} {noun}", colourless)
    yield Query(f"a {noun} that {facts.change}", colourless)


def _pie(facts: Facts) -> Iterator[Query]:
    share = _SHARES[facts.change or "half"]
    slice_ = f"{facts.colour} half" if share == "half" else f"{share} {facts.colour} slice"
    any_slice = "half" if share == "half" else f"{share} slice"
    colourless = replace(facts, colour=None)
    yield Query(f"a pie chart with a {slice_}", facts)
    yield Query(f"pie chart, {slice_}", facts)
    yield Query(f"a picture of a pie chart with a {slice_}", facts)
    yield Query(f"pie chart with a {any_slice}", colourless)


def _clip(facts: Facts) -> Iterator[Query]:
    thing, moving = f"{facts.colour} {facts.shape}", _MOVING[facts.change or "blinks"]
    yield Query(f"a {thing} that {facts.change}", facts)
    yield Query(f"a {thing} {moving}", facts)
    yield Query(f"{thing} {facts.change}", facts)
    yield Query(f"a clip of a {thing} that {facts.change}", facts)
    yield Query(f"a video of a {thing} {moving}", facts)
