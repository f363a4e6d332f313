"""Write docs/networks.md: what each backbone costs on one patch, and what it learns under one small budget."""

import platform
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import evidence
import torch

from dgsweep.method.catalog import load_implementation, network_declarations
from dgsweep.method.losses import supervised_loss
from dgsweep.networks.base import NetworkTask, SegmentationNetwork
from dgsweep.networks.builder import build_network, count_parameters
from dgsweep.networks.conformance import check
from dgsweep.networks.counting import FLOPS_MEAN, MEMORY_MEANS, cost

PAGE = evidence.ROOT / "docs" / "networks.md"
TASK = NetworkTask(in_channels=1, n_classes=2, patch=(64, 64, 32), spacing_mm=(1.5, 1.5, 3.0))
REPEATS = 3
PEER = "nnunet"
HEAD = """# The backbones side by side

Written by `make evidence`; do not edit. `dgsweep networks show NAME --patch x,y,z` prints the same for any patch.

"""


def main() -> None:
    """Measure, read the ledger, write the page; trainings that have not run are marked."""
    names = sorted(network_declarations(), key=lambda name: (name != PEER, name))
    page = [HEAD, *_costs(names), "\n", *_learning(names)]
    PAGE.write_text("".join(page), encoding="utf-8")
    print(f"written: {PAGE.relative_to(evidence.ROOT)}", file=sys.stderr)


def _costs(names: list[str]) -> Iterator[str]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} thread(s)"
    where = torch.cuda.get_device_name() if device.type == "cuda" else threads
    yield "## Cost of one patch\n\n"
    yield f"Patch {'x'.join(map(str, TASK.patch))}, batch 1, one input channel, two classes, published sizes. "
    yield f"FLOPs: {FLOPS_MEAN}. Memory: {MEMORY_MEANS}. "
    yield f"Times are medians of {REPEATS} on {where}, in float32, and in brackets their ratio to `{PEER}`'s in the "
    yield "same run; a step is forward, loss, backward and SGD.\n\n"
    yield "| network | dims | parameters | FLOPs | memory | forward | step | checks | source |\n"
    yield "|---|---|---|---|---|---|---|---|---|\n"
    peer: tuple[float, float] | None = None
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr)
        declaration = network_declarations()[name]
        network = build_network(declaration, load_implementation(declaration), TASK, seed=0)
        found = cost(network, TASK)
        times = _times(network.to(device), device)
        peer = peer or times
        forward, step = (f"{own:.3g} s ({own / other:.2g})" for own, other in zip(times, peer, strict=True))
        failed = [result.check for result in check(declaration) if result.outcome == "failed"]
        yield (
            f"| `{name}` | {declaration.dims} | {count_parameters(network) / 1e6:.2f} M | {found.flops / 1e9:.1f} G "
            f"| {found.activation_bytes / 2**20:.0f} MiB | {forward} | {step} "
            f"| {'failed: ' + ', '.join(failed) if failed else 'all passed'} | {declaration.source} |\n"
        )


def _times(network: SegmentationNetwork, device: torch.device) -> tuple[float, float]:
    """Median seconds of a forward pass in evaluation and of a training step."""
    image = torch.randn(1, TASK.in_channels, *TASK.patch, device=device)
    label = torch.randint(TASK.n_classes, (1, *TASK.patch), device=device)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)

    @torch.no_grad()
    def forward() -> None:
        network.eval()(image)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        supervised_loss(network.train()(image), label).backward()
        optimizer.step()

    return _median(forward, device), _median(step, device)


def _median(work: Any, device: torch.device) -> float:
    times = []
    for _ in range(REPEATS + 1):  # the first is a warm-up
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def _learning(names: list[str]) -> Iterator[str]:
    plan, dice = evidence.read("networks")
    config = plan.config
    patch = "x".join(map(str, config["data"]["patch"]))
    yield "## What each learns in one small budget\n\n"
    training = config["training"]
    yield (
        f"`erm` on T1W of all centers of the phantom, {config['budget']['steps']} steps with batches of "
        f"{training['batch']}, patches of {patch} voxels, AdamW at {training['learning_rate']:g} for all, from "
        "scratch, at published sizes (but `medsegdiff`, four times narrower). Mean Dice [95 % interval over patients] "
        "on test patients. It says that a backbone trains here, not which is best: the budget is far below what any "
        "needs, and one learning rate suits none of them in particular. At one patch `nnunet_resenc_m` and `_l` are "
        "one network. [Its sweep](../examples/evidence/networks.yaml).\n\n"
    )
    yield "| network | T1W | T2W |\n|---|---|---|\n"
    for name in names:
        columns = (("in_domain", "T1W"), ("target", "T2W"))
        cells = [evidence.dice_text(evidence.row(dice, *column, network=name)) for column in columns]
        yield f"| `{name}` | {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main()
