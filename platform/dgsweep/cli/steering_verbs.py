"""`dgsweep status`, `retry`, `cancel`, `extend` and `gc`: what a person does with a sweep that runs for days."""

import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from dgsweep.cli.options import Address, AllowOpen, Executor, Json, Overrides, RunFolder, SweepFile
from dgsweep.cli.show import as_table, print_json, print_table, stdout
from dgsweep.cli.sweep_verbs import run_and_print

STATE_COLUMNS = ["name", "network", "state", "step", "steps", "scored", "to_score", "heartbeat_s", "cause", "trial_id"]
COST_COLUMNS = ["state", "trials", "attempts", "wall_h", "gpu_hours", "core_hours", "steps", "forward_passes"]
GIB, MIB = 2**30, 2**20
LONG_LIST = 200
"""Trials above which a table shows only those that run or failed; --json has them all."""


def status(
    target: RunFolder,
    overrides: Overrides = None,
    as_json: Json = False,
    sync_mlflow: Annotated[bool, typer.Option(help="Rebuild what MLflow lacks from the ledger.")] = False,
    watch: Annotated[bool, typer.Option(help="Show it again and again until nothing runs.")] = False,
    every_s: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks of --watch.")] = 5.0,
    traceback: Annotated[bool, typer.Option(help="Show where each failed trial broke.")] = False,
) -> None:
    """States of trials: done, running (how far), failed (why), pruned, planned, stale (a scan or label changed).

    Of a sweep file, as it is now: what it adds is planned. Of an output folder, as of the last run. It reads files
    only, so any machine that sees the folder can ask.
    """
    from dgsweep.execution.prepare import names_output, output_of, prepare, tracking_of
    from dgsweep.execution.proposals import known_now
    from dgsweep.execution.state_table import sweep_status
    from dgsweep.records.ledger import Ledger
    from dgsweep.storage.files import exists

    ledger = Ledger(output_of(target, overrides or []))
    prepared = None if names_output(target) or not exists(ledger.files.plan) else prepare(target, overrides or [])

    def look() -> dict[str, Any]:
        plan = known_now(prepared.config, prepared.plan, ledger) if prepared else None
        return sweep_status(ledger, plan)

    if sync_mlflow:
        from dgsweep.execution.sync import sync_mlflow as sync

        look()  # says what is wrong with the folder
        sync(ledger, tracking_of(target, overrides or []))
    if watch:
        _watch(look, every_s)
    document = look()
    if as_json:
        print_json(document)
        return
    _print_status(document)
    for row in document["trials"] if traceback else ():
        if row["traceback"]:
            typer.echo(f"\n{row['name']} ({row['trial_id']}): {row['cause']}\n{row['traceback'].rstrip()}")


def _watch(look: Any, every_s: float) -> None:
    """Until no driver lives and no trial runs; in place on a terminal, a line a look elsewhere."""
    console = stdout()
    document = look()
    if not console.is_terminal:
        while _alive(document):
            console.print(_line(document), markup=False, highlight=False, soft_wrap=True)
            time.sleep(every_s)
            document = look()
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while _alive(document):
            live.update(as_table(_running(document), STATE_COLUMNS, console, title=_line(document)), refresh=True)
            time.sleep(every_s)
            document = look()


def _alive(document: dict[str, Any]) -> bool:
    return bool(document["driver"].get("lives")) or document["counts"].get("running", 0) > 0


def _print_status(document: dict[str, Any]) -> None:
    rows = document["trials"]
    shown = _running(document) if len(rows) > LONG_LIST else [_shown(row) for row in rows]
    print_table(shown, STATE_COLUMNS)
    if len(document["cost"]) > 1:
        print_table(document["cost"], COST_COLUMNS, title="spent, failed and repeated work included")
    stdout().print(_line(document), markup=False, highlight=False, soft_wrap=True)


