"""`dgsweep data cache`: what lies in a preprocess cache."""

from pathlib import Path
from typing import Annotated

import typer

from dgsweep.cli.options import Json
from dgsweep.cli.show import print_json, print_table

app = typer.Typer(help="The cache of preprocessed scans.", no_args_is_help=True)
Cache = Annotated[Path, typer.Argument(help="Folder of the cache: `cache` in an output, or what data.cache says.")]
COLUMNS = ["kind", "entries", "size_mb", "oldest_days"]


@app.command("ls")
def list_(cache: Cache, as_json: Json = False) -> None:
    """How many entries there are, and how large they are."""
    from dgsweep.data.cache_files import KINDS, entries

    found = list(entries(cache))
    rows = [
        {
            "kind": kind, "entries": len(own), "size_mb": round(sum(one.size_bytes for one in own) / 1e6, 1),
            "oldest_days": round(max((one.age_days for one in own), default=0.0), 1),
        }
        for kind in KINDS
        for own in [[one for one in found if one.kind == kind]]
    ]  # fmt: skip
    if as_json:
        listed = [{"name": one.key, "kind": one.kind, "size_bytes": one.size_bytes, "shape": one.shape,
                   "age_days": round(one.age_days, 3)} for one in found]  # fmt: skip
        print_json(listed)
    else:
        print_table(rows, COLUMNS)


@app.command()
def verify(cache: Cache, as_json: Json = False) -> None:
    """Read every entry. Exit 1 when one is damaged: `rm --damaged` removes it, and the next run builds it again."""
    from dgsweep.data.cache_files import damage_of, entries

    rows = [{"name": one.key, "kind": one.kind, "damage": damage_of(one)} for one in entries(cache)]
    bad = [row for row in rows if row["damage"]]
    if as_json:
        print_json({"entries": len(rows), "damaged": bad})
    else:
        if bad:
            print_table(bad, ["kind", "name", "damage"])
        typer.echo(f"{len(rows)} entries, {len(bad)} damaged")
    if bad:
        raise typer.Exit(1)


@app.command("rm")
def remove_(
    cache: Cache,
    older_than_days: Annotated[float, typer.Option(help="Only entries built longer ago.")] = 0.0,
    damaged: Annotated[bool, typer.Option(help="Only damaged entries.")] = False,
    as_json: Json = False,
) -> None:
    """Remove entries; a sweep builds again what it needs."""
    from dgsweep.data.cache_files import remove

    count, freed = remove(cache, older_than_days=older_than_days, damaged_only=damaged)
    facts = {"removed": count, "freed_mb": round(freed / 1e6, 1)}
    print_json(facts) if as_json else typer.echo(f"{count} entries removed, {facts['freed_mb']} MB")
