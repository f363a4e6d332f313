"""`dgsweep readers form` and `tally`: whether readers accept what the methods drew."""

from pathlib import Path
from typing import Annotated

import typer

from dgsweep.cli.options import Json, RunFolder
from dgsweep.cli.show import print_json, print_table, rows_of

app = typer.Typer(help="Acceptance studies: blinded forms for readers, and what they answered.", no_args_is_help=True)


@app.command()
def form(
    target: RunFolder,
    out: Annotated[Path, typer.Argument(help="New folder of the study.")],
    cases: Annotated[
        int, typer.Option(help="Cases, drawn evenly from the shifts; each is shown for every method.")
    ] = 20,
    methods: Annotated[
        list[str] | None, typer.Option("--methods", help="A method as the report names it; again for more. None: all.")
    ] = None,
    reader: Annotated[list[str] | None, typer.Option(help="Name of a reader; give two or more.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other cases in another order.")] = 0,
    as_json: Json = False,
) -> None:
    """Write one blinded form a reader (HTML that works offline, and CSV), and the key that names the methods, apart."""
    from dgsweep.execution.prepare import output_of
    from dgsweep.report.reader_form import write_study

    readers = reader or ["reader_1", "reader_2"]
    written = write_study(output_of(target, []), out, readers=readers, cases=cases, methods=methods or (), seed=seed)
    if as_json:
        forms = [str(path) for path in written.forms]
        print_json({"forms": forms, "key": str(written.key), "items": written.items, "notes": written.notes})
        return
    for path in written.forms:
        typer.echo(f"form: {path}")
    typer.echo(f"key: {written.key} ({written.items} items); readers must not see it. The forms show patients.")
    for note in written.notes:
        typer.echo(f"note: {note}")


@app.command()
def tally(
    study: Annotated[Path, typer.Argument(help="Folder that `readers form` wrote.")],
    answers: Annotated[list[Path], typer.Argument(help="CSV files that the readers saved.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the tables; default: `tally` in the study.")] = None,
    as_json: Json = False,
) -> None:
    """Count the answers: acceptance rate of each method and shift with intervals, and agreement of the readers."""
    from dgsweep.report.reader_tally import write_tally

    found = write_tally(study, answers, study / "tally" if out is None else out)
    tables = {name: rows_of(table) for name, table in found.tables.items()}
    if as_json:
        print_json({"notes": found.notes, **tables})
        return
    for name, rows in tables.items():
        if rows:
            print_table(rows, list(rows[0]), title=name)
    for note in found.notes:
        typer.echo(f"note: {note}")
