"""A conversation as the text that a model's template makes of it, and that as tokens: what Sentence Transformers does
for a model with messages, without tensors and without the tokenizer's shared state.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from sentence_transformers import CrossEncoder

from weaviate_prism.errors import InvalidInput
from weaviate_prism.models.messages import Messages, untruncated
from weaviate_prism.models.rows import Tokens
from weaviate_prism.models.tiers import NotApplicable
from weaviate_prism.values import Task

log = logging.getLogger(__name__)

# Stands for the end of the last text of a conversation.
END_MARK = "\N{END OF TEXT}"


class Chat:
    """`first` is the `Transformer` of a model with messages. Thread-safe.

    Raises:
        NotApplicable: it asks for something that is not done here.
    """

    def __init__(self, first: Any) -> None:
        if extra := first.processing_kwargs.keys() - {"chat_template"}:
            raise NotApplicable(f"it sets options of its processor: {', '.join(sorted(extra))}")
        options = dict(first.processing_kwargs.get("chat_template", {}))
        if not options.pop("restore_suffix", True):
            raise NotApplicable("it wants long inputs cut at their end")
        self._prepend = first.input_formatter.prepend_prompt_to_messages
        self._rendered = functools.partial(first.processor.apply_chat_template, tokenize=False, **options)
        self._tokenizer = untruncated(first.tokenizer)

    def text(self, conversation: Any, prompt: str | None) -> str:
        """As the template writes it; the prompt becomes its system message."""
        if prompt:
            (conversation,) = self._prepend([conversation], prompt)
        text: str = self._rendered(conversation)
        return text

    def tokens(self, text: str) -> Tokens:
        return np.asarray(self._tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)

    def cut(self, tokens: Tokens, conversation: Any, limit: int) -> Tokens:
        """At most `limit` of them: without the end of the last text, but with all that the template puts after it.

        Raises:
            InvalidInput: that alone is over the limit.
        """
        if len(tokens) <= limit:
            return tokens
        end = self._end(conversation)
        if len(end) >= limit:
            raise InvalidInput(f"what the model's template puts after a text is over {limit} tokens")
        return np.concatenate([tokens[: limit - len(end)], end])

    def require_cut(self, model: Any, limit: int) -> None:
        """
        Raises:
            NotApplicable: of texts over the limit, Sentence Transformers keeps other tokens: its tokenizer cuts at the
                start, its template writes another text last, its queries have a limit of their own, or whatever it is.
        """
        message, long = Messages(model, limit).message, " ".join(map(str, range(limit)))
        conversation = [message("user", [long])]
        tasks: list[str | None] = [task.value for task in Task]
        if isinstance(model, CrossEncoder):
            conversation, tasks = [message("query", ["red"]), message("document", [long])], [None]
        for task, prompt in itertools.product(tasks, ("", "Find it.")):
            kept = self.cut(self.tokens(self.text(conversation, prompt)), conversation, limit)
            theirs = model[0].preprocess([conversation], prompt=prompt, task=task)["input_ids"][0]
            if not np.array_equal(kept, theirs):
                raise NotApplicable(f"it cuts texts over {limit} tokens in another way")

    def _end(self, conversation: Any) -> Tokens:
        """What the template puts after the last text of the conversation, or where that would be after media."""
        *before, last = conversation
        marked: Any = END_MARK
        if not isinstance(last["content"], str):
            parts = last["content"][:-1] if last["content"][-1]["type"] == "text" else last["content"]
            marked = [*parts, {"type": "text", "text": END_MARK}]
        return self.tokens(self._rendered([*before, {**last, "content": marked}]).rpartition(END_MARK)[2])


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """
    Raises:
        InvalidInput: the template or the tokenizer raised an error.
    """
    try:
        yield
    except (ValueError, TypeError, IndexError, KeyError) as error:
        log.warning("an input was refused", exc_info=error)
        raise InvalidInput("the model's template or tokenizer cannot read it") from None
