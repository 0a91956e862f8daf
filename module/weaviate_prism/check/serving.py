"""Prism itself: whether it is ready, in time, on a GPU, and able to read clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from weaviate_prism.check.findings import Check, Finding, green, red, yellow
from weaviate_prism.profile_file import BUNDLED

ABOUT = "Prism"
# Weaviate's default of MODULES_CLIENT_TIMEOUT, and of PRISM_MODULE_TIMEOUT.
MODULE_SECONDS = 50.0
# Weaviate allows a probe this long.
PROBE_SECONDS = 0.5
FAKE = "fake"
SMALL = (*BUNDLED.values(), FAKE)


def findings(meta: Mapping[str, Any], ready: bool, probe_seconds: float) -> Iterator[Finding]:
    """
    Args:
        meta: Prism's /meta.
        probe_seconds: how long its answer to the readiness probe took.
    """
    models = meta.get("models") or []
    if not ready:
        cure = "wait until /.well-known/ready answers 204; if it never does, Prism's log says why"
        yield red(Check.READY, ABOUT, "Prism is not ready: its models are loading, or it is shutting down", cure)
    elif probe_seconds > PROBE_SECONDS:
        says = f"the readiness probe took {probe_seconds:.1f} s; Weaviate allows {PROBE_SECONDS:g} s when it starts"
        yield yellow(Check.READY, ABOUT, says, "give Prism a core of its own, and the network less to do")
    else:
        names = ", ".join(f"{model['name']} ({model['kind']})" for model in models)
        yield green(Check.READY, ABOUT, f"Prism {meta.get('version')} is ready and serves {names}")
    for model in models:
        yield _device(model)
    if any("video" in model.get("modalities", ()) for model in models if not model["name"].startswith(FAKE)):
        yield _clips(str(meta.get("clips_refused", "")))
    yield _timeout(float(meta.get("request_timeout") or MODULE_SECONDS))


def _device(model: Mapping[str, Any]) -> Finding:
    name, device = model["name"], str(model.get("device"))
    if device.startswith("cuda"):
        return green(Check.GPU, ABOUT, f"{name} runs on the GPU ({device}, {model.get('dtype')})")
    if name.partition(":")[0] in SMALL:
        return green(Check.GPU, ABOUT, f"{name} runs on the {device}, which is enough for it")
    cure = "on a machine with a GPU, --device cuda says why it is not used; else take a smaller model"
    return yellow(Check.GPU, ABOUT, f"{name} runs on the {device}: slow, unless it is small", cure)


def _clips(refused: str) -> Finding:
    if refused:
        cure = "apt-get install ffmpeg, pip install a torchcodec that fits torch, and start Prism again"
        return red(Check.FFMPEG, ABOUT, f"clips are refused: {refused}", cure)
    return green(Check.FFMPEG, ABOUT, "clips can be decoded: FFmpeg and torchcodec are there")


def _timeout(seconds: float) -> Finding:
    unseen = "MODULES_CLIENT_TIMEOUT, PRISM_MODULE_TIMEOUT and Weaviate's --write-timeout cannot be seen from outside"
    if seconds > MODULE_SECONDS:
        says = f"Prism answers within {seconds:g} s, Weaviate by default waits {MODULE_SECONDS:g} s; {unseen}"
        cure = (
            f"--request-timeout {MODULE_SECONDS:g}, or MODULES_CLIENT_TIMEOUT of {seconds:g}s or more; for requests "
            "over 60 s Weaviate's --write-timeout, too, and a client's timeouts"
        )
        return yellow(Check.TIMEOUTS, ABOUT, says, cure)
    says = f"Prism answers within {seconds:g} s, Weaviate by default waits {MODULE_SECONDS:g} s; {unseen}"
    return green(Check.TIMEOUTS, ABOUT, f"{says}; weaviate-client gives up queries after 30 s if not told otherwise")
