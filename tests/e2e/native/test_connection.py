"""How Weaviate reaches Prism: sockets, TLS and keys, and what it says where it does not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from weaviate.classes.query import Rerank
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateBaseError

from contract.samples import clip
from e2e.native.shelf import IDS, scored, shelf
from e2e.native.starting import Starting
from e2e.native.test_import import BAD_PICTURE
from objects import PROPERTIES, AnyCollection, jpeg, prism_reranker, prism_vector, vectors
from servers import FAKE, Prism, Stack, native_stack, native_variables
from weaviate_prism.weaviate.server import LOOPBACK, WeaviateServer, free_ports

KEY = "a-key-of-the-tests"
TIMEOUT, QUERY_TIMEOUT = 4.0, 2.0
TIMEOUTS = {"PRISM_MODULE_TIMEOUT": f"{TIMEOUT:g}s", "PRISM_MODULE_QUERY_TIMEOUT": f"{QUERY_TIMEOUT:g}s"}
SLACK = 5.0  # on a busy machine


def titled(stack: Stack, name: str) -> AnyCollection:
    return stack.client.collections.create(
        name,
        properties=PROPERTIES,
        vector_config=prism_vector(textFields=["title"]),
        reranker_config=prism_reranker(textFields=["title"]),
    )


def assert_serves(stack: Stack, name: str) -> None:
    """Inserts, searches and reranks."""
    things = shelf(stack, name)
    assert all(vectors(things).values())
    found = things.query.near_text("green tree", rerank=Rerank(prop="title", query="green tree"))
    assert next(iter(scored(found.objects))) == IDS["green tree"]


# -- A unix socket, and a Prism that hangs -------------------------------------------------------


@pytest.fixture(scope="module")
def nearby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """By a unix socket and with little patience; documents that cannot be scored are ranked last."""
    folder = tmp_path_factory.mktemp("nearby")
    socket = folder / "prism.sock"
    prism = Prism(*FAKE, "--grpc-socket", str(socket), "--rerank-bad-document", "last")
    # without the stock modules: /v1/meta waits for them as long as Prism hangs
    alone = {"ENABLE_MODULES": "multi2vec-prism,reranker-prism", "PRISM_MODULE_ADDRESS": f"unix://{socket}"}
    with native_stack(folder, prism, {**alone, **TIMEOUTS}) as running:
        running.prism.vector(jpeg(), clip())  # the first media load their decoders, which may take longer
        yield running


def test_unix_socket(nearby: Stack) -> None:
    assert_serves(nearby, "BySocket")


def test_meta_tells_prisms_models(nearby: Stack) -> None:
    modules = nearby.client.get_meta()["modules"]
    for module in ("multi2vec-prism", "reranker-prism"):
        assert modules[module]["ready"] is True
        assert {model["kind"]: model["name"] for model in modules[module]["models"]} == {
            "embedder": "fake",
            "reranker": "fake",
        }


def test_document_that_cannot_be_scored_is_ranked_last_where_prism_is_set_so(nearby: Stack) -> None:
    collection = shelf(nearby, "Attachments")
    bad = str(collection.data.insert({"title": "red torn", "picture": BAD_PICTURE}))
    found = collection.query.near_text("red", rerank=Rerank(prop="title", query="red"))
    assert list(scored(found.objects))[-1] == bad
    assert len(found.objects) == len(IDS) + 1


@pytest.fixture
def hanging(nearby: Stack) -> Iterator[Stack]:
    """Prism that takes connections and never answers, until the test ends."""
    os.kill(nearby.prism.pid, signal.SIGSTOP)
    yield nearby
    os.kill(nearby.prism.pid, signal.SIGCONT)


@pytest.fixture
def dead(nearby: Stack) -> Iterator[Stack]:
    """Prism killed, until the test ends."""
    nearby.prism.kill()
    yield nearby
    nearby.prism.start()


def failed_within(low: float, call: Callable[[], Any]) -> str:
    began = time.monotonic()
    with pytest.raises(WeaviateBaseError) as raised:
        call()
    assert low * 0.9 <= time.monotonic() - began <= low + SLACK
    return str(raised.value)


SLOW, QUICK = f"{TIMEOUT:g}s (PRISM_MODULE_TIMEOUT)", f"{QUERY_TIMEOUT:g}s (PRISM_MODULE_QUERY_TIMEOUT)"


@pytest.mark.parametrize(
    ("state", "problem", "rerank_timeout", "rerank_limit"),
    [
        ("hanging", "Prism did not answer within", TIMEOUT, SLOW),
        ("dead", "no Prism at PRISM_MODULE_ADDRESS=unix:///", QUERY_TIMEOUT, QUICK),
    ],
)
def test_calls_end_with_their_timeouts_and_work_again_afterwards(
    nearby: Stack, request: pytest.FixtureRequest, state: str, problem: str, rerank_timeout: float, rerank_limit: str
) -> None:
    collection = titled(nearby, f"Timeouts_{state}")
    collection.data.insert({"title": "first"})
    request.getfixturevalue(state)
    message = failed_within(TIMEOUT, lambda: collection.data.insert({"title": "second"}))
    assert problem in message
    assert SLOW in message
    message = failed_within(QUERY_TIMEOUT, lambda: collection.query.near_text("first"))
    assert problem in message
    assert QUICK in message
    rerank = Rerank(prop="title", query="first")
    message = failed_within(rerank_timeout, lambda: collection.query.bm25("first", rerank=rerank))
    assert problem in message
    assert rerank_limit in message
    began = time.monotonic()
    assert "ready" not in nearby.client.get_meta()["modules"]["multi2vec-prism"]
    assert time.monotonic() - began < 4 + SLACK  # 2 s a module
    assert len(collection) == 1


def test_works_again_after_it_hung_and_died(nearby: Stack) -> None:
    collection = titled(nearby, "Afterwards")
    collection.data.insert({"title": "first"})
    nearby.prism.kill()
    nearby.prism.start()
    collection.data.insert({"title": "second"})
    assert len(collection.query.near_text("first").objects) == 2


# -- TLS and keys --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of PEM files: an authority, and certificates of a server and a client."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    files = {"ca": folder / "ca.pem"}
    authority.cert_pem.write_to_path(str(files["ca"]))
    for owner in ("prism.test", "weaviate.test"):
        issued = authority.issue_cert(owner)
        files[f"{owner} cert"], files[f"{owner} key"] = folder / f"{owner}.pem", folder / f"{owner}.key"
        issued.cert_chain_pems[0].write_to_path(str(files[f"{owner} cert"]))
        issued.private_key_pem.write_to_path(str(files[f"{owner} key"]))
    return {name: str(path) for name, path in files.items()}


@pytest.fixture(scope="module")
def guarded(certificates: dict[str, str]) -> Iterator[Prism]:
    """Prism that wants a key, and client certificates over TLS."""
    tls = {"cert": "prism.test cert", "key": "prism.test key", "client-ca": "ca"}
    flags = [word for flag, name in tls.items() for word in (f"--tls-{flag}", certificates[name])]
    with Prism(*FAKE, *flags, "--api-key", KEY) as prism:
        yield prism


@pytest.fixture(scope="module")
def variables(guarded: Prism, certificates: dict[str, str]) -> dict[str, str]:
    """What Weaviate needs to know to be let in."""
    return {
        **native_variables(guarded),
        "PRISM_MODULE_API_KEY": KEY,
        "PRISM_MODULE_TLS_CA": certificates["ca"],
        "PRISM_MODULE_TLS_CERT": certificates["weaviate.test cert"],
        "PRISM_MODULE_TLS_KEY": certificates["weaviate.test key"],
        "PRISM_MODULE_TLS_SERVER_NAME": "prism.test",
    }


def test_tls_with_client_certificate_and_key(
    guarded: Prism, variables: dict[str, str], binary: Path, tmp_path: Path
) -> None:
    server = WeaviateServer(guarded.url, tmp_path, binary=binary, environment=variables)
    with server as weaviate, weaviate.client() as client:
        assert_serves(Stack(guarded, weaviate, client), "Guarded")


def test_wrong_key_ends_weaviates_start_by_name(variables: dict[str, str], binary: Path, tmp_path: Path) -> None:
    # Weaviate starts modules in no fixed order, and the stock ones would fail for want of their addresses
    alone = {"ENABLE_MODULES": "multi2vec-prism,reranker-prism", "PRISM_MODULE_API_KEY": "another-key"}
    with Starting(binary, tmp_path, {**variables, **alone}) as starting:
        log = starting.failure()
    assert "PRISM_MODULE_API_KEY" in log
    assert "another-key" not in log


# -- Starts that fail, and one that does not wait ------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"PRISM_MODULE_ADDRESS": ""}, "PRISM_MODULE_ADDRESS"),
        ({"PRISM_MODULE_TIMEOUT": "soon"}, "PRISM_MODULE_TIMEOUT"),
        ({"PRISM_MODULE_TLS_CERT": "/cert.pem"}, "PRISM_MODULE_TLS_KEY"),
        ({"PRISM_MODULE_ADDRESS": "prism.test:8091", "PRISM_MODULE_API_KEY": KEY}, "PRISM_MODULE_API_KEY"),
    ],
    ids=["no address", "no time", "half a certificate", "key in clear"],
)
def test_variable_that_makes_no_sense_ends_weaviates_start_by_name(
    binary: Path, tmp_path: Path, wrong: Mapping[str, str], named: str
) -> None:
    began = time.monotonic()
    with Starting(binary, tmp_path, wrong) as starting:
        assert named in starting.failure()
    assert time.monotonic() - began < 60  # it waits for nobody


@pytest.mark.parametrize(
    ("door", "tls", "named"),
    [("url", "false", "it wants Prism's gRPC port"), ("grpc_address", "true", "speaks none (--tls-cert)")],
)
def test_wrong_port_or_tls_ends_weaviates_start_at_once(
    fake: Stack, binary: Path, tmp_path: Path, door: str, tls: str, named: str
) -> None:
    address = getattr(fake.prism, door).removeprefix("http://")
    wrong = {"PRISM_MODULE_ADDRESS": address, "PRISM_MODULE_TLS": tls}
    began = time.monotonic()
    with Starting(binary, tmp_path, wrong) as starting:
        assert named in starting.failure()
    assert time.monotonic() - began < 30


def test_weaviate_that_shall_not_wait_starts_without_prism_and_finds_it_later(
    fake: Stack, binary: Path, tmp_path: Path
) -> None:
    http, grpc = map(str, free_ports(2))
    later = Prism(*FAKE, "--http-port", http, "--grpc-port", grpc)
    address = {"PRISM_MODULE_ADDRESS": f"{LOOPBACK}:{grpc}", "PRISM_MODULE_WAIT_FOR_STARTUP": "false"}
    environment = {**native_variables(fake.prism), **address, **TIMEOUTS}
    server = WeaviateServer(fake.prism.url, tmp_path, binary=binary, environment=environment)
    with server as weaviate, weaviate.client() as client:
        stack = Stack(later, weaviate, client)
        collection = titled(stack, "Early")
        with pytest.raises(UnexpectedStatusCodeError, match=r"no Prism at PRISM_MODULE_ADDRESS=.*connection refused"):
            collection.data.insert({"title": "first"})
        with later:
            collection.data.insert({"title": "second"})
            assert len(collection.query.near_text("second").objects) == 1
