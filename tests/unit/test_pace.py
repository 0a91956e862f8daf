"""A model's pace from made-up timings."""

from __future__ import annotations

import random

import pytest

from weaviate_prism.scheduling.pace import Pace, Shape

SHAPES: list[Shape] = [(1, 10, 0), (1, 500, 0), (1, 10, 64), (2, 300, 1024), (2, 1000, 0), (8, 500, 0)]


def seconds(shape: Shape, patch: float = 1e-5) -> float:
    return 0.01 + 0.002 * shape[0] + 1e-4 * shape[1] + patch * shape[2]


def learnt(*shapes: Shape) -> Pace:
    pace = Pace()
    pace.learn([(shape, seconds(shape)) for shape in shapes])
    return pace


def test_fixed_costs_inputs_tokens_and_patches_are_told_apart() -> None:
    pace = learnt(*SHAPES)
    assert pace.parts == pytest.approx([0.01, 2e-3, 1e-4, 1e-5])
    assert pace.seconds((1, 200, 100)) == pytest.approx(seconds((1, 200, 100)))
    assert pace.more((1, 200, 100)) == pytest.approx(0.023)


def test_of_equal_batches_the_quickest_counts() -> None:
    pace = Pace()
    pace.learn([(shape, seconds(shape) * times) for times in (20, 1, 3) for shape in SHAPES])
    assert pace.parts == pytest.approx([0.01, 2e-3, 1e-4, 1e-5])


def test_one_batch_is_enough_for_a_start() -> None:
    assert learnt((1, 500, 100)).seconds((1, 500, 100)) == pytest.approx(seconds((1, 500, 100)), rel=1e-3)


def test_noise_makes_nothing_negative() -> None:
    chance = random.Random(3)
    for _ in range(50):
        pace = Pace()
        pace.learn([(shape, seconds(shape) * chance.uniform(0.5, 2.0)) for shape in SHAPES])
        assert (pace.parts > 0).all()
        assert 0.2 < pace.seconds((1, 500, 500)) / seconds((1, 500, 500)) < 5


def test_nothing_learnt_is_no_time_at_all() -> None:
    pace = Pace()
    pace.learn([])
    assert 0 < pace.seconds((1, 8192, 8192)) < 1e-3


def test_a_machine_that_becomes_slower_is_followed() -> None:
    pace = learnt(*SHAPES)
    for turn in range(200):
        shape = SHAPES[turn % len(SHAPES)]
        pace.observe(shape, seconds(shape) * 3)
    for shape in SHAPES:
        assert pace.seconds(shape) == pytest.approx(3 * seconds(shape), rel=0.15)


def test_what_became_slower_is_told_from_what_did_not() -> None:
    pace = learnt(*SHAPES)
    for turn in range(400):
        shape = SHAPES[turn % len(SHAPES)]
        pace.observe(shape, seconds(shape, patch=1e-4))
    assert pace.seconds((1, 300, 1024)) == pytest.approx(seconds((1, 300, 1024), patch=1e-4), rel=0.25)
    assert pace.seconds((1, 500, 0)) == pytest.approx(seconds((1, 500, 0)), rel=0.25)


def test_a_start_that_was_much_too_slow_is_soon_forgotten() -> None:
    pace = Pace()
    pace.learn([((1, 8, 0), 5.0)])
    for _ in range(40):
        pace.observe((1, 8, 0), 0.02)
    assert pace.seconds((1, 8, 0)) == pytest.approx(0.02, rel=0.2)


def test_one_batch_that_hung_changes_little() -> None:
    pace = learnt(*SHAPES)
    pace.observe((1, 500, 0), 30.0)
    assert pace.seconds((1, 500, 0)) < 1.5 * seconds((1, 500, 0))


def test_what_small_batches_do_not_tell_is_learnt_from_large_ones() -> None:
    """As on a GPU: the first batches take the same time, whatever is in them."""
    pace = Pace()
    pace.learn([((2, 30, 16), 0.02), ((1, 100, 0), 0.02), ((2, 90, 512), 0.02)])
    shapes: list[Shape] = [(1, 16, 0), (4, 512, 0), (16, 4096, 0), (32, 16384, 0)]
    for turn in range(400):
        shape = shapes[turn % len(shapes)]
        pace.observe(shape, 0.02 + 5e-5 * shape[1])
    for shape in shapes:
        assert pace.seconds(shape) == pytest.approx(0.02 + 5e-5 * shape[1], rel=0.35)
