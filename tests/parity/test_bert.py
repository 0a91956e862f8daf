"""The faster way to compute BERT and RoBERTa: equal to Sentence Transformers, and taken only where it proves right."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer.modules import Dropout, Pooling

import tiers
from tiers import load
from tiny import encoders, texts
from weaviate_prism.config import Settings
from weaviate_prism.errors import InvalidInput
from weaviate_prism.models import bert, bert_layers, reranker
from weaviate_prism.models.base import Prepared
from weaviate_prism.models.bert import Bert
from weaviate_prism.models.bert_layers import Runs, encoded, encoded_for_firsts
from weaviate_prism.models.embedder import SentenceEmbedder
from weaviate_prism.models.reranker import CrossEncoderReranker
from weaviate_prism.models.tiers import NotApplicable
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Task

WIDTH = texts.SIZES["hidden_size"]
TEXTS = [*tiers.TEXTS, "a red bicycle leans against a brick wall"]
QUERIES = ["red", "", "rose by twelve " * 9]
POOLED: dict[str, Callable[[], list[torch.nn.Module]]] = {
    "mean": lambda: [Pooling(WIDTH, "mean"), Normalize()],
    "cls": lambda: [Pooling(WIDTH, "cls"), Normalize()],
    "max": lambda: [Pooling(WIDTH, "max")],
    "cls and mean": lambda: [Pooling(WIDTH, ("cls", "mean"))],
    "weighted mean": lambda: [Pooling(WIDTH, "weightedmean")],
    "dense": lambda: [Pooling(WIDTH, "mean"), Dense(WIDTH, 24), Normalize()],
}


def load_reranker(directory: Path, dtype: Any = "float32") -> CrossEncoderReranker:
    settings = Settings(device="cpu", dtype=dtype, rerank_logits=True)
    return reranker.load(ModelSpec("reranker", str(directory), dtype=dtype), settings)


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def close(model: SentenceEmbedder | CrossEncoderReranker, inputs: Sequence[Prepared], expected: Any) -> None:
    """Answers equal what is expected, alone and in any batch; vectors are those of norm 1."""

    def answers(places: Sequence[int]) -> Any:
        found = model.forward([inputs[place] for place in places])
        return unit(found) if isinstance(model, SentenceEmbedder) else found

    order = list(range(len(inputs)))
    for place in order:
        np.testing.assert_allclose(answers([place])[0], expected[place], atol=1e-5, rtol=1e-5)
    for turn in range(3):
        random.Random(turn).shuffle(order)
        np.testing.assert_allclose(answers(order), [expected[place] for place in order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", encoders.FAMILIES)
@pytest.mark.parametrize("task", Task)
def test_vectors_equal_sentence_transformers(tmp_path: Path, family: str, task: Task) -> None:
    directory = encoders.embedder(tmp_path, family)
    model, theirs = load(directory), SentenceTransformer(str(directory), device="cpu")
    assert (model.info.tier, model.info.refused_tiers) == ("bert", ())
    encode = theirs.encode_query if task is Task.QUERY else theirs.encode_document
    for instruction in ("", "Find it: "):
        expected = [encode([text], prompt=instruction or None, normalize_embeddings=True)[0] for text in TEXTS]
        close(model, [model.prepare([text], task, instruction) for text in TEXTS], expected)


@pytest.mark.parametrize("pooling", POOLED)
def test_vectors_are_pooled_and_changed_by_sentence_transformers_own_modules(tmp_path: Path, pooling: str) -> None:
    directory = encoders.embedder(tmp_path, after=POOLED[pooling]())
    model, theirs = load(directory), SentenceTransformer(str(directory), device="cpu")
    assert (model.info.tier, model.info.refused_tiers) == ("bert", ())
    expected = [theirs.encode_document([text], normalize_embeddings=True)[0] for text in TEXTS]
    close(model, [model.prepare([text], Task.DOCUMENT, "") for text in TEXTS], expected)


@pytest.mark.parametrize("family", encoders.FAMILIES)
def test_scores_equal_cross_encoder(tmp_path: Path, family: str) -> None:
    directory = encoders.cross_encoder(tmp_path, family)
    model, theirs = load_reranker(directory), CrossEncoder(str(directory), device="cpu")
    assert (model.info.tier, model.info.refused_tiers) == ("bert", ())
    for instruction in ("", "Find it: "):
        inputs, expected = [], []
        for query, document in itertools.product(QUERIES, TEXTS):
            inputs.append(model.prepare(model.asked([query], instruction), [document]))
            told = {"prompt": instruction or None, "activation_fn": torch.nn.Identity()}
            expected += theirs.predict([(query, document)], **told).tolist()
        close(model, inputs, expected)
        assert np.ptp(expected) > 0.1


@pytest.mark.parametrize("family", encoders.FAMILIES)
def test_pairs_are_cut_where_sentence_transformers_cuts_them(tmp_path: Path, family: str) -> None:
    directory = encoders.cross_encoder(tmp_path, family)
    model, theirs = CrossEncoder(str(directory), device="cpu"), CrossEncoder(str(directory), device="cpu")
    tier = Bert(model, encoders.LENGTH)
    long = "leans against " * 60
    for pair in itertools.product(("red", long, ""), repeat=2):
        features = theirs.preprocess([pair])
        tokens, types, _ = tier.prepare(pair, pair, prompt=None, task=None).features
        assert tokens.tolist() == features["input_ids"][0].tolist()
        assert types.tolist() == features.get("token_type_ids", torch.zeros(1, len(types)))[0].tolist()


def test_padding_in_a_text_has_no_position_of_its_own(tmp_path: Path) -> None:
    """As a model's own prompt may have it; of a client's text it is broken."""
    directory = encoders.embedder(tmp_path, "roberta")
    model = SentenceTransformer(str(directory), device="cpu")
    tier, text = Bert(model, encoders.LENGTH), "a <pad> red bicycle"
    with torch.inference_mode():
        (vector,) = tier.forward([tier.prepare({"text": text}, [text], prompt=None, task=None)])
    np.testing.assert_allclose(vector, model.encode([text])[0], atol=1e-5, rtol=1e-5)


def test_texts_of_all_lengths_share_batches_without_being_filled_up(tmp_path: Path) -> None:
    model = load(encoders.embedder(tmp_path))
    inputs = [model.prepare([text], Task.DOCUMENT, "") for text in TEXTS]
    assert {(each.group, each.length, each.patches) for each in inputs} == {(None, 0, 0)}
    assert [each.tokens for each in inputs] == [len(each.features[0]) for each in inputs]
    assert [each.nbytes for each in inputs] == [24 * each.tokens for each in inputs]


@pytest.mark.parametrize("alike", [1.0, 0.5, 0.0])
def test_layers_are_alike_however_many_rows_share_a_call(tmp_path: Path, alike: float) -> None:
    model = SentenceTransformer(str(encoders.embedder(tmp_path)), device="cpu")[0].model
    rows = [torch.randn(length, WIDTH) for length in (1, 3, 3, 5, 9, 40)]
    runs = Runs([len(row) for row in rows], torch.device("cpu"), alike)
    assert len(list(runs)) == {1.0: 5, 0.5: 4, 0.0: 1}[alike]
    with torch.inference_mode():
        expected = [model.encoder(row[None])[0][0] for row in rows]
        every = encoded(model.encoder.layer, torch.cat(rows), runs)
        firsts = encoded_for_firsts(model.encoder.layer, torch.cat(rows), runs)
    torch.testing.assert_close(every, torch.cat(expected), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(firsts, torch.stack([row[0] for row in expected]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooling", POOLED)
def test_rows_that_are_filled_up_are_pooled_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pooling: str
) -> None:
    monkeypatch.setitem(bert_layers.ALIKE, "cpu", 0.0)
    directory = encoders.embedder(tmp_path, after=POOLED[pooling]())
    model, theirs = load(directory), SentenceTransformer(str(directory), device="cpu")
    assert model.info.tier == "bert"
    inputs = [model.prepare([text], Task.DOCUMENT, "") for text in TEXTS]
    close(model, inputs, [theirs.encode_document([text], normalize_embeddings=True)[0] for text in TEXTS])


def test_pieces_of_a_batch_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(encoders.embedder(tmp_path))
    inputs = [model.prepare([text], Task.DOCUMENT, "") for text in TEXTS]
    expected = model.forward(inputs, 1)
    monkeypatch.setattr(bert_layers, "PIECE_TOKENS", 7)
    np.testing.assert_allclose(model.forward(inputs, 1), expected, atol=1e-5, rtol=1e-5)


def test_only_the_first_token_goes_through_the_last_layer_where_it_is_read(tmp_path: Path) -> None:
    for pooling, rows in (("cls", len(TEXTS)), ("mean", None)):
        model = load(encoders.embedder(tmp_path / pooling, after=[Pooling(WIDTH, pooling)]))
        inputs = [model.prepare([text], Task.DOCUMENT, "") for text in TEXTS]
        seen: list[int] = []
        layer = model.model[0].model.encoder.layer[-1]
        layer.output.register_forward_hook(lambda module, given, _, seen=seen: seen.append(len(given[0])))
        model.forward(inputs)
        assert sum(seen) == (rows or sum(each.tokens for each in inputs))


def test_a_text_that_the_tokenizer_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        load(encoders.embedder(tmp_path)).prepare(["lone \ud800"], Task.QUERY, "")


def test_bfloat16_stays_close_to_float32(tmp_path: Path) -> None:
    directory = texts.text_embedder(tmp_path)
    rough, exact = load(directory, "bfloat16"), load(directory)
    assert rough.info.tier == "bert"
    for text in TEXTS:
        ours, expected = (unit(model.forward([model.prepare([text], Task.QUERY, "")])[0]) for model in (rough, exact))
        assert float(ours @ expected) >= 0.9995


@pytest.mark.parametrize("off", [1e-3, float("nan")])
@pytest.mark.parametrize("kind", ["embedder", "reranker"])
def test_a_way_that_answers_differently_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str, off: float
) -> None:
    forward = Bert.forward

    def wrong(self: Bert, batch: Sequence[Prepared]) -> torch.Tensor:
        answers = forward(self, batch)
        answers[-1, 0] += off * answers[-1].norm()
        return answers

    monkeypatch.setattr(Bert, "forward", wrong)
    if kind == "embedder":
        model = load(encoders.embedder(tmp_path))
        vector = model.forward([model.prepare(["red"], Task.DOCUMENT, "Find ")])[0]
        expected = SentenceTransformer(str(tmp_path / "bert"), device="cpu").encode(["red"], prompt="Find ")[0]
        np.testing.assert_allclose(vector, expected, atol=1e-5, rtol=1e-5)
        info = model.info
    else:
        info = load_reranker(encoders.cross_encoder(tmp_path)).info
    assert (info.tier, info.refused_tiers) == ("standard", ("bert",))
    assert "failed its proof" in caplog.text


@pytest.mark.parametrize("name", ["encoded", "encoded_for_firsts"])
def test_a_way_that_breaks_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delattr(bert, name)
    mean, first = load(encoders.embedder(tmp_path / "mean")), load_reranker(encoders.cross_encoder(tmp_path / "cross"))
    broken, whole = (mean, first) if name == "encoded" else (first, mean)
    assert (broken.info.tier, broken.info.refused_tiers) == ("standard", ("bert",))
    assert whole.info.tier == "bert"


def decoder(model: Any) -> None:
    model[0].model.config.is_decoder = True


def looking_elsewhere(model: Any) -> None:
    model[0].model.config.add_cross_attention = True


def relative(model: Any) -> None:
    model[0].model.config.position_embedding_type = "relative_key"


def adapted(model: Any) -> None:
    model[0].model._hf_peft_config_loaded = True


def eager(model: Any) -> None:
    model[0].model.set_attn_implementation("eager")


def with_options(model: Any) -> None:
    model[0].processing_kwargs = {"text": {"max_length": 9}}


def without_rust(model: Any) -> None:
    model[0].tokenizer._tokenizer = None


def cut_at_the_start(model: Any) -> None:
    model[0].tokenizer.truncation_side = "left"


def with_fewer_positions(model: Any) -> None:
    embeddings = model[0].model.base_model.embeddings
    embeddings.position_embeddings = torch.nn.Embedding(encoders.LENGTH - 1, WIDTH)


def cut_earlier(model: Any) -> None:
    model[0].tokenizer.model_max_length = encoders.LENGTH - 1


def another_kind(model: Any) -> None:
    model[0].model.__class__ = type("Other", (type(model[0].model),), {})


def asked_otherwise(model: Any) -> None:
    model[0].modality_config["text"] = {"method": "forward", "method_output_name": "pooler_output"}


def shorter_queries(model: Any) -> None:
    model[0].query_length = 8


def without_prompts(model: Any) -> None:
    model[1].include_prompt = False


def unpooled(model: Any) -> None:
    model[1] = Dense(WIDTH, 8)


def with_more(model: Any) -> None:
    model.append(Dropout())


def without_specials(model: Any) -> None:
    model[0].tokenizer.backend_tokenizer.post_processor = None


def several_scores(model: Any) -> None:
    model[0].model.num_labels = 3


EITHER = [
    (decoder, "a decoder"),
    (looking_elsewhere, "a decoder"),
    (relative, "relative"),
    (adapted, "adapters"),
    (eager, "attention is eager"),
    (with_options, "options of its processor: text"),
    (without_rust, "no Rust"),
    (with_fewer_positions, "longer than it has positions"),
    (cut_earlier, "other tokens"),
    (another_kind, "neither BERT nor RoBERTa"),
]
OF_EMBEDDERS = [
    (asked_otherwise, "not pool its last layer"),
    (shorter_queries, "other tokens"),
    (without_prompts, "leaves prompts out"),
    (unpooled, "not pool its last layer"),
    (with_more, "comes Dropout"),
    (without_specials, "no token"),
]
OF_CROSS_ENCODERS = [
    (asked_otherwise, "not what its classifier says"),
    (with_more, "not what its classifier says"),
    (several_scores, "3 scores"),
]


@pytest.mark.parametrize(("change", "reason"), [*EITHER, *OF_EMBEDDERS])
def test_embedders_that_are_computed_otherwise_are_left_to_sentence_transformers(
    tmp_path: Path, change: Callable[[Any], None], reason: str
) -> None:
    model = SentenceTransformer(str(encoders.embedder(tmp_path)), device="cpu")
    change(model)
    with pytest.raises(NotApplicable, match=reason):
        Bert(model, encoders.LENGTH)


@pytest.mark.parametrize(("change", "reason"), [*EITHER, *OF_CROSS_ENCODERS])
def test_cross_encoders_that_are_computed_otherwise_are_left_to_sentence_transformers(
    tmp_path: Path, change: Callable[[Any], None], reason: str
) -> None:
    model = CrossEncoder(str(encoders.cross_encoder(tmp_path)), device="cpu")
    change(model)
    with pytest.raises(NotApplicable, match=reason):
        Bert(model, encoders.LENGTH)


def test_roberta_has_fewer_positions_than_its_table(tmp_path: Path) -> None:
    model = SentenceTransformer(str(encoders.embedder(tmp_path, "roberta")), device="cpu")
    model.max_seq_length = encoders.LENGTH + 1
    with pytest.raises(NotApplicable, match="longer than it has positions"):
        Bert(model, encoders.LENGTH + 1)


def test_texts_that_are_cut_at_the_start_are_computed_alike(tmp_path: Path) -> None:
    model = SentenceTransformer(str(encoders.embedder(tmp_path)), device="cpu")
    cut_at_the_start(model)
    tier, text = Bert(model, encoders.LENGTH), "red " * 99 + "bicycle leans"
    with torch.inference_mode():
        (vector,) = tier.forward([tier.prepare({"text": text}, [text], prompt=None, task=None)])
    np.testing.assert_allclose(vector, model.encode([text])[0], atol=1e-5, rtol=1e-5)
