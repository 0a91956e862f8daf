"""TLS on the gRPC port, and the unix socket, over real connections with certificates made here."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1.health_pb2 import HealthCheckResponse

from contract.running import WAIT, InProcess, Subprocess
from contract.test_rpc_server import health
from contract.test_rpc_vectorize import item, refused, request, text
from weaviate_prism.server.rpc_ports import is_taken
from weaviate_prism.v1 import prism_pb2 as pb
from weaviate_prism.v1 import prism_pb2_grpc as pb_grpc

Code = grpc.StatusCode
NAME = "prism.test"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM and as files."""

    cert: Path
    key: Path

    @classmethod
    def issued(cls, authority: trustme.CA, folder: Path, name: str) -> Pair:
        leaf = authority.issue_cert(name)
        pair = cls(folder / f"{name}.pem", folder / f"{name}.key")
        pair.cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        pair.key.write_bytes(leaf.private_key_pem.bytes())
        return pair


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def pair(authority: trustme.CA, folder: Path) -> Pair:
    return Pair.issued(authority, folder, NAME)


@pytest.fixture(scope="module")
def client_ca(folder: Path) -> tuple[trustme.CA, Path]:
    clients, file = trustme.CA(), folder / "clients.pem"
    clients.cert_pem.write_to_path(str(file))
    return clients, file


@pytest.fixture(scope="module")
def encrypted(pair: Pair) -> Iterator[InProcess]:
    with InProcess(tls_cert=str(pair.cert), tls_key=str(pair.key)) as running:
        yield running


@pytest.fixture(scope="module")
def mutual(pair: Pair, client_ca: tuple[trustme.CA, Path]) -> Iterator[InProcess]:
    with InProcess(tls_cert=str(pair.cert), tls_key=str(pair.key), tls_client_ca=str(client_ca[1])) as running:
        yield running


def channel(running: InProcess, authority: trustme.CA, client: Pair | None = None, name: str = NAME) -> grpc.Channel:
    pems = {"private_key": client.key.read_bytes(), "certificate_chain": client.cert.read_bytes()} if client else {}
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), **pems)
    return grpc.secure_channel(running.grpc_address, credentials, [("grpc.ssl_target_name_override", name)])


def info(channel: grpc.Channel) -> pb.InfoResponse:
    return pb_grpc.ModuleStub(channel).Info(pb.InfoRequest(), timeout=WAIT)


def test_calls_are_encrypted(encrypted: InProcess, authority: trustme.CA) -> None:
    with channel(encrypted, authority) as secure:
        assert pb_grpc.VectorizerStub(secure).Vectorize(request(item(text("a")))).blocks
        assert health(secure, "") == HealthCheckResponse.SERVING
    assert encrypted.http.get("/meta").status_code == 200


def test_a_client_without_tls_is_not_answered(encrypted: InProcess) -> None:
    refused(lambda: info(encrypted.channel), Code.UNAVAILABLE)


def test_a_client_that_does_not_know_the_authority_breaks_off(encrypted: InProcess) -> None:
    with channel(encrypted, trustme.CA()) as stranger:
        refused(lambda: info(stranger), Code.UNAVAILABLE)


def test_with_a_client_authority_only_its_certificates_are_let_in(
    mutual: InProcess, authority: trustme.CA, client_ca: tuple[trustme.CA, Path], folder: Path
) -> None:
    known = Pair.issued(client_ca[0], folder, "weaviate.test")
    unknown = Pair.issued(trustme.CA(), folder, "stranger.test")
    with channel(mutual, authority, known) as secure:
        assert info(secure).ready
    for client in (None, unknown):
        with channel(mutual, authority, client) as secure:
            refused(lambda secure=secure: info(secure), Code.UNAVAILABLE)


