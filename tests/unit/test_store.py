"""Media on disk: found again by Weaviate's digest, within their bound, whatever ends the process that wrote them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.running import WAIT
from weaviate_prism.errors import Unsupported
from weaviate_prism.metrics import Metrics
from weaviate_prism.store import MediaStore, StoreError, digest_of

BLOCK = 4096
PLENTY = 10**9


@contextmanager
def opened(folder: Path, max_bytes: int = PLENTY, metrics: Metrics | None = None) -> Iterator[MediaStore]:
    """All that was to be written is, afterwards."""
    store = MediaStore(str(folder), max_bytes, metrics or Metrics())
    store.open()
    try:
        yield store
    finally:
        store.close()


def filled(folder: Path, *media: bytes, max_bytes: int = PLENTY, metrics: Metrics | None = None) -> None:
    with opened(folder, max_bytes, metrics) as store:
        for data in media:
            store.keep(data)


def held(folder: Path, *media: bytes) -> list[bool]:
    """Which of them an untouched store still has."""
    with opened(folder) as store:
        return [bool(store.size(digest_of(data))) for data in media]


def files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("??/*") if path.is_file()]


def sample(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"prism_media_store_{name}", labels) or 0.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.mark.parametrize("size", [1, 2, 3, 100_000])
def test_media_are_found_by_the_digest_of_their_base64_after_a_restart(folder: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    weaviates = hashlib.sha256(base64.b64encode(data)).hexdigest()
    filled(folder, data)
    with opened(folder) as store:
        assert store.size(weaviates) == size
        assert store.read(weaviates) == data


def test_equal_media_are_stored_once(folder: Path) -> None:
    metrics = Metrics()
    filled(folder, b"a", b"a", b"b", metrics=metrics)
    assert len(files(folder)) == sample(metrics, "items") == 2


def test_the_least_recently_used_make_room(folder: Path) -> None:
    metrics = Metrics()
    with opened(folder, 3 * BLOCK, metrics) as store:
        for data in (b"a", b"b", b"c"):
            store.keep(data)
        store._writer.submit(str).result()
        store.read(digest_of(b"a"))
        store.keep(b"b")  # it came in again
        store.keep(b"d")
    assert held(folder, b"a", b"b", b"c", b"d") == [True, True, False, True]
    assert len(files(folder)) == sample(metrics, "items") == 3
    assert sample(metrics, "bytes") == 3 * BLOCK
    assert sample(metrics, "evictions_total") == 1


def test_what_was_used_last_is_known_after_a_restart_and_a_lower_bound_holds_at_once(folder: Path) -> None:
    filled(folder, b"a", b"b", b"c")
    for age, data in enumerate((b"b", b"a", b"c")):
        os.utime(folder / digest_of(data)[:2] / digest_of(data), (1000 - age, 1000 - age))
    with opened(folder) as store:
        store.read(digest_of(b"c"))
    filled(folder, max_bytes=2 * BLOCK)
    assert held(folder, b"a", b"b", b"c") == [False, True, True]


def test_what_is_larger_than_the_store_is_counted_and_not_kept(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    filled(folder, b"a", bytes(BLOCK + 1), max_bytes=BLOCK, metrics=metrics)
    assert held(folder, b"a") == [True]
    assert sample(metrics, "failures_total", reason="size") == 1
    assert "4097 bytes are over media_store_bytes" in caplog.text


def test_only_the_owner_may_read_it(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    filled(folder, b"a")
    paths = [folder, *folder.rglob("*")]
    assert len(paths) == 4  # with the lock, a prefix and a file
    for path in paths:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_a_string_that_is_no_stored_digest_is_never_a_file_name(folder: Path) -> None:
    filled(folder, b"a")
    (folder / "00").mkdir(exist_ok=True)
    (folder / "00" / "secret").write_text("secret")
    with opened(folder) as store:
        for name in ("secret", "/etc/passwd", "../../etc/passwd", "", "0" * 64):
            with pytest.raises(Unsupported, match="no media are stored under it"):
                store.read(name)


def test_without_a_folder_nothing_is_kept() -> None:
    store = MediaStore("", PLENTY, Metrics())
    store.open()
    store.keep(b"a")
    with pytest.raises(Unsupported, match="setting `media_store`"):
        store.read(digest_of(b"a"))
    store.close()


# -- what may go wrong ---------------------------------------------------------------------------

SIZE = 50_000_000  # takes some 30 ms to write
WRITER = f"""
import os, sys
from weaviate_prism.metrics import Metrics
from weaviate_prism.store import MediaStore, digest_of
store = MediaStore(sys.argv[1], 10**10, Metrics())
store.open()
while True:
    data = os.urandom(16).ljust({SIZE})
    store.keep(data)
    store._writer.submit(str).result()
    print(digest_of(data), flush=True)
