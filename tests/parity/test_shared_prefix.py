"""What all documents of a query begin with is computed once, and no score is another one for it.

The reference is `CrossEncoder.predict` on the same weights, one pair at a time.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from sentence_transformers import CrossEncoder

from engines import running
from media import encoded
from stand_ins import RERANKERS, StandIn
from tiers import loaded_the_standard_way
from weaviate_prism import bundled
from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput
from weaviate_prism.models import causal_lm, packing, qwen_vl, reranker
from weaviate_prism.models.base import Clip, Content, Patches
from weaviate_prism.models.decoder import Decoder
from weaviate_prism.models.packing import Call, Packed
from weaviate_prism.models.reranker import Asked, CrossEncoderReranker
from weaviate_prism.models.rows import Prefix, Prefixes, Row, after
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Image, Item, Modality, Text

# transformers leaves them open (processing_utils.py, additional templates).
pytestmark = pytest.mark.filterwarnings(r"ignore:unclosed file .*reranker\.jinja:ResourceWarning")

SETTINGS = Settings(device="cpu", dtype="float32")
TOLERANCE = 1e-5
QUERY = "a red bicycle"
# Of different lengths, and such that their first token might be one with the last of the prompt before them.
TEXTS = ["a brick wall", "", "(quarterly) revenue rose " * 30, "\nline", "12 percent", ": colon", " space"]
KINDS = ["qwen3-vl", "qwen3", "mxbai"]
NOISE = np.random.default_rng(11)


def picture(width: int = 60, height: int = 45) -> Pillow.Image:
    return Pillow.fromarray(NOISE.integers(0, 256, (height, width, 3), dtype=np.uint8))


# Of one size: their tokens are equal.
PICTURES = [picture() for _ in range(4)]
CLIP = Clip(NOISE.integers(0, 256, (4, 3, 45, 60), dtype=np.uint8), 5.0, 20, 4.0, (0, 5, 10, 15))


def load(directory: Path | str) -> CrossEncoderReranker:
    return reranker.load(ModelSpec("reranker", str(directory), dtype="float32"), SETTINGS)


@pytest.fixture(scope="module")
def models() -> dict[str, CrossEncoderReranker]:
    return {}


@pytest.fixture(params=KINDS)
def directory(request: pytest.FixtureRequest, made: Callable[[StandIn], Path]) -> Path:
    return made(RERANKERS[request.param])


@pytest.fixture
def model(directory: Path, models: dict[str, CrossEncoderReranker]) -> CrossEncoderReranker:
    if directory.name not in models:
        models[directory.name] = load(directory)
    return models[directory.name]


@pytest.fixture(scope="module")
def multimodal(made: Callable[[StandIn], Path]) -> CrossEncoderReranker:
    return load(made(RERANKERS["qwen3-vl"]))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens the decoder computed in each call."""
    counts: list[int] = []
    call = Decoder.__call__

    def counted(self: Decoder, batch: Packed, levels: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        counts.append(len(batch.tokens))
        return call(self, batch, levels)

    monkeypatch.setattr(Decoder, "__call__", counted)
    return counts


def patched(model: CrossEncoderReranker, *contents: Content) -> list[Content]:
    return [model.patched(content) for content in contents]


def scores(
    model: CrossEncoderReranker, query: Sequence[Content], documents: Sequence[Sequence[Content]], instruction: str = ""
) -> Any:
    asked = model.asked(patched(model, *query), instruction)
    return model.forward([model.prepare(asked, patched(model, *document)) for document in documents])


def reference(directory: Path, query: str, documents: Sequence[str], instruction: str = "") -> Any:
    model = CrossEncoder(str(directory), device="cpu", model_kwargs={"dtype": "float32"})
    return np.array([model.predict([(query, each)], prompt=instruction or None)[0] for each in documents])


def close(ours: Any, expected: Any) -> None:
    np.testing.assert_allclose(ours, expected, atol=TOLERANCE, rtol=TOLERANCE)  # logits go beyond 1


def prefix_of(model: CrossEncoderReranker, query: str = QUERY, instruction: str = "") -> Prefix:
    return prefix(model.asked([query], instruction))


def prefix(asked: Asked) -> Prefix:
    assert isinstance(asked.shared, Prefix)
    return asked.shared


def test_texts_score_as_by_sentence_transformers(
    model: CrossEncoderReranker, directory: Path, computed: list[int]
) -> None:
    expected = reference(directory, QUERY, TEXTS)
    close(scores(model, [QUERY], [[text] for text in TEXTS]), expected)
    asked = model.asked([QUERY], "")
    prepared = [model.prepare(asked, [text]) for text in TEXTS]
    assert all(each.features.prefix is asked.shared for each in prepared)
    assert computed == [len(prefix(asked).tokens) + sum(len(each.features.tokens) for each in prepared)]
    # alone, and with the start computed before
    close([model.forward([each])[0] for each in prepared], expected)


def test_several_queries_and_instructions_share_a_batch(model: CrossEncoderReranker, directory: Path) -> None:
    questions = [(QUERY, ""), ("twelve percent", ""), (QUERY, "Find walls."), (QUERY * 9, "Find the revenue.")]
    asked = [model.asked([query], instruction) for query, instruction in questions]
    batch = [model.prepare(each, [text]) for text in TEXTS for each in asked]
    expected = [reference(directory, query, TEXTS, instruction) for query, instruction in questions]
    close(model.forward(batch).reshape(len(TEXTS), -1).T, expected)
    assert len({float(row[0]) for row in expected}) == len(questions)


def test_scores_are_the_same_in_any_number_of_calls(
    model: CrossEncoderReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = scores(model, [QUERY], [[text] for text in TEXTS])
    for most in (1, 300):
        monkeypatch.setattr(packing, "MOST_KEYS", most)
        close(scores(model, [QUERY], [[text] for text in TEXTS]), expected)


def a_row(tokens: int, prefix: Prefix | None = None) -> Row:
    return Row(np.zeros(tokens, np.int64), np.arange(tokens), (), prefix)


def a_prefix(tokens: int) -> Prefix:
    return Prefix(np.zeros(tokens, np.int64), np.arange(tokens), (), rows=2)


def keys(call: Call) -> int:
    return call.keys.stop - call.keys.start if isinstance(call.keys, slice) else len(call.keys)


def test_a_long_query_is_repeated_for_few_of_its_documents_at_once() -> None:
    long = a_prefix(4000)
    packed = Packed([a_row(10, long) for _ in range(100)], torch.device("cpu"))
    for calls in (packed.everyone.calls, packed.last_only.calls):
        assert max(map(keys, calls)) <= packing.MOST_KEYS < 100 * len(long.tokens)


def test_short_starts_are_not_filled_up_to_a_long_one() -> None:
    starts = [a_prefix(length) for length in (4000, *range(30, 60))]
    packed = Packed([a_row(10, start) for start in starts for _ in range(2)], torch.device("cpu"))
    whole = sum(keys(call) for call in packed.everyone.calls if call.is_causal)
    assert whole < 1.5 * sum(len(start.tokens) for start in starts)


@pytest.mark.parametrize("query", [QUERY, "red " * 500])
def test_what_is_too_long_is_cut_as_before(directory: Path, tmp_path: Path, query: str) -> None:
    """Query and document together, or the document alone; of a few tokens of room, the prompt takes most."""
    short = Path(shutil.copytree(directory, tmp_path / directory.name))
    file = short / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": 600}))
    documents = [[text] for text in (*TEXTS, "quarterly " * 500)]
    ours = load(short)
    with loaded_the_standard_way():
        standard = load(short)
    assert (ours.info.max_tokens, standard.info.tier) == (600, "standard")
    assert ours.info.tier != "standard"
    asked = standard.asked([query], "")
    expected = [standard.forward([standard.prepare(asked, document)])[0] for document in documents]
    close(scores(ours, [query], documents), expected)
    if query == QUERY:
        close(expected, reference(short, query, [text for (text,) in documents]))
    assert len(ours.prepare(ours.asked([query], ""), documents[-1]).features.tokens) < 600


def test_what_is_cut_beside_media_keeps_the_end_of_the_prompt(made: Callable[[StandIn], Path], tmp_path: Path) -> None:
    """Unlike by Sentence Transformers, which scores such a pair at a word in the middle of the document."""
    short = Path(shutil.copytree(made(RERANKERS["qwen3-vl"]), tmp_path / "short"))
    file = short / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": 420}))
    model = load(short)
    asked = model.asked(patched(model, PICTURES[0]), "")
    whole, cut = (model.prepare(asked, [text]).features for text in ("wall", "wall " * 2000))
    assert len(prefix(asked).tokens) + len(cut.tokens) == 420
    end = model.model.tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n")
    assert whole.tokens[-len(end) :].tolist() == cut.tokens[-len(end) :].tolist() == end


def test_a_limit_below_the_end_of_the_prompt_is_named(
    model: CrossEncoderReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model._tier, "_max_tokens", 2)
    with pytest.raises(InvalidInput, match="what the model's template puts after a text is over 2 tokens"):
        model.prepare(model.asked([QUERY], ""), ["a wall"])


QUERIES: list[list[Content]] = [["a scene"], [PICTURES[0]], [PICTURES[0], "and", PICTURES[1]], [CLIP, "moves"]]
DOCUMENTS: list[list[Content]] = [
    ["a text"],
    [PICTURES[1]],
    [PICTURES[2]],
    [PICTURES[3], "with a text"],
    [PICTURES[0]],
    [CLIP],
    ["before", CLIP, PICTURES[2]],
    [picture(90, 70)],
]


def test_media_score_as_by_sentence_transformers(
    multimodal: CrossEncoderReranker, made: Callable[[StandIn], Path]
) -> None:
    with loaded_the_standard_way():
        standard = load(made(RERANKERS["qwen3-vl"]))
    asked = [multimodal.asked(patched(multimodal, *query), "") for query in QUERIES]
    documents = [patched(multimodal, *document) for document in DOCUMENTS]
    batch = [multimodal.prepare(each, document) for each in asked for document in documents]
    assert [each.features.prefix for each in batch[:: len(DOCUMENTS)]] == [each.shared for each in asked]
    ours = multimodal.forward(batch).reshape(len(QUERIES), -1)
    for query, row in zip(QUERIES, ours, strict=True):
        once = standard.asked(query, "")
        close(row, [standard.forward([standard.prepare(once, document)])[0] for document in DOCUMENTS])
    assert len(set(np.round(ours.ravel(), 7))) == ours.size


def test_pictures_of_equal_size_are_not_taken_for_each_other(multimodal: CrossEncoderReranker) -> None:
    one, other = patched(multimodal, *PICTURES[:2])
    first, second = (multimodal.asked([each], "") for each in (one, other))
    assert first.shared is not second.shared
    assert first.shared is multimodal.asked([one], "").shared
    assert [prefix(each).media for each in (first, second)] == [(one,), (other,)]
    np.testing.assert_array_equal(prefix(first).tokens, prefix(second).tokens)
    row = multimodal.prepare(first, ["a document"]).features
    whole = row.alone()
    assert len(whole.tokens) == len(row.prefix.tokens) + len(row.tokens)
    assert after(prefix(second), whole) is whole


def test_a_prefix_ends_before_media_that_are_not_whole_in_it() -> None:
    seen = Patches(Modality.IMAGE, None, (1, 2, 2))
    prefixes = Prefixes(token_bytes=10, media_tokens=[7])

    def row(*tokens: int) -> Row:
        return Row(np.array(tokens), np.arange(len(tokens)), (seen,))

    found = prefixes.of([row(1, 2, 7, 7, 3), row(1, 2, 7, 7, 4)])
    assert found is not None
    assert (found.tokens.tolist(), found.media) == ([1, 2, 7, 7], (seen,))
    found = prefixes.of([row(1, 2, 3, 7, 7), row(1, 2, 4, 7, 7)])
    assert found is not None
    assert (found.tokens.tolist(), found.media) == ([1, 2], ())
    assert prefixes.of([row(1, 7), row(2, 7)]) is None


def test_a_start_is_paid_by_one_document_as_long_as_that_may_be_computed(model: CrossEncoderReranker) -> None:
    asked = model.asked([QUERY], "")
    first, second = (model.prepare(asked, ["a wall"]) for _ in range(2))
    assert first.tokens - second.tokens == len(prefix(asked).tokens)
    assert (first.length, second.length) == (0, 0)
    paid = first.tokens
    del first  # its caller is gone
    third = model.prepare(asked, ["a wall"])
    assert third.tokens == paid
    model.forward([second, third])
    assert model.prepare(asked, ["a wall"]).tokens == second.tokens


def test_states_are_gone_with_the_query(model: CrossEncoderReranker) -> None:
    asked = model.asked([QUERY], "")
    batch = [model.prepare(asked, [text]) for text in TEXTS]
    model.forward(batch)
    computed = prefix(asked).states
    assert asked.nbytes == sum(each.nbytes for of_layer in computed for each in of_layer)
    shared, states = weakref.ref(prefix(asked)), weakref.ref(computed[0][0])
    del batch, computed
    assert shared() is not None
    del asked
    assert (shared(), states()) == (None, None)


@pytest.fixture
def all_asked(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """The decoder waits for as many queries as are taken from it."""
    asked = threading.Semaphore(0)
    method = CrossEncoderReranker.asked

    def counted(self: CrossEncoderReranker, query: Sequence[Content], instruction: str) -> Any:
        found = method(self, query, instruction)
        asked.release()
        return found

    monkeypatch.setattr(CrossEncoderReranker, "asked", counted)
    return asked


@pytest.mark.parametrize("query", [Text(QUERY), Image(encoded(PICTURES[0]))])
async def test_chunks_of_a_search_compute_their_query_once(
    query: Text | Image, all_asked: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Weaviate sends 96 documents: three requests at once."""
    chunks = [[Item((Text(f"{chunk} circles, {number}"),)) for number in range(32)] for chunk in range(3)]
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    new: list[weakref.ref[Prefix]] = []
    known: list[int] = []
    call = Decoder.__call__

    def waited(self: Decoder, batch: Packed, levels: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        if not known:
            assert all(all_asked.acquire(timeout=30) for _ in chunks)
        known.append(len(batch.known))
        new.extend(weakref.ref(each, lambda _: loop.call_soon_threadsafe(gone.set)) for each in batch.new)
        return call(self, batch, levels)

    async with running(embedder="none", reranker="scenes-reranker", device="cpu", dtype="float32") as engine:
        while all_asked.acquire(blocking=False):
            pass
        with monkeypatch.context() as patch:
            patch.setattr(Decoder, "__call__", waited)
            requests = (engine.rerank(Item((query,)), chunk, deadline=time.monotonic() + 60) for chunk in chunks)
            together = await asyncio.gather(*requests)
        assert len(new) == 1
        assert sum(known) == len(known) - 1
        await asyncio.wait_for(gone.wait(), 10)  # the device's thread may still be leaving its frames
        assert new[0]() is None
        alone = [await engine.rerank(Item((query,)), chunk, deadline=time.monotonic() + 60) for chunk in chunks]
    close(together, alone)


def one_token_too_many(prefix: Prefix | None, row: Row) -> Row:
    right = after(prefix, row)
    return right if right is row else Row(right.tokens[1:], right.positions[..., 1:], right.media, prefix)


def from_the_start(prefix: Prefix | None, row: Row) -> Row:
    right = after(prefix, row)
    length = len(right.tokens)
    return right if right is row else Row(right.tokens, row.positions[..., :length], right.media, prefix)


@pytest.mark.parametrize("wrong", [one_token_too_many, from_the_start])
def test_a_wrong_prefix_is_refused_by_the_proof(
    directory: Path, wrong: Callable[[Prefix | None, Row], Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (qwen_vl, causal_lm):
        monkeypatch.setattr(module, "after", wrong)
    info = load(directory).info
    assert info.tier == "standard"
    assert len(info.refused_tiers) == 1


def test_a_window_is_left_to_sentence_transformers(
    made: Callable[[StandIn], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    changed = Path(shutil.copytree(made(RERANKERS["mxbai"]), tmp_path / "windowed"))
    file = changed / "config.json"
    window = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1, "layer_types": None}
    file.write_text(json.dumps(json.loads(file.read_text()) | window))
    info = load(changed).info
    assert (info.tier, info.refused_tiers) == ("standard", ())
    assert "sliding window" in caplog.text


def test_bfloat16_stays_close_to_float32(multimodal: CrossEncoderReranker, made: Callable[[StandIn], Path]) -> None:
    spec = ModelSpec("reranker", str(made(RERANKERS["qwen3-vl"])), dtype="bfloat16")
    rough = reranker.load(spec, Settings(device="cpu", dtype="bfloat16"))
    assert rough.info.tier == "qwen-vl"
    found, exact = (scores(each, [PICTURES[0]], DOCUMENTS) for each in (rough, multimodal))
    np.testing.assert_allclose(found, exact, atol=0.02, rtol=0)


def test_the_bundled_reranker_is_computed_the_faster_way() -> None:
    assert prefix_of(load(bundled.RERANKER_DIR)).media == ()
