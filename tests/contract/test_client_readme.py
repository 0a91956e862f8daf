"""The README's blocks about the Python clients run as they stand, but for the address of Prism."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme

from contract.running import InProcess
from contract.samples import clip, picture
from contract.test_rpc_ports import Pair
from readme import README, ROOT, block
from weaviate_prism import client
from weaviate_prism.errors import PrismError

VERBS = block("with PrismClient(")
AWAITED = block("AsyncPrismClient(")


@pytest.fixture(autouse=True)
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the README names, in the working directory."""
    (tmp_path / "still.jpg").write_bytes(picture("blue", "JPEG"))
    (tmp_path / "poster.png").write_bytes(picture())
    (tmp_path / "trailer.mp4").write_bytes(clip())
    monkeypatch.chdir(tmp_path)


def test_what_is_installed_for_the_client_alone_is_what_the_package_asks_for() -> None:
    (command,) = re.findall(r"`pip install (\"[^`]+)`", README)
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    named = shlex.split(command)
    assert {re.split("[<>=]", each)[0] for each in named} == {"grpcio", "protobuf", "numpy"}
    assert set(named) <= set(asked)


def test_the_errors_that_the_readme_names_are_those_that_the_client_has() -> None:
    kinds = {kind.__name__ for kind in PrismError.__subclasses__()}
    assert all(f"`{kind}`" in README for kind in kinds)
    assert {*kinds, "PrismError", "ItemsFailed"} <= set(client.__all__)


def run(code: str, address: str, **names: Any) -> dict[str, Any]:
    assert "prism:8091" in code
    exec(compile(code.replace("prism:8091", address), "README.md", "exec"), names)
    return names


def test_the_verbs_give_what_the_readme_says() -> None:
    with InProcess() as running:
        names = run(VERBS, running.grpc_address)
    assert names["vectors"].shape == (5, 32)
    assert names["similarities"].shape == names["scores"].shape == (5,)
    assert [each["score"] for each in names["best"]] == sorted(names["scores"], reverse=True)[:2]


def test_awaited_verbs_give_what_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path("ca.pem")
    pair = Pair.issued(authority, tmp_path, "127.0.0.1")
    monkeypatch.setenv("PRISM_API_KEY", "s3cret")
    with InProcess(
        embedder="scenes-embedder",
        device="cpu",
        reranker="none",
        api_key="s3cret",
        tls_cert=str(pair.cert),
        tls_key=str(pair.key),
    ) as running:
        assert run(AWAITED, running.grpc_address, Path=Path)["vectors"].shape == (2, 64)
        code = AWAITED.replace('"a ship"', 'Path("missing.png")')
        vectors = run(code, running.grpc_address, Path=Path)["vectors"]
    assert np.isnan(vectors).any(axis=1).tolist() == [False, True]
    assert "1 has no vector: missing.png cannot be read" in capsys.readouterr().out
