"""`dgsweep data`: make the phantom, check a data set."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dgsweep.cli.options import Json
from dgsweep.cli.show import print_json, print_table, rows_of, stderr

app = typer.Typer(help="Scans: make a phantom, check a manifest.", no_args_is_help=True)


@app.command()
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not hold anything else.")],
    patients_per_center: Annotated[int, typer.Option(help="Patients in each center.")] = 6,
    centers: Annotated[int, typer.Option(help="Centers (1 to 4).")] = 4,
    shape: Annotated[tuple[int, int, int], typer.Option(help="Voxels x y z at about 3 mm.")] = (96, 80, 48),
    seed: Annotated[int, typer.Option(help="Another seed, other patients.")] = 0,
) -> None:
    """Write a multi-center, multi-sequence physics phantom of the abdomen: NIfTI, manifest.csv, dataset.yaml."""
    from rich.progress import Progress

    from dgsweep.data.phantom import PhantomSpec, write_phantom

    spec = PhantomSpec(patients_per_center=patients_per_center, centers=centers, shape=shape, seed=seed)
    console = stderr()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("phantom", total=None)
        manifest = write_phantom(out, spec, progress=lambda done, total: bar.update(task, completed=done, total=total))
    typer.echo(str(manifest))


@app.command()
def agreement(
    manifest: Annotated[Path, typer.Argument(help="manifest.csv, manifest.parquet, or the folder that holds it.")],
    out: Annotated[Path | None, typer.Option(help="Folder for observer_agreement.csv and its cases.")] = None,
    as_json: Json = False,
    allow_outside: Annotated[bool, typer.Option(help="Let the manifest name files outside its folder.")] = False,
) -> None:
    """How well two readings of the same scans agree: Dice and Cohen's kappa (of label_inter, label_intra)."""
    from dgsweep.analysis.observers import agreement_of
    from dgsweep.config.schema import DataConfig
    from dgsweep.data.manifest import read_manifest
    from dgsweep.storage.files import write_bytes

    path = manifest / "manifest.csv" if manifest.is_dir() else manifest
    tables = agreement_of(read_manifest(path, DataConfig(manifest=str(path), allow_outside=allow_outside)))
    if out is not None:
        for name, table in tables.items():
            write_bytes(out / f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode())
    found = {name: rows_of(table) for name, table in tables.items()}
    if as_json:
        print_json({"manifest": str(path), "region": "whole image", **found})
        return
    rows = found["observer_agreement"]
    print_table(rows, list(rows[0]), title="two readings of the same scans; kappa over the whole image")


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="manifest.csv, manifest.parquet, or the folder that holds it.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    allow_outside: Annotated[bool, typer.Option(help="Let the manifest name files outside its folder.")] = False,
) -> None:
    """Check a manifest, its files and their voxels; every problem at once. Exit 2 when one keeps the data from use."""
    from dgsweep.config.schema import DataConfig
    from dgsweep.data.check import check_manifest

    path = manifest / "manifest.csv" if manifest.is_dir() else manifest
    result = check_manifest(path, DataConfig(manifest=str(path), allow_outside=allow_outside))
    findings = [asdict(finding) for finding in result.findings]
    if as_json:
        print_json({"manifest": str(path), "cases": result.cases, "errors": len(result.errors), "findings": findings})
    else:
        if findings:
            print_table(findings, ["severity", "case_id", "where", "found", "fix"])
        typer.echo(
            f"{result.cases} cases read, {len(result.errors)} errors, {len(findings) - len(result.errors)} warnings"
        )
    if result.errors:
        raise typer.Exit(2)
