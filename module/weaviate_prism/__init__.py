"""Prism: multimodal vectorizing and reranking for Weaviate. Importing this package does nothing."""

__version__ = "0.1.0"
