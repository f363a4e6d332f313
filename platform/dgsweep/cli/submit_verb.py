"""`dgsweep submit`: a sweep goes to a remote Ray head as a job."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from dgsweep.cli.options import Json, Overrides, SweepFile
from dgsweep.cli.show import print_json


def submit(  # noqa: PLR0913, PLR0917 - the options of the verb
    sweep: SweepFile,
    address: Annotated[str, typer.Option(help="Dashboard of the Ray head, http://head:8265.")],
    overrides: Overrides = None,
    home: Annotated[
        str | None, typer.Option(help="Folder on the cluster where relative paths of the sweep file start.")
    ] = None,
    wheel: Annotated[str, typer.Option(help="none: nodes have dgsweep; auto: send this one; or a path.")] = "none",
    env: Annotated[
        list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="Variable of the job; no secrets.")
    ] = None,
    again: Annotated[bool, typer.Option(help="Submit even if the same sweep has succeeded.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job to its end.")] = True,
    allow_open_cluster: Annotated[
        bool, typer.Option("--allow-open-cluster", help="Submit where everybody in the network may run code.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send a sweep to a remote Ray head and follow it. Sent again, it is the same job; what is left of one goes on."""
    from dgsweep.execution.follow import follow
    from dgsweep.execution.submit import GOING_ON, Submission
    from dgsweep.execution.submit import submit as send

    wanted = Submission(
        sweep=sweep,
        overrides=tuple(overrides or ()),
        address=address,
        wheel=wheel,
        home=home,
        environment=tuple(_variable(text) for text in env or ()),
        again=again,
        allow_open=allow_open_cluster,
    )
    with tempfile.TemporaryDirectory(prefix="dgsweep-submit-") as folder:
        client, sent = send(wanted, Path(folder))
    for note in sent.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{sent.submission_id}: {'submitted' if sent.submitted else sent.status.lower() + ' already'}", err=True)
    status, code = sent.status, 0
    if wait and (sent.submitted or status in GOING_ON):
        status, code = follow(client, sent.submission_id, sys.stderr if as_json else sys.stdout)
        typer.echo(f"{sent.submission_id}: {status.lower()}", err=True)
    if as_json:
        print_json({"submission_id": sent.submission_id, "submitted": sent.submitted, "status": status})
    raise typer.Exit(code)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise typer.BadParameter(f"{text!r}: expected NAME=VALUE", param_hint="--env")
    return name, value
