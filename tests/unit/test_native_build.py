"""build.sh with a real Go on a miniature Weaviate: what it changes, and what it refuses to build."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from weaviate_prism.weaviate.binary import VERSION
from weaviate_prism.weaviate.native import sources
from workshop import WEAVIATE, Workshop

REST = "adapters/handlers/rest/configure_api.go"
VALIDATION = "usecases/objects/validation/properties_validation.go"
OLDER = "1.38.11"
FAST = "--fast-blob-check"


def told(executable: Path, *blobs: str) -> list[str]:
    return subprocess.run((executable, *blobs), capture_output=True, text=True, check=True).stdout.splitlines()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_prisms_modules_are_registered_after_the_stock_ones(workshop: Workshop) -> None:
    assert told(workshop.built()) == ["stock modules", "Prism's modules of multi2vec-prism"]


def test_fast_blob_check_takes_the_place_of_the_expression(workshop: Workshop) -> None:
    blobs = ["", "abcd", "abc=", "abc", "ab=c"]
    verdicts = told(workshop.built(), *blobs)
    assert b"blobcheck" not in workshop.output.read_bytes()
    assert told(workshop.built(FAST), *blobs) == verdicts
    assert b"prism.local/weaviate/blobcheck" in workshop.output.read_bytes()


def test_nothing_but_the_output_is_written(workshop: Workshop) -> None:
    before = contents(workshop.module)
    weaviate = contents(workshop.modules / f"{WEAVIATE}@v{VERSION}")
    for path in workshop.module.rglob("*"):
        path.chmod(path.stat().st_mode & ~0o222)
    workshop.module.chmod(0o555)
    workshop.built(FAST)
    assert contents(workshop.module) == before
    assert contents(workshop.modules / f"{WEAVIATE}@v{VERSION}") == weaviate


def test_output_may_be_named_from_the_current_folder(workshop: Workshop) -> None:
    with workshop.start("here") as build:
        build.communicate()
    assert told(workshop.scratch.parent / "here")


def test_builds_at_the_same_time_do_not_disturb_each_other(workshop: Workshop) -> None:
    outputs = {name: workshop.scratch.parent / name for name in ("one", "two")}
    with workshop.start(str(outputs["one"])) as one, workshop.start(str(outputs["two"]), FAST) as two:
        one.communicate()
        two.communicate()
    assert all(told(output) for output in outputs.values())
    assert b"blobcheck" not in outputs["one"].read_bytes()
    assert b"blobcheck" in outputs["two"].read_bytes()


def test_another_release_is_built_where_it_is_named(workshop: Workshop) -> None:
    workshop.release(OLDER, REST, '"stock modules"', '"older modules"')
    pinned = (workshop.module / "go.mod").read_text(), (workshop.module / "go.sum").read_text()
    assert told(workshop.built(WEAVIATE_VERSION=OLDER))[0] == "older modules"
    assert pinned == ((workshop.module / "go.mod").read_text(), (workshop.module / "go.sum").read_text())


REGISTER = "err := registerModules(appState); err != nil"
EXPRESSION = "base64Regex := regexp.MustCompile("
MATCH = "base64Regex.MatchString(typed)"


@pytest.mark.parametrize(
    ("file", "anchor", "new", "count", "arguments"),
    [
        (REST, REGISTER, "err := registerModules(appState, nil); err != nil", 0, []),
        (REST, REGISTER, f"{REGISTER} {{}}; if {REGISTER}", 2, []),
        (REST, REGISTER, f"{REGISTER} {{\n}}\nif {REGISTER}", 2, []),
        (VALIDATION, '"regexp"', '"github.com/other/regexp"', 0, [FAST]),
        (VALIDATION, EXPRESSION, f"{EXPRESSION}`[a-z]` + ", 0, [FAST]),
        (VALIDATION, "{3}=", "{3}=?", 0, [FAST]),
        (VALIDATION, MATCH, f"{MATCH} && {MATCH}", 2, [FAST]),
    ],
)
def test_changed_upstream_stops_the_build_by_name(
    file: str, anchor: str, new: str, count: int, arguments: list[str], tmp_path: Path
) -> None:
    workshop = Workshop(tmp_path)
    workshop.release(VERSION, file, anchor, new)
    workshop.pin()
    said = workshop.refused(*arguments)
    assert f"{file} of Weaviate v{VERSION}: expected once, found {count} times: " in said


def test_missing_file_stops_the_build_by_name(workshop: Workshop) -> None:
    release = workshop.modules / "cache" / "download" / WEAVIATE / "@v" / f"v{OLDER}.zip"
    workshop.release(OLDER)
    published = workshop.scratch.parent / "proxy" / release.relative_to(workshop.modules / "cache" / "download")
    with zipfile.ZipFile(published) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if not name.endswith(VALIDATION)}
    with zipfile.ZipFile(published, "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)
    assert f"{VALIDATION} of Weaviate v{OLDER}: there is no such file" in workshop.refused(FAST, WEAVIATE_VERSION=OLDER)


def test_release_that_go_sum_does_not_pin_is_refused(workshop: Workshop) -> None:
    sums = workshop.module / "go.sum"
    sums.write_text(re.sub(r"h1:....", "h1:AAAA", sums.read_text(), count=1))
    assert "checksum mismatch" in workshop.refused()


def test_release_without_an_entry_in_go_sum_is_refused(workshop: Workshop) -> None:
    (workshop.module / "go.sum").write_text("")
    assert "missing go.sum entry" in workshop.refused()


def test_changed_module_cache_is_refused(workshop: Workshop) -> None:
    changed = workshop.modules / f"{WEAVIATE}@v{VERSION}" / "entities" / "models" / "models.go"
    changed.write_text(f"{changed.read_text()}\n// changed\n")
    assert "is not what go.sum pins" in workshop.refused()


@pytest.mark.parametrize("arguments", [[], [""], [FAST], ["a", "b"], ["a", FAST, FAST]])
def test_wrong_arguments_get_the_usage(arguments: list[str], workshop: Workshop) -> None:
    with workshop.start(*arguments) as build:
        _, said = build.communicate()
    assert build.returncode != 0
    assert "usage: build.sh OUTPUT" in said


def test_interrupted_build_leaves_nothing(workshop: Workshop, tmp_path: Path) -> None:
    with workshop.start(str(workshop.output)) as build:
        assert build.stderr
        assert "compiling" in build.stderr.readline()
        build.terminate()
        build.communicate()
    assert build.returncode == 130
    assert not list(workshop.scratch.iterdir())


def test_go_pins_the_release_that_python_names() -> None:
    named = re.findall(rf"{WEAVIATE} v(\S+)", (sources() / "go.mod").read_text())
    assert named == [VERSION]


def test_go_builds_with_the_module_cache_alone() -> None:
    """A `replace` would take Weaviate out of go.sum."""
    assert "replace" not in (sources() / "go.mod").read_text()
