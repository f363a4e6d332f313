"""The application: verbs are registered here; each imports what it needs when it is called, so that help is instant."""

import logging
import os
import sys
from typing import Annotated

import typer

import dgsweep
from dgsweep.cli import (
    data_verbs,
    output_verbs,
    paper_verbs,
    plugin_verbs,
    reader_verbs,
    steering_verbs,
    submit_verb,
    sweep_verbs,
    weights_verbs,
)
from dgsweep.config.secrets import ScrubbingFormatter, without_password
from dgsweep.config.umask import wanted_umask
from dgsweep.errors import DgsweepError
from dgsweep.storage.files import store_errors

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
app.add_typer(reader_verbs.app, name="readers")
for verb in (sweep_verbs.plan, sweep_verbs.run, submit_verb.submit, steering_verbs.status, sweep_verbs.report):
    app.command()(verb)
for steering_verb in (steering_verbs.retry, steering_verbs.cancel, steering_verbs.extend, steering_verbs.gc):
    app.command()(steering_verb)
for output_verb in (output_verbs.predict, output_verbs.score, output_verbs.export):
    app.command()(output_verb)
for paper_verb in (paper_verbs.reference, paper_verbs.bench):
    app.command()(paper_verb)


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


def _log_without_passwords() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ScrubbingFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def main() -> None:
    """Run the command line; project errors become a message on standard error and an exit code."""
    _log_without_passwords()
    try:
        os.umask(wanted_umask(os.environ))
        app()
    except DgsweepError as error:
        typer.echo(f"error: {without_password(str(error))}", err=True)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        raise SystemExit(0) from None
    except store_errors() as error:  # a disk that is full, a folder that went away, a store that does not answer
        typer.echo(f"error: {without_password(str(error))}", err=True)
        raise SystemExit(1) from None
