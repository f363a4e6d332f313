"""`dgsweep data`: make the phantom, check a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dgsweep.cli import cache_verbs
from dgsweep.cli.options import Json, RunFolder
from dgsweep.cli.show import print_json, print_table, rows_of, stderr

if TYPE_CHECKING:
    from dgsweep.data.importing import Written

app = typer.Typer(help="Scans: make a phantom, import and check data sets.", no_args_is_help=True)

app.add_typer(cache_verbs.app, name="cache")


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
    html: Annotated[
        Path | None, typer.Option(metavar="PAGE", help="Write a page with a picture of every case.")
    ] = None,
) -> None:
    """Check a manifest, its files and their voxels; every problem at once. Exit 2 when one keeps the data from use."""
    from dgsweep.config.schema import DataConfig
    from dgsweep.data.check import check_manifest

    path = manifest / "manifest.csv" if manifest.is_dir() else manifest
    data = DataConfig(manifest=str(path), allow_outside=allow_outside)
    if html is None:
        result = check_manifest(path, data)
    else:
        from dgsweep.report.data_page import Pictures, data_page
        from dgsweep.storage.files import write_bytes

        pictures = Pictures()
        result = check_manifest(path, data, look=pictures)
        write_bytes(html, data_page(result, pictures, name=path.resolve().parent.name).encode())
    findings = [asdict(finding) for finding in result.findings]
    if as_json:
        print_json({"manifest": str(path), "cases": result.cases, "errors": len(result.errors), "findings": findings})
    else:
        if findings:
            print_table(findings, ["severity", "case_id", "where", "found", "fix"])
        typer.echo(f"{result.cases} cases read, {len(result.errors)} errors, {_count(findings, 'warning')} warnings")
        if html is not None:
            typer.echo(f"page: {html} (it shows patients)")
    if result.errors:
        raise typer.Exit(2)


def _count(findings: Sequence[Mapping[str, Any]], severity: str) -> int:
    return sum(1 for finding in findings if finding["severity"] == severity)


@app.command("import")
def import_(  # noqa: PLR0913, PLR0917 - the options of the verb
    kind: Annotated[str, typer.Argument(help="How the data set lies there; `dgsweep data kinds` lists them.")],
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of the data set.")],
    out: Annotated[Path, typer.Argument(help="Folder for manifest.csv and dataset.yaml.")],
    copy: Annotated[bool, typer.Option(help="Copy every volume, without header text.")] = False,
    pseudonymise: Annotated[
        Path | None,
        typer.Option(metavar="KEY.csv", help="Copy under random ids; the key file is made, or used again."),
    ] = None,
    center: Annotated[str, typer.Option(help="Center of cases whose place does not tell it.")] = "",
    sequence: Annotated[str, typer.Option(help="Sequence of cases whose place does not tell it.")] = "",
    metadata: Annotated[Path | None, typer.Option(help="CSV by case_id or patient_id whose columns win.")] = None,
    image: Annotated[str, typer.Option(help="Kind folder: '{center}_{patient}_{sequence}.nii.gz'.")] = "",
    label: Annotated[str, typer.Option(help="Kind folder: the same for label maps.")] = "",
    splits: Annotated[Path | None, typer.Option(help="Kind nnunet: splits_final.json.")] = None,
    fold: Annotated[int | None, typer.Option(help="Kind nnunet: its fold that becomes the column split.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Write a manifest for a published data set. Voxels stay where they are, except what is no NIfTI volume."""
    from rich.progress import Progress

    from dgsweep.data.importing import ImportOptions, find_cases, write_import
    from dgsweep.data.importing.pseudonyms import Pseudonyms

    options = ImportOptions(
        center=center, sequence=sequence, metadata=metadata, splits=splits, fold=fold,
        image_pattern=image, label_pattern=label,
    )  # fmt: skip
    found = find_cases(kind, source, options)
    names = Pseudonyms(pseudonymise, out) if pseudonymise else None
    console = stderr()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("import", total=None)
        written = write_import(
            found, out, copy=copy, pseudonyms=names,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    _print_import(written, as_json=as_json)
    if any(finding.severity == "error" for finding in written.findings.all):
        raise typer.Exit(2)


def _print_import(written: "Written", *, as_json: bool) -> None:
    findings = [asdict(finding) for finding in written.findings.all]
    facts = {"manifest": str(written.manifest), "cases": written.cases, "copied": written.copied}
    if as_json:
        print_json({**facts, "outside": written.outside, "domains": list(written.domains), "findings": findings})
        return
    print_table(list(written.domains), ["domain", "patients", "cases", "labelled"])
    if findings:
        print_table(findings, ["severity", "case_id", "where", "found", "fix"])
    typer.echo(f"{written.cases} cases in {written.manifest}, {written.copied} volumes written")
    outside = " --allow-outside" if written.outside else ""
    typer.echo(f"next: dgsweep data check {written.manifest}{outside}")
    if written.outside:
        typer.echo("the scans stay where they are: a sweep on this manifest needs `data: {allow_outside: true}`")


@app.command()
def export(
    sweep: RunFolder,
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    splits: Annotated[
        Literal["nnunet"], typer.Option(help="Write splits_final.json for the sweep's protocol.")
    ] = "nnunet",
    val: Annotated[Literal["source", "target"], typer.Option(help="What nnU-Net validates on.")] = "source",
    as_json: Json = False,
) -> None:
    """Write the division of patients for other tools: each fold of the file is a source set and fold of the sweep."""
    from dgsweep.prediction.nnunet_splits import nnunet_splits, write_nnunet_splits
    from dgsweep.records.ledger import Ledger

    rows = write_nnunet_splits(nnunet_splits(Ledger(sweep).read_plan(), val=val), out)
    print_json(rows) if as_json else print_table(rows, list(rows[0]) if rows else ["nnunet_fold"])


@app.command()
def kinds(as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False) -> None:
    """List the layouts that `import` knows."""
    from dgsweep.data.importing import KINDS

    rows = [{"name": name, "layout": kind.about} for name, kind in KINDS.items()]
    print_json(rows) if as_json else print_table(rows, ["name", "layout"])
