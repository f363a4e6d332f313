"""From a trial's spec to a context that can train or predict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from dgsweep.errors import TrialFailedError
from dgsweep.method.base import Method
from dgsweep.method.catalog import build_method, load_implementation, method_declaration, network_declaration
from dgsweep.method.context import Context, stream_seed
from dgsweep.method.recipe import Recipe
from dgsweep.networks.base import NetworkTask
from dgsweep.networks.builder import build_network
from dgsweep.plan.trial import TrialSpec
from dgsweep.training.runtime import Runtime


def method_of(spec: TrialSpec) -> Method:
    """The method of a trial with its hyperparameters (lists of JSON become tuples) in its variant."""
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in spec.hp.items()}
    method: Method = build_method(method_declaration(spec.method), values, spec.setting.variant)
    return method


def build_recipe(spec: TrialSpec, runtime: Runtime) -> Recipe:
    """The shared optimisation of a trial; bfloat16 autocast on an accelerator unless switched off."""
    training = spec.training
    wanted = training["amp"]
    return Recipe(
        budget_steps=spec.budget_steps,
        optimizer=training["optimizer"],
        learning_rate=training["learning_rate"],
        momentum=training["momentum"],
        weight_decay=training["weight_decay"],
        schedule=training["schedule"],
        grad_clip=training["grad_clip"],
        autocast=wanted == "bf16" or (wanted == "auto" and runtime.device.type != "cpu"),
        seed=spec.seed,
        patch=spec.preprocessing.patch,
        spacing_mm=spec.preprocessing.spacing_mm,
    )


def build_context(spec: TrialSpec, runtime: Runtime, weights: Mapping[str, Tensor] | None = None) -> Context:
    """Network and method on the worker's device.

    Its weights are those given, or depend on the seed only, so that all methods start alike.

    Raises:
        TrialFailedError: the given weights are of another network; the message lists what does and does not fit.
    """
    declaration = network_declaration(spec.network)
    method = method_of(spec)
    task = NetworkTask(
        in_channels=method.in_channels(1),
        n_classes=len(spec.preprocessing.labels) + 1,
        patch=spec.preprocessing.patch,
        spacing_mm=spec.preprocessing.spacing_mm,
        deep_supervision=bool(spec.training["deep_supervision"]),
        options=spec.network_options,
    )
    build = partial(build_network, declaration, load_implementation(declaration), task)
    network = build(seed=stream_seed("init", spec.seed)).to(runtime.device)
    if weights is not None:
        start_from(network, weights, new_head=task.n_classes if spec.given.get("head") == "new" else None)
    return Context(
        network,
        method,
        build_recipe(spec, runtime),
        n_domains=len(spec.sources),
        workers=replace(runtime, wraps=spec.phase == "train"),
        rebuild=lambda seed: build(seed=seed),
    )


def start_from(network: nn.Module, weights: Mapping[str, Tensor], *, new_head: int | None = None) -> None:
    """Give a network all of these weights, before any training.

    Given the number of classes of a new head, layers that have just this many where the weights have another number
    stay as they are.

    Raises:
        TrialFailedError: a name or a shape does not fit; the message lists some of each kind.
    """
    own = network.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    shaped = {name: (tuple(value.shape), tuple(own[name].shape)) for name, value in weights.items() if name in own}
    shaped = {name: (theirs, ours) for name, (theirs, ours) in shaped.items() if theirs != ours}
    missing = [name for name in own if name not in weights]
    strange = [name for name in weights if name not in own]
    if strange or missing or (shaped and not _only_classes_differ(list(shaped.values()), new_head)):
        described = [f"{name} {theirs} instead of {ours}" for name, (theirs, ours) in shaped.items()]
        kinds = {"other shape": described, "not in this network": strange, "not in the checkpoint": missing}
        listed = "; ".join(f"{kind} ({len(names)}): {', '.join(names[:3])}" for kind, names in kinds.items() if names)
        raise TrialFailedError(
            f"the weights to start from are of another network or another set of labels: {len(fitting)} of {len(own)} "
            f"entries fit. {listed}. Pretrain with the same network, options, channels and structures",
            kind="dependency",
        )
    network.load_state_dict(fitting, strict=not shaped)


def _only_classes_differ(shapes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], n_classes: int | None) -> bool:
    """Whether pairs of shapes differ in one and the same number, for which the second has the number of classes."""
    if n_classes is None or any(len(theirs) != len(ours) for theirs, ours in shapes):
        return False
    pairs = {pair for theirs, ours in shapes for pair in zip(theirs, ours, strict=True) if pair[0] != pair[1]}
    return len(pairs) == 1 and pairs.pop()[1] == n_classes
