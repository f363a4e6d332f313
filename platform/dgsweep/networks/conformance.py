"""Is a backbone what its declaration says? Behind `dgsweep networks check` and the pytest class.

Everything runs on the small build of the backbone (its `small` options) and the smallest patches, in seconds on a CPU.
"""

import io
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from dgsweep.config.declaration import NetworkDeclaration
from dgsweep.networks.counting import cost
from dgsweep.networks.monai_import import without_optional_packages
from dgsweep.networks.small import CHANNELS, CLASSES, make_network, make_task, patches, small_entry, smallest_patch
from dgsweep.plan.grid import nearest_patch, patch_problem

with without_optional_packages():
    from monai.inferers.utils import sliding_window_inference

COMMON_TAPS = ("stem", "enc0", "enc0.pre_norm", "enc1", "bottleneck", "dec0")
"""Taps that every backbone publishes, so that a method of features runs on any."""
Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class NetworkCheck:
    """What one check found."""

    check: str
    outcome: Outcome
    says: str


def check(declaration: NetworkDeclaration) -> list[NetworkCheck]:
    """Run every check of the suite; none raises, a crash of the backbone is a failed check that says so."""
    return [_guarded(name, test, declaration) for name, test in CHECKS.items()]


def _guarded(
    name: str, test: Callable[[NetworkDeclaration], NetworkCheck], declaration: NetworkDeclaration
) -> NetworkCheck:
    try:
        return test(declaration)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError) as error:
        return NetworkCheck(check=name, outcome="failed", says=f"it crashed: {type(error).__name__}: {error}")


def _result(name: str, bad: list[str], good: str) -> NetworkCheck:
    return NetworkCheck(check=name, outcome="failed" if bad else "passed", says="; ".join(bad) or good)


def _image(patch: tuple[int, int, int], batch: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(batch, CHANNELS, *patch, generator=torch.Generator().manual_seed(seed))


def takes_planned_patches(declaration: NetworkDeclaration) -> NetworkCheck:
    """Patches that planning allows work, alone and by two; others are refused with a patch that works."""
    bad = []
    for patch in patches(declaration):
        network = make_network(declaration, patch).eval()
        for batch in (1, 2):
            with torch.no_grad():
                found = [tuple(out.shape) for out in network(_image(patch, batch))]
            if found != [(batch, CLASSES, *patch)]:
                bad.append(f"patch {list(patch)}, batch {batch}: in evaluation it gives {found}")
    entry = small_entry(declaration)
    for axis, unit in enumerate(entry.multiple):
        x, y, z = (side + (own == axis) for own, side in enumerate(smallest_patch(declaration)))
        if unit > 1 and (not patch_problem((x, y, z), entry) or patch_problem(nearest_patch((x, y, z), entry), entry)):
            bad.append(f"patch {[x, y, z]} is not refused with one that works")
    return _result("planned patches", bad, f"{', '.join(str(list(patch)) for patch in patches(declaration))}")


def reaches_every_parameter(declaration: NetworkDeclaration) -> NetworkCheck:
    """A loss on all outputs gives every parameter a gradient, for one and for two samples."""
    bad = []
    patch = patches(declaration)[-1]
    for batch in (1, 2):
        network = make_network(declaration, patch).train()
        outputs = network(_image(patch, batch))
        weights = torch.Generator().manual_seed(1)
        torch.stack([(out * torch.randn(out.shape, generator=weights)).sum() for out in outputs]).sum().backward()
        silent = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
        if silent:
            bad.append(f"batch {batch}: no gradient in {', '.join(silent[:5])} ({len(silent)} in all)")
    return _result("gradients", bad, "every parameter has one")


def supervises_deeply(declaration: NetworkDeclaration) -> NetworkCheck:
    """In training the outputs go from the patch's size to coarser ones that divide it; without, there is one."""
    x, y, z = smallest_patch(declaration)
    patch = nearest_patch((2 * x, 2 * y, 2 * z), small_entry(declaration))
    outputs = [tuple(out.shape[1:]) for out in make_network(declaration, patch).train()(_image(patch, 1))]
    single = make_network(declaration, patch, deep_supervision=False).train()(_image(patch, 1))
    bad = [] if outputs[0] == (CLASSES, *patch) else [f"the first output has shape {outputs[0]}"]
    for finer, coarser in itertools.pairwise(outputs):
        if coarser[0] != CLASSES or any(a % b for a, b in zip(finer[1:], coarser[1:], strict=True)) or finer == coarser:
            bad.append(f"{coarser} does not divide {finer}")
    if len(single) != 1:
        bad.append(f"without deep supervision it gives {len(single)} outputs")
    sizes = ", ".join("x".join(map(str, shape[1:])) for shape in outputs)
    return _result("deep supervision", bad, f"{len(outputs)} outputs: {sizes}")


def keeps_its_state(declaration: NetworkDeclaration) -> NetworkCheck:
    """The weights survive a safe file; loaded into a network of another seed they give the same logits."""
    patch, file = smallest_patch(declaration), io.BytesIO()
    network = make_network(declaration, patch).train()
    network(_image(patch))  # moves running statistics, where there are some
    torch.save(network.state_dict(), file)
    other = make_network(declaration, patch, seed=1)
    other.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    with torch.no_grad():
        same = torch.equal(network.eval()(_image(patch))[0], other.eval()(_image(patch))[0])
    return _result("state", [] if same else ["other logits after a round trip"], "bit for bit")


def depends_on_the_seed(declaration: NetworkDeclaration) -> NetworkCheck:
    """Equal seeds give equal weights, others give others, and torch's global stream is neither read nor moved."""
    patch, before = smallest_patch(declaration), torch.random.get_rng_state()
    one, again, other = (_flat(make_network(declaration, patch, seed=seed)) for seed in (3, 3, 4))
    bad = [] if torch.equal(one, again) else ["equal seeds give other weights"]
    bad += ["another seed gives the same weights"] if torch.equal(one, other) else []
    bad += [] if torch.equal(before, torch.random.get_rng_state()) else ["it moves torch's global stream"]
    return _result("seeds", bad, "the seed decides the weights")


def _flat(network: nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten().float() for value in network.state_dict().values()])


