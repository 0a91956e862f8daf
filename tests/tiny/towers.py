"""Embedders with a tower for texts and one for pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    Siglip2Config,
    Siglip2ImageProcessor,
    Siglip2Model,
    Siglip2Processor,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipProcessor,
)

from tiny.texts import CORPUS, SIZES, projected, save

CLIP_WIDTH = 24
VISION = {**SIZES, "image_size": 64, "patch_size": 16}
ENDS = {"bos_token_id": None, "pad_token_id": 0, "eos_token_id": 1}


def clip(folder: Path, **sizes: Any) -> Path:
    """A CLIP embedder: text and pictures apart, no messages; `sizes` as for `bare_clip`."""
    plain = bare_clip(folder / "plain", **sizes)
    SentenceTransformer(modules=[Transformer(str(plain)), Normalize()], device="cpu").save_pretrained(
        str(folder / "clip")
    )
    return folder / "clip"


def bare_clip(
    folder: Path,
    kind: type[CLIPModel] = CLIPModel,
    *,
    text: Mapping[str, int] = SIZES,
    vision: Mapping[str, int] = VISION,
    width: int = CLIP_WIDTH,
) -> Path:
    """A transformers directory, of a class that may come from elsewhere; the towers' sizes, and that of a vector."""
    tokenizer = _clip_tokenizer()
    config = CLIPConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            **text,
        },
        vision_config=dict(vision),
        projection_dim=width,
    )
    edge = vision["image_size"]
    processor = CLIPProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": edge}, crop_size={"height": edge, "width": edge}),
        tokenizer=tokenizer,
    )
    save(kind, config, processor, folder)
    return folder


def legacy_clip(folder: Path, name: str = "legacy") -> Path:
    """CLIP as the first repositories have it: all in a folder of its own, read by a module that is gone since."""
    bare_clip(folder / name / "0_CLIPModel")
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (folder / name / "modules.json").write_text(json.dumps([module]))
    return folder / name


def multilingual_clip(folder: Path) -> Path:
    """A text tower of its own, and beside it the directory that reads pictures."""
    legacy_clip(folder, "clip-ViT-B-32")
    return projected(folder, "clip-ViT-B-32-multilingual-v1", CLIP_WIDTH)


def siglip(folder: Path) -> Path:
    """As its repositories are: a transformers directory that does not say that texts are filled up."""
    config = SiglipConfig(
        text_config={**SIZES, "vocab_size": 128, "max_position_embeddings": 24, "projection_size": 32, **ENDS},
        vision_config=VISION,
    )
    pictures = SiglipImageProcessor(size={"height": 64, "width": 64})
    save(SiglipModel, config, SiglipProcessor(pictures, _lower_case_tokenizer(24)), folder)
    return folder


def siglip2(folder: Path) -> Path:
    """SigLIP 2 of any picture size (NaFlex)."""
    config = Siglip2Config(
        text_config={**SIZES, "vocab_size": 128, "max_position_embeddings": 64, "projection_size": 32, **ENDS},
        vision_config={**SIZES, "num_patches": 16, "patch_size": 16},
    )
    pictures = Siglip2ImageProcessor(patch_size=16, max_num_patches=16)
    save(Siglip2Model, config, Siglip2Processor(pictures, _lower_case_tokenizer(64)), folder)
    return folder


def _lower_case_tokenizer(length: int) -> PreTrainedTokenizerFast:
    """Of lower-cased letters, with an end token and padding on the right."""
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.normalizer = normalizers.Lowercase()
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=128, special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False)
    trained.train_from_iterator(CORPUS, trainer)
    trained.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=trained,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=length,
        model_input_names=["input_ids"],
    )


def _clip_tokenizer() -> CLIPTokenizer:
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    trained.train_from_iterator(CORPUS, trainer)
    bpe = json.loads(trained.to_str())["model"]
    vocabulary = dict(bpe["vocab"])
    for token in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary.setdefault(token, len(vocabulary))
    return CLIPTokenizer(vocab=vocabulary, merges=[tuple(merge) for merge in bpe["merges"]], model_max_length=77)
