from __future__ import annotations

from pathlib import Path

import pytest

from weaviate_prism.weaviate.binary import VERSION
from workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """With Weaviate's pinned release."""
    made = Workshop(tmp_path)
    made.release(VERSION)
    made.pin()
    return made
