"""Third stage: one query against eight documents that are easily confused, answered with yes or no.

One bit per pair teaches slowly (0.46 right after 1,600 steps), so the hidden states also have to say what they
know: which visual token shows the object that was asked for, what query and document state, and which facts agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from weaviate_prism.bundled.architecture import WIDTH
from weaviate_prism.bundled.library import FACT_VALUES, Library, View
from weaviate_prism.bundled.pages import Batch, Item, bind
from weaviate_prism.bundled.reading import last_tokens, read
from weaviate_prism.bundled.scenes import PICTURE_KINDS, SHAPES, Kind
from weaviate_prism.bundled.schedule import Clock, optimizer

DOCUMENTS = 8
_STATES = tuple(len(values) + 1 for values in FACT_VALUES)
_TOKEN_BUDGET = 4096


@dataclass(frozen=True)
class Mode:
    """A way of searching: how often it is trained, what asks, what is found, and tokens per pair."""

    share: float
    query: str
    document: str
    kinds: tuple[Kind, ...]
    tokens: int


@dataclass(frozen=True)
class Course:
    """What to practise: ways of searching, and how often each kind of scene is asked for."""

    modes: tuple[Mode, ...]
    kinds: dict[Kind, float]


def _modes(text_to_picture: float, text_to_title: float, text_to_clip: float) -> tuple[Mode, ...]:
    everything: tuple[Kind, ...] = (*PICTURE_KINDS, "clip")
    return (
        Mode(text_to_picture, "text", "drawing", PICTURE_KINDS, 32),
        Mode(text_to_title, "text", "title", everything, 20),
        Mode(0.13, "drawing", "drawing", PICTURE_KINDS, 46),
        Mode(text_to_clip, "text", "drawing", ("clip",), 85),
        Mode(0.03, "drawing", "drawing", ("clip",), 150),
        Mode(0.05, "text", "drawing", everything, 85),
        Mode(0.03, "drawing", "title", PICTURE_KINDS, 34),
        Mode(0.03, "text", "both", PICTURE_KINDS, 42),
    )


BROAD = Course(_modes(0.54, 0.10, 0.09), {"group": 1.0, "pair": 1.0, "chart": 1.0, "clip": 1.0})
#: Pairs are the hard part: 1,104 of them, in two roles and two orders; charts are learnt in passing.
PAIRS = Course(_modes(0.46, 0.14, 0.13), {"group": 2.0, "pair": 6.0, "chart": 0.5, "clip": 2.0})
#: The same with more clips, which without it lost to the embedder: nDCG@10 0.83 after reranking, 0.89 before.
CLIPS = Course(_modes(0.42, 0.14, 0.20), PAIRS.kinds)


class _Teacher(nn.Module):
    """Heads that read the hidden states while training; they are thrown away afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = nn.Linear(WIDTH, sum(_STATES))
        self.found = nn.Linear(WIDTH, sum(_STATES))
        self.agree = nn.Linear(WIDTH, len(_STATES))
        self.wanted = nn.Linear(WIDTH, 4)

    def loss(self, last: Tensor, asked: Tensor, found: Tensor) -> Tensor:
        """How badly the last token knows the facts of both sides and where they agree."""
        total = last.new_zeros(())
        for head, codes in ((self.asked, asked), (self.found, found)):
            for answer, name in zip(head(last).split(_STATES, -1), codes.unbind(-1), strict=True):
                total = total + functional.cross_entropy(answer, name) / (2 * len(_STATES))
        agreement = ((asked == 0) | (asked == found)).float()
        return total + functional.binary_cross_entropy_with_logits(self.agree(last), agreement)

    def token_loss(self, hidden: Tensor, batch: Batch, asked: Tensor, cells: Tensor) -> Tensor:
        """How badly each visual token knows whether it shows what was asked for."""
        visual = batch.views >= 0
        if not bool(visual.any()):
            return hidden.new_zeros(())
        wanted = _wanted(cells[batch.views[visual]].long(), asked[visual.nonzero()[:, 0]])
        return functional.cross_entropy(self.wanted(hidden[visual]), wanted)


