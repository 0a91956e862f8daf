"""The key that callers must show, where the settings have one.

Knows neither HTTP nor gRPC, only the header that they share.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from weaviate_prism.errors import Unauthenticated


class Access:
    """Lets callers in by the `authorization` that they send; all of them where the key is empty."""

    def __init__(self, key: str) -> None:
        self._digest = _digest(key.encode()) if key else b""

    def check(self, authorization: str) -> None:
        """
        Raises:
            Unauthenticated
        """
        # equally long digests: comparing the keys themselves would tell the length by the time that it takes
        if self._digest and not hmac.compare_digest(self._digest, _digest(shown(authorization))):
            raise Unauthenticated("this service asks for its key: `authorization: Bearer KEY`")


def shown(authorization: str) -> bytes:
    """The key in `Bearer KEY`, or the password in `Basic ...`, which HTTP clients make of `http://user:KEY@host`."""
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value.encode(errors="surrogateescape")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
