"""Directories of tiny models with random weights, of the architectures and file layouts of published ones."""
