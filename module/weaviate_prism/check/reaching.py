"""How both services are reached, and the error where one is not."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

HEALTH_SECONDS = 10.0
# Pictures and clips go to Prism as they are.
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class CheckError(RuntimeError):
    """There is nothing to report on: a service does not answer; the message names it and its flag or variable."""


def channel(address: str, tls: bool) -> grpc.Channel:
    """With TLS, by the authorities of the variable GRPC_DEFAULT_SSL_ROOTS_FILE_PATH where it is set."""
    if tls:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(), UNLIMITED)
    return grpc.insecure_channel(address, UNLIMITED)


def answers(address: str, tls: bool) -> bool:
    """Whether a gRPC server is there, of whatever opinion about its health and our key."""
    with channel(address, tls) as opened:
        try:
            check = health_pb2_grpc.HealthStub(opened).Check  # type: ignore[attr-defined] # unknown to its stubs
            check(health_pb2.HealthCheckRequest(), timeout=HEALTH_SECONDS)
        except grpc.RpcError as error:
            return error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    return True
