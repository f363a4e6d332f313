"""`dgsweep methods` and `dgsweep networks`: what is installed, what it says of itself, whether it keeps its word."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from dgsweep.cli.options import Json
from dgsweep.cli.show import print_json, print_table
from dgsweep.config.declaration import Hyperparameter

methods = typer.Typer(help="Domain-generalization methods.", no_args_is_help=True)
networks = typer.Typer(help="Backbones.", no_args_is_help=True)


@methods.command("list")
def list_methods(as_json: Json = False) -> None:
    """Every installed method, built-in or from another package."""
    from dgsweep.method.catalog import method_declarations

    rows = [
        {
            "name": item.name,
            "summary": item.summary,
            "contrast_inversion": item.requires.contrast_inversion,
            "min_source_domains": item.requires.min_source_domains,
            "test_time": item.requires.test_time,
            "forward_passes_per_step": item.forward_passes_per_step,
            "paper": item.paper,
        }
        for item in method_declarations().values()
    ]
    print_json(rows) if as_json else print_table(rows, ["name", "summary", "contrast_inversion", "min_source_domains"])


@methods.command("show")
def show_method(name: str, as_json: Json = False) -> None:
    """One method: its card, hyperparameters with defaults and ranges, and search space."""
    from dgsweep.config.search_space import default_folders, load_space
    from dgsweep.method.card import read_card
    from dgsweep.method.catalog import method_declaration

    declaration = method_declaration(name)
    space = load_space(name, default_folders())
    document = {**asdict(declaration), "search_space": {key: str(value) for key, value in space.distributions.items()}}
    if as_json:
        print_json(document)
        return
    typer.echo(read_card(declaration))
    print_table(_hyperparameter_rows(declaration.hyperparameters), ["name", "default", "allowed", "help", "source"])


@methods.command("check")
def check_method(name: str, as_json: Json = False) -> None:
    """Run the conformance suite: does the method do what it says, and does it differ from ERM? Exit 1 when not."""
    from dgsweep.method.catalog import method_declaration
    from dgsweep.method.conformance import check

    _finish_check(name, [asdict(result) for result in check(method_declaration(name))], as_json=as_json)


@methods.command("new")
def new_method(
    name: str,
    out: Annotated[Path | None, typer.Option(help="New or empty folder; default: dgsweep-NAME here.")] = None,
    as_json: Json = False,
) -> None:
    """Write a working method as a distribution of its own: declaration, method, card, search space, test."""
    from dgsweep.method.catalog import method_declarations
    from dgsweep.method.scaffold import distribution_name, write_distribution

    folder = out or Path(distribution_name(name))
    written = write_distribution(name, folder, method_declarations())
    if as_json:
        print_json({"name": name, "folder": folder, "files": written})
        return
    for path in written:
        typer.echo(path)
    typer.echo(f"\nNext: pip install --no-deps --no-build-isolation -e {folder} && dgsweep methods check {name}")


@networks.command("list")
def list_networks(as_json: Json = False) -> None:
    """Every installed backbone."""
    from dgsweep.method.catalog import network_declarations

    rows = [
        {
            "name": item.name,
            "dims": item.dims,
            "summary": item.summary,
            "paper": item.paper,
            "source": item.source,
            "licence": item.licence,
        }
        for item in network_declarations().values()
    ]
    print_json(rows) if as_json else print_table(rows, ["name", "dims", "summary", "paper"])


@networks.command("show")
def show_network(
    name: str,
    patch: Annotated[str, typer.Option(help="Voxels x,y,z.")] = "64,64,32",
    spacing_mm: Annotated[str, typer.Option(help="Voxel size x,y,z in mm.")] = "1.5,1.5,3.0",
    classes: Annotated[int, typer.Option(help="With the background.")] = 2,
    settings: Annotated[list[str] | None, typer.Option("--set", help="An option of the backbone: width=16.")] = None,
    as_json: Json = False,
) -> None:
    """One backbone built for a patch: its card, parameters, FLOPs, activation memory and taps; nothing is computed."""
    from dgsweep.method.card import read_card
    from dgsweep.method.catalog import network_declaration
    from dgsweep.training.describe import describe

    document = describe(name, patch, spacing_mm, classes=classes, settings=settings or [])
    if as_json:
        print_json(document)
        return
    typer.echo(read_card(network_declaration(name)))
    rows = [{"field": key, "value": _readable(key, value)} for key, value in document.items() if value not in ("", {})]
    print_table(rows, ["field", "value"])


@networks.command("time")
def time_networks(  # noqa: PLR0913, PLR0917 - the options of the verb
    name: Annotated[str | None, typer.Argument(help="A backbone; leave it out with --of.")] = None,
    of: Annotated[Path | None, typer.Option(help="Every backbone of this sweep's output; kept for its report.")] = None,
    patch: Annotated[str, typer.Option(help="Voxels x,y,z.")] = "64,64,32",
    spacing_mm: Annotated[str, typer.Option(help="Voxel size x,y,z in mm.")] = "1.5,1.5,3.0",
    classes: Annotated[int, typer.Option(help="With the background.")] = 2,
    settings: Annotated[list[str] | None, typer.Option("--set", help="An option of the backbone: width=16.")] = None,
    runs: Annotated[int, typer.Option(help="Forward passes, after three to warm up.")] = 100,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Json = False,
) -> None:
    """Time a backbone: parameters, FLOPs and the mean of many forward passes of one patch."""
    if (name is None) == (of is None):
        raise typer.BadParameter("name a backbone, or give --of OUTPUT")
    from dgsweep.training.timing import time_network

    if of is not None:
        from dgsweep.execution.network_times import time_networks_of
        from dgsweep.execution.prepare import output_of

        found = time_networks_of(output_of(of), runs=runs, device=device)
    else:
        from dgsweep.training.describe import wanted

        entry, task = wanted(str(name), patch, spacing_mm, classes=classes, settings=settings or [])
        found = [time_network(entry.declaration.name, task, runs=runs, device=device)]
    rows = [asdict(timing) for timing in found]
    columns = ["name", "patch", "parameters", "flops", "mean_s", "sd_s", "runs", "device", "threads"]
    print_json(rows) if as_json else print_table([_grouped(row) for row in rows], columns)


def _grouped(row: dict[str, Any]) -> dict[str, Any]:
    return {key: _readable(key, value) for key, value in row.items()}


@networks.command("check")
def check_network(name: str, as_json: Json = False) -> None:
    """Run the conformance suite: shapes, gradients, state, taps, prediction. Exit 1 when one fails."""
    from dgsweep.method.catalog import network_declaration
    from dgsweep.networks.conformance import check

    _finish_check(name, [asdict(result) for result in check(network_declaration(name))], as_json=as_json)


def _finish_check(name: str, results: list[dict[str, Any]], *, as_json: bool) -> None:
    failed = sum(1 for result in results if result["outcome"] == "failed")
    if as_json:
        print_json({"name": name, "failed": failed, "checks": results})
    else:
        print_table(results, ["check", "outcome", "says"])
        typer.echo(f"{name}: {len(results)} checks, {failed} failed")
    if failed:
        raise typer.Exit(1)


def _readable(key: str, value: Any) -> Any:
    """Counts with their thousands apart, dictionaries line by line."""
    if isinstance(value, dict):
        return "\n".join(f"{name}: {part}" for name, part in value.items())
    return f"{value:,}".replace(",", " ") if isinstance(value, int) and key != "dims" else value


def _hyperparameter_rows(fields: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "default": item.default, "allowed": _allowed(item), "help": item.help, "source": item.source}
        for name, item in fields.items()
    ]


def _allowed(item: Hyperparameter) -> str:
    if item.choices is not None:
        return " | ".join(map(str, item.choices))
    bounds = ["" if bound is None else f"{bound:g}" for bound in (item.low, item.high)]
    return "..".join(bounds) if any(bounds) else ""
