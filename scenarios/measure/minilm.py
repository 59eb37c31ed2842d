"""The embedding model that is measured is the one that is served."""

from __future__ import annotations

from fallwise.gateway.minilm import PACKAGE, SHA256, MiniLM

__all__ = ["PACKAGE", "SHA256", "MiniLM"]
