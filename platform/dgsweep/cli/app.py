"""The application: verbs are registered here; each imports what it needs when it is called, so that help is instant."""

import logging
import sys
from typing import Annotated

import typer

import dgsweep
from dgsweep.cli import data_verbs, plugin_verbs, steering_verbs, sweep_verbs, weights_verbs
from dgsweep.errors import DgsweepError

app = typer.Typer(
    name="dgsweep",
    help="Which domain-generalization method survives a shift of MRI sequence, center or scanner, and by how much.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_verbs.app, name="data")
app.add_typer(plugin_verbs.methods, name="methods")
app.add_typer(plugin_verbs.networks, name="networks")
app.add_typer(weights_verbs.app, name="weights")
app.command()(sweep_verbs.plan)
app.command()(sweep_verbs.run)
app.command()(steering_verbs.status)
app.command()(sweep_verbs.report)
app.command()(steering_verbs.retry)
app.command()(steering_verbs.cancel)
app.command()(steering_verbs.extend)
app.command()(steering_verbs.gc)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dgsweep {dgsweep.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that stand before the verb."""
    del version


def main() -> None:
    """Run the command line; project errors become a message on standard error and an exit code."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except DgsweepError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        raise SystemExit(0) from None
    except OSError as error:  # a disk that is full, a folder that went away
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None
