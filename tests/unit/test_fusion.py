"""What a target may ask for, and the arithmetic of a mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

from weaviate_prism import fusion
from weaviate_prism.errors import InvalidInput, PrismError, Unsupported
from weaviate_prism.models.fake import FakeCost, FakeEmbedder
from weaviate_prism.values import Fusion, Part, Target, Text, Vector

JOINT = FakeEmbedder(FakeCost())
RNG = np.random.default_rng(11)


class OneAtATime(FakeEmbedder):
    joint = False


SINGLE = OneAtATime(FakeCost())


def parts(*fields: str) -> list[Part]:
    return [Text("x", field) for field in fields]


def weighted(*weights: float, fields: tuple[str, ...] = ("a", "b")) -> Target:
    return Target(fusion=Fusion.MEAN, fields=fields, weights=weights)


def test_the_default_is_what_the_model_can() -> None:
    assert fusion.fusion_of(Target(), JOINT) is Fusion.JOINT
    assert fusion.fusion_of(Target(), SINGLE) is Fusion.MEAN
    assert fusion.fusion_of(Target(fusion=Fusion.MEAN), JOINT) is Fusion.MEAN
    assert fusion.fusion_of(Target(fields=("a",), weights=(2.0,)), SINGLE) is Fusion.MEAN


@pytest.mark.parametrize(
    ("target", "kind", "named"),
    [
        (Target(fusion=Fusion.JOINT), Unsupported, "fusion: fake takes one part at a time"),
        (weighted(), None, ""),
        (weighted(0, 1e-38), None, ""),
        (weighted(1), InvalidInput, "weights: 1 are given for 2 fields"),
        (weighted(1, fields=()), InvalidInput, "weights: 1 are given for 0 fields"),
        (weighted(1, -1), InvalidInput, "weights: .* 'b' has -1"),
        (weighted(math.nan, 1), InvalidInput, "weights: .* 'a' has nan"),
        (weighted(1, math.inf), InvalidInput, "weights: .* 'b' has inf"),
        (weighted(0, 0), InvalidInput, "weights: all are 0"),
        (Target(fields=("a", "b", "a")), InvalidInput, "fields: 'a' is named twice"),
        (Target(dimensions=-1), InvalidInput, "dimensions: -1 are fewer than none"),
        (Target(dimensions=33), InvalidInput, "dimensions: 33 are more than the 32 of fake"),
    ],
)
def test_what_a_target_cannot_have_is_refused_by_name(
    target: Target, kind: type[PrismError] | None, named: str
) -> None:
    if kind is None:
        fusion.fusion_of(target, SINGLE)
        return
    with pytest.raises(kind, match=named):
        fusion.fusion_of(target, SINGLE)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (Fusion.JOINT, "a joint vector has none; set the fusion"),
        (None, "the default of fake, has none; set the fusion"),
    ],
)
def test_weights_of_a_joint_vector_are_refused_with_what_to_do(asked: Fusion | None, named: str) -> None:
    with pytest.raises(InvalidInput, match=f"weights: .*{named}"):
        fusion.fusion_of(Target(fusion=asked, fields=("a",), weights=(1.0,)), JOINT)


@pytest.mark.parametrize(
    ("items", "named"), [((1, 0), "0 comes after 1"), ((1, 1), "1 comes after 1"), ((3,), "no item 3")]
)
def test_positions_are_checked(items: tuple[int, ...], named: str) -> None:
    with pytest.raises(InvalidInput, match=f"items: .*{named}"):
        fusion.check_positions(Target(items=items), 3)


@pytest.mark.parametrize("items", [(), (0,), (0, 2), (0, 1, 2)])
def test_ascending_positions_are_fine(items: tuple[int, ...]) -> None:
    fusion.check_positions(Target(items=items), 3)


@pytest.mark.parametrize(
    ("target", "fields", "expected"),
    [
        (Target(), ("a",), [1]),
        (Target(), ("", "", ""), [1 / 3] * 3),
        (Target(), ("tags", "tags", "title"), [1 / 4, 1 / 4, 1 / 2]),
        (weighted(3, 1), ("b", "a"), [1 / 4, 3 / 4]),
        (weighted(3, 1), ("a", "a", "b"), [3 / 8, 3 / 8, 1 / 4]),
        (weighted(3, 1), ("b",), [1]),
        (weighted(3e38, 3e38), ("a", "b"), [1 / 2, 1 / 2]),
        (weighted(0, 2), ("a", "b"), [0, 1]),
    ],
)
def test_a_field_shares_its_weight_among_its_parts(
    target: Target, fields: tuple[str, ...], expected: list[float]
) -> None:
    weights = fusion.part_weights(target, parts(*fields))
    assert weights == pytest.approx(expected)
    assert math.fsum(weights) == pytest.approx(1)


def test_an_item_whose_fields_all_weigh_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="all fields that it has weigh 0: a"):
        fusion.part_weights(weighted(0, 1), parts("a"))


def vectors(count: int) -> list[Vector]:
    return list((RNG.standard_normal((count, 16)) * RNG.uniform(0.1, 30, (count, 1))).astype(np.float32))


def test_a_mean_weighs_directions_not_lengths() -> None:
    some = vectors(3)
    (ours,) = fusion.finished([fusion.mean(some, [0.5, 0.3, 0.2])], [5])
    assert not isinstance(ours, PrismError)
    units = np.stack([vector / np.linalg.norm(vector) for vector in some])
    expected = (np.array([0.5, 0.3, 0.2]) @ units)[:5]
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected / np.linalg.norm(expected), atol=1e-6)


def test_the_mean_of_one_vector_is_that_vector() -> None:
    (vector,) = vectors(1)
    assert fusion.mean([vector], [1.0]) is vector


def test_parts_that_cancel_out_are_an_error() -> None:
    (vector,) = vectors(1)
    with pytest.raises(InvalidInput, match="opposite directions"):
        fusion.mean([vector, -3 * vector], [0.5, 0.5])
    (left,) = fusion.finished([fusion.mean([vector, -3 * vector], [0.6, 0.4])], [0])
    assert not isinstance(left, PrismError)
    np.testing.assert_allclose(left, vector / np.linalg.norm(vector), atol=1e-6)


def test_a_cut_that_leaves_nothing_is_an_error() -> None:
    short, (long,) = np.array([0, 0, 1], dtype=np.float32), vectors(1)
    refused = Unsupported("of the wrong kind")
    zero, error, vector = fusion.finished([short, refused, long], [2, 2, 2])
    assert isinstance(zero, InvalidInput)
    assert zero.message == "dimensions: the first 2 of its vector are all zero"
    assert error is refused
    assert not isinstance(vector, PrismError)
    np.testing.assert_allclose(vector, long[:2] / np.linalg.norm(long[:2]), atol=1e-6)
