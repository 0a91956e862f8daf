"""Settings of all tests: nothing is fetched from a model hub, whatever a test asks for."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
