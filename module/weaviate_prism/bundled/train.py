"""Make both bundled models from nothing but this package.

    python -m weaviate_prism.bundled.train --out DIR [--minutes N]

The vision tower learns to see and then stays as it is; the embedder learns to bring words and drawings of one scene
together; the reranker grows out of the embedder, gets a tower that has looked for longer, and learns to say yes or no.
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from transformers import Qwen3VLForConditionalGeneration
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

from weaviate_prism.bundled import architecture
from weaviate_prism.bundled.cards import write_cards
from weaviate_prism.bundled.directories import save_embedder, save_reranker
from weaviate_prism.bundled.embedding import learn_to_embed, world_vectors
from weaviate_prism.bundled.library import Library
from weaviate_prism.bundled.pages import Writer
from weaviate_prism.bundled.ranking import BROAD, CLIPS, PAIRS, Course, learn_to_rank
from weaviate_prism.bundled.scenes import KINDS, Scene, all_facts
from weaviate_prism.bundled.schedule import Clock
from weaviate_prism.bundled.seeing import learn_to_see, training_scenes

logger = logging.getLogger(__name__)

SEED = 0


@dataclass(frozen=True)
class Recipe:
    """Steps of each stage; the defaults made the shipped weights."""

    seeing: int = 600
    embedding: int = 900
    comparing: int = 350  # the reranker's first steps, on what the embedder sees
    comparing_schedule: int = 1300  # where the rate of those steps would have reached zero
    seeing_finer: int = 600
    ranking: int = 700
    ranking_pairs: int = 900
    ranking_clips: int = 2600  # what made the difference: R@1 after reranking 0.82 before this stage, 0.96 after it
    minutes: float = 95.0  # of one 2.8 GHz Ice Lake core, all stages

    def within(self, minutes: float) -> Recipe:
        """The same recipe with its steps scaled to another time."""
        scale = minutes / self.minutes
        steps = {
            field.name: max(10, round(getattr(self, field.name) * scale))
            for field in fields(self)
            if field.type == "int"
        }
        return replace(self, minutes=minutes, **steps)


def train(out: Path, recipe: Recipe) -> None:
    """Write `out/embedder` and `out/reranker`."""
    tokens = architecture.tokenizer(_lines())
    embedder = _fresh(tokens, architecture.EMBEDDER_LAYERS, SEED)
    tower, language = embedder.model.visual, embedder.model.language_model
    learn_to_see(tower, *training_scenes(1, 12_000, 1_500), Clock("seeing", recipe.seeing, SEED))
    library = _library(tokens, tower, SEED, 10_000, 3_000)
    learn_to_embed(language, library, Clock("embedding", recipe.embedding, SEED))
    save_embedder(embedder, tokens, out / "embedder")
    reranker = _grown(tokens, embedder)
    _rank(reranker, tokens, world_vectors(language, library), recipe)
    save_reranker(reranker, tokens, out / "reranker")


def _rank(
    reranker: Qwen3VLForConditionalGeneration, tokens: Qwen2Tokenizer, vectors: torch.Tensor, recipe: Recipe
) -> None:
    """Learn to compare on the tower as it is, make the tower finer, go on with what it sees then."""
    tower = reranker.model.visual
    practise = partial(_practise, reranker, tokens, vectors)
    library = _library(tokens, tower, SEED, 4_000, 800)
    practise(library, BROAD, Clock("comparing", recipe.comparing_schedule, SEED, stop=recipe.comparing))
    clock = Clock("seeing finer", recipe.seeing_finer, SEED + 1)
    learn_to_see(tower, *training_scenes(2, 10_000, 600), clock, emphasis=4.0)
    library = _library(tokens, tower, SEED + 1, 5_000, 800)
    practise(library, BROAD, Clock("ranking", recipe.ranking, SEED))
    library = _library(tokens, tower, SEED + 2, 5_000, 1_500)
    practise(library, PAIRS, Clock("ranking pairs", recipe.ranking_pairs, SEED))
    library = _library(tokens, tower, SEED + 17, 8_000, 2_500)
    practise(library, CLIPS, Clock("ranking clips", recipe.ranking_clips, SEED))


def _practise(
    reranker: Qwen3VLForConditionalGeneration,
    tokens: Qwen2Tokenizer,
    vectors: torch.Tensor,
    library: Library,
    course: Course,
    clock: Clock,
) -> None:
    """Learn to rank, also against what the embedder, by its `vectors`, takes for the same."""
    yes, no = (tokens.convert_tokens_to_ids(word) for word in ("yes", "no"))
    library.add_confusions(vectors)
    learn_to_rank(reranker.model.language_model, library, (yes, no), course, clock)


def _lines() -> list[str]:
    scenes = (Scene(facts, 0) for kind in KINDS for facts in all_facts(kind))
    return [" " + query.text for scene in scenes for query in scene.queries]


def _library(tokens: Qwen2Tokenizer, tower: Qwen3VLVisionModel, seed: int, pictures: int, clips: int) -> Library:
    """Random scenes, and one drawing of every fact so that none is missing."""
    drawn, filmed = training_scenes(seed + 3, pictures, clips)
    complete = [Scene(facts, number) for number, kind in enumerate(KINDS) for facts in all_facts(kind)]
    return Library(tower, [*drawn, *complete, *filmed], Writer(tokens, seed), seed)


def _grown(tokens: Qwen2Tokenizer, embedder: Qwen3VLForConditionalGeneration) -> Qwen3VLForConditionalGeneration:
    """The embedder with more text layers, which add nothing until they are trained.

    From fresh weights 1,500 steps ended at R@1 0.47; a query's and a document's vector to compare are a head start.
    """
    model = _fresh(tokens, architecture.RERANKER_LAYERS, SEED)
    model.load_state_dict(embedder.state_dict(), strict=False)
    for layer in model.model.language_model.layers[architecture.EMBEDDER_LAYERS :]:
        nn.init.zeros_(layer.self_attn.o_proj.weight)
        nn.init.zeros_(layer.mlp.down_proj.weight)
    return model


def _fresh(tokens: Qwen2Tokenizer, layers: int, seed: int) -> Qwen3VLForConditionalGeneration:
    torch.manual_seed(seed)
    return architecture.build(tokens, layers)


def main() -> None:
    """Train, evaluate, write the model cards."""
    parser = argparse.ArgumentParser(description="Train the bundled embedder and reranker.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="scale the steps to this time (default: the shipped recipe)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # One thread: with a second one, matrices this small wait for each other, eight times slower on a shared machine.
    torch.set_num_threads(1)
    recipe = Recipe().within(options.minutes) if options.minutes else Recipe()
    started = time.monotonic()
    train(options.out, recipe)
    logger.info("trained in %.0f minutes", (time.monotonic() - started) / 60)
    write_cards(options.out)


if __name__ == "__main__":
    main()