def test_the_key_is_asked_for_behind_tls_too(pair: Pair, authority: trustme.CA) -> None:
    with (
        InProcess(tls_cert=str(pair.cert), tls_key=str(pair.key), api_key="s3cret") as running,
        channel(running, authority) as secure,
    ):
        refused(lambda: info(secure), Code.UNAUTHENTICATED)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"tls_cert": "missing.pem"}, "--tls-cert: .*missing.pem cannot be read"),
        ({"tls_key": "missing.key"}, "--tls-key: .*missing.key cannot be read"),
        ({"tls_cert": "garbage.pem"}, "--tls-cert, --tls-key: .*garbage.pem"),
        ({"tls_key": "other.test.key"}, "--tls-cert, --tls-key: .*other.test.key"),
        ({"tls_client_ca": "missing.pem"}, "--tls-client-ca: .*missing.pem cannot be read"),
        ({"tls_client_ca": "garbage.pem"}, "--tls-client-ca: .*garbage.pem"),
        ({"tls_client_ca": "empty.pem"}, "--tls-client-ca: .*empty.pem"),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_start_by_name(
    files: dict[str, str], named: str, pair: Pair, folder: Path
) -> None:
    Pair.issued(trustme.CA(), folder, "other.test")
    (folder / "garbage.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
    (folder / "empty.pem").write_text("")
    settings = {"tls_cert": pair.cert.name, "tls_key": pair.key.name, **files}
    flags = [word for key, file in settings.items() for word in (f"--{key.replace('_', '-')}", str(folder / file))]
    with Subprocess(*flags) as running:
        assert running.status() == 1
        running.wait_for(f"cannot start: {named}")


def test_the_door_listens_on_a_socket_as_well(tmp_path: Path, pair: Pair) -> None:
    path = tmp_path / "prism.sock"
    before = os.umask(0o022)
    os.umask(before)
    with InProcess(grpc_socket=str(path), tls_cert=str(pair.cert), tls_key=str(pair.key)) as running:
        assert stat.filemode(path.stat().st_mode) == "srw-------"
        assert os.umask(before) == before
        with grpc.insecure_channel(f"unix:{path}") as local:  # without TLS
            assert info(local).ready
        assert running.http.get("/meta").status_code == 200
    assert not path.exists()


def test_the_key_is_asked_for_on_the_socket_too(tmp_path: Path) -> None:
    path = tmp_path / "prism.sock"
    with InProcess(grpc_socket=str(path), api_key="s3cret"), grpc.insecure_channel(f"unix:{path}") as local:
        refused(lambda: info(local), Code.UNAUTHENTICATED)
        assert health(local, "") == HealthCheckResponse.SERVING


def test_a_socket_that_a_killed_service_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "prism.sock"
    flags = ("--grpc-socket", str(path))
    with Subprocess(*flags) as killed:
        killed.ready().close()
        killed.process.kill()
    assert path.exists()
    with Subprocess(*flags) as running, grpc.insecure_channel(f"unix:{path}") as local:
        running.ready().close()
        assert info(local).ready


def test_a_socket_that_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "prism.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert "another process listens on" in refusal(path)
        assert path.is_socket()


def test_a_socket_whose_queue_is_full_is_left_alone_soon(tmp_path: Path) -> None:
    path = tmp_path / "prism.sock"
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as clients:
        listener.bind(str(path))
        listener.listen(0)
        refusals = 0
        while not refusals:
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            refusals = client.connect_ex(str(path))
        assert is_taken(path)


def test_a_path_that_cannot_be_looked_at_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"--grpc-socket: .*/file/prism.sock cannot be had: "):
        is_taken(tmp_path / "file" / "prism.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "short"))
    long = (tmp_path / "short").rename(tmp_path / ("x" * 120))
    with pytest.raises(OSError, match=r"--grpc-socket: .*xxx cannot be had: "):
        is_taken(long)


def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "prism.sock"
    path.write_text("precious")
    assert "is no socket" in refusal(path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["missing/prism.sock", "x" * 120])
def test_a_socket_that_cannot_be_made_is_named(tmp_path: Path, name: str) -> None:
    assert name in refusal(tmp_path / name)


def refusal(path: Path) -> str:
    """Why the service did not start."""
    with Subprocess("--grpc-socket", str(path)) as running:
        assert running.status() == 1
        return running.wait_for("cannot start: --grpc-socket: .*").group()
