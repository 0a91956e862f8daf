"""The models of a service: each loaded once however many profiles use it, at the start or when it is first asked for.

Used from one event loop; loads in a thread, one model after another, so that each finds the memory that the one
before has left. Knows nothing of items or wires.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import cast

from PIL import Image

from weaviate_prism import video
from weaviate_prism.config import Settings
from weaviate_prism.errors import DeadlineExceeded, Internal, PrismError, Unavailable, Unsupported
from weaviate_prism.fusion import fusion_of
from weaviate_prism.metrics import Metrics
from weaviate_prism.models.base import Content, Embedder, ModelError, NoRoomError, Prepared, Reranker
from weaviate_prism.models.registry import Loaded, load_model
from weaviate_prism.profile_file import profiles_of
from weaviate_prism.profiles import EMBEDDER, RERANKER, ModelSpec, Profile, is_fake
from weaviate_prism.scheduling.jobs import Ticket, ticket
from weaviate_prism.scheduling.stages import Stages
from weaviate_prism.values import Modality, ModelInfo, Priority, ProfileInfo, Target, Task
from weaviate_prism.vision_cache import VisionCache

log = logging.getLogger(__name__)

# So long a model that could not be loaded is not tried again: a batch of requests must not read its files anew each.
RETRY_SECONDS = 60.0
WARM_UP_SECONDS = 600.0
PICTURE = Image.new("RGB", (64, 64))
# A model's pace is learnt from four batches, which tell texts, pictures and fixed costs apart, and from more of them
# and of others as long as that is quick: the first pass over weights on the disk took 5 s where others took 0.1. Of
# three that were up to a half slower by chance, 6 % told of no fixed costs, and batches stayed small for good; of four,
# hardly one did.
LEAST_BATCHES, LEARNING_ROUNDS, LEARNING_SECONDS = 4, 4, 0.2
LONG_TEXT, LARGE_PICTURE = "a long text " * 30, Image.new("RGB", (256, 256))


class Catalog:
    """All profiles and their models.

    Raises:
        SettingsError: the profiles of the settings are wrong.
    """

    def __init__(self, settings: Settings, metrics: Metrics, stages: Stages, seen: VisionCache) -> None:
        self.profiles = profiles_of(settings)
        self._settings = settings
        self._metrics = metrics
        self._stages = stages
        self._seen = seen
        self._models: dict[ModelSpec, Loaded] = {}
        self._loading: dict[ModelSpec, asyncio.Task[Loaded | PrismError]] = {}
        self._failed: dict[ModelSpec, tuple[float, PrismError]] = {}  # until when, and why
        self._one_by_one = asyncio.Lock()
        self.clips_refused = ""  # why, where a model reads clips and they cannot be decoded

    async def start(self) -> None:
        """Loads the models of all profiles but those that say `preload = false`.

        Raises:
            ModelError: one cannot be loaded, or not do what its profile says.
        """
        for spec in self.profiles.specs():
            if spec in self.profiles.preloaded:
                try:
                    await self._load(spec)
                except ModelError as error:
                    name = next(profile.name for profile in self.profiles if profile.model == spec)
                    if name == spec.name:
                        raise
                    raise ModelError(f"profile {name!r}: {error}") from error
        for profile in self.profiles:
            loaded = profile.model in self._models
            what = f"{profile.model.kind} {self.profiles.label(profile.model)}"
            log.info("profile %s: %s%s", profile.name, what, "" if loaded else ", loaded when it is first asked for")
            if loaded and profile.model.kind == EMBEDDER:
                self._check(profile, await self.embedder(profile, deadline=0.0))

    def close(self) -> None:
        """Nobody waits for a model any more."""
        for task in self._loading.values():
            task.cancel()

    @property
    def loading(self) -> bool:
        """Whether a model is being loaded because of a request."""
        return bool(self._loading)

    async def embedder(self, profile: Profile, deadline: float) -> Embedder:
        """See `_model`, for a profile of an embedder."""
        return cast(Embedder, await self._model(profile, deadline))

    async def reranker(self, profile: Profile, deadline: float) -> Reranker:
        """See `_model`, for a profile of a reranker."""
        return cast(Reranker, await self._model(profile, deadline))

    def loaded(self, profile: Profile) -> Loaded | None:
        """The model of a profile, if it is there by now."""
        return self._models.get(profile.model)

    def models(self) -> list[ModelInfo]:
        """All that are loaded; of each kind, the default first."""
        return [self._models[spec].info for spec in self.profiles.specs() if spec in self._models]

    def profile_infos(self) -> list[ProfileInfo]:
        """All profiles, by precedence."""
        defaults = self.profiles.defaults()
        return [
            ProfileInfo(
                name=profile.name,
                kind=profile.model.kind,
                model=self.profiles.label(profile.model),
                loaded=profile.model in self._models,
                default=profile in defaults,
                dimensions=profile.dimensions,
                fusion=profile.fusion,
                instruction=profile.instruction,
                query_prompt=profile.query_prompt,
                document_prompt=profile.document_prompt,
                video_frames=profile.video_frames,
            )
            for profile in self.profiles
        ]

    async def _model(self, profile: Profile, deadline: float) -> Loaded:
        """The model of a profile; loaded now if it is not.

        Raises:
            DeadlineExceeded: it takes longer to load than the caller waits; it goes on loading.
            Internal: it cannot be loaded.
            Unavailable: the service is shutting down.
        """
        spec = profile.model
        if (model := self._models.get(spec)) is not None:
            return model
        until, failure = self._failed.get(spec, (0.0, None))
        if failure is not None and time.monotonic() < until:
            raise failure.about(f"profile {profile.name!r}")
        if spec not in self._loading:
            self._loading[spec] = asyncio.create_task(self._load_for_request(spec))
        task = self._loading[spec]
        await asyncio.wait([task], timeout=deadline - time.monotonic())  # it goes on if the caller does not
        if not task.done():
            raise DeadlineExceeded(f"the deadline passed while the model of {profile.name!r} was loaded")
        if task.cancelled():
            raise Unavailable("the service is shutting down")
        loaded = task.result()
        if isinstance(loaded, PrismError):
            raise loaded.about(f"profile {profile.name!r}")
        return loaded

    async def _load_for_request(self, spec: ModelSpec) -> Loaded | PrismError:
        """Cancelled by `close` only; its thread then goes on, and so `loading` stays true."""
        outcome: Loaded | PrismError
        try:
            outcome = await self._load(spec)
        except Exception as error:
            log.error("%s cannot be loaded", self.profiles.label(spec), exc_info=error)
            reason = str(error) if isinstance(error, NoRoomError) else "the log of the service says why"
            outcome = Internal(f"its model cannot be loaded: {reason}")
            self._failed[spec] = (time.monotonic() + RETRY_SECONDS, outcome)
        del self._loading[spec]
        return outcome

    async def _load(self, spec: ModelSpec) -> Loaded:
        label = self.profiles.label(spec)
        async with self._one_by_one:
            model = await asyncio.to_thread(load_model, spec, self._settings)
            self._stages.add(model, label)
            try:
                _, refused = await asyncio.gather(self._warm_up(model), warm_up_clips(model.info))
            except BaseException:
                self._stages.remove(model)
                raise
        self._metrics.model_info.labels(spec.kind, label, model.info.tier).set(1)
        for tier in model.info.refused_tiers:
            self._metrics.tiers_refused.labels(spec.kind, label, tier).inc()
        if spec.kind == RERANKER:
            self._seen.serve(cast(Reranker, model))
        self._models[spec] = model
        self.clips_refused = self.clips_refused or refused
        return model

    async def _warm_up(self, model: Loaded) -> None:
        """Runs it, so that the first request does not pay for lazy initialisation, and learns how long it takes.

        Prepared as often as there may be threads for it, at once: each has its own copy of the model's processor.
        """
        turn = ticket(Priority.QUERY, time.monotonic() + WARM_UP_SECONDS)
        jobs = (self._stages.on_cpu(lambda: samples(model), turn) for _ in range(self._stages.cpu.threads))
        prepared, *_ = await asyncio.gather(*jobs)
        await self._run(model, prepared, turn)
        await self._learn_pace(model, turn)

    async def _learn_pace(self, model: Loaded, turn: Ticket) -> None:
        end = time.monotonic() + LEARNING_SECONDS
        for number in range(LEARNING_ROUNDS):
            # anew each time: a vision tower looks at a picture once
            batches = await self._stages.on_cpu(lambda: of_all_sizes(model), turn)
            for batch in batches[:LEAST_BATCHES] if number == 0 else batches:
                if number == 0 or time.monotonic() < end:
                    await self._run(model, batch, turn)
        self._stages.learn_pace(model)

    async def _run(self, model: Loaded, batch: Sequence[Prepared], turn: Ticket) -> None:
        for answer in await self._stages.on_device_together(model, batch, turn):
            if isinstance(answer, PrismError):
                raise ModelError(f"{model.info.name}: cannot answer: {answer.message}")

    def _check(self, profile: Profile, embedder: Embedder) -> None:
        try:
            fusion_of(Target(dimensions=profile.dimensions, fusion=profile.fusion), embedder)
        except PrismError as error:
            raise ModelError(f"profile {profile.name!r}: {error.message}") from None


def samples(model: Loaded) -> list[Prepared]:
    """A text and a picture, if it reads them; or a text paired with each. Clips are no colder: proofs have some.

    The picture makes its processor compute what it keeps for all others. While another model is loaded, its dtype is
    the default of all threads (transformers' `local_torch_dtype`): begun in bfloat16, CLIP's would stay 0.004 off.
    """
    return prepared(model, "warm-up", PICTURE)


def of_all_sizes(model: Loaded) -> list[list[Prepared]]:
    """Batches that differ in tokens, in patches, and in how many inputs they have."""
    batches: list[list[Content]] = [
        ["warm-up", PICTURE],  # as the first one of all, which was slow
        [LONG_TEXT],
        [LARGE_PICTURE, LARGE_PICTURE],
        ["warm-up"] * 4,
        [PICTURE],
        [LONG_TEXT, LONG_TEXT],
    ]
    return [prepared(model, *batch) for batch in batches]


def prepared(model: Loaded, *contents: Content) -> list[Prepared]:
    """Each of the contents that the model reads."""
    modalities = model.info.modalities
    read = [each for each in contents if (Modality.TEXT if isinstance(each, str) else Modality.IMAGE) in modalities]
    if model.info.kind == EMBEDDER:
        return [cast(Embedder, model).prepare([model.patched(each)], Task.QUERY, "") for each in read]
    reranker = cast(Reranker, model)
    asked = reranker.asked(["warm-up"], "")
    return [reranker.prepare(asked, [model.patched(each)]) for each in read]


async def warm_up_clips(info: ModelInfo) -> str:
    """Imports torchcodec where clips are to be expected: the first one would wait for it, up to 14 s under load.

    Returns:
        Why clips will be refused; empty if they will not.
    """
    if Modality.VIDEO in info.modalities and not is_fake(info.name):
        try:
            await asyncio.to_thread(video.import_torchcodec)
        except Unsupported as error:
            log.warning("clips will be refused: %s", error.message)
            return error.message
    return ""
