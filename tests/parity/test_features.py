"""Features are put together only where they are rows: of tokens, or of media."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from transformers import DataCollatorWithFlattening

from tiers import loaded_the_standard_way
from tiny import texts
from weaviate_prism.config import Settings
from weaviate_prism.models import embedder
from weaviate_prism.models.features import group_of
from weaviate_prism.profiles import ModelSpec
from weaviate_prism.values import Task

TEXTS = ["a red bicycle", "revenue", "a brick wall leans against a bicycle"]


def flattening(module: Any) -> bool:
    """As Sentence Transformers finds where there is FlashAttention."""
    module.data_collator = DataCollatorWithFlattening(return_seq_idx=True, return_flash_attn_kwargs=True)
    module._flatten_position_offset = 0
    return True


def test_texts_share_batches_where_sentence_transformers_would_flatten_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = texts.text_embedder(tmp_path)
    expected = SentenceTransformer(str(directory), device="cpu").encode_document(TEXTS)
    monkeypatch.setattr(Transformer, "_can_flatten_inputs", flattening)
    with loaded_the_standard_way():
        model = embedder.load(ModelSpec("embedder", str(directory), dtype="float32"), Settings(device="cpu"))
    batch = [model.prepare([text], Task.DOCUMENT, "") for text in TEXTS]
    assert len({each.group for each in batch}) == 1
    vectors = model.forward(batch)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("key", "shape", "together"),
    [
        ("pixel_values", (64, 12), True),
        ("image_grid_thw", (2, 3), True),
        ("num_images_per_sample", (1,), True),
        ("position_ids", (1, 9), True),
        ("cu_seq_lens_q", (2,), False),
        ("nobody_knows", (2, 3), False),
        ("scalar", (), False),
    ],
)
def test_inputs_with_what_is_not_known_to_be_joined_share_no_batch(
    key: str, shape: tuple[int, ...], together: bool
) -> None:
    one, other = (group_of({"input_ids": torch.zeros(1, 9), key: torch.zeros(shape)}) for _ in range(2))
    assert (one == other) is together
