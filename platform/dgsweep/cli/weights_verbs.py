"""`dgsweep weights`: checkpoints of foundation models, which users bring; none is shipped."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dgsweep.cli.options import Json
from dgsweep.cli.show import print_json, print_table, stderr
from dgsweep.errors import Problems, WeightsError

if TYPE_CHECKING:
    from dgsweep.method.promptable.architecture import Architecture
    from dgsweep.method.promptable.record import WeightsRecord

app = typer.Typer(help="Checkpoints of foundation models (SAM, MedSAM, SAM 2, MedSAM2).", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A published name (see `weights list`), or one of your own.")],
    file: Annotated[Path, typer.Argument(help="Checkpoint: .pt, .pth or .safetensors.")],
    family: Annotated[str, typer.Option(help="sam, medsam, sam2 or medsam2, where the name does not say it.")] = "",
    image_size_px: Annotated[int | None, typer.Option(help="For SAM 2 weights trained at another size.")] = None,
    architecture: Annotated[Path | None, typer.Option(help="JSON of an encoder that is no published one.")] = None,
    replace: Annotated[bool, typer.Option(help="Take the place of weights of this name.")] = False,
    as_json: Json = False,
) -> None:
    """Check a checkpoint (digest, layout, every key), convert it once to safetensors, show licence and citation."""
    from dgsweep.method.promptable.weights import register

    described = None if architecture is None else _read_architecture(architecture)
    record = register(name, file, family, architecture=described, image_size_px=image_size_px, replace=replace)
    _show(record, as_json=as_json)


@app.command()
def fetch(name: Annotated[str, typer.Argument(help="A published name.")], as_json: Json = False) -> None:
    """Download a published checkpoint and register it; where no network is, say what to do by hand."""
    from dgsweep.method.promptable import weights

    stderr().print(f"downloading {name} ...")
    _show(weights.fetch(name), as_json=as_json)


@app.command("list")
def list_weights(as_json: Json = False) -> None:
    """Registered checkpoints, and the published ones that could be."""
    from dgsweep.method.promptable.published import PUBLISHED
    from dgsweep.method.promptable.weights import known

    registered = {record.name: record for record in known()}
    rows: list[dict[str, Any]] = [
        {"registered": "yes", "encoder": record.architecture.encoder, **record.document()}
        for record in registered.values()
    ]
    rows += [
        {
            "registered": "no",
            "name": item.name,
            "family": item.family,
            "encoder": item.encoder,
            "licence": item.licence,
            "source": item.url,
            "sha256": item.sha256,
            "citation": item.citation,
        }
        for item in PUBLISHED.values()
        if item.name not in registered
    ]
    if as_json:
        print_json(rows)
        return
    print_table(rows, ["name", "registered", "family", "encoder", "licence", "source"])


def _read_architecture(path: Path) -> "Architecture":
    from dgsweep.method.promptable.architecture import Architecture

    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problems = Problems()
        problems.add(str(path), f"unreadable: {error}", "a JSON object with the fields of Architecture")
        raise WeightsError("no architecture", problems) from None
    return Architecture.from_document(document)


def _show(record: "WeightsRecord", *, as_json: bool) -> None:
    if as_json:
        print_json({**record.document(), "path": record.path})
        return
    sizes = record.architecture
    typer.echo(f"{record.name}: {record.family}, {sizes.encoder}, {sizes.image_size_px} px, layout {record.layout}")
    typer.echo(f"  weights   {record.path} ({record.size_bytes / 2**20:.1f} MiB)")
    typer.echo(f"  source    {record.source}, SHA-256 {record.sha256}")
    typer.echo(f"  licence   {record.licence or 'not known: see where the file came from'}")
    typer.echo(f"  citation  {record.citation or 'not known: see where the file came from'}")
