"""The demo's objects and questions: what is asked can be found, but only by looking."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from weaviate_prism.bundled.scenes import Query, Scene, all_facts
from weaviate_prism.demo import gallery, survey
from weaviate_prism.demo.gallery import FEWEST, NEARLY, RIGHT, Entry
from weaviate_prism.demo.questions import QUESTIONS, Question

CAMERA_NAME = re.compile(r"(IMG|MOV)_\d{4}\.(png|mp4)")


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return gallery.make(FEWEST)


@pytest.mark.parametrize("question", QUESTIONS, ids=Question.describe)
def test_fewest_objects_hold_right_and_nearly_right_ones_for_every_question(
    question: Question, entries: list[Entry]
) -> None:
    wrong = Counter(
        question.facts.differences(entry.scene.facts) for entry in entries if entry.medium == question.medium
    )
    assert wrong[0] >= RIGHT
    assert wrong[1] >= NEARLY


@pytest.mark.parametrize("question", QUESTIONS, ids=Question.describe)
def test_example_of_a_question_is_no_object_of_the_collection(question: Question, entries: list[Entry]) -> None:
    assert question.example not in {entry.scene for entry in entries}


def test_all_ways_of_searching_are_shown() -> None:
    assert {question.search for question in QUESTIONS} == {"near_text", "near_image", "near_video", "hybrid"}
    assert {question.reranked_property for question in QUESTIONS} == {"picture", "clip", "title"}


def test_objects_are_the_same_every_time() -> None:
    assert gallery.make(100) == gallery.make(100)
    assert len(gallery.make(100)) == 100


def test_titles_of_clips_and_most_pictures_do_not_say_what_is_seen() -> None:
    entries = gallery.make(300)
    for medium, share in (("clip", 1.0), ("picture", 0.7)):
        titles = [entry.title for entry in entries if entry.medium == medium]
        assert sum(bool(CAMERA_NAME.fullmatch(title)) for title in titles) >= share * len(titles)
    assert not any(CAMERA_NAME.fullmatch(entry.title) for entry in entries if entry.medium == "note")


def test_each_object_has_the_blob_of_its_medium_only(entries: list[Entry]) -> None:
    for medium, names in (("picture", {"kind", "title", "picture"}), ("note", {"kind", "title"})):
        entry = next(entry for entry in entries if entry.medium == medium)
        assert entry.properties().keys() == names


def test_random_questions_have_an_answer(entries: list[Entry]) -> None:
    for name, questions in survey.slices(entries):
        assert questions, name
        for question in questions:
            assert any(
                entry.medium == question.medium and question.facts.matches(entry.scene.facts) for entry in entries
            )


@pytest.mark.parametrize("question", [each for each in QUESTIONS if each.text], ids=Question.describe)
def test_words_of_a_question_say_its_facts(question: Question) -> None:
    """Against slips when questions are edited: the words are those that the world has for these facts."""
    facts = next(facts for facts in all_facts(question.facts.kind) if question.facts.matches(facts))
    assert Query(question.text, question.facts) in Scene(facts, 0).queries
