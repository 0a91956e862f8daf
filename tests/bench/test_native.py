"""The native modules against the stock ones, turn by turn, in one Weaviate with one Prism behind both.

Ratios count: `native_per_stock` above 1 means that native makes more objects a second, or takes more bytes or time.
"""

from __future__ import annotations

import functools
import itertools
import statistics
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.query import Rerank

from bench.shares import cpu_seconds
from bench.timing import medians, seconds
from objects import AnyCollection, b64, failures, padded_jpeg, prism_reranker, prism_vector
from relay import Relay
from servers import BUNDLED, FAKE, Prism, Stack, native_stack, native_variables, wait_until
from weaviate_prism.bundled.drawing import picture_jpeg
from weaviate_prism.bundled.scenes import make_scenes
from weaviate_prism.weaviate.native import ensure_native
from weaviate_prism.weaviate.server import WeaviateServer

ROUNDS = 3
TEXTS, PICTURES, BUNDLED_PICTURES, PRETEND = 3000, 400, 48, 1000
VECTORS = ("first", "second", "third", "fourth")
PROPERTIES = [Property(name="title", data_type=DataType.TEXT), Property(name="picture", data_type=DataType.BLOB)]

Objects = list[dict[str, Any]]
numbers = itertools.count()


@dataclass(frozen=True)
class Way:
    """One of both ways from Weaviate to Prism."""

    vector: Callable[..., Any]
    reranker: Any


NATIVE = Way(
    lambda url, name=None: prism_vector(name, textFields=["title"], imageFields=["picture"]),
    prism_reranker(imageFields=["picture"]),
)
STOCK = Way(
    lambda url, name=None: Configure.Vectors.multi2vec_clip(
        name=name, inference_url=url, text_fields=["title"], image_fields=["picture"]
    ),
    Configure.Reranker.transformers(),
)
WAYS: Mapping[str, Way] = {"native": NATIVE, "stock": STOCK}

Running = Callable[..., AbstractContextManager[Stack]]


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Running:
    def start(*flags: str, fast_blob_check: bool = False) -> AbstractContextManager[Stack]:
        return native_stack(tmp_path_factory.mktemp("native"), Prism(*flags), fast_blob_check=fast_blob_check)

    return start


def collection(stack: Stack, way: Way, vectors: tuple[str, ...] = (), url: str | None = None) -> AnyCollection:
    """A new one with these named vectors, or one without a name."""
    url = url or stack.prism.url
    return stack.client.collections.create(
        f"Bench{next(numbers)}",
        properties=PROPERTIES,
        vector_config=[way.vector(url, name) for name in vectors] or way.vector(url),
        reranker_config=way.reranker,
    )


def texts(count: int, size: int = 20) -> Objects:
    """Texts that Prism has not seen before."""
    return [{"title": f"number {next(numbers)} ".ljust(size, "x")} for _ in range(count)]


def pictures(count: int, size: int = 50_000, small: bytes | None = None) -> Objects:
    """Pictures that Prism has not seen before, with a text."""
    return [{**each, "picture": b64(padded_jpeg(next(numbers), size, small))} for each in texts(count)]


def send(target: AnyCollection, objects: Objects) -> None:
    with target.batch.fixed_size(batch_size=100, concurrent_requests=2) as batch:
        for each in objects:
            batch.add_object(each)


def import_all(target: AnyCollection, objects: Objects) -> None:
    """All must be stored."""
    send(target, objects)
    assert failures(target) == {}


def compare(
    stack: Stack, make: Callable[[], Objects], vectors: tuple[str, ...] = (), rounds: int = ROUNDS
) -> dict[str, float]:
    """Objects a second by each way, and CPU seconds of both servers for each thousand objects."""
    for each in WAYS.values():
        import_all(collection(stack, each, vectors), make()[:100])  # the first loads code on both sides
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    used: dict[str, float] = {}
    for way in list(WAYS) * rounds:
        objects, target = make(), collection(stack, WAYS[way], vectors)
        before = cpu(stack)
        rates[way].append(len(objects) / seconds(functools.partial(import_all, target, objects)))
        for server, now in cpu(stack).items():
            name = f"{way}_{server}_cpu_s"
            used[name] = used.get(name, 0) + (now - before[server]) / len(objects) / rounds * 1000
    medians = {f"{way}_objects_per_s": statistics.median(rate) for way, rate in rates.items()}
    ratio = medians["native_objects_per_s"] / medians["stock_objects_per_s"]
    return {"native_per_stock": ratio, **medians, **used}


def cpu(stack: Stack) -> dict[str, float]:
    """CPU seconds that both servers have used."""
    assert stack.weaviate.pid
    pids = {"weaviate": stack.weaviate.pid, "prism": stack.prism.pid}
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def test_import_of_short_texts(running: Running, report: Callable[..., None]) -> None:
    with running(*FAKE) as stack:
        report(**compare(stack, lambda: texts(TEXTS)))


@pytest.mark.parametrize("fast", [True, False], ids=["fast_blob_check", "blob_check_of_weaviate"])
def test_import_of_pictures_with_four_vectors(running: Running, report: Callable[..., None], fast: bool) -> None:
    with running(*FAKE, fast_blob_check=fast) as stack:
        report(**compare(stack, lambda: pictures(PICTURES), VECTORS))


