"""The command `fallwise`: which commands there are, and how a failure is said."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from fallwise import __version__
from fallwise.cli.breakeven import breakeven
from fallwise.cli.check import check
from fallwise.cli.compare import compare
from fallwise.cli.demo import demo
from fallwise.cli.fit import fit
from fallwise.cli.importing import imported
from fallwise.cli.run import run
from fallwise.cli.schema import schema
from fallwise.cli.sensitivity import sensitivity
from fallwise.cli.serve import serve
from fallwise.cli.size import size
from fallwise.cli.tune import tune
from fallwise.errors import FallwiseError

__all__ = ["app", "main"]

app = typer.Typer(
    name="fallwise",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, run, tune, compare, breakeven, size, sensitivity, fit, serve, check, schema):
    app.command()(command)
app.command("import")(imported)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fallwise {__version__}")
        raise typer.Exit


@app.callback()
def _fallwise(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Predict what an LLM cascade costs, how good its answers are and how long people wait.

    Exit status: 0, or 1 where a target is not met, or 2 where the input is wrong.
    """


def main() -> None:
    """Run the command; what a user can put right goes to stderr, with exit status 2."""
    try:
        app()
    except FallwiseError as error:
        typer.echo(str(error), err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # What is left of the output goes nowhere.
        typer.echo(f"{error.filename or 'output'}: {error.strerror}; make room for it", err=True)
        sys.exit(2)
    except MemoryError:
        typer.echo("run.requests: more than fit into memory; give fewer with --requests", err=True)
        sys.exit(2)
