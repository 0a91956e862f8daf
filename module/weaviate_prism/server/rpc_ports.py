"""What the gRPC server listens on: a port, with TLS or without, and a unix socket.

Errors name the setting, and the file or address that is wrong: gRPC itself tells neither.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio

from weaviate_prism.config import Settings

# Only the same user (and root) may connect: what a socket's mode allows is all that protects it besides the key.
SOCKET_UMASK = 0o177
PROBE_SECONDS = 1.0


def open_port(server: grpc.aio.Server, host: str, port: int, settings: Settings) -> int:
    """Listens on the port, with TLS if the settings name a certificate; returns its number.

    Raises:
        OSError: the address cannot be had, or a file of `tls_*` cannot be used.
    """
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    credentials = server_credentials(settings)
    try:
        try_out(host, port)
        if credentials:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except RuntimeError:  # its text tells no more
        raise OSError(f"the gRPC port {port} on {host} cannot be had; is it taken?") from None
    except OSError as error:
        raise OSError(f"the gRPC port {port} on {host} cannot be had; is it taken? ({error.strerror})") from None


def try_out(host: str, port: int) -> None:
    """Binds and lets go again: where gRPC cannot bind, it writes half a page of its own into the log.

    Raises:
        OSError: the address cannot be had.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def open_socket(server: grpc.aio.Server, path: Path) -> None:
    """Listens on a unix socket; takes the place of one that nobody listens on any more.

    Raises:
        OSError: something else is there, somebody listens on it, or the path cannot be had.
    """
    if is_taken(path):  # gRPC would take it over without a word
        raise OSError(f"--grpc-socket: another process listens on {path}")
    try:
        with umask(SOCKET_UMASK):
            server.add_insecure_port(f"unix:{path}")
    except RuntimeError:
        raise OSError(f"--grpc-socket: {path} cannot be had; does its folder exist, is the path too long?") from None


def is_taken(path: Path) -> bool:
    """Whether somebody listens on the socket; also where it does not take the connection at once.

    Raises:
        OSError: something else is there, or cannot be looked at.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            if not stat.S_ISSOCK(path.stat().st_mode):
                raise OSError(errno.EEXIST, "it exists and is no socket")
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except (TimeoutError, BlockingIOError):  # its queue of connections is full
            return True
        except OSError as error:
            raise OSError(f"--grpc-socket: {path} cannot be had: {error.strerror or error}") from None
    return True


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """What the `tls_*` settings name, tried out; None without a certificate.

    Raises:
        OSError: names the setting and the file.
    """
    if not settings.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = (contents("tls_key", settings.tls_key), contents("tls_cert", settings.tls_cert))
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: b"")
    except ssl.SSLError as error:
        files = f"{settings.tls_cert} and {settings.tls_key}"
        raise OSError(
            f"--tls-cert, --tls-key: {files} are no certificate and its key in PEM ({error.reason})"
        ) from None
    authorities = contents("tls_client_ca", settings.tls_client_ca) if settings.tls_client_ca else None
    if authorities is not None:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except ssl.SSLError as error:
            file = settings.tls_client_ca
            raise OSError(f"--tls-client-ca: {file} holds no certificate in PEM ({error.reason})") from None
    return grpc.ssl_server_credentials([pair], authorities, require_client_auth=authorities is not None)


def contents(setting: str, file: str) -> bytes:
    """
    Raises:
        OSError: names the setting and the file.
    """
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise OSError(f"--{setting.replace('_', '-')}: {file} cannot be read ({error.strerror})") from None


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    """Files that are made inside get no more rights than the mask leaves. It is the whole process's."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
