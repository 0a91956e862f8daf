"""What is known of published models before one is loaded: facts with their sources, traps, and what is proved here.

Strings only: nothing is imported or fetched to read them. A fact without a source is `unknown`; the hub's own pages
could not be read where this was written, so many facts are those of MTEB's registry, which pins what it measured.
"""

from __future__ import annotations

from typing import Literal

from weaviate_prism.models.facts import UNKNOWN, Entry, Fact

MTEB = "https://github.com/embeddings-benchmark/mteb/blob/a905523d0111f999360b312bd4a601a0a97a0e1c/mteb/models/model_implementations"
ARTICLE = "https://huggingface.co/blog/multimodal-sentence-transformers"
CARD = "https://huggingface.co"


def find(name: str) -> Entry | None:
    """The entry of a hub id, or of a directory that is named like the last part of one; of any case."""
    wanted = name.lower()
    for entry in ENTRIES:
        if wanted in (entry.name.lower(), entry.name.lower().rpartition("/")[2]):
            return entry
    return None


def _pinned(file: str, commit: str) -> Fact:
    return Fact(commit, f"{MTEB}/{file}.py")


_QWEN_VL = "qwen3_vl_embedding_models"
_QWEN_RERANKER_PROMPT = "https://sbert.net/docs/cross_encoder/usage/custom_models.html"
_VL_PROMPT = "https://docs.vllm.ai/projects/vllm-ascend-cn/zh-cn/latest/tutorials/models/Qwen3-VL-Reranker.html"
_NOT_NEEDED = Fact("not needed", ARTICLE)
_NO_CODE, _OWN_CODE = Fact("no", ARTICLE), Fact("yes", ARTICLE)
_CLIP = Fact("text, image", "https://sbert.net/docs/sentence_transformer/pretrained_models.html")
_NO_PROMPTS = Fact("none", ARTICLE)


def _qwen_vl_embedder(size: str, revision: str, parameters: str, dimensions: str, commit: str) -> Entry:
    return Entry(
        f"Qwen/Qwen3-VL-Embedding-{size}",
        "embedder",
        modalities=Fact("text, image, video", ARTICLE),
        parameters=_pinned(_QWEN_VL, parameters),
        licence=_pinned(_QWEN_VL, "apache-2.0"),
        own_code=_NO_CODE,
        prompts=_pinned(_QWEN_VL, 'an instruction as system message; by default "Represent the user\'s input."'),
        proof="stand-in",
        dimensions=_pinned(_QWEN_VL, dimensions),
        revision=Fact(revision, ARTICLE),
        commit=_pinned(_QWEN_VL, commit),
        tier="qwen-vl",
        trap=Fact("without Sentence Transformers' files it would become mean pooling", ARTICLE),
        repair="refused, with the revision to ask for",
    )


def _qwen_vl_reranker(size: str, revision: str, parameters: str) -> Entry:
    return Entry(
        f"Qwen/Qwen3-VL-Reranker-{size}",
        "reranker",
        modalities=Fact("text, image, video", ARTICLE),
        parameters=Fact(parameters, ARTICLE),
        licence=Fact("apache-2.0", f"{CARD}/Qwen/Qwen3-VL-Reranker-2B"),
        own_code=_NO_CODE,
        prompts=Fact(
            'an instruction; by default "Given a search query, retrieve relevant candidates that answer the query."',
            _VL_PROMPT,
        ),
        proof="stand-in",
        revision=Fact(revision, ARTICLE),
        tier="qwen-vl",
        trap=Fact(
            "modules.json may name a LogitScore folder that is not there (a TypeError about true_token_id)",
            f"{CARD}/Qwen/Qwen3-VL-Reranker-8B/discussions/11",
        ),
        repair='it is added, for the tokens "yes" and "no"',
        answers=("yes", "no"),
    )


def _qwen_reranker(size: str, revision: str, parameters: str) -> Entry:
    return Entry(
        f"Qwen/Qwen3-Reranker-{size}",
        "reranker",
        modalities=_pinned("qwen3_reranker", "text"),
        parameters=_pinned("qwen3_reranker", parameters),
        licence=_pinned("qwen3_reranker", "apache-2.0"),
        own_code=_NO_CODE,
        prompts=Fact(
            'an instruction; by default "Given a web search query, retrieve relevant passages that answer the query"',
            _QWEN_RERANKER_PROMPT,
        ),
        proof="stand-in",
        tier="causal-lm",
        revision=Fact(revision, ARTICLE),
        trap=Fact(
            "before 2026-04-16 without Sentence Transformers' files, and with a template that drops the pair",
            "https://github.com/jundot/omlx/issues/2146",
        ),
        repair='they are added: the published prompt, and the tokens "yes" and "no"',
        answers=("yes", "no"),
        template="qwen3-reranker.jinja",
    )


