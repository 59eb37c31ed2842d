"""`fallwise schema`."""

from __future__ import annotations

import json

import typer

__all__ = ["schema"]


def schema() -> None:
    """Print the JSON Schema of a scenario, for editors that complete and check YAML."""
    from fallwise.scenario import schema as of_scenario

    typer.echo(json.dumps(of_scenario(), indent=2, ensure_ascii=False))
