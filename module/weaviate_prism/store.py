"""Media that the service has seen, on disk, by the digest that Weaviate keeps of them in a blobHash property.

    DIR/lock           held by the process that uses the directory
    DIR/incoming       what is being written
    DIR/9f/9f86d0...   media, by the SHA-256 of their standard padded base64; what kind they are, their bytes tell

A file gets its digest for a name once it is whole, so a process that is killed leaves no half of one there. Where
the files alone are not enough, after a power cut, the digest tells when one is read: nothing is synced. One thread
writes and removes; files are read on any. Knows nothing of requests.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pybase64

from weaviate_prism.errors import Unsupported
from weaviate_prism.metrics import Metrics

log = logging.getLogger(__name__)

DIGEST = re.compile(r"[0-9a-f]{64}")
PREFIX = re.compile(r"[0-9a-f]{2}")
LOCK, INCOMING = "lock", "incoming"
# What a directory may hold besides, to be taken for a store; the last one is every ext4 volume's own.
OWN_NAMES = (LOCK, INCOMING, "lost+found")

BLOCK_BYTES = 4096
# An import is not slowed by the disk: with so much to be written, more is not kept. 2 s at 128 MB/s.
MOST_UNWRITTEN_BYTES = 256 * 1024 * 1024
# One line for all failures of so long: an import may have a million of them.
SILENT_SECONDS = 60.0


class StoreError(RuntimeError):
    """The directory cannot be used; the message says which and why."""


class MediaStore:
    """Bounded by the disk space that it takes; the least recently used media make room. Thread-safe.

    Without a folder, or before `open`, it is empty and keeps nothing.
    """

    def __init__(self, folder: str, max_bytes: int, metrics: Metrics) -> None:
        self._folder = Path(folder)
        self._is_on = bool(folder)
        self._is_open = False
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._guard = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()  # least recently used first
        self._bytes = 0
        self._writer = ThreadPoolExecutor(1, "prism-media-store")  # at exit, Python waits for what it has to write
        self._unwritten = 0
        self._silent_until = 0.0
        self._locked = -1

    # -- life ---------------------------------------------------------------------------------

    def open(self) -> None:
        """Takes the directory, which is made where its parent exists, and finds what an earlier process left in it.

        Raises:
            StoreError: it cannot be written to, holds something else, or is used by another process.
        """
        if not self._is_on:
            return
        try:
            self._take_folder()
            found = sorted(self._files())
        except OSError as error:
            raise StoreError(f"{self._folder}: {error.strerror}") from None
        with self._guard:
            for _, digest, size in found:
                self._add(digest, size)
        self._is_open = True
        self._writer.submit(self._make_room)

    def close(self) -> None:
        """Writes what is to be written, and leaves the directory to others."""
        self._is_open = False
        self._writer.shutdown()
        if self._locked >= 0:
            os.close(self._locked)
            self._locked = -1

    # -- use ----------------------------------------------------------------------------------

    def size(self, digest: str) -> int:
        """Bytes of the media under this digest; 0 if there are none."""
        with self._guard:
            return self._sizes.get(digest, 0)

    def read(self, digest: str) -> bytes:
        """The media under this digest. Only a digest that the store has itself written becomes a file name.

        Raises:
            Unsupported: there are none.
        """
        data = self._read(digest) if self.size(digest) else None
        if data is None:
            why = "no media are stored under it" if self._is_on else "no media are stored here (setting `media_store`)"
            raise Unsupported(f"digest: {why}: send them again")
        return data

    def keep(self, data: bytes) -> None:
        """Has media written soon, by a thread of the store's own; what cannot be kept is counted."""
        if not self._is_open:
            return
        if _space(len(data)) > self._max_bytes:
            self._lost("size", f"{len(data)} bytes are over media_store_bytes")
            return
        with self._guard:
            room = self._unwritten + len(data) <= MOST_UNWRITTEN_BYTES
            self._unwritten += len(data) if room else 0
        if room:
            self._writer.submit(self._write, data)
        else:
            self._lost("queue", "the disk is slower than the import")

    # -- on the writer's thread ---------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        try:
            digest = digest_of(data)
            if self.size(digest):
                self._used(digest)
                return
            self._save(self._path(digest), data)
            with self._guard:
                self._add(digest, len(data))
            self._make_room()
        except Exception as error:  # of a thread whose errors nobody else would see
            self._lost("disk", str(error))
        finally:
            with self._guard:
                self._unwritten -= len(data)

    def _save(self, path: Path, data: bytes) -> None:
        incoming = self._folder / INCOMING
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with open(incoming, "wb", opener=_private) as file:
                file.write(data)
            incoming.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                incoming.unlink()  # the space that it takes may be what is missing
            raise

    def _make_room(self) -> None:
        for digest in self._too_much():
            try:
                self._path(digest).unlink(missing_ok=True)
            except OSError as error:
                log.warning("stored media cannot be removed: %s", error)
            self._metrics.media_store_evictions.inc()

    # -- inside -------------------------------------------------------------------------------

    def _take_folder(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for path in self._folder.iterdir():
            if path.name not in OWN_NAMES and not PREFIX.fullmatch(path.name):
                raise StoreError(f"{self._folder}: is no media store, and not empty: it holds {path.name!r}")
        self._folder.chmod(0o700)
        self._locked = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{self._folder}: is used by another process") from None
        incoming = self._folder / INCOMING
        incoming.touch(0o600)  # fails where nothing can be written
        incoming.unlink()

    def _files(self) -> Iterator[tuple[int, str, int]]:
        """When each was last used, its digest and its size."""
        for prefix in self._folder.iterdir():
            if PREFIX.fullmatch(prefix.name):
                for entry in os.scandir(prefix):
                    if DIGEST.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                        about = entry.stat(follow_symlinks=False)
                        if about.st_size:  # a power cut may leave empty ones
                            yield about.st_mtime_ns, entry.name, about.st_size

    def _read(self, digest: str) -> bytes | None:
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # removed since
            self._forget(digest)
            return None
        except OSError as error:
            log.warning("stored media cannot be read: %s", error)
            return None
        if digest_of(data) != digest:
            log.warning("the stored media %s are damaged, and dropped", digest)
            self._forget(digest)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        self._used(digest)
        return data

    def _used(self, digest: str) -> None:
        with self._guard:
            if digest in self._sizes:
                self._sizes.move_to_end(digest)
        with contextlib.suppress(OSError):  # only the order after a restart depends on it
            os.utime(self._path(digest))

    def _add(self, digest: str, size: int) -> None:
        self._sizes[digest] = size
        self._bytes += _space(size)
        self._tell()

    def _forget(self, digest: str) -> None:
        with self._guard:
            self._bytes -= _space(self._sizes.pop(digest, 0))
            self._tell()

    def _too_much(self) -> list[str]:
        """Forgets the least recently used until the rest fits; which ones those are."""
        gone = []
        with self._guard:
            while self._bytes > self._max_bytes:
                digest, size = self._sizes.popitem(last=False)
                self._bytes -= _space(size)
                gone.append(digest)
            self._tell()
        return gone

    def _tell(self) -> None:
        self._metrics.media_store_bytes.set(self._bytes)
        self._metrics.media_store_items.set(len(self._sizes))

    def _lost(self, reason: str, why: str) -> None:
        self._metrics.media_store_failures.labels(reason).inc()
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + SILENT_SECONDS
            log.warning("media are not kept: %s (prism_media_store_failures counts further ones)", why)

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest


def digest_of(data: bytes) -> str:
    """What Weaviate keeps of media that it gets in standard base64."""
    return hashlib.sha256(pybase64.b64encode(data)).hexdigest()


def _space(size: int) -> int:
    """Bytes that a file takes on disk."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
