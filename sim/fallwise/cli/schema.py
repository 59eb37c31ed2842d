"""`fallwise schema`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

__all__ = ["schema"]

Markdown = Annotated[bool, typer.Option("--markdown", help="As a page to read instead.")]


def schema(markdown: Markdown = False) -> None:
    """Print the JSON Schema of a scenario, for editors that complete and check YAML."""
    from fallwise.scenario import schema as of_scenario
    from fallwise.scenario.reference import reference

    if markdown:
        typer.echo(reference(of_scenario()), nl=False)
    else:
        typer.echo(json.dumps(of_scenario(), indent=2, ensure_ascii=False))
