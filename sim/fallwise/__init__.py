"""Predict what an LLM cascade costs, how good its answers are and how long people wait."""

__all__ = ["__version__"]

__version__ = "0.1.0"
