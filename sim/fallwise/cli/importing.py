"""`fallwise import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["imported"]


def imported(
    service: Annotated[Path, typer.Argument(metavar="FILE", help="ServeGen's table or folder.")],
    rate: Annotated[float | None, typer.Option(min=1e-9, help="Mean rate to scale it to.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Clients that keep their own bursts.")] = 10,
) -> None:
    """Print the arrivals of a scenario, made of a service that ServeGen describes.

    Traces of single requests (Azure, Mooncake, BurstGPT) need no import: a scenario names them.
    """
    from fallwise.draw.services import service as arrivals_of

    found = arrivals_of(service, rate, top)
    typer.echo(f"arrivals:  # measured: ServeGen (arXiv 2505.09999), {service.name}")
    if found["kind"] == "profile":
        typer.echo(
            f"  kind: profile\n  step_s: {found['step_s']}\n  rates_rps: {found['rates_rps']}"
        )
        return
    typer.echo("  kind: clients\n  clients:")
    for client in found["clients"]:
        typer.echo(f"    - {{rate_rps: {client['rate_rps']}, cv: {client['cv']}}}")
    typer.echo(f"  background_rps: {found['background_rps']}")
