"""Runs a real Weaviate that vectorizes and reranks through a given Prism. For the demo and the tests.

weaviate-client's own embedded mode does nearly this, but gives up after 30 s, cannot send the log to a
file and cannot say why a start failed.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import subprocess
import time
import types
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from weaviate_prism.weaviate.binary import WeaviateError, ensure_binary, finished, last_lines

if TYPE_CHECKING:
    from weaviate import WeaviateClient

LOOPBACK = "127.0.0.1"
START_SECONDS = 90.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.05
PROBE_SECONDS = 5.0
# Below the range from which Linux takes the ports of outgoing connections (32768 and up).
PORT_RANGE = range(20_000, 32_000)
# The variable from which each stock module has Prism's address, or where collections name that, a key to show there.
STOCK_MODULES = {
    "multi2vec-bind": "BIND_INFERENCE_API",
    "multi2vec-clip": "CLIP_INFERENCE_API",
    "text2vec-transformers": "TRANSFORMERS_INFERENCE_API",
    "img2vec-neural": "IMAGE_INFERENCE_API",
    "multi2vec-voyageai": "VOYAGEAI_APIKEY",
    "reranker-transformers": "RERANKER_INFERENCE_API",
    "reranker-cohere": "COHERE_APIKEY",
    "reranker-nvidia": "NVIDIA_APIKEY",
}
# Of those that Weaviate can be told not to wait for: each takes a second, and `start` has asked already.
WAITING = ("CLIP", "TRANSFORMERS", "RERANKER")
# What is sent where no key is asked for: the modules insist on one.
NO_KEY = "none"


class WeaviateServer:
    """One Weaviate process on free ports; starts on entering, stops on leaving.

    Prism must be ready before: the stock modules probe it while Weaviate starts. A server started
    anew on the same data folder, by the same object or another, finds its collections again.

    Args:
        prism_url: where Prism's HTTP doors listen, without a trailing slash.
        data: folder for Weaviate's data; made when missing. Its log is `weaviate.log` in there.
        binary: the server's executable; found, downloaded or built when not given.
        environment: further variables for Weaviate; they win over ours.
    """

    def __init__(
        self,
        prism_url: str,
        data: Path,
        *,
        binary: Path | None = None,
        environment: Mapping[str, str] = types.MappingProxyType({}),
    ) -> None:
        self.data = data
        self.log = data / "weaviate.log"
        ports = free_ports(6)
        self.http_port, self.grpc_port = ports[:2]
        self.url = f"http://{LOOPBACK}:{self.http_port}"
        self.environment = {**service(prism_url), **single_node(ports, data), **environment}
        self._prism_url = prism_url
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The running process."""
        return self._process.pid if self._process else None

    def __enter__(self) -> WeaviateServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when Weaviate answers.

        Raises:
            WeaviateError: Prism is not ready, there is no executable, or Weaviate ended or is not ready
                in time; then with the end of its log.
        """
        if not answers(f"{self._prism_url}/.well-known/ready"):
            raise WeaviateError(f"Prism is not ready at {self._prism_url}; Weaviate would wait for it in vain")
        binary = self._binary or ensure_binary()
        self.data.mkdir(parents=True, exist_ok=True)
        command = [str(binary), "--scheme", "http", "--host", LOOPBACK, "--port", str(self.http_port)]
        # As weaviate-client does: imports of large media take longer than Weaviate's default.
        command += ["--read-timeout=600s", "--write-timeout=600s"]
        with self.log.open("ab") as log:
            # No variable of ours leaks in: Weaviate reads many with common names (LOG_LEVEL, ORIGIN, ...).
            self._process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_until_ready(self._process)
        except BaseException:  # KeyboardInterrupt too
            self.stop()
            raise

    def stop(self) -> None:
        """Ends Weaviate, which first writes its data; does nothing if it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            finished(process, STOP_SECONDS)
        finally:
            process.kill()
            process.wait()

    def client(self) -> WeaviateClient:
        """A connected client; close it or use it as a context manager."""
        import weaviate
        from weaviate.classes.init import AdditionalConfig, Timeout

        return weaviate.connect_to_local(
            host=LOOPBACK,
            port=self.http_port,
            grpc_port=self.grpc_port,
            # Weaviate gives a module 50 s; a client should not give up before.
            additional_config=AdditionalConfig(timeout=Timeout(init=10, query=60, insert=120)),
            skip_init_checks=True,  # they ask the package index for a newer client
        )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        # Ready means here: the database is loaded and there is a Raft leader; gRPC listens before HTTP does.
        while not answers(f"{self.url}/v1/.well-known/ready"):
            if finished(process, POLL_SECONDS):
                raise WeaviateError(f"Weaviate ended with status {process.returncode}:\n{last_lines(self.log, 15)}")
            if time.monotonic() > deadline:
                raise WeaviateError(f"Weaviate not ready after {START_SECONDS:.0f} s:\n{last_lines(self.log, 15)}")


def answers(url: str) -> bool:
    """Whether a GET succeeds, without any proxy."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=PROBE_SECONDS):
            return True
    except (OSError, http.client.HTTPException):
        return False


def service(prism_url: str) -> dict[str, str]:
    """Variables that point Weaviate's stock modules at Prism, whose key, if it has one, is in the URL."""
    key = urllib.parse.unquote(urllib.parse.urlsplit(prism_url).password or NO_KEY)
    return {
        "ENABLE_MODULES": ",".join(STOCK_MODULES),
        **{name: key if name.endswith("_APIKEY") else prism_url for name in STOCK_MODULES.values()},
        **{f"{name}_WAIT_FOR_STARTUP": "false" for name in WAITING},
    }


def native_modules(grpc_address: str) -> dict[str, str]:
    """Variables that point Prism's own modules at its gRPC door, to be added to those of `service`.

    For a server that `native.ensure_native` built; any other starts without these modules and says nothing.

    Args:
        grpc_address: host:port, or unix:///path.
    """
    return {
        "ENABLE_MODULES": ",".join((*STOCK_MODULES, "multi2vec-prism", "reranker-prism")),
        "PRISM_MODULE_ADDRESS": grpc_address,
    }


def single_node(ports: range, data: Path) -> dict[str, str]:
    """Variables of a cluster of one that neither knows the network nor another test's server."""
    _, grpc, gossip, gossip_data, raft, raft_rpc = ports  # Weaviate wants gossip and its data side by side
    return {
        "PERSISTENCE_DATA_PATH": str(data),
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        "GRPC_PORT": str(grpc),
        "CLUSTER_HOSTNAME": "prism",  # part of the data: a new name would not find its own Raft log
        "CLUSTER_IN_LOCALHOST": "true",
        "CLUSTER_ADVERTISE_ADDR": LOOPBACK,
        "CLUSTER_BIND_ADDR": LOOPBACK,
        "CLUSTER_GOSSIP_BIND_PORT": str(gossip),
        "CLUSTER_DATA_BIND_PORT": str(gossip_data),
        "RAFT_PORT": str(raft),
        "RAFT_INTERNAL_RPC_PORT": str(raft_rpc),
        "GO_PROFILING_DISABLE": "true",  # else a port more
        "DISABLE_TELEMETRY": "true",
        "LOG_LEVEL": "info",
        "LOG_FORMAT": "text",
        "RAFT_TIMEOUTS_MULTIPLIER": "1",  # 5 s less to start; the default is for slow networks
    }


def free_ports(count: int) -> range:
    """Consecutive ports on which nothing listens now."""
    while True:
        first = random.choice(PORT_RANGE)
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(first, first + count):
                held.enter_context(socket.create_server((LOOPBACK, port)))
            return range(first, first + count)