def _running(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [_shown(row) for row in document["trials"] if row["state"] in ("running", "failed")]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    age_s = row["heartbeat_age_s"]
    return {**row, "heartbeat_s": "" if age_s is None else f"{age_s:.0f}"}


def _line(document: dict[str, Any]) -> str:
    """Counts, time to go, what was spent, and whether a driver runs."""
    counts = ", ".join(f"{count} {state}" for state, count in document["counts"].items()) or "nothing is planned"
    total = document["cost"][-1]
    spent = f"{total['gpu_hours']:.3g} GPU-hours" if total["gpu_hours"] else f"{total['core_hours']:.3g} core-hours"
    eta_s = document["eta_s"]
    to_go = [] if eta_s is None else [f"about {eta_s / 60:.0f} min to go" if eta_s >= 90 else f"{eta_s:.0f} s to go"]
    return " | ".join([counts, *to_go, f"{spent} spent", _driver_line(document["driver"])])


def _driver_line(driver: dict[str, Any]) -> str:
    if not driver.get("lives"):
        ended = f"; it ended early: {driver['ending']}" if driver.get("ended") and driver.get("ending") else ""
        return f"no driver runs{ended}"
    doing = "stops" if driver["stopping"] else "ends" if driver["ending"] else "runs"
    return f"the driver {doing} (sign of life {driver['age_s']:.0f} s ago)" + (
        f": {driver['ending']}" if driver["ending"] else ""
    )


def retry(  # noqa: PLR0913, PLR0917 - the options of the verb
    sweep: SweepFile,
    trials: Annotated[list[str] | None, typer.Argument(help="Trial ids, or beginnings of them.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every trial that failed.")] = False,
    overrides: Overrides = None,
    executor: Executor = "ray",
    address: Address = None,
    allow_open_cluster: AllowOpen = False,
    as_json: Json = False,
) -> None:
    """Run failed trials again, or chosen ones, and nothing else; they go on from their checkpoints."""
    from dgsweep.execution.prepare import prepare
    from dgsweep.execution.retry import to_retry
    from dgsweep.records.ledger import Ledger
    from dgsweep.storage.place import place

    prepared = prepare(sweep, overrides or [])
    only = to_retry(Ledger(place(prepared.config.output)), prepared.plan, trials or [], failed=failed)
    run_and_print(
        prepared, sweep, overrides, executor=executor, address=address, allow_open=allow_open_cluster,
        as_json=as_json, only=only,
    )  # fmt: skip


def cancel(
    target: RunFolder,
    overrides: Overrides = None,
    wait_s: Annotated[float, typer.Option(min=0, help="Seconds to wait until it has stopped.")] = 120.0,
) -> None:
    """Stop a running sweep from anywhere: trials stop at a checkpoint, and `dgsweep run` goes on from there."""
    from dgsweep.execution.cancel import cancel as stop
    from dgsweep.execution.prepare import output_of
    from dgsweep.records.ledger import Ledger

    if stop(Ledger(output_of(target, overrides or [])), wait_s=wait_s):
        typer.echo("stopped; `dgsweep run` goes on from the checkpoints")
        return
    typer.echo("asked to stop; it has not ended yet (`dgsweep status` shows when)")
    raise typer.Exit(1)


def extend(  # noqa: PLR0913, PLR0917 - the options of the verb
    sweep: SweepFile,
    method: Annotated[list[str] | None, typer.Option(help="A method to add; may be given again.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="A seed to add; may be given again.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="A target to add to an explicit protocol.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write the file and run, without asking.")] = False,
    executor: Executor = "ray",
    address: Address = None,
    allow_open_cluster: AllowOpen = False,
) -> None:
    """Add methods, seeds or targets to a sweep file, see what that adds, and run only that."""
    from dgsweep.config.load import load_sweep
    from dgsweep.execution import extend as extension
    from dgsweep.execution.prepare import output_of, prepare
    from dgsweep.records.ledger import Ledger
    from dgsweep.storage.place import place

    text = extension.extended_text(sweep, methods=method or [], seeds=seed or [], targets=target or [])
    draft = sweep.with_name(f".{sweep.stem}.extended.yaml")
    try:
        extension.save(draft, text)
        prepared = prepare(draft, [f"name={load_sweep(sweep).name}", f"output={output_of(sweep)}"])
    finally:
        draft.unlink(missing_ok=True)
    rows = extension.delta(Ledger(place(prepared.config.output)), prepared.plan)
    print_table(rows, ["name", "work", "steps", "cases_to_score", "state", "trial_id"], title="what would run")
    if not yes and not (Console().is_terminal and typer.confirm(f"Write this into {sweep} and run?")):
        typer.echo("nothing was written or run; give --yes to do both")
        return
    extension.save(sweep, text)
    run_and_print(prepare(sweep), sweep, None, executor=executor, address=address, allow_open=allow_open_cluster)


def gc(
    target: RunFolder,
    overrides: Overrides = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only listed.")] = False,
    as_json: Json = False,
) -> None:
    """List, or with --yes remove, checkpoints that no resume, rule, prediction or other trial needs."""
    from dgsweep.execution.garbage import garbage, remove
    from dgsweep.execution.prepare import output_of
    from dgsweep.execution.state_table import require_sweep
    from dgsweep.records.ledger import Ledger

    ledger = Ledger(output_of(target, overrides or []))
    require_sweep(ledger)
    with ledger.lock():
        found = garbage(ledger, ledger.read_plan())
        freed = remove(found) if yes else 0
    rows = [{"name": one.name, "file": str(one.path), "mib": one.size / MIB, "reason": one.reason} for one in found]
    total_gib = sum(one.size for one in found) / GIB
    if as_json:
        print_json({"removed": yes, "gib": total_gib, "freed_gib": freed / GIB, "files": rows})
        return
    print_table(rows, ["name", "file", "mib", "reason"])
    done = "removed" if yes else "would be removed; give --yes to do it"
    typer.echo(f"{len(found)} files, {total_gib:.3g} GiB, {done}")
    if found and not yes:
        typer.echo("a trial without its weights is trained again when a target is added to the sweep")