def _mxbai(size: str, parameters: str, commit: str) -> Entry:
    file = "mixedbread_ai_models"
    return Entry(
        f"mixedbread-ai/mxbai-rerank-{size}-v2",
        "reranker",
        modalities=_pinned(file, "text"),
        parameters=_pinned(file, parameters),
        licence=_pinned(file, "apache-2.0"),
        own_code=_NO_CODE,
        prompts=Fact(
            "an instruction (none by default) before the query; the task is told after the document",
            "https://github.com/mixedbread-ai/mxbai-rerank/blob/main/mxbai_rerank/mxbai_rerank_v2.py",
        ),
        proof="stand-in",
        tier="causal-lm",
        revision=_NOT_NEEDED,
        commit=_pinned(file, commit),
        trap=Fact(
            'it answers "1" or "0"; without its files, Sentence Transformers would ask for "yes" and "no"',
            "https://sbert.net/docs/cross_encoder/usage/custom_models.html",
        ),
        repair='they are added: the published prompt, and the tokens "1" and "0"',
        answers=("1", "0"),
        template="mxbai-rerank-v2.jinja",
    )


def _bge(size: str, parameters: str, commit: str) -> Entry:
    return Entry(
        f"BAAI/BGE-VL-{size}",
        "embedder",
        modalities=_pinned("bge_vl_models", "text, image"),
        parameters=_pinned("bge_vl_models", parameters),
        licence=_pinned("bge_vl_models", "mit"),
        own_code=_pinned("bge_vl_models", "yes"),
        prompts=UNKNOWN,
        proof="path",
        revision=_NOT_NEEDED,
        commit=_pinned("bge_vl_models", commit),
        trap=Fact("its own code was written for transformers 4.45", "https://bge-model.com/bge/bge_vl.html"),
        repair="not tried with today's transformers; where it fails, the model is not served, and the log says why",
    )


def _clip(size: str, parameters: str) -> Entry:
    return Entry(
        f"sentence-transformers/clip-ViT-{size}",
        "embedder",
        modalities=_CLIP,
        parameters=_pinned("clip_models", parameters),
        licence=UNKNOWN,
        own_code=_NO_CODE,
        prompts=_NO_PROMPTS,
        proof="stand-in",
        revision=_NOT_NEEDED,
        tier="clip",
        trap=Fact(
            "saved with the old CLIPModel module, in a folder of its own",
            "https://github.com/huggingface/sentence-transformers/blob/cad211983f36ce458e9b3360f3e11b29fc54cbd8"
            "/sentence_transformers/sentence_transformer/modules/clip_model.py",
        ),
        repair="Sentence Transformers reads it still",
    )


def _siglip(name: str, parameters: str, dimensions: str, commit: str) -> Entry:
    return Entry(
        f"google/{name}",
        "embedder",
        modalities=_pinned("siglip_models", "text, image"),
        parameters=_pinned("siglip_models", parameters),
        licence=_pinned("siglip_models", "apache-2.0"),
        own_code=_pinned("siglip_models", "no"),
        prompts=_NO_PROMPTS,
        proof="stand-in",
        dimensions=_pinned("siglip_models", dimensions),
        revision=_NOT_NEEDED,
        commit=_pinned("siglip_models", commit),
        tier="clip",
        trap=Fact(
            "trained on texts filled up to 64 tokens; unfilled ones get other vectors",
            "https://github.com/embeddings-benchmark/mteb/pull/1424",
        ),
        repair="texts are filled up to the length that its configuration names",
    )


def _any(name: str, kind: Literal["embedder", "reranker"], tier: Literal["standard", "bert"]) -> Entry:
    page = "sentence_transformer" if kind == "embedder" else "cross_encoder"
    return Entry(
        f"any {name}",
        kind,
        modalities=Fact("text", f"https://sbert.net/docs/{page}/pretrained_models.html"),
        parameters=UNKNOWN,
        licence=UNKNOWN,
        own_code=UNKNOWN,
        prompts=UNKNOWN,
        proof="stand-in",
        tier=tier,
    )


