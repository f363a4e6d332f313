"""What `gin+swad` says of itself, put together from what its parts say. Torch-free."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dgsweep.config.declaration import Hyperparameter, HyperparameterValue, MethodDeclaration, Requires
from dgsweep.errors import MethodError

SIGN = "+"
_RECIPES = 1000
"""Parts' recipe versions are digits to this base, so that raising any of them raises the whole."""


def part_names(name: str) -> tuple[str, ...]:
    """Names of the parts of a composition, one for a plain method."""
    return tuple(part.strip() for part in name.split(SIGN))


def compose_declarations(parts: Sequence[MethodDeclaration]) -> MethodDeclaration:
    """The declaration of a composition; hyperparameters are called `part.name`.

    Raises:
        MethodError: A part stands twice, or two parts have variants.
    """
    names = [part.name for part in parts]
    varied = [part for part in parts if part.variants]
    if len(set(names)) < len(names):
        raise MethodError(f"{SIGN.join(names)}: a method cannot be composed with itself")
    if len(varied) > 1:
        raise MethodError(
            f"{SIGN.join(names)}: only one part may have variants; here {varied[0].name}, {varied[1].name}"
        )
    return MethodDeclaration(
        name=SIGN.join(names),
        recipe_version=_joined_version(parts),
        summary=" + ".join(part.summary.rstrip(".") for part in parts) + ".",
        implementation=parts[0].implementation,
        paper="; ".join(part.paper for part in parts if part.paper),
        requires=_requires([part.requires for part in parts]),
        hyperparameters=_prefixed_fields(parts),
        variants=varied[0].variants if varied else (),
        forward_passes_per_step=1.0 + sum(part.forward_passes_per_step - 1.0 for part in parts),
        identity=_identity(parts),
        no_identity_reason="; ".join(part.no_identity_reason for part in parts if part.no_identity_reason),
    )


def prefixed(part: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of one part as the composition calls them; those of the training recipe belong to no part."""
    return {name if name.startswith("training.") else f"{part}.{name}": value for name, value in values.items()}


def _joined_version(parts: Sequence[MethodDeclaration]) -> int:
    version = 0
    for part in parts:
        version = version * _RECIPES + part.recipe_version
    return version


def _prefixed_fields(parts: Sequence[MethodDeclaration]) -> dict[str, Hyperparameter]:
    return {key: item for part in parts for key, item in prefixed(part.name, part.hyperparameters).items()}


def _identity(parts: Sequence[MethodDeclaration]) -> dict[str, HyperparameterValue] | None:
    """ERM when every part is."""
    values: dict[str, HyperparameterValue] = {}
    for part in parts:
        if part.identity is None:
            return None
        values |= prefixed(part.name, part.identity)
    return values


def _requires(needs: Sequence[Requires]) -> Requires:
    """What satisfies every part."""
    inverts: Literal["yes", "no"] = "yes" if any(need.contrast_inversion == "yes" for need in needs) else "no"
    return Requires(
        trainable=all(need.trainable for need in needs),
        min_source_domains=max(need.min_source_domains for need in needs),
        min_batch_domains=max(need.min_batch_domains for need in needs),
        unlabelled=next((need.unlabelled for need in needs if need.unlabelled != "none"), "none"),
        prompts=next((need.prompts for need in needs if need.prompts != "none"), "none"),
        phase="pretrain" if any(need.phase == "pretrain" for need in needs) else "train",
        reads_target=any(need.reads_target for need in needs),
        contrast_inversion=inverts,
        affine_norms=any(need.affine_norms for need in needs),
        no_batch_norms=any(need.no_batch_norms for need in needs),
        min_validations=max(need.min_validations for need in needs),
        test_time=any(need.test_time for need in needs),
        denoiser=any(need.denoiser for need in needs),
    )