def learn_to_rank(
    language: Qwen3VLTextModel, library: Library, answers: tuple[int, int], course: Course, clock: Clock
) -> None:
    """Train `language` in place; `answers` are the token ids of yes and no."""
    teacher = _Teacher()
    parameters = [*language.parameters(), *teacher.parameters()]
    adam = optimizer(parameters, rate=1.2e-3)
    for step in clock.steps(adam):
        adam.zero_grad()
        queries, documents = _lists(library, course)
        batch = bind([library.writer.pair_page(*pair) for pair in _pairs(queries, documents)])
        hidden = read(language, batch, library.bank)
        last = last_tokens(hidden, batch)
        asked = torch.tensor([query.code for query in queries for _ in range(DOCUMENTS)])
        found = torch.tensor([document.code for row in documents for document in row])
        matches = ((asked == 0) | (asked == found)).all(-1)
        words = language.embed_tokens.weight
        scores = last @ (words[answers[0]] - words[answers[1]])
        ranking = _ranking_loss(scores.view(-1, DOCUMENTS), matches.view(-1, DOCUMENTS))
        facts = teacher.loss(last, asked, found)
        tokens = teacher.token_loss(hidden, batch, asked, library.cells)
        (ranking + facts + tokens).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        clock.report(step, ranking=ranking.item(), facts=facts.item(), tokens=tokens.item())


def _ranking_loss(scores: Tensor, matches: Tensor) -> Tensor:
    """Listwise softmax for the order plus cross-entropy per pair, so that a sigmoid of the score means something."""
    right = scores.masked_fill(~matches, -1e9).logsumexp(-1)
    order = (scores.logsumexp(-1) - right)[matches.any(-1)].mean()
    return order + functional.binary_cross_entropy_with_logits(scores, matches.float())


def _wanted(cells: Tensor, asked: Tensor) -> Tensor:
    """0 nothing here, 1 the first object asked for, 2 the second one, 3 something else; -100 for charts."""
    colour, form = cells[:, 0], cells[:, 1]
    label = torch.where(colour > 0, 3, 0)
    label = torch.where((asked[:, 6] == colour) & (asked[:, 7] == form) & (colour > 0), 2, label)
    label = torch.where((asked[:, 1] == colour) & (asked[:, 2] == form) & (colour > 0), 1, label)
    return torch.where(form > len(SHAPES), -100, label)


def _pairs(queries: Sequence[View], documents: Sequence[Sequence[View]]) -> list[tuple[Item, Item]]:
    return [(query.item, document.item) for query, row in zip(queries, documents, strict=True) for document in row]


def _lists(library: Library, course: Course) -> tuple[list[View], list[list[View]]]:
    """Queries of one mode with eight documents each: a right one, five near misses and two of any facts."""
    rng = library.rng
    mode = rng.choices(course.modes, [mode.share for mode in course.modes])[0]
    queries, rows = [], []
    for _ in range(max(2, _TOKEN_BUDGET // (mode.tokens * DOCUMENTS))):
        kind = rng.choices(mode.kinds, [course.kinds[kind] for kind in mode.kinds])[0]
        index = rng.choice(library.of_kind[kind])
        queries.append(library.view(mode.query, index))
        rows.append([library.view(mode.document, other) for other in _candidates(library, index, mode.kinds)])
    return queries, rows


def _candidates(library: Library, index: int, kinds: tuple[Kind, ...]) -> list[int]:
    rng = library.rng
    near = rng.choices(library.neighbours(index), k=4)
    second = rng.choice(library.neighbours(rng.choice(near)))
    return [index, *near, second, *(rng.choice(library.of_kind[rng.choice(kinds)]) for _ in range(2))]