def _close(one: Tensor, other: Tensor) -> bool:
    """Equal but for rounding, which grows with the largest value."""
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5 * max(1.0, float(other.abs().max())))


def fires_its_taps(declaration: NetworkDeclaration) -> NetworkCheck:
    """The common taps are there; each gives (B, C, X, Y, Z), and what is put in its place reaches the logits."""
    patch = patches(declaration)[0]
    network = make_network(declaration, patch).train()
    bad = [f"no tap {name!r}" for name in COMMON_TAPS if name not in network.taps]
    pushes: dict[str, Tensor] = {}
    for name, tap in network.taps.items():
        tap.register_forward_hook(lambda _m, _i, out, name=name: _pushed(name, out, pushes))
    found = network(_image(patch))[0].square().sum()
    reached = dict(zip(pushes, torch.autograd.grad(found, list(pushes.values()), allow_unused=True), strict=True))
    for name in network.taps:
        if name not in pushes or pushes[name].ndim != 5 or pushes[name].shape[0] != 2:
            bad.append(f"{name} gives {tuple(pushes[name].shape) if name in pushes else 'nothing'}")
        elif reached[name] is None:
            bad.append(f"what {name} returns does not reach the logits")
    return _result("taps", bad, ", ".join(network.taps))


def _pushed(name: str, output: Tensor, pushes: dict[str, Tensor]) -> Tensor:
    """The output plus a zero whose gradient tells whether what a tap returns is used."""
    pushes[name] = torch.zeros_like(output, requires_grad=True)
    return output + pushes[name]


def _replaced(output: Tensor, seen: list[Tensor]) -> Tensor:
    seen.append(output.detach().clone().requires_grad_())
    return seen[0]


