"""A Weaviate that waits for a Prism which never comes; in the last file, since its 120 s pass while others run."""

from __future__ import annotations

from e2e.native.starting import CLOSED, Starting


def test_weaviate_that_waits_in_vain_for_prism_says_so_and_ends(abandoned: Starting) -> None:
    log = abandoned.failure()
    assert f"PRISM_MODULE_ADDRESS={CLOSED}" in log
    assert "PRISM_MODULE_WAIT_FOR_STARTUP=false" in log
    assert "waiting for Prism" in log
