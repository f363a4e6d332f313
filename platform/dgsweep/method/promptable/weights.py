"""The registry of weights: a folder in which each checkpoint lies once, checked and converted. Free of torch to import.

`register` is the only writer. A record appears after its weights, so a writer that is killed leaves a file that nobody
finds, never weights under another model's record.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from dgsweep.errors import Problems, WeightsError
from dgsweep.method.promptable.architecture import FAMILIES, Architecture, is_hiera
from dgsweep.method.promptable.published import PUBLISHED, Published
from dgsweep.method.promptable.record import WeightsRecord, read_record, replace_file, sidecar, write_record

FOLDER_VARIABLE = "DGSWEEP_WEIGHTS"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
Download = Callable[[Published, Path], Path]


def folder() -> Path:
    """Where registered weights lie: `DGSWEEP_WEIGHTS`, or `~/.cache/dgsweep/weights`."""
    chosen = os.environ.get(FOLDER_VARIABLE, "")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "dgsweep" / "weights"


def known() -> list[WeightsRecord]:
    """Every registered checkpoint, by name; a record that cannot be read is an error that names it."""
    return [read_record(place.with_suffix(".safetensors")) for place in _sidecars()]


def find(name: str) -> WeightsRecord:
    """One registered checkpoint.

    Raises:
        WeightsError: it is not registered (the error says how to register it), or damaged.
    """
    weights = _place(name)
    if sidecar(weights).is_file():
        return read_record(weights)
    problems = Problems()
    problems.add(str(folder()), f"{name} is not there", _how_to_register(name))
    registered = [place.stem for place in _sidecars()]
    problems.add("registered", ", ".join(registered) or "nothing", f"another folder is chosen with {FOLDER_VARIABLE}")
    raise WeightsError(f"no weights are registered as {name!r}", problems)


def register(
    name: str,
    file: Path,
    family: str = "",
    *,
    architecture: Architecture | None = None,
    image_size_px: int | None = None,
    replace: bool = False,
) -> WeightsRecord:
    """Check a checkpoint, convert it once to safetensors, and remember where it came from.

    Args:
        name: What it is called from now on; a published name brings family, licence, citation and digest.
        file: `.pt`, `.pth` or `.safetensors`, in the original layout or that of transformers.
        family: One of `FAMILIES`; taken from the published name where not given.
        architecture: What the network is, for a Hiera encoder that is no published one.
        image_size_px: Image size that SAM 2 weights were trained for, where it is not the family's.
        replace: Let other weights take the place of those registered under this name.

    Raises:
        WeightsError: with every reason at once; nothing is written then.
    """
    family = _checked_family(name, family)
    digest = _checked_digest(name, file)
    weights = _place(name)
    if sidecar(weights).is_file() and not replace:
        held = read_record(weights)
        same_size = image_size_px in {None, held.architecture.image_size_px}
        same_architecture = architecture in {None, held.architecture}
        if (held.sha256, held.family) == (digest, family) and same_size and same_architecture:
            return held
        problems = Problems()
        problems.add(name, f"registered from {held.source}", "another name, or --replace")
        raise WeightsError("other weights have this name", problems)
    return _convert(name, file, family, digest, architecture, image_size_px)


def fetch(name: str, download: Download | None = None) -> WeightsRecord:
    """Download a published checkpoint from Hugging Face and register it.

    Raises:
        WeightsError: no published checkpoint has this name, or there is no way to it: then with the manual steps.
    """
    import tempfile

    published = PUBLISHED.get(name)
    problems = Problems()
    if published is None:
        problems.add(name, "no published checkpoint", f"one of {', '.join(PUBLISHED)}")
        raise WeightsError("nothing to fetch", problems)
    with tempfile.TemporaryDirectory(prefix="dgsweep-weights-") as scratch:
        try:
            file = (download or _from_hugging_face)(published, Path(scratch))
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            problems.add(published.repository, f"not reached: {reason}", manual_steps(published))
            raise WeightsError(f"{name} cannot be downloaded from here", problems) from None
        return register(name, file)


def manual_steps(published: Published) -> str:
    """What a person does where no network is: URL, file name, command."""
    return (
        f"download {published.url} where there is a network, bring {published.file} here, "
        f"and run: dgsweep weights add {published.name} {published.file}"
    )


def _convert(
    name: str,
    file: Path,
    family: str,
    digest: str,
    architecture: Architecture | None,
    image_size_px: int | None,
) -> WeightsRecord:
    import torch
    from safetensors.torch import save_file

    from dgsweep.method.promptable.checkpoint import read_checkpoint
    from dgsweep.method.promptable.mapping import to_transformers

    state, layout = read_checkpoint(file, family)
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    architecture = _fitting(shapes, family, str(file), architecture, image_size_px)
    weights = _place(name)
    tensors = {
        key: value.to(torch.float32).contiguous().clone() for key, value in to_transformers(state, family).items()
    }

    def write(part: Path) -> None:
        save_file(tensors, part, metadata={"format": "pt", "sha256": digest})
        sidecar(weights).unlink(missing_ok=True)  # no record of the former weights once these are in place

    replace_file(weights, write)
    published = PUBLISHED.get(name)
    record = WeightsRecord(
        name=name,
        path=weights,
        family=family,
        architecture=architecture,
        sha256=digest,
        source=file.name,
        layout=layout,
        size_bytes=weights.stat().st_size,
        licence=published.licence if published else "",
        citation=published.citation if published else "",
    )
    write_record(record)
    return record


def _fitting(
    shapes: dict[str, tuple[int, ...]],
    family: str,
    where: str,
    given: Architecture | None,
    image_size_px: int | None,
) -> Architecture:
    """The architecture that the shapes fit exactly; where they fit none, the first keys that tell."""
    from dgsweep.method.promptable.detect import architecture_of, layout_of
    from dgsweep.method.promptable.family import expected_shapes
    from dgsweep.method.promptable.mapping import compare

    problems = Problems()
    seen, wanted = layout_of(shapes), "sam2" if is_hiera(family) else "sam"
    if seen and seen != wanted:
        problems.add(where, f"laid out as {seen}, not as {wanted}", f"the family of this file is not {family}")
    if given is not None and given.family != family:
        problems.add("architecture", f"of {given.family}", f"one of {family}")
    found = given if given is not None else architecture_of(shapes, family, image_size_px)
    wanted_sizes = found or Architecture.published(family)
    compare(shapes, expected_shapes(wanted_sizes)).report(where, problems)
    if image_size_px not in {None, wanted_sizes.image_size_px}:
        problems.add("image size", f"{image_size_px} px", f"these weights are for {wanted_sizes.image_size_px} px only")
    problems.raise_if_any(WeightsError, f"these are no weights of {family}")
    return wanted_sizes


def _checked_family(name: str, family: str) -> str:
    problems = Problems()
    published = PUBLISHED.get(name)
    if not _NAME.fullmatch(name):
        problems.add("name", repr(name), "letters, digits and . _ + -, a letter or digit first")
    if family and family not in FAMILIES:
        problems.add("family", repr(family), f"one of {', '.join(FAMILIES)}")
    if published and family not in {"", published.family}:
        problems.add("family", family, f"{name} is the name of a published checkpoint of {published.family}")
    if not published and not family:
        fix = f"--family {' or '.join(FAMILIES)}, or one of the published names: {', '.join(PUBLISHED)}"
        problems.add("family", f"not known for {name}", fix)
    problems.raise_if_any(WeightsError, "weights cannot be registered like this")
    return family or (published.family if published else "")


def _checked_digest(name: str, file: Path) -> str:
    """SHA-256 of the file ('' where it is none), which must be the published one where that is known."""
    from dgsweep.method.promptable.checkpoint import sha256_of

    digest = sha256_of(file) if file.is_file() else ""
    published = PUBLISHED.get(name)
    same_file = published is not None and file.suffix != ".safetensors"  # that one is the authors' conversion
    if published and same_file and digest and published.sha256 not in {"", digest}:
        _explain_digest(published, file, digest)
    return digest


def _explain_digest(published: Published, file: Path, digest: str) -> None:
    """Refuse a file that is not the published one; what is wrong inside tells more than its digest, so it is read."""
    from dgsweep.method.promptable.checkpoint import read_checkpoint

    problems = Problems()
    fix = f"download it again from {published.url}, or register it under a name of its own with --family"
    problems.add(str(file), f"SHA-256 {digest}, published is {published.sha256}", fix)
    try:
        state, _ = read_checkpoint(file, published.family)
        _fitting({key: tuple(value.shape) for key, value in state.items()}, published.family, str(file), None, None)
    except WeightsError as error:
        problems.extend(error.problems)
    raise WeightsError(f"this is not the published {published.name}", problems)


def _how_to_register(name: str) -> str:
    published = PUBLISHED.get(name)
    if published is None:
        return f"dgsweep weights add {name} FILE --family {'|'.join(FAMILIES)}"
    return f"dgsweep weights fetch {name}; without a network, {manual_steps(published)}"


def _from_hugging_face(published: Published, scratch: Path) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(published.repository, published.fetch_file, local_dir=scratch))


def _place(name: str) -> Path:
    return folder() / f"{name}.safetensors"


def _sidecars() -> list[Path]:
    return sorted(folder().glob("[!.]*.json")) if folder().is_dir() else []
