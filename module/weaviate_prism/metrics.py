"""Every metric of Prism, in one place, so that names and labels cannot drift.

The lowest layer: engine, scheduler and doors hold a `Metrics` and count; nobody else names a metric.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

# 1 ms (a cached vector) to 50 s (Weaviate's own limit).
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50)
ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """A registry of its own per service, so that tests can start several in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.model_info = Gauge(
            "prism_model_info",
            "1 for each loaded model, with the way in which it is computed.",
            ["kind", "name", "tier"],
            registry=self.registry,
        )
        self.tiers_refused = Counter(
            "prism_tiers_refused",
            "Loaded models whose faster way, of this name, failed its proof.",
            ["kind", "name", "tier"],
            registry=self.registry,
        )
        self.requests = Counter(
            "prism_requests", "Requests answered, by door and outcome.", ["door", "outcome"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "prism_request_seconds", "Whole time of a request.", ["door"], buckets=SECONDS, registry=self.registry
        )
        self.errors = Counter(
            "prism_errors",
            "Items that failed, by kind; requests refused as a whole are in prism_requests.",
            ["kind"],
            registry=self.registry,
        )
        self.items = Counter(
            "prism_items",
            "Parts of items taken in, by kind of work and modality.",
            ["work", "modality"],
            registry=self.registry,
        )
        self.decode_failures = Counter(
            "prism_decode_failures", "Media that could not be decoded.", ["modality"], registry=self.registry
        )
        self.ranked_last = Counter(
            "prism_documents_ranked_last",
            "Documents not scored and ranked last.",
            registry=self.registry,
        )
        self.cache = Counter(
            "prism_cache",
            "Embeddings asked of the cache: hit, miss, or shared in flight.",
            ["outcome"],
            registry=self.registry,
        )
        self.shared_documents = Counter(
            "prism_shared_documents",
            "Documents to be reranked that were equal to others of their search, or in flight already.",
            registry=self.registry,
        )
        self.cache_bytes = Gauge("prism_cache_bytes", "Memory held by cached embeddings.", registry=self.registry)
        self.vision_cache = Counter(
            "prism_vision_cache",
            "Pictures and clips for a reranker's vision tower: hit, seen before, or miss.",
            ["outcome"],
            registry=self.registry,
        )
        self.vision_cache_bytes = Gauge(
            "prism_vision_cache_bytes",
            "Memory held by what vision towers made of pictures and clips.",
            registry=self.registry,
        )
        self.media_store = Counter(
            "prism_media_store",
            "Digests asked of the media store: hit or miss.",
            ["outcome"],
            registry=self.registry,
        )
        self.media_store_bytes = Gauge(
            "prism_media_store_bytes", "Disk space taken by stored media.", registry=self.registry
        )
        self.media_store_items = Gauge("prism_media_store_items", "Media that are stored.", registry=self.registry)
        self.media_store_evictions = Counter(
            "prism_media_store_evictions", "Stored media that made room for others.", registry=self.registry
        )
        self.media_store_failures = Counter(
            "prism_media_store_failures",
            "Media that could not be stored, by reason: disk, queue (the disk is too slow) or size.",
            ["reason"],
            registry=self.registry,
        )
        self.digests_as_text = Counter(
            "prism_digests_as_text",
            "Documents and queries that look like digests of media, and were scored as texts.",
            registry=self.registry,
        )
        # the model is empty for the CPU's stage
        self.queue_depth = Gauge(
            "prism_queue_depth", "Jobs waiting, by stage and model.", ["stage", "model"], registry=self.registry
        )
        self.queue_seconds = Histogram(
            "prism_queue_seconds",
            "Time that a job waited, by stage and model.",
            ["stage", "model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "prism_stage_seconds",
            "Time that a batch took, with the queries that overtook it, by stage and model.",
            ["stage", "model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch_items = Histogram(
            "prism_batch_items",
            "Items in a device batch, by stage and model.",
            ["stage", "model"],
            buckets=ITEMS,
            registry=self.registry,
        )
        self.batch_splits = Counter(
            "prism_batch_splits",
            "Batches split after a failure, by stage and model.",
            ["stage", "model"],
            registry=self.registry,
        )
        self.tokens = Counter(
            "prism_tokens",
            "Tokens that a model computed: of inputs, or padding.",
            ["model", "of"],
            registry=self.registry,
        )
        self.dropped = Counter(
            "prism_dropped",
            "Jobs not run: caller gone, deadline past, or refused at once because they would be done too late.",
            ["reason"],
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self.registry)