@pytest.mark.parametrize("fast", [True, False], ids=["fast_blob_check", "blob_check_of_weaviate"])
def test_import_of_pictures_with_four_vectors_by_the_bundled_model(
    running: Running, report: Callable[..., None], fast: bool
) -> None:
    (scene,) = make_scenes(1, seed=70, kinds=("group",))
    small = picture_jpeg(scene)
    with running(*BUNDLED, fast_blob_check=fast) as stack:
        report(**compare(stack, lambda: pictures(BUNDLED_PICTURES, small=small), VECTORS))


def test_batches_that_a_model_of_4_ms_and_half_a_ms_an_item_sees(running: Running, report: Callable[..., None]) -> None:
    with running("--embedder", "fake:4,0.5", "--reranker", "fake") as stack:
        figures = compare(stack, lambda: texts(PRETEND, size=1000))
        for way in WAYS:
            target, before = collection(stack, WAYS[way]), batches(stack.prism)
            import_all(target, texts(PRETEND, size=1000))
            sizes = {name: now - before[name] for name, now in batches(stack.prism).items()}
            figures[f"{way}_mean_batch"] = sizes["items"] / sizes["batches"]
            figures[f"{way}_share_of_batches_above_16"] = sizes["above_16"] / sizes["batches"]
            figures[f"{way}_share_of_batches_above_32"] = sizes["above_32"] / sizes["batches"]
    report(**figures)


def batches(prism: Prism) -> dict[str, float]:
    """Device batches of the embedder so far."""
    count, of_embedder = prism.metric("prism_batch_items_count", stage="embedder"), {"stage": "embedder"}
    return {
        "batches": count,
        "items": prism.metric("prism_batch_items_sum", **of_embedder),
        "above_16": count - prism.metric("prism_batch_items_bucket", le="16.0", **of_embedder),
        "above_32": count - prism.metric("prism_batch_items_bucket", le="32.0", **of_embedder),
    }


@pytest.mark.parametrize("kept", [256 << 20, 0], ids=["seen", "new"])
def test_rerank_of_100_pictures_of_100_kb(running: Running, report: Callable[..., None], kept: int) -> None:
    """Pictures that were seen in an earlier search, or at insert; or not kept, and so new in each search."""
    with running(*FAKE, "--vision-cache-bytes", str(kept)) as stack:
        targets = {way: collection(stack, WAYS[way]) for way in WAYS}
        for target in targets.values():
            import_all(target, pictures(100, size=100_000))

        def search(target: AnyCollection) -> None:
            rerank = Rerank(prop="picture", query="a red circle")
            found = target.query.near_text("number", limit=100, rerank=rerank, return_properties=["title"])
            assert len(found.objects) == 100

        calls = {way: functools.partial(search, target) for way, target in targets.items()}
        times = medians(calls, 15)
    report(native_per_stock=times["native"] / times["stock"], native_s=times["native"], stock_s=times["stock"])


@pytest.fixture
def relayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, dict[str, Relay]]]:
    """Both ways through relays that count bytes; not to be timed."""
    binary = ensure_native(fast_blob_check=True)
    with Prism(*FAKE) as prism, Relay(prism.grpc_address) as grpc, Relay(prism.url.removeprefix("http://")) as http:
        variables = {**native_variables(prism), "PRISM_MODULE_ADDRESS": grpc.address}
        folder = tmp_path_factory.mktemp("relayed")
        server = WeaviateServer(prism.url, folder, binary=binary, environment=variables)
        with server as weaviate, weaviate.client() as client:
            yield Stack(prism, weaviate, client), {"native": grpc, "stock": http}


@pytest.mark.parametrize("vectors", [VECTORS[:1], VECTORS], ids=["one_vector", "four_vectors"])
def test_bytes_from_weaviate_to_prism(
    relayed: tuple[Stack, dict[str, Relay]], report: Callable[..., None], vectors: tuple[str, ...]
) -> None:
    stack, relays = relayed
    sent = {}
    for way, relay in relays.items():
        target = collection(stack, WAYS[way], vectors, url=f"http://{relay.address}")
        before = relay.received
        import_all(target, pictures(100))
        sent[way] = (relay.received - before) / 1_000_000
    report(native_per_stock=sent["native"] / sent["stock"], native_mb=sent["native"], stock_mb=sent["stock"])


@pytest.mark.parametrize("way", WAYS)
def test_prism_is_killed_and_comes_back_after_2_s(running: Running, report: Callable[..., None], way: str) -> None:
    objects = {str(uuid.uuid4()): each for each in texts(1500)}
    ids = list(objects)
    with running(*FAKE) as stack:
        target = collection(stack, WAYS[way])
        with target.batch.fixed_size(batch_size=100, concurrent_requests=2) as batch:
            for each in ids[:750]:
                batch.add_object(objects[each], uuid=each)
            wait_until(lambda: len(target) > 100)
            stack.prism.kill()
            comes_back = threading.Timer(2.0, stack.prism.start)
            comes_back.start()
            for each in ids[750:]:
                batch.add_object(objects[each], uuid=each)
        comes_back.join()
        report(failed=len(failures(target)), stored=len(target))
