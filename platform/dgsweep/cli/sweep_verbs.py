"""`dgsweep plan`, `run` and `report`."""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dgsweep.cli.options import Address, AllowOpen, Executor, Json, Overrides, RunFolder, SweepFile
from dgsweep.cli.show import print_json, print_table, stderr
from dgsweep.config.secrets import without_password

PLAN_COLUMNS = [
    "method",
    "setting",
    "panel",
    "network",
    "trained_on",
    "target_domains",
    "fold",
    "seed",
    "trials",
    "to_propose",
    "train",
    "val",
    "unlabelled",
    "test",
    "target",
]
TELLING = {"setting": "", "panel": "main", "unlabelled": 0, "to_propose": 0}
"""Columns that are left out where every cell says this."""
SAID_ONCE = ("network", "fold", "seed", "trials")
PRETRAINING_COLUMNS = ["method", "network", "trained_on", "fold", "seed", "unlabelled", "steps"]


def plan(
    sweep: SweepFile,
    overrides: Overrides = None,
    probe: Annotated[bool, typer.Option("--probe", help="Measure some steps and forecast time, memory, disk.")] = False,
    address: Annotated[
        str | None, typer.Option(help="With --probe: measure on this Ray cluster, auto or host:port.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a sweep would run, without running it: cells, trials, scored cases; with --probe a forecast."""
    from dgsweep.execution.plan_document import plan_document
    from dgsweep.execution.prepare import prepare

    prepared = prepare(sweep, overrides or [])
    document = plan_document(prepared)
    if probe:
        from dgsweep.execution.probe import probe_plan

        document["forecast"] = probe_plan(prepared, stderr(), address=address)
    if as_json:
        print_json(document)
        return
    if document["pretraining"]:
        print_table(_plan_rows(document["pretraining"]), PRETRAINING_COLUMNS, title="first, on images alone")
    cells = _plan_rows(document["cells"])
    alike = _alike(cells)
    told = [name for name in PLAN_COLUMNS if name not in alike]
    columns = [name for name in told if name not in TELLING or any(cell[name] != TELLING[name] for cell in cells)]
    title = f"{prepared.plan.sweep}: {len(cells)} cells"
    if alike:
        title += f"; in all of them {', '.join(f'{name} {value}' for name, value in alike.items())}"
    print_table(cells, columns, title=title)
    for refusal in document["refusals"]:
        typer.echo(f"refused: {refusal['method']} on {'+'.join(refusal['sources'])}: {refusal['reason']}")
    for note in document["notes"]:
        typer.echo(f"note: {note}")
    print_table([{"what": k, "value": v} for k, v in document["totals"].items()], ["what", "value"], title="totals")
    if probe:
        _print_forecast(document["forecast"])


def _alike(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Columns in which all of several cells say the same, so that they need no room in the table."""
    if len(cells) < 2:
        return {}
    return {name: cells[0][name] for name in SAID_ONCE if all(cell[name] == cells[0][name] for cell in cells)}


def _plan_rows(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**cell, "trained_on": cell["sources_label"], "target_domains": len(cell["targets"])} for cell in cells]


def _print_forecast(forecast: dict[str, Any]) -> None:
    print_table(
        forecast["measured"], ["method", "network", "s_per_step", "s_per_scored_case", "peak_memory_gb", "device"]
    )
    print_table([{"what": k, "value": v} for k, v in forecast["totals"].items()], ["what", "value"], title="forecast")


def run(  # noqa: PLR0913, PLR0917 - the options of the verb
    sweep: SweepFile,
    overrides: Overrides = None,
    executor: Executor = "ray",
    address: Address = None,
    with_report: Annotated[bool, typer.Option("--report/--no-report", help="Write the report at the end.")] = True,
    verbose: Annotated[bool, typer.Option(help="Show what Ray and the workers log.")] = False,
    allow_open_cluster: AllowOpen = False,
    as_json: Json = False,
) -> None:
    """Run a sweep. Run it again to resume it, or edit the file to extend it: finished trials are never run again."""
    from dgsweep.execution.prepare import prepare

    run_and_print(
        prepare(sweep, overrides or []),
        sweep,
        overrides,
        executor=executor,
        address=address,
        allow_open=allow_open_cluster,
        with_report=with_report,
        verbose=verbose,
        as_json=as_json,
    )


def run_and_print(  # noqa: PLR0913 - what the verbs that run trials share
    prepared: Any,
    sweep: Path,
    overrides: list[str] | None,
    *,
    executor: Literal["ray", "inline"],
    address: str | None,
    allow_open: bool = False,
    with_report: bool = True,
    verbose: bool = False,
    as_json: bool = False,
    only: list[str] | None = None,
) -> None:
    """Run a prepared sweep, or some of its trials, and print how it ended."""
    from dgsweep.execution.printout import run_document  # heavy, and wrong input is answered without them
    from dgsweep.execution.sweep import run_sweep

    outcome = run_sweep(
        prepared.config,
        prepared.plan,
        prepared.manifest,
        executor=executor,
        address=address,
        allow_open=allow_open,
        console=stderr(),
        verbose=verbose,
        only=only,
    )
    document = run_document(prepared, outcome)
    if with_report:
        from dgsweep.report import write_report
        from dgsweep.report.evidence import read_evidence
        from dgsweep.report.publish import publish
        from dgsweep.storage.place import place

        evidence = read_evidence(place(prepared.config.output))
        page = write_report(place(prepared.config.output), evidence=evidence)
        document["report"] = str(page)
        publish(evidence, page, prepared.config.tracking, sweep=prepared.config.name)
    options = _as_options(overrides, executor, address) + ["--allow-open-cluster"] * allow_open
    again = without_password(shlex.join(["dgsweep", "run", str(sweep), *options]))
    if outcome.failed:
        document["retry"] = again
    if outcome.stopped:
        document["go_on"] = again
    if as_json:
        print_json(document)
    else:
        _print_outcome(document)
    raise typer.Exit(outcome.exit_code)


def _as_options(overrides: list[str] | None, executor: str, address: str | None) -> list[str]:
    """Options that must be given again for the same sweep to run in the same place."""
    options = [part for override in overrides or [] for part in ("--set", override)]
    options += ["--executor", executor] if executor != "ray" else []
    return options + (["--address", address] if address else [])


def _print_outcome(document: dict[str, Any]) -> None:
    matrix = document["matrix"]
    if matrix:
        print_table(matrix, list(matrix[0]), title=document["matrix_title"])
    typer.echo(
        f"{document['run']} trials run, {document['reused']} reused, {len(document['failed'])} failed, "
        f"{_and_pruned(document['pruned'])}"
        f"{document['wall_s']:.0f} s"
    )
    for name in ("report", "mlflow"):
        if name in document:
            typer.echo(f"{name}: {document[name]}")
    if document["failed"]:
        print_table(document["failed"], ["trial_id", "name", "cause"], title="failed")
        typer.echo(f"to retry: {document['retry']}")
    if document["stopped"]:
        typer.echo(f"stopped early: {document['stopped']}")
        typer.echo(f"{document['left']} trials are left, those that had begun at a checkpoint: {document['go_on']}")


def _and_pruned(count: int) -> str:
    """Said only of sweeps in which a scheduler stopped something."""
    return f"{count} pruned, " if count else ""


def report(
    target: RunFolder,
    overrides: Overrides = None,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Pictures of patients in the page.")] = True,
    to: Annotated[Path | None, typer.Option(help="Folder to write into, instead of `report` in the output.")] = None,
    against: Annotated[
        str | None, typer.Option(help="Draw a paper's numbers beside: pansegnet, pancreasdg or crosspan.")
    ] = None,
    figures: Annotated[bool, typer.Option("--figures/--no-figures", help="Figures as SVG, by a browser.")] = True,
    domainbed: Annotated[
        Path | None, typer.Option(help="Write the records as DomainBed lays them out into this folder, and no report.")
    ] = None,
) -> None:
    """Write the report of a sweep: one page that opens offline; tables as CSV and LaTeX, figures as SVG."""
    from dgsweep.execution.prepare import output_of
    from dgsweep.report import write_report

    output = output_of(target, overrides or [])
    if domainbed is None:
        typer.echo(str(write_report(output, images=images, to=to, beside=against, figures=figures)))
        return
    from dgsweep.report.domainbed import write_domainbed

    typer.echo(f"{domainbed}: {write_domainbed(output, domainbed)} records")
