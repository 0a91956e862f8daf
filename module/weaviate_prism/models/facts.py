"""What is known of a model before it is loaded: facts with their sources, its trap, and what is proved of it here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Fact:
    """A statement and the https address that makes it; of what is unknown there is no address."""

    value: str
    source: str

    def __str__(self) -> str:
        return self.value


UNKNOWN = Fact("unknown", "")

Proof = Literal["stand-in", "path"]
PROOFS: dict[Proof, str] = {
    "stand-in": "answers equal Sentence Transformers' on random weights of this architecture, file layout and prompt",
    "path": "the same with code of the tests' own: the repository's, and so its prompt, by its documentation only",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One model, or any of a kind."""

    name: str  # its id on the hub
    kind: Literal["embedder", "reranker"]
    modalities: Fact  # what it reads
    parameters: Fact  # how many, in digits
    licence: Fact
    own_code: Fact  # whether Python code of its repository must run: yes or no
    prompts: Fact
    proof: Proof
    dimensions: Fact = UNKNOWN  # of an embedder's vectors
    revision: Fact = UNKNOWN  # that Sentence Transformers reads, where the default branch may lack its files
    commit: Fact = UNKNOWN  # that others have pinned and read with Sentence Transformers or transformers
    tier: Literal["standard", "qwen-vl", "causal-lm", "clip", "bert"] = "standard"  # the fastest way that can apply
    noncommercial: bool = False
    trap: Fact | None = None
    repair: str = ""  # what the loader does about the trap, for which it needs:
    answers: tuple[str, str] | None = None  # the tokens by which a reranker says yes and no
    template: str = ""  # its prompt, a file in `templates`, where the repository may lack Sentence Transformers' files
    pictures: str = ""  # the model that reads pictures for this one

    @property
    def size(self) -> str:
        """The number of parameters, rounded."""
        count = self.parameters.value
        return f"{int(count) / 1e9:.2g} billion" if count.isdecimal() else count

    @property
    def memory(self) -> str:
        """Of the weights in bfloat16, two bytes each: reckoned from their number, since no source tells it."""
        count = self.parameters.value
        return f"{int(count) * 2 / 1e9:.1f} GB" if count.isdecimal() else count

    def reads(self, modality: str) -> bool:
        return modality in self.modalities.value.split(", ")
