"""One field, one flag, one variable, one sentence; strict."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from weaviate_prism import config
from weaviate_prism.config import Settings, SettingsError


def test_defaults_need_nothing() -> None:
    assert config.parse_command([], {}) == Settings()


def test_a_flag_wins_over_its_variable() -> None:
    environ = {"PRISM_HTTP_PORT": "1", "PRISM_EMBEDDER": "fake"}
    settings = config.parse_command(["--http-port", "2"], environ)
    assert (settings.http_port, settings.embedder) == (2, "fake")


def test_every_setting_is_a_flag_and_a_variable() -> None:
    values = {"int": "4", "float": "1.5", "bool": "true", "str": "x"}
    for field in dataclasses.fields(Settings):
        kind = config.kind_of(field.name).lower()
        tls = {"PRISM_TLS_CERT": "x", "PRISM_TLS_KEY": "x"} if field.name.startswith("tls_") else {}
        text = kind.split("|")[-1] if "|" in kind else values.get(kind, f"a@{40 * '1'},b@{40 * '2'}")
        by_flag = config.parse_command([config.flag_of(field.name), text], tls)
        assert by_flag == config.parse_command([], {**tls, config.env_of(field.name): text})
        assert config.show(getattr(by_flag, field.name)) == text


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("PRISM_HTTP_PORT", "80.5"),
        ("PRISM_HTTP_PORT", "-1"),
        ("PRISM_HTTP_PORT", "65536"),
        ("PRISM_GRPC_PORT", "65536"),
        ("PRISM_REQUEST_TIMEOUT", "nan"),
        ("PRISM_REQUEST_TIMEOUT", "inf"),
        ("PRISM_REQUEST_TIMEOUT", "0"),
        ("PRISM_RERANK_LOGITS", "yes"),
        ("PRISM_DEVICE", "CUDA"),
        ("PRISM_DTYPE", "float16"),
    ],
)
def test_a_malformed_variable_is_named_with_its_value(key: str, text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        config.parse_command([], {key: text})
    assert key in str(raised.value)
    assert repr(text) in str(raised.value)


def test_an_empty_variable_is_as_good_as_none() -> None:
    """Compose files write such."""
    assert (
        config.parse_command([], {config.env_of(field.name): "" for field in dataclasses.fields(Settings)})
        == Settings()
    )


@pytest.mark.parametrize(("flag", "expected"), [("--rerank-logits", True), ("--rerank-logits=false", False)])
def test_the_flag_of_a_boolean_may_stand_alone(flag: str, expected: bool) -> None:
    settings = config.parse_command([flag, "--device", "cpu"], {"PRISM_RERANK_LOGITS": str(not expected).lower()})
    assert settings.rerank_logits is expected


def test_unknown_variables_are_one_warning_each(caplog: pytest.LogCaptureFixture) -> None:
    """Kubernetes injects such names for a service called prism; the Go modules have their own."""
    environ = {"PRISM_SERVICE_PORT": "1", "PRISM_MODULE_TARGET": "x", "PRISM_HOST": "::1", "PATH": "/bin"}
    with caplog.at_level(logging.WARNING):
        config.parse_command([], environ)
    (record,) = caplog.records
    assert "PRISM_SERVICE_PORT" in record.message


def test_no_setting_is_called_port() -> None:
    assert "port" not in {field.name for field in dataclasses.fields(Settings)}


def test_limits_are_the_numbers_that_clients_should_know() -> None:
    assert Settings().limits()["max_request_bytes"] == 256 * 1024 * 1024


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--trust-remote-code", "someone/model"], "repository@commit"),
        (["--trust-remote-code", "someone/model@main"], "40 hex digits.*'someone/model@main'"),
        (["--embedder", "none", "--reranker", "none"], "both none"),
        (["--video-frames", "7"], "--video-frames"),
        (["--tls-cert", "cert.pem"], "--tls-cert needs --tls-key"),
        (["--tls-key", "key.pem"], "--tls-key needs --tls-cert"),
        (["--tls-client-ca", "ca.pem"], "--tls-client-ca needs"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused(flags: list[str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        config.parse_command(flags, {})


def test_the_key_is_shown_nowhere() -> None:
    assert "secret" not in repr(config.parse_command(["--api-key", "secret"], {}))
    with pytest.raises(SettingsError, match="--api-key") as raised:
        config.parse_command([], {"PRISM_API_KEY": "secret\n"})
    assert "secret" not in str(raised.value)
