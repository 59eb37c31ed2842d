"""`fallwise serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from fallwise.cli.options import ScenarioFile, Settings, placing, scenario_of

__all__ = ["serve"]


def serve(
    scenario: ScenarioFile,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    upstream: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The server for every tier that names none (live)."),
    ] = None,
    settings: Settings = None,
) -> None:
    """Serve the cascade on live traffic, OpenAI-compatible, with the scenario's own policies.

    Ends on an interrupt, after the requests in flight.
    """
    checked = scenario_of(scenario, settings, None, None)
    from fallwise import gateway

    with placing(scenario):
        if upstream is not None:
            checked = gateway.with_upstream(checked, upstream)
        app = gateway.application(checked)
        typer.echo(f"fallwise: {checked.name} at http://{host}:{port}/v1", err=True)
        gateway.serve(app, host, port)
