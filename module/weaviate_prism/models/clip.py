"""Tier 1 for CLIP and SigLIP: own preparation, and towers that compute nothing that is not read.

text -> tokens, one row after another -> text tower -> its end token --+
picture -> bytes of patches -> vision tower -> its class token, or all -+-> whatever comes after
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers.base.modules import Transformer
from transformers import CLIPModel, SiglipModel

from weaviate_prism.errors import InvalidInput
from weaviate_prism.models.base import Clip, Content, Patches, Prepared
from weaviate_prism.models.clip_towers import ClipTowers, SiglipTowers, Towers
from weaviate_prism.models.crops import Crops
from weaviate_prism.models.encoder import Rows
from weaviate_prism.models.heads import through_plain
from weaviate_prism.models.messages import untruncated
from weaviate_prism.models.rows import Tokens
from weaviate_prism.models.tiers import NotApplicable
from weaviate_prism.values import Modality

log = logging.getLogger(__name__)

METHODS = {"text": "get_text_features", "image": "get_image_features"}


class DualEncoder:
    """See `models.tiers.Tier`.

    Raises:
        NotApplicable: the model is neither, with pictures of one size, or asks for something that is not done here.
    """

    name = "clip"
    eyes = ""

    def __init__(self, model: Any, max_tokens: int) -> None:
        first, *others = model
        if not isinstance(first, Transformer) or type(first.model) not in (CLIPModel, SiglipModel):
            raise NotApplicable("it is neither CLIP nor SigLIP with pictures of one size")
        if {modality: way["method"] for modality, way in first.modality_config.items()} != METHODS:
            raise NotApplicable("its towers are not asked for their pooled features")
        self._head = through_plain(others, "towers")
        self._towers: Towers = (ClipTowers if type(first.model) is CLIPModel else SiglipTowers)(first.model)
        vision = first.model.config.vision_config
        self._crops = Crops(first.processor.image_processor, vision.image_size, vision.patch_size)
        self.media_bytes, self.wanted_size = self._crops.nbytes, self._crops.wanted_size
        self._tokens = tokenizing(first, max_tokens, filled_up=self._towers.filled_up)
        self._prompted = first.input_formatter.prepend_prompt_to_texts
        self._weight = first.model.text_model.embeddings.token_embedding.weight

    def patched(self, content: Content) -> Content:
        """A picture as patches; texts as they are."""
        if isinstance(content, Clip):
            raise InvalidInput("the model reads no clips")
        return content if isinstance(content, str | Patches) else self._crops.patches(content)

    def prepare(self, source: Any, contents: Sequence[Content], *, prompt: str | None, task: str | None) -> Prepared:
        """Tokens of a text, or patches of a picture.

        Raises:
            InvalidInput: the tokenizer cannot read it.
        """
        content = self.patched(contents[0])
        if isinstance(content, Patches):
            return Prepared(content, 0, content.grid[1] * content.grid[2], Modality.IMAGE, nbytes=content.nbytes)
        text = source["text"]
        try:
            tokens = self._towers.read_of(self._tokens(self._prompted([text], prompt)[0] if prompt else text))
        except (ValueError, TypeError) as error:
            log.warning("the tokenizer refused a text", exc_info=error)
            raise InvalidInput("the model's tokenizer cannot read it") from None
        return Prepared(tokens, len(tokens), group=Modality.TEXT, nbytes=tokens.nbytes)

    def forward(self, batch: Sequence[Prepared]) -> torch.Tensor:
        """[len(batch), dimensions] on the model's device."""
        some = [prepared.features for prepared in batch]
        device, dtype = self._weight.device, self._weight.dtype
        if isinstance(some[0], Patches):
            vectors = self._towers.pictures(self._crops.on_device(some, device, dtype))
        else:
            tokens = torch.from_numpy(np.concatenate(some)).to(device)
            vectors = self._towers.texts(tokens, Rows([len(each) for each in some], device))
        return self._head(vectors)


def tokenizing(first: Any, max_tokens: int, *, filled_up: bool) -> Callable[[str], Tokens]:
    """How a text becomes tokens as `preprocess` makes them, cut and filled up. Thread-safe.

    Raises:
        NotApplicable: texts are cut or filled up in another way.
    """
    for option in ("query_length", "document_length", "query_expansion"):
        if getattr(first, option, None):
            raise NotApplicable(f"it has a {option}")
    options = dict(first.processing_kwargs)
    of_texts = options.pop("text", {})
    if options or of_texts.keys() - {"padding", "max_length"}:
        raise NotApplicable("it sets options of its processor")
    limit = of_texts.get("max_length", max_tokens)
    if limit > first.model.config.text_config.max_position_embeddings:
        raise NotApplicable("its texts may be longer than it has positions")
    tokenizer = first.tokenizer
    if filled_up and (of_texts.get("padding") != "max_length" or "attention_mask" in tokenizer.model_input_names):
        raise NotApplicable("its texts are not filled up, or what fills them up is not seen")
    if (rust := untruncated(tokenizer)) is None:
        return _tokens_of_python(tokenizer, limit, "max_length" if filled_up else False)
    rust.enable_truncation(limit, strategy="longest_first", direction=tokenizer.truncation_side)
    if filled_up:
        rust.enable_padding(
            direction=tokenizer.padding_side, pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token, length=limit
        )
    return lambda text: np.asarray(rust.encode(text).ids, dtype=np.int64)


def _tokens_of_python(tokenizer: Any, limit: int, padding: str | bool) -> Callable[[str], Tokens]:
    """By a copy that no thread uses while another does, as of SigLIP's first tokenizer, which has no Rust."""
    own, lock = copy.deepcopy(tokenizer), threading.Lock()

    def tokens(text: str) -> Tokens:
        with lock:
            return np.asarray(own(text, truncation=True, max_length=limit, padding=padding).input_ids, dtype=np.int64)

    return tokens
