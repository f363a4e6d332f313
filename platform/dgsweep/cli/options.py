"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

SweepFile = Annotated[Path, typer.Argument(help="sweep.yaml", exists=False)]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override any key, e.g. budget.steps=500.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Executor = Annotated[Literal["ray", "inline"], typer.Option(help="inline: one process, for debugging.")]
Address = Annotated[str | None, typer.Option(help="Running Ray cluster: auto or host:port; default starts Ray here.")]
AllowOpen = Annotated[
    bool, typer.Option("--allow-open-cluster", help="Run where everybody in the network may run code.")
]
RunFolder = Annotated[Path, typer.Argument(help="Output of a sweep (a folder, or s3://...), or its sweep.yaml.")]
