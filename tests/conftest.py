"""Settings of all tests: nothing is fetched from a model hub, whatever a test asks for."""

from __future__ import annotations

import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
# Where transformers keeps copies of code that comes with models.
_CODE = tempfile.TemporaryDirectory(prefix="prism-tests-")
os.environ["HF_MODULES_CACHE"] = _CODE.name
