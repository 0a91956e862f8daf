"""The errors that a client may see, and nothing else: unexpected ones stay in the log.

    PrismError
     ├─ InvalidInput      the item itself is wrong: undecodable, empty, of the wrong shape
     ├─ TooLarge          the item is over a limit; the message names item and limit
     ├─ Unsupported       well-formed, but this service or model does not do it (yet)
     ├─ NotFound          names a model that is not loaded
     ├─ Unauthenticated   shows no key, or a wrong one
     ├─ Overloaded        no room in the queue
     ├─ DeadlineExceeded  could not be answered in the time that the caller gives
     ├─ Unavailable       not ready: loading, or draining before the end
     └─ Internal          our fault; the log has the details

Each door has one table from these classes to its own codes, and a test proves both complete.
"""

from __future__ import annotations

# A message ends up in logs and in Weaviate's own error; parts of it may be a client's words.
MESSAGE_CHARACTERS = 4096


class PrismError(Exception):
    """An error whose message is fit for the client: no paths, no tracebacks, no payloads."""

    def __init__(self, message: str) -> None:
        self.message = message[:MESSAGE_CHARACTERS]
        super().__init__(self.message)

    @property
    def kind(self) -> str:
        """The class name in snake case, as the metrics count it: `invalid_input`."""
        name = type(self).__name__
        return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")

    def bare(self) -> PrismError:
        """The same error without the frames that it came through: they may hold decoded media."""
        return type(self)(self.message)

    def about(self, item: str) -> PrismError:
        """The same error, naming the item: `images[3]: not a picture`; as it is where the item has no name."""
        return type(self)(f"{item}: {self.message}") if item else self


class InvalidInput(PrismError):
    """The item is wrong in itself; sending it again cannot help."""


class TooLarge(PrismError):
    """The item is over a limit that a setting could raise."""


class Unsupported(PrismError):
    """Well-formed, but this service or the loaded model does not do it."""


class NotFound(PrismError):
    """Names a model that is not loaded."""


class Unauthenticated(PrismError):
    """The service asks for a key that the caller has not shown."""


class Overloaded(PrismError):
    """The queue is full."""


class DeadlineExceeded(PrismError):
    """The caller's time is over, or would be before an answer is there."""


class Unavailable(PrismError):
    """Models are loading, or the service is shutting down: try again."""


class Internal(PrismError):
    """A fault of the service or the model."""


def check_limit(thing: str, value: float, unit: str, limit: float, setting: str) -> None:
    """
    Raises:
        TooLarge: naming value, limit and setting.
    """
    if value > limit:
        raise TooLarge(f"{thing} of {value:.12g} {unit} is over the limit of {limit:.12g} ({setting})")
