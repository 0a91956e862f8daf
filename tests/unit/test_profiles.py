"""Which profile a name stands for, and that a file with a mistake is refused by file, table and key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from weaviate_prism import cli
from weaviate_prism.config import Settings, SettingsError
from weaviate_prism.errors import InvalidInput, NotFound, Unsupported
from weaviate_prism.profile_file import KEYS, profiles_of
from weaviate_prism.profiles import ModelSpec, Profiles, own_name
from weaviate_prism.values import Fusion, Task

FILM = """
[profiles.film]
embedder = "owner/embedder"
revision = "abc"
instruction = "Represent it."
query_prompt = "Find the film."
dimensions = 64
min_pixels = 1024
max_pixels = 4096
video_frames = 4
fusion = "joint"
dtype = "float32"
preload = false
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "prism.toml"


def read(file: Path, content: str, **settings: Any) -> Profiles:
    file.write_text(content)
    return profiles_of(Settings(config=str(file), **settings))


def names(profiles: Profiles) -> list[str]:
    return [profile.name for profile in profiles]


def test_every_key_of_the_file_is_an_option_of_the_profile(file: Path) -> None:
    (film,) = read(file, FILM)
    assert film.model == ModelSpec("embedder", "owner/embedder", "abc", "float32", 1024, 4096)
    assert (film.dimensions, film.video_frames, film.fusion, film.preload) == (64, 4, Fusion.JOINT, False)
    assert (film.prompt(Task.QUERY), film.prompt(Task.DOCUMENT)) == ("Find the film.", "Represent it.")


def test_what_a_profile_leaves_out_is_as_the_flags_say(file: Path) -> None:
    settings = {"embedder": "owner/embedder", "embedder_revision": "abc", "dtype": "bfloat16", "video_frames": 6}
    _, plain, other = read(
        file, '[profiles.plain]\nembedder = "owner/embedder"\n[profiles.other]\nembedder = "owner/other"\n', **settings
    )
    assert plain.model == ModelSpec("embedder", "owner/embedder", "abc", "bfloat16")
    assert other.model == ModelSpec("embedder", "owner/other", "", "bfloat16")
    assert (plain.video_frames, plain.preload, plain.prompt(Task.QUERY), plain.fusion) == (6, True, "", None)


def test_without_a_file_the_bundled_models_have_profiles_without_options() -> None:
    profiles = profiles_of(Settings())
    assert names(profiles) == ["scenes-embedder", "scenes-reranker"]
    assert profiles.find("", "embedder").model.source == "scenes-embedder"
    assert profiles.find("", "reranker").model.source == "scenes-reranker"


def test_a_file_serves_what_it_names_and_what_flags_name(file: Path) -> None:
    assert names(read(file, FILM)) == ["film"]
    assert names(read(file, FILM, reranker="fake")) == ["fake", "film"]
    with pytest.raises(Unsupported, match="no reranker is loaded"):
        read(file, FILM).find("", "reranker")


SEVERAL = """
[profiles.later]
embedder = "owner/big"
preload = false
[profiles.first]
embedder = "owner/model"
dimensions = 8
[profiles.second]
embedder = "owner/model"
[profiles.judge]
reranker = "owner/judge"
"""


def test_the_default_is_the_flags_else_the_first_that_is_loaded_at_the_start(file: Path) -> None:
    assert read(file, SEVERAL).find("", "embedder").name == "first"
    assert read(file, SEVERAL, embedder="fake").find("", "embedder").name == "fake"
    assert read(file, FILM).find("", "embedder").name == "film"


def test_a_models_own_name_is_the_first_profile_that_uses_it(file: Path) -> None:
    assert read(file, SEVERAL).find("owner/model", "embedder").name == "first"
    with_flag = read(file, SEVERAL, embedder="owner/model")
    assert with_flag.find("owner/model", "embedder").dimensions == 0
    assert with_flag.find("first", "embedder").dimensions == 8


def test_a_models_own_name_is_rather_what_is_loaded_at_the_start(file: Path) -> None:
    half = '[profiles.half]\nembedder = "owner/model"\ndtype = "bfloat16"\npreload = false\n'
    whole = '[profiles.whole]\nembedder = "owner/model"\n'
    assert read(file, half + whole).find("owner/model", "embedder").name == "whole"


def test_models_of_both_kinds_may_have_one_name(file: Path) -> None:
    profiles = read(file, '[profiles.words]\nembedder = "fake"\n', reranker="fake")
    assert [profiles.find("fake", kind).name for kind in ("embedder", "reranker")] == ["words", "fake"]


def test_what_is_named_in_vain_is_refused_with_the_names_there_are(file: Path) -> None:
    profiles = read(file, SEVERAL)
    with pytest.raises(NotFound, match=r"'other'.*'later', 'first', 'second'$"):
        profiles.find("other", "embedder")
    with pytest.raises(InvalidInput, match=r"'first' is no reranker; rerankers are 'judge'$"):
        profiles.find("first", "reranker")
    with pytest.raises(InvalidInput, match=r"'owner/judge' is no embedder"):
        profiles.find("owner/judge", "embedder")
    assert profiles.find("judge").model.kind == "reranker"


