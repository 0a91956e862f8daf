"""Second stage: texts, pictures and clips of one scene are drawn together, everything else is pushed apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from weaviate_prism.bundled.directories import PROMPTS
from weaviate_prism.bundled.library import Library, View, differences
from weaviate_prism.bundled.pages import bind
from weaviate_prism.bundled.reading import last_tokens, read
from weaviate_prism.bundled.schedule import Clock, optimizer

_SCENES = 64
_CLIPS_AMONG_THEM = 10
_CHARTS_AMONG_THEM = 6
_TEMPERATURE = 0.05
#: Half of all inputs come without a prompt.
_PROMPTS = (None, None, *PROMPTS.values())


def learn_to_embed(language: Qwen3VLTextModel, library: Library, clock: Clock) -> None:
    """Train `language` in place until the clock runs out."""
    adam = optimizer(language.parameters(), rate=2e-3)
    for step in clock.steps(adam):
        adam.zero_grad()
        views = [view for index in _draw_scenes(library) for view in _views(library, index)]
        loss = contrast(embed(language, library, views), np.array([view.code for view in views]))
        loss.backward()
        nn.utils.clip_grad_norm_(language.parameters(), 1.0)
        adam.step()
        clock.report(step, contrast=loss.item())


def embed(language: Qwen3VLTextModel, library: Library, views: Sequence[View]) -> Tensor:
    """Unit vectors of the views, each read under a random prompt; short and long pages run separately."""
    vectors = torch.empty(len(views), language.config.hidden_size)
    pages = [library.writer.embedding_page(view.item, library.rng.choice(_PROMPTS)) for view in views]
    for low, high in ((0, 14), (14, 40), (40, 1000)):
        chosen = [index for index, page in enumerate(pages) if low <= len(page.ids) < high]
        if chosen:
            batch = bind([pages[index] for index in chosen])
            found = functional.normalize(last_tokens(read(language, batch, library.bank), batch), dim=-1)
            vectors = vectors.index_put((torch.tensor(chosen),), found)
    return vectors


@torch.no_grad()
def world_vectors(language: Qwen3VLTextModel, library: Library) -> Tensor:
    """One vector for all facts of the world: what the embedder makes of two drawings and a title of each."""
    makers = (library.drawing, library.drawing, library.title)
    rows = library.facts
    sums = torch.zeros(len(rows), language.config.hidden_size)
    for make in makers:
        for part in torch.arange(len(rows)).split(64):
            sums[part] += embed(language, library, [make(int(index)) for index in part])
    return functional.normalize(sums, dim=-1)


def contrast(vectors: Tensor, codes: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> Tensor:
    """Softmax over the whole batch; partners are the views that one side's statement describes fully."""
    wrong = torch.from_numpy(differences(codes, codes))
    partners = ((wrong == 0) | (wrong.T == 0)).fill_diagonal_(False)
    scores = vectors @ vectors.T / _TEMPERATURE
    scores = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool), -1e9)
    logs = scores.log_softmax(-1)
    return -((logs * partners).sum(-1) / partners.sum(-1).clamp(min=1)).mean()


def _draw_scenes(library: Library) -> list[int]:
    """Facts for one batch: half at random, and for each of them another that differs in one fact."""
    rng = library.rng
    stills = _SCENES - _CLIPS_AMONG_THEM - _CHARTS_AMONG_THEM
    chosen = [*rng.sample(library.of_kind["clip"], _CLIPS_AMONG_THEM // 2)]
    chosen += rng.sample(library.of_kind["chart"], _CHARTS_AMONG_THEM // 2)
    chosen += rng.sample(library.of_kind["group"], stills // 5)
    chosen += rng.sample(library.of_kind["pair"], _SCENES // 2 - len(chosen))
    return chosen + [rng.choice(library.neighbours(index)) for index in chosen]


def _views(library: Library, index: int) -> list[View]:
    views = [library.text(index), library.drawing(index)]
    third = library.rng.random()
    if third < 0.25:
        views.append(library.drawing(index))
    elif third < 0.4:
        views.append(library.text(index))
    elif third < 0.5:
        views.append(library.both(index))
    return views
