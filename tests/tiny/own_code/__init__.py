"""Stands in for Python code of published repositories: files that a model's directory carries along."""
