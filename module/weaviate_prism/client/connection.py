"""Where the service is, and how it is spoken to: TLS, the key, what gRPC is told."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import grpc

from weaviate_prism.client.failures import Attempts


@dataclass(frozen=True, slots=True)
class TLS:
    """PEM files for an encrypted connection.

    Args:
        ca: the authorities whose certificate the service may show; those that gRPC brings along, if None.
        cert: a certificate to show to the service, with its key in `key`.
        server_name: what the service's certificate is of, where that is not the address's host.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str = ""

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together, only one is set")


@dataclass(frozen=True, slots=True)
class Connection:
    """See `PrismClient`.

    Raises:
        ValueError: names the argument that is wrong.
    """

    address: str
    api_key: str = field(repr=False)
    tls: TLS | Literal[False] | None
    timeout: float

    def __post_init__(self) -> None:
        if not re.fullmatch(r"unix:///.+|(?!unix:)[^/]+:\d{1,5}", self.address):
            raise ValueError(f"address: want host:port or unix:///path, not {self.address!r}")
        if not re.fullmatch("[!-~]*", self.api_key):  # what fits into a header; not shown, it is a secret
            raise ValueError("api_key: must be printable ASCII without spaces or line ends")
        if self.api_key and self.tls is None and not self._is_local():
            raise ValueError(
                "api_key: would cross the network in the clear; set tls=TLS(...), "
                f"or tls=False if the way to {self.address} is safe"
            )
        if not self.timeout > 0:
            raise ValueError(f"timeout: must be above 0 seconds, not {self.timeout!r}")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Sent with every call."""
        return (("authorization", f"Bearer {self.api_key}"),) if self.api_key else ()

    def credentials(self) -> grpc.ChannelCredentials | None:
        """None for a connection without TLS.

        Raises:
            OSError: a file cannot be read.
        """
        if not self.tls:
            return None
        files = (self.tls.ca, self.tls.key, self.tls.cert)
        ca, key, cert = (path.read_bytes() if path else None for path in files)
        return grpc.ssl_channel_credentials(ca, key, cert)

    def options(self) -> list[tuple[str, int | str]]:
        """Of the channel."""
        options: list[tuple[str, int | str]] = [
            ("grpc.max_send_message_length", -1),  # the service has the limit
            ("grpc.max_receive_message_length", -1),
            ("grpc.service_config_disable_resolution", 1),  # a DNS record of the host's could change retries
            # finds out within 40 s that the service vanished without a word
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # a service that restarts is found within 2 s instead of gRPC's 2 minutes
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 2_000),
            ("grpc.max_reconnect_backoff_ms", 2_000),
        ]
        if self.tls and self.tls.server_name:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options

    def attempts(self) -> Attempts:
        """Of one call, from now on."""
        return Attempts(self.address, self.timeout)

    def _is_local(self) -> bool:
        """Whether what is sent to the address stays on this machine."""
        host = self.address.rpartition(":")[0].strip("[]")
        try:
            return self.address.startswith("unix:") or host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False
