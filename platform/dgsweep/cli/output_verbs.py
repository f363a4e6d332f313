"""`dgsweep predict`, `score`: what leaves the platform."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dgsweep.cli.options import Json, RunFolder
from dgsweep.cli.show import print_json, print_table, stderr

SUMMARY_COLUMNS = ["domain", "label", "cases", "patients", "dice", "hd95_mm", "assd_mm", "nsd", "empty_prediction"]
_LABELS_HELP = "Structure and its value, pancreas=1; may be given several times."


def predict(  # noqa: PLR0913, PLR0917 - the options of the verb
    sweep: RunFolder,
    source: Annotated[Path, typer.Argument(metavar="IN", help="A manifest, a folder of NIfTI, or one file.")],
    out: Annotated[Path, typer.Argument(help="Folder for the masks.")],
    trial: Annotated[
        list[str] | None, typer.Option(help="Trial id or its beginning; several make an ensemble.")
    ] = None,
    method: Annotated[str, typer.Option(help="Cells of this method.")] = "",
    network: Annotated[str, typer.Option(help="Cells of this network.")] = "",
    sources: Annotated[str, typer.Option(help="Cells trained on these domains: a shell pattern, '*/T1W*'.")] = "",
    rule: Annotated[str, typer.Option(help="Which trial of a cell: a selection rule.")] = "source_val",
    ensemble: Annotated[bool, typer.Option(help="All cells that fit (folds, seeds) predict together.")] = False,
    mlflow_run: Annotated[str, typer.Option(help="The trial that this MLflow run shows.")] = "",
    tracking_uri: Annotated[str, typer.Option(help="Where the run is; default: the sweep's.")] = "",
    layout: Annotated[
        Literal["plain", "nnunet", "bids"], typer.Option(help="Names and files beside the masks.")
    ] = "plain",
    probabilities: Annotated[bool, typer.Option(help="Write the probabilities of every class too.")] = False,
    part: Annotated[str, typer.Option(metavar="K/N", help="Every n-th scan: 0/8 to 7/8 on eight machines.")] = "",
    overwrite: Annotated[bool, typer.Option(help="Predict again what lies there.")] = False,
    allow_outside: Annotated[bool, typer.Option(help="Let a manifest name files outside its folder.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Json = False,
) -> None:
    """Write masks of scans in their own geometry. What is there is skipped. Exit 2 when a scan could not be read."""
    from rich.progress import Progress

    from dgsweep.prediction.choice import Choice, chosen_trials
    from dgsweep.prediction.layout import OutputLayout
    from dgsweep.prediction.predict import load_models, predict_scans
    from dgsweep.prediction.scans import scans_of, shard
    from dgsweep.training.timing import torch_device

    choice = Choice(trials=tuple(trial or ()), method=method, network=network, sources=sources, rule=rule,
                    ensemble=ensemble, mlflow_run=mlflow_run, tracking_uri=tracking_uri)  # fmt: skip
    scans = shard(scans_of(source, allow_outside=allow_outside), part)
    ledger, specs = chosen_trials(sweep, choice)
    models = load_models(ledger, specs, torch_device(device))
    place = OutputLayout(name=layout, folder=out, labels=specs[0].preprocessing.labels)
    console = stderr()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("predict", total=len(scans))
        done = predict_scans(models, scans, place, probabilities=probabilities, overwrite=overwrite,
                             progress=lambda number, _: bar.update(task, completed=number))  # fmt: skip
    place.write_beside({"trials": [{"trial_id": spec.trial_id, "name": spec.name} for spec in specs]})
    facts = {"out": str(out), "written": done.written, "skipped": done.skipped, "trials": [s.trial_id for s in specs]}
    problems = [{"where": one.where, "found": one.found, "fix": one.fix} for one in done.problems]
    if as_json:
        print_json({**facts, "problems": problems})
    else:
        typer.echo(f"by {'; '.join(spec.name for spec in specs)}")
        if problems:
            print_table(problems, ["where", "found", "fix"])
        typer.echo(f"{done.written} masks written to {out}, {done.skipped} were there, {len(problems)} failed")
    if problems:
        raise typer.Exit(2)


def score(
    predictions: Annotated[Path, typer.Argument(metavar="PRED", help="Folder of masks.")],
    references: Annotated[Path, typer.Argument(metavar="REF", help="Folder of masks, or a manifest.")],
    out: Annotated[Path | None, typer.Option(help="Folder for cases.parquet, cases.csv and summary.json.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help=_LABELS_HELP)] = None,
    name: Annotated[str, typer.Option(help="Who made the predictions; default: the folder's name.")] = "",
    tau_mm: Annotated[float, typer.Option(help="Tolerance of NSD.")] = 2.0,
    as_json: Json = False,
) -> None:
    """Score two folders of masks. Exit 2 when a case could not be scored, after the others were."""
    from rich.progress import Progress

    from dgsweep.prediction.nnunet_summary import nnunet_summary
    from dgsweep.prediction.score import score_folders
    from dgsweep.prediction.score_tables import labels_of, shown_rows, summary_rows, write_scores
    from dgsweep.storage.files import write_bytes

    console = stderr()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("score", total=None)
        scores = score_folders(
            predictions, references, labels=labels_of(label or []), name=name, tau_mm=tau_mm,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    problems = [{"where": one.where, "found": one.found, "fix": one.fix} for one in scores.problems]
    rows: list[dict[str, Any]] = summary_rows(scores)
    if out is not None:
        write_scores(scores, out)
        summary = json.dumps(nnunet_summary(scores), indent=1, sort_keys=True)
        write_bytes(out / "summary.json", summary.encode())
    if as_json:
        print_json({"scores": rows, "problems": problems})
    else:
        print_table(shown_rows(rows), SUMMARY_COLUMNS)
        if problems:
            print_table(problems, ["where", "found", "fix"])
    if problems:
        raise typer.Exit(2)


def export(  # noqa: PLR0913, PLR0917 - the options of the verb
    sweep: RunFolder,
    out: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    trial: Annotated[str, typer.Option(help="Trial id or its beginning.")] = "",
    method: Annotated[str, typer.Option(help="The cell of this method.")] = "",
    network: Annotated[str, typer.Option(help="The cell of this network.")] = "",
    sources: Annotated[str, typer.Option(help="The cell trained on these domains: a shell pattern.")] = "",
    rule: Annotated[str, typer.Option(help="Which trial of the cell: a selection rule.")] = "source_val",
    onnx: Annotated[bool, typer.Option(help="Write models/model.onnx too.")] = False,
    as_json: Json = False,
) -> None:
    """Write a trained network as a MONAI bundle, and as ONNX where the network allows."""
    from dgsweep.prediction.bundle import write_bundle
    from dgsweep.prediction.choice import Choice, chosen_trials
    from dgsweep.prediction.onnx_file import write_onnx
    from dgsweep.prediction.predict import load_models
    from dgsweep.training.timing import torch_device

    choice = Choice(trials=(trial,) if trial else (), method=method, network=network, sources=sources, rule=rule)
    ledger, specs = chosen_trials(sweep, choice)
    (model,) = load_models(ledger, specs, torch_device("cpu"))
    write_bundle(model, out)
    facts: dict[str, Any] = {"bundle": str(out), "trial_id": model.spec.trial_id, "name": model.spec.name}
    if onnx:
        facts |= {"onnx": str(out / "models" / "model.onnx")}
        facts |= {"largest_difference": write_onnx(model, out / "models" / "model.onnx")}
    print_json(facts) if as_json else print_table(
        [{"what": key, "is": text} for key, text in facts.items()], ["what", "is"]
    )