"""


def wait_for_half_a_file(folder: Path) -> None:
    """Without sleeping: it is there for 30 ms."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError):
            if any(path.is_file() and 0 < path.stat().st_size < SIZE for path in folder.rglob("*")):
                return


@pytest.mark.parametrize("half_written", [False, True])
@pytest.mark.parametrize("attempt", range(4))
def test_a_writer_that_is_killed_loses_nothing_but_what_it_was_writing(
    folder: Path, half_written: bool, attempt: int
) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout
        written = {process.stdout.readline().strip()}
        if half_written:
            wait_for_half_a_file(folder)
        else:
            time.sleep(random.uniform(0, 0.3))  # any moment is to be tried; none is waited for
        process.kill()
        written |= {line.strip() for line in process.stdout if line.endswith("\n")}  # the last one may be cut
    with opened(folder) as store:
        found = {path.name for path in files(folder)}
        assert written <= found
        assert len(found) <= len(written) + 1  # which was written and not told
        assert all(digest_of(store.read(digest)) == digest for digest in found)
    assert not (folder / "incoming").exists()
    shutil.rmtree(folder)


@pytest.mark.parametrize("damaged", [b"", b"b", b"a lot more"])
def test_damaged_media_are_dropped(folder: Path, damaged: bytes) -> None:
    """As after a power cut."""
    filled(folder, b"a", b"c")
    (folder / digest_of(b"a")[:2] / digest_of(b"a")).write_bytes(damaged)
    metrics = Metrics()
    with opened(folder, metrics=metrics) as store:
        with pytest.raises(Unsupported):
            store.read(digest_of(b"a"))
        assert store.read(digest_of(b"c")) == b"c"
        assert sample(metrics, "items") == 1
        store.keep(b"a")
    with opened(folder) as store:
        assert store.read(digest_of(b"a")) == b"a"


def test_media_that_somebody_removed_are_gone(folder: Path) -> None:
    filled(folder, b"a")
    with opened(folder) as store:
        (folder / digest_of(b"a")[:2] / digest_of(b"a")).unlink()
        with pytest.raises(Unsupported):
            store.read(digest_of(b"a"))
        assert not store.size(digest_of(b"a"))


def test_a_full_disk_is_a_warning_and_a_counter(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A limit on the size of files stands for it: a write fails halfway."""
    metrics = Metrics()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(folder, metrics=metrics) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            for number in range(3):
                store.keep(bytes([number]) * 100_000)
            store._writer.submit(str).result()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert sample(metrics, "failures_total", reason="disk") == 3
        assert [each.getMessage() for each in caplog.records] == [
            "media are not kept: [Errno 27] File too large (prism_media_store_failures counts further ones)"
        ]
        assert not files(folder)
        assert not (folder / "incoming").exists()
        store.keep(b"a")
    assert held(folder, b"a") == [True]


def test_a_disk_that_is_slower_than_the_import_does_not_hold_it_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("weaviate_prism.store.MOST_UNWRITTEN_BYTES", 10)
    metrics = Metrics()
    with opened(folder, metrics=metrics) as store:
        free = threading.Event()
        store._writer.submit(free.wait)
        for data in (b"12345", b"67890", b"a"):
            store.keep(data)
        assert sample(metrics, "failures_total", reason="queue") == 1
        assert "the disk is slower than the import" in caplog.text
        free.set()
        store._writer.submit(str).result()
        store.keep(b"b")
    assert held(folder, b"12345", b"67890", b"a", b"b") == [True, True, False, True]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("missing/media", "No such file or directory"),
        ("file", "File exists"),
        ("foreign", "is no media store, and not empty: it holds 'notes.txt'"),
    ],
)
def test_a_wrong_directory_is_named(tmp_path: Path, wrong: str, message: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "foreign").mkdir(mode=0o755)
    (tmp_path / "foreign" / "notes.txt").touch()
    store = MediaStore(str(tmp_path / wrong), PLENTY, Metrics())
    with pytest.raises(StoreError, match=f"{wrong}: {message}"):
        store.open()
    store.close()
    assert (tmp_path / "foreign").stat().st_mode & 0o777 == 0o755


def test_a_directory_has_one_user_at_a_time(folder: Path) -> None:
    with opened(folder):
        second = MediaStore(str(folder), PLENTY, Metrics())
        with pytest.raises(StoreError, match="is used by another process"):
            second.open()
        second.close()
    filled(folder, b"a")