ENTRIES: tuple[Entry, ...] = (
    _qwen_vl_embedder("2B", "refs/pr/23", "2127532032", "2048", "9f2f7e710d6d81056aa5c0a4f04764fec6bb7bda"),
    _qwen_vl_embedder("8B", "refs/pr/11", "8144793840", "4096", "2c4565515e0f265c6511776e7193b22c0968ddc7"),
    Entry(
        "nvidia/llama-nemotron-embed-vl-1b-v2",
        "embedder",
        modalities=Fact("text, image", ARTICLE),
        parameters=_pinned("nvidia_nemotron_vl_models", "1678252480"),
        licence=_pinned("nvidia_nemotron_vl_models", "nvidia-open-model-license"),
        own_code=_pinned("nvidia_nemotron_vl_models", "yes"),
        prompts=UNKNOWN,
        proof="path",
        dimensions=_pinned("nvidia_nemotron_vl_models", "2048"),
        revision=_NOT_NEEDED,
    ),
    Entry(
        "nvidia/omni-embed-nemotron-3b",
        "embedder",
        modalities=_pinned("omni_embed_nemotron_models", "text, image, audio, video"),
        parameters=_pinned("omni_embed_nemotron_models", "4703464448"),
        licence=Fact(
            "NVIDIA OneWay Noncommercial License, Qwen Research License",
            f"{CARD}/nvidia/omni-embed-nemotron-3b",
        ),
        own_code=_pinned("omni_embed_nemotron_models", "yes"),
        prompts=UNKNOWN,
        proof="path",
        dimensions=_pinned("omni_embed_nemotron_models", "2048"),
        revision=_NOT_NEEDED,
        commit=_pinned("omni_embed_nemotron_models", "e0e93aaaa65d2422a8a0c1284116e71f7a0fe966"),
        noncommercial=True,
        trap=_pinned("omni_embed_nemotron_models", "reads audio too"),
        repair="audio is refused by name, as for all models",
    ),
    _bge("base", "149620737", "cc4c733ed997dbee4ac70ccffb911e70c9c24b93"),
    _bge("large", "427616513", "40fb48217f521df22a2a5bf15edd52ed1146ef05"),
    _bge("MLLM-S1", "7566264320", "455ac20c111813fbb263dd0f22d47d173a971582"),
    _bge("MLLM-S2", "7566264320", "20137e245f277e7eca277bbb436ce7d632a16406"),
    _clip("B-32", "151277313"),
    _clip("B-16", "149620737"),
    _clip("L-14", "427616513"),
    Entry(
        "sentence-transformers/clip-ViT-B-32-multilingual-v1",
        "embedder",
        modalities=_CLIP,
        parameters=UNKNOWN,
        licence=Fact("apache-2.0", f"{CARD}/sentence-transformers/clip-ViT-B-32-multilingual-v1"),
        own_code=_NO_CODE,
        prompts=_NO_PROMPTS,
        proof="stand-in",
        revision=_NOT_NEEDED,
        trap=Fact(
            "its folder reads texts only: pictures are for clip-ViT-B-32",
            f"{CARD}/sentence-transformers/clip-ViT-B-32-multilingual-v1",
        ),
        repair="clip-ViT-B-32 is loaded for pictures, from the hub or from the folder beside it",
        pictures="sentence-transformers/clip-ViT-B-32",
    ),
    _siglip("siglip-base-patch16-224", "203155970", "768", "7fd15f0689c79d79e38b1c2e2e2370a7bf2761ed"),
    _siglip("siglip-so400m-patch14-384", "877960498", "1152", "9fdffc58afc957d1a03a25b10dba0329ab15c2a3"),
    _siglip("siglip2-base-patch16-224", "375187970", "768", "75de2d55ec2d0b4efc50b3e9ad70dba96a7b2fa2"),
    _siglip("siglip2-large-patch16-384", "881854466", "1024", "1b426889ea62b5a72bf9839009a1b184bfc9c178"),
    _any("BERT or RoBERTa as SentenceTransformer", "embedder", "bert"),
    _any("other SentenceTransformer", "embedder", "standard"),
    _qwen_vl_reranker("2B", "refs/pr/11", "2000000000"),
    _qwen_vl_reranker("8B", "refs/pr/9", "8000000000"),
    Entry(
        "nvidia/llama-nemotron-rerank-vl-1b-v2",
        "reranker",
        modalities=Fact("text, image", ARTICLE),
        parameters=Fact("2000000000", ARTICLE),
        licence=Fact("nvidia-open-model-license", f"{CARD}/nvidia/llama-nemotron-rerank-vl-1b-v2"),
        own_code=_OWN_CODE,
        prompts=UNKNOWN,
        proof="path",
        revision=_NOT_NEEDED,
    ),
    Entry(
        "jinaai/jina-reranker-m0",
        "reranker",
        modalities=Fact("text, image", ARTICLE),
        parameters=Fact(
            "2400000000", "https://jina.ai/news/jina-reranker-m0-multilingual-multimodal-document-reranker"
        ),
        licence=Fact("cc-by-nc-4.0", f"{CARD}/jinaai/jina-reranker-m0"),
        own_code=_OWN_CODE,
        prompts=Fact("none; the document is written before the query", f"{CARD}/jinaai/jina-reranker-m0-GGUF"),
        proof="path",
        revision=_NOT_NEEDED,
        noncommercial=True,
    ),
    _qwen_reranker("0.6B", "refs/pr/24", "595776512"),
    _qwen_reranker("4B", "refs/pr/11", "4021784576"),
    _qwen_reranker("8B", "refs/pr/11", "8188548096"),
    _mxbai("base", "494032768", "3ea9d4dffa7d12a4f366be8e275c349de9fc9865"),
    _mxbai("large", "1543714304", "ca7e1ee484c37c0ddd8d178a9a5c33cec575c5e6"),
    _any("BERT or RoBERTa as CrossEncoder", "reranker", "bert"),
    _any("other CrossEncoder", "reranker", "standard"),
)
