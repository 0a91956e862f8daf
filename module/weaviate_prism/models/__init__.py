"""One file per model family behind one protocol (`base.py`); `registry.py` chooses by name."""
