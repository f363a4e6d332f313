"""From a trial's spec to a context that can train or predict."""

from functools import partial

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


def build_context(spec: TrialSpec, runtime: Runtime) -> Context:
    """Network and method on the worker's device; weights depend on the seed only, so all methods start alike."""
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
    return Context(
        network,
        method,
        build_recipe(spec, runtime),
        n_domains=len(spec.sources),
        workers=runtime,
        rebuild=lambda seed: build(seed=seed),
    )
