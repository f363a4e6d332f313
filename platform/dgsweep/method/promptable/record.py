"""What is known of registered weights: the JSON beside the safetensors file. Free of torch."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from dgsweep.errors import Problems, WeightsError
from dgsweep.method.promptable.architecture import Architecture

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class WeightsRecord:
    """One registered model: where its converted weights lie, and where they came from."""

    name: str
    path: Path
    """The converted weights: safetensors, float32, names of transformers, the whole model with SAM 2's memory."""
    family: str
    architecture: Architecture
    sha256: str
    """Of the file that the user brought, in hexadecimal."""
    source: str
    """Name of that file."""
    layout: str
    """How its parameters were named: `original` or `transformers`, and the prefix that wrapped them."""
    size_bytes: int
    """Of the converted weights, to notice a file that was cut off."""
    licence: str = ""
    citation: str = ""

    def document(self) -> dict[str, Any]:
        """Plain values for JSON; the folder is left out, so that it can be moved."""
        values = asdict(self) | {"architecture": self.architecture.document(), "format": FORMAT}
        values.pop("path")
        return values


def sidecar(weights: Path) -> Path:
    """The JSON file beside a safetensors file."""
    return weights.with_name(weights.name.removesuffix(".safetensors") + ".json")


def read_record(weights: Path) -> WeightsRecord:
    """Record of a registered safetensors file, checked against the file's size.

    Raises:
        WeightsError: the record or the weights are not there, cut off, or not ours.
    """
    place, problems = sidecar(weights), Problems()
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
        if document.pop("format") != FORMAT:
            raise ValueError("another version of the format")
        architecture = Architecture.from_document(document.pop("architecture"))
        record = WeightsRecord(path=weights, architecture=architecture, **document)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        problems.add(str(place), f"unreadable: {error}", "register the weights again: dgsweep weights add NAME FILE")
        raise WeightsError("no record of these weights", problems) from None
    size = weights.stat().st_size if weights.is_file() else 0
    if size != record.size_bytes:
        again = f"dgsweep weights add {record.name} {record.source or 'FILE'} --replace"
        problems.add(str(weights), f"{size} bytes, {record.size_bytes} were written", again)
    problems.raise_if_any(WeightsError, "registered weights are damaged")
    return record


def write_record(record: WeightsRecord) -> None:
    """Write the JSON beside the weights, in one step."""
    text = json.dumps(record.document(), indent=2) + "\n"
    replace_file(sidecar(record.path), lambda part: part.write_text(text, encoding="utf-8"))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Make `path` what `write` writes to the path it is given; until that is whole and on disk, nothing changes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        write(part)
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
