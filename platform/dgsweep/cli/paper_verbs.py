"""`dgsweep reference` and `bench`: published numbers, and sweeps that follow a paper's protocol."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dgsweep.cli.options import Json
from dgsweep.cli.show import print_json, print_table

COLUMNS = ["method", "trained_on", "target", "metric", "value", "sd", "unit", "source", "note"]


def reference(
    paper: Annotated[str | None, typer.Argument(help="pansegnet, pancreasdg or crosspan; none: list them.")] = None,
    as_json: Json = False,
) -> None:
    """Show the published numbers that are shipped, each with its source and caveats."""
    from dgsweep.analysis.reference import PAPERS, read_paper

    if paper is None:
        rows = [
            {"name": name, "paper": found.citation, "tables": [table.name for table in found.tables]}
            for name in PAPERS
            for found in [read_paper(name)]
        ]
        print_json(rows) if as_json else print_table(rows, ["name", "paper", "tables"])
        return
    found = read_paper(paper)
    tables: list[dict[str, Any]] = [
        {
            "name": table.name,
            "title": table.title,
            "source": table.source,
            "caveats": table.caveats,
            "rows": [
                {key: None if value != value else value for key, value in row.items()}  # noqa: PLR0124 - NaN is no JSON
                for row in table.rows.to_dict("records")
            ],
        }
        for table in found.tables
    ]
    if as_json:
        print_json({"name": found.name, "citation": found.citation, "protocol": found.protocol, "tables": tables})
        return
    typer.echo(f"{found.title}: {found.citation}")
    print_table([{"what": key, "paper": text} for key, text in found.protocol.items()], ["what", "paper"])
    for table in tables:
        shown = [{**row, "value": _shown(row)} for row in table["rows"]]
        print_table(shown, COLUMNS, title=f"{table['title']} ({table['source']})")
        for caveat in table["caveats"]:
            typer.echo(f"caveat: {caveat}")


def _shown(row: dict[str, Any]) -> str:
    return "pending" if row["value"] is None else f"{row['bound']}{row['value']:g}"


def bench(
    paper: Annotated[str, typer.Argument(help="crosspan, pancreasdg, pansegnet or dual_ssl.")],
    manifest: Annotated[Path, typer.Argument(help="Your copy of the data: a manifest, or the folder that holds it.")],
    output: Annotated[Path | None, typer.Option(help="Write to this new file instead of standard output.")] = None,
) -> None:
    """Write the sweep.yaml that follows a paper's protocol on your data, with the source of each value beside it."""
    from dgsweep.data.bench import bench_sweep
    from dgsweep.errors import InputError, Problem
    from dgsweep.storage.files import create_bytes

    table = manifest / "manifest.csv" if manifest.is_dir() else manifest
    text = bench_sweep(paper, table.absolute() if output is not None else table)
    if output is None:
        typer.echo(text, nl=False)
        return
    if not create_bytes(output, text.encode()):
        problem = Problem(where=str(output), found="there is a file", fix="name another, or remove it")
        raise InputError("the sweep file was not written", [problem])
    typer.echo(f"{output}; next: dgsweep plan {output}")