def taps_what_its_last_layer_reads(declaration: NetworkDeclaration) -> NetworkCheck:
    """The finest logits depend on the features at the tap `decoded` at the same voxel and its neighbours only."""
    name, patch = "decoded", patches(declaration)[-1]
    network = make_network(declaration, patch).eval()
    if "decoded" not in network.taps:
        return NetworkCheck(check=name, outcome="skipped", says="it publishes no tap `decoded`")
    seen: list[Tensor] = []
    network.taps["decoded"].register_forward_hook(lambda _m, _i, out: _replaced(out, seen))
    logits = network(_image(patch, 1))[0]
    x, y, z = (side // 2 for side in patch)
    if seen[0].shape[2:] != logits.shape[2:]:
        return _result(name, [f"it has size {tuple(seen[0].shape[2:])}"], "")
    (gradient,) = torch.autograd.grad(logits[0, 0, x, y, z], seen[0])
    own = bool(gradient[0, :, x, y, z].any())
    gradient[0, :, max(x - 1, 0) : x + 2, max(y - 1, 0) : y + 2, max(z - 1, 0) : z + 2] = 0.0
    bad = [] if own and not gradient.any() else ["the logits of a voxel depend on far voxels of it"]
    return _result(name, bad, "the last layer reads it voxel by voxel")


def predicts_alike(declaration: NetworkDeclaration) -> NetworkCheck:
    """In evaluation: twice the same, for a sample the same beside any other, and by sliding window as in one piece."""
    patch = patches(declaration)[0]
    network, image = make_network(declaration, patch).eval(), _image(patch)
    with torch.no_grad():
        whole = network(image)[0]
        bad = [] if torch.equal(whole, network(image)[0]) else ["two passes differ"]
        if not _close(network(image[:1])[0], whole[:1]):
            bad.append("a sample's logits depend on the samples beside it")
        slid = sliding_window_inference(
            image, patch, 1, lambda window: network(window)[0], overlap=0.5, mode="gaussian"
        )
    if not _close(torch.as_tensor(slid), whole):
        bad.append("a sliding window over one patch gives other logits than the patch")
    return _result("prediction", bad, "repeatable, sample by sample, by sliding window as in one piece")


def predicts_slices_alone(declaration: NetworkDeclaration) -> NetworkCheck:
    """A 2D network predicts each slice from that slice; a 3D one does not."""
    name, patch = "dimensions", patches(declaration)[-1]
    network, image = make_network(declaration, patch).eval(), _image(patch, 1)
    changed = image.clone()
    changed[..., -1] += 1e3  # far voxels weigh little at first where a batch norm does not rescale them
    with torch.no_grad():
        alone = _close(network(image)[0][..., 0], network(changed)[0][..., 0])
    bad = [] if alone == (declaration.dims == 2) else [f"declared {declaration.dims}D, but seen otherwise"]
    return _result(name, bad, f"{declaration.dims}D, declared and seen")


def declares_its_norms(declaration: NetworkDeclaration) -> NetworkCheck:
    """The declaration says whether norm layers have scale and shift, and whether they keep running statistics."""
    network = make_network(declaration, smallest_patch(declaration))
    norms = [part for part in network.modules() if "Norm" in type(part).__name__]
    found = any(list(norm.parameters(recurse=False)) for norm in norms)
    bad = (
        [] if found == declaration.affine_norms else [f"affine_norms declared {declaration.affine_norms}, seen {found}"]
    )
    running = any("running_mean" in name for name, _ in network.named_buffers())
    bad += [] if running == declaration.batch_norms else [f"batch_norms declared {not running}, seen {running}"]
    says = f"with{'' if found else 'out'} scale and shift, with{'' if running else 'out'} running statistics"
    return _result("norms", bad, says)


def can_be_counted(declaration: NetworkDeclaration) -> NetworkCheck:
    """Its cost can be traced, which leaves the network as it was."""
    patch = smallest_patch(declaration)
    network = make_network(declaration, patch)
    before = _flat(network)
    found = cost(network, make_task(declaration, patch))
    bad = [] if torch.equal(before, _flat(network)) else ["counting changes its state"]
    bad += [] if found.flops > 0 and found.activation_bytes > 0 else ["it costs nothing"]
    return _result(
        "cost", bad, f"{found.flops / 1e6:.1f} M multiply-accumulates, {found.activation_bytes / 2**20:.1f} MiB"
    )


CHECKS: dict[str, Callable[[NetworkDeclaration], NetworkCheck]] = {
    "planned patches": takes_planned_patches,
    "gradients": reaches_every_parameter,
    "deep supervision": supervises_deeply,
    "state": keeps_its_state,
    "seeds": depends_on_the_seed,
    "taps": fires_its_taps,
    "decoded": taps_what_its_last_layer_reads,
    "prediction": predicts_alike,
    "dimensions": predicts_slices_alone,
    "norms": declares_its_norms,
    "cost": can_be_counted,
}


class NetworkConformance:
    """Pytest class for plugin authors: `class TestMine(NetworkConformance): declaration = DECLARATION`."""

    declaration: NetworkDeclaration

    def test_the_backbone_is_what_it_says(self) -> None:
        """Every check of the suite passes."""
        failed = [f"{result.check}: {result.says}" for result in check(self.declaration) if result.outcome == "failed"]
        assert not failed, "\n".join(failed)  # noqa: S101 - this is a test
