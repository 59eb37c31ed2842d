"""`fallwise demo`."""

from __future__ import annotations

__all__ = ["demo"]


def demo() -> None:
    """Show the whole story on the bundled scenario: invoices read by real models."""
