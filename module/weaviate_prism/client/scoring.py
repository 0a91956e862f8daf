"""`predict` and `rank`: pairs of query and document to scores.

Ranking needs nothing of the service but scores: all documents are to be scored before the best are known, they come
in several answers, and a score is four bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from weaviate_prism.client.encoding import instruction_of
from weaviate_prism.client.inputs import WANT_LIST, Input, Pair, about_file, item_of
from weaviate_prism.client.work import Chunk, Work
from weaviate_prism.errors import Internal, InvalidInput, PrismError, TooLarge, Unsupported
from weaviate_prism.v1 import prism_pb2 as pb

# Pairs that each have a query of their own are a call each, and a device wants more than a few of them at a time.
PAIR_CALLS = 32


class Ranked(TypedDict):
    """A document of a ranking."""

    corpus_id: int  # its position among the documents
    score: float
    text: NotRequired[Any]  # the document itself, whatever it is made of


class Scoring(Work):
    """Scores of documents, each for a query."""

    def __init__(self, count: int, *, prompt: str | None, model: str | None, one: bool = False, calls: int = 4) -> None:
        super().__init__(count, one=one, calls=calls)
        self._options = {"instruction": instruction_of(prompt), "model": model or ""}

    def request(self, chunk: Chunk) -> pb.RerankRequest:
        return pb.RerankRequest(query=chunk.query, documents=chunk.items, **self._options)

    def results(self, chunk: Chunk, response: pb.RerankResponse) -> npt.NDArray[np.float32]:
        if len(response.scores) != len(chunk.items):
            raise Internal(f"the answer has {len(response.scores)} scores for {len(chunk.items)} documents")
        return np.array(response.scores, np.float32)


class Ranking(Scoring):
    """Scores of documents for one query."""

    def __init__(self, query: Input, documents: Sequence[Input], *, prompt: str | None, model: str | None) -> None:
        super().__init__(len(documents), prompt=prompt, model=model)
        self._query, self._documents = query, documents

    def chunks(self, limits: Mapping[str, int]) -> Iterator[Chunk]:
        try:
            query = item_of(self._query)
        except PrismError as error:
            self.refused = error.about("query")
            return
        yield from self._split(list(enumerate(self._documents)), limits, query)

    def refuse(self, chunk: Chunk, error: PrismError) -> None:
        super().refuse(chunk, _about_query(error, self._query))

    def ranked(self, scores: npt.NDArray[np.float32], top_k: int | None, *, return_documents: bool) -> list[Ranked]:
        """The best first; equal scores in the order of the documents."""
        best = [int(position) for position in np.argsort(-scores, kind="stable")[:top_k]]
        if return_documents:
            return [Ranked(corpus_id=each, score=float(scores[each]), text=self._documents[each]) for each in best]
        return [Ranked(corpus_id=each, score=float(scores[each])) for each in best]


class PairScoring(Scoring):
    """Scores of pairs. Those with the same query travel together; a query that is wrong fails its own pairs only."""

    def __init__(self, pairs: Pair | list[Any], *, prompt: str | None, model: str | None) -> None:
        one = len(pairs) > 0 and not isinstance(pairs[0], list | tuple)  # as `CrossEncoder.predict` tells them apart
        if isinstance(pairs, tuple) and not one:
            raise TypeError(f"pairs: a bare tuple, which may be one pair or several; {WANT_LIST}")
        self._pairs: Sequence[Any] = [pairs] if one else pairs
        super().__init__(len(self._pairs), prompt=prompt, model=model, one=one, calls=PAIR_CALLS)

    def chunks(self, limits: Mapping[str, int]) -> Iterator[Chunk]:
        groups: dict[object, list[tuple[int, Input]]] = {}
        for position, pair in enumerate(self._pairs):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                self._errors[position] = InvalidInput("is not a pair of a query and a document")
            else:
                groups.setdefault(_key(pair[0]), []).append((position, pair[1]))
        for documents in groups.values():
            positions = [position for position, _ in documents]
            try:
                query = item_of(self._pairs[positions[0]][0])
            except PrismError as error:
                self._errors |= dict.fromkeys(positions, error.about("query"))
                continue
            yield from self._split(documents, limits, query)

    def refuse(self, chunk: Chunk, error: PrismError) -> None:
        """A chunk was not answered, because of its query alone or for good."""
        if isinstance(error, InvalidInput | TooLarge | Unsupported):
            query = self._pairs[chunk.positions[0]][0]
            self._errors |= dict.fromkeys(chunk.positions, _about_query(error, query))
        else:
            super().refuse(chunk, error)


def _about_query(error: PrismError, query: Input) -> PrismError:
    """The service's error, with the file's name where it is about the query."""
    subject, _, message = error.message.partition(": ")
    return about_file(type(error)(message), query).about("query") if subject == "query" else error


def _key(query: Input) -> object:
    """Equal for equal texts, bytes and files, and for one object; types apart, since "a" and b"a" hash alike."""
    return type(query), query if isinstance(query, str | bytes | Path) else id(query)