def test_profiles_that_differ_only_in_how_they_ask_share_a_model(file: Path) -> None:
    shared = '[profiles.{}]\nembedder = "owner/model"\n'
    ways = ["", 'query_prompt = "q"', "dimensions = 8", "video_frames = 4", 'fusion = "mean"', "preload = false"]
    others = ['revision = "abc"', 'dtype = "bfloat16"', "max_pixels = 4096"]
    content = "".join(shared.format(f"p{number}") + way + "\n" for number, way in enumerate([*ways, *others]))
    profiles = read(file, content)
    assert len({profile.model for profile in list(profiles)[: len(ways)]}) == 1
    assert len(profiles.specs()) == 1 + len(others)
    labels = [profiles.label(spec) for spec in profiles.specs()]
    assert labels == ["owner/model", "owner/model (p6)", "owner/model (p7)", "owner/model (p8)"]


def test_a_directory_is_called_by_its_last_name(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    assert own_name(f"{tmp_path}/my-model/") == "my-model"
    assert [own_name(source) for source in ("fake", "fake:1,0", "owner/model")] == ["fake", "fake", "owner/model"]


def mistakes() -> Iterator[tuple[str, str]]:
    """Contents, and what the message says after the file's name."""
    yield "[profiles.film\n", r": is not TOML: .*line 1"
    yield "[profiles.film]\nembedder = 'a/b'\n[profiles.film]\nembedder = 'a/c'\n", r": is not TOML: .*profiles.*film"
    yield "[profile.film]\nembedder = 'a/b'\n", r": profile: is not known"
    yield "device = 'cpu'\n", r": device: is not known"
    yield "profiles = 3\n", r": profiles: is not known"
    yield "[profiles]\nfilm = 3\n", r": \[profiles.film\]: must be a table"
    yield "", r" has no profiles"
    for name in ("'a b'", "'a/b'", "''", "'-a'", "'ä'", f"'{'a' * 65}'"):
        yield f"[profiles.{name}]\nembedder = 'a/b'\n", r": .*: a name has up to 64 of"
    for name in ("context", "my-Contextual"):
        yield f"[profiles.{name}]\nembedder = 'a/b'\n", rf": \[profiles.{name}\]: a name may not contain `context`"
    yield (
        "[profiles.fake]\nembedder = 'a/b'\n[profiles.x]\nreranker = 'fake'\n",
        r": \[profiles.fake\]: .*\[profiles.x\]",
    )
    film = r": \[profiles.film\]"
    yield "[profiles.film]\ndimensions = 3\n", film + r": must have exactly one of embedder and reranker"
    yield "[profiles.film]\nembedder = 'a/b'\nreranker = 'a/b'\n", film + r": must have exactly one of"
    for key in ("query_prompt = 'x'", "document_prompt = 'x'", "dimensions = 3", "fusion = 'mean'"):
        yield f"[profiles.film]\nreranker = 'a/b'\n{key}\n", film + rf" {key.split()[0]}: is for embedders only"
    for key, value, what in (
        ("dimension", "3", f"is not known; a profile may have {', '.join(KEYS)}"),
        ("embedder", "3", "must be text, not 3"),
        ("revision", "''", "must be text of length >= 1, not ''"),
        ("instruction", "''", "must be text of length >= 1, not ''"),
        ("query_prompt", f"'{'x' * 2001}'", "must be text of length <= 2000"),
        ("dimensions", "0", "must be a whole number >= 1, not 0"),
        ("dimensions", "3.5", "must be a whole number, not 3.5"),
        ("dimensions", "'3'", "must be a whole number, not '3'"),
        ("min_pixels", "-1", "must be a whole number >= 1, not -1"),
        ("max_pixels", "true", "must be a whole number, not True"),
        ("video_frames", "7", "must be a whole number that's a multiple of 2, not 7"),
        ("fusion", "'best'", "must be one of joint, mean, not 'best'"),
        ("dtype", "'float16'", "must be one of auto, float32, bfloat16, not 'float16'"),
        ("attention", "'fast'", "must be one of eager, sdpa, flash_attention_2, not 'fast'"),
        ("preload", "'no'", "must be true or false, not 'no'"),
    ):
        model = "" if key == "embedder" else "embedder = 'a/b'\n"
        yield f"[profiles.film]\n{model}{key} = {value}\n", rf"{film} {key}: {what}"
    yield (
        "[profiles.film]\nembedder = 'a/b'\nmin_pixels = 3\nmax_pixels = 2\n",
        film + r" min_pixels: 3 are more than max_pixels, 2",
    )


@pytest.mark.parametrize(("content", "said"), list(mistakes()))
def test_a_mistake_is_named_with_file_table_and_key(file: Path, content: str, said: str) -> None:
    with pytest.raises(SettingsError, match=rf"prism\.toml{said}"):
        read(file, content)


def test_a_profile_may_not_be_called_as_the_model_of_a_flag(file: Path) -> None:
    content = '[profiles.fake]\nembedder = "owner/model"\n'
    assert names(read(file, content)) == ["fake"]
    with pytest.raises(SettingsError, match=r"\[profiles.fake\]: is what the model of --reranker is called"):
        read(file, content, reranker="fake:1,0")


def test_the_revision_of_a_flag_that_names_no_model_is_refused(file: Path) -> None:
    with pytest.raises(SettingsError, match="--embedder-revision needs --embedder"):
        read(file, FILM, embedder_revision="abc")


def test_a_file_that_is_not_there_ends_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--config", str(tmp_path / "none.toml")]) == 2
    assert "none.toml cannot be read: No such file" in capsys.readouterr().err
