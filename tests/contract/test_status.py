"""Probes, /meta and /metrics."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contract.running import InProcess, until
from contract.samples import b64, picture
from contract.test_vectorize import post, refused

LARGE = b64(picture(size=2000, kind="BMP"))


@pytest.mark.parametrize("path", ["/.well-known/live", "/.well-known/ready"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_probes_answer_204(http: httpx.Client, method: str, path: str) -> None:
    response = http.request(method, path)
    assert (response.status_code, response.content) == (204, b"")


def test_not_ready_is_503_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with InProcess() as running:
        monkeypatch.setattr(running.service.engine, "ready", lambda: False)
        assert "not ready" in refused(running.http.get("/.well-known/ready"), 503)
        assert running.http.get("/.well-known/live").status_code == 204


def test_probes_answer_in_time_under_load() -> None:
    """Weaviate allows 500 ms; here 2 s of work wait."""
    with InProcess(embedder="fake:0,20", batch_cost=16) as running, ThreadPoolExecutor(20) as threads:
        for number in range(20):
            threads.submit(post, running.http, texts=[f"{number} {i}" for i in range(5)], images=[LARGE])
        until(lambda: running.service.requests.in_flight == 20)
        for path in ("/.well-known/ready", "/meta", "/metrics"):
            began = time.monotonic()
            assert running.http.get(path).is_success
            assert time.monotonic() - began < 0.5


def test_meta_is_an_object_that_names_models_and_limits(http: httpx.Client) -> None:
    meta = http.get("/meta").json()
    assert meta["version"]
    assert {model["kind"] for model in meta["models"]} == {"embedder", "reranker"}
    keys = {"name", "revision", "modalities", "joint", "dimensions", "dtype", "device", "decode"}
    assert all(keys <= set(model) for model in meta["models"])
    assert meta["limits"]["max_items"] == 50
    assert meta["request_timeout"] == 50.0
    assert meta["media_store"] is False
    assert meta["clips_refused"] == ""


def test_metrics_are_what_prometheus_reads(http: httpx.Client) -> None:
    post(http, texts=["a"])
    response = http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(response.text)}
    assert {"prism_requests", "prism_errors", "prism_queue_depth", "prism_queue_seconds", "prism_batch_items"} <= names
    assert {"prism_stage_seconds", "prism_decode_failures", "prism_request_seconds"} <= names
    assert 'door="http /vectorize",outcome="ok"' in response.text


def test_no_header_tells_what_serves(http: httpx.Client) -> None:
    assert "server" not in http.get("/meta").headers
