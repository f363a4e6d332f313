"""What one accelerator does: an epoch, where it could go, augmented patches a second, and several trials at a time.

nnU-Net's plain 3D network (32 to 320 channels) on patches of 128 x 128 x 128, batch of two, bfloat16, 250 steps an
epoch, through our own feed with `nnunet_da`. The floor is the speed of the network's own costliest convolution on this
card, forward and backward. Everything is measured on the device that is there; without one `make bench` says so.

    python benchmarks/accelerator.py            (an accelerator)
    python benchmarks/accelerator.py --small    (a processor, tiny sizes: shows only that it runs)
"""

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from made_data import first_trial, scans
from rounds import alternate, ratio
from torch.nn import functional

from dgsweep.data.cache import PreprocessCache
from dgsweep.method.losses import supervised_loss
from dgsweep.networks.base import NetworkTask
from dgsweep.networks.counting import cost
from dgsweep.training.assemble import build_context
from dgsweep.training.feed import Feed
from dgsweep.training.runtime import Runtime

EPOCH_STEPS = 250


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is run; the full sizes are those of the comparison with nnU-Net's published epochs."""

    device: str = "cuda"
    patch: tuple[int, int, int] = (128, 128, 128)
    batch: int = 2
    width: int = 32
    spacing_mm: float = 1.5
    steps: int = 50
    rounds: int = 3
    packed: tuple[int, ...] = (1, 2, 3, 4)


SMALL = Sizes(device="cpu", patch=(16, 16, 16), width=4, spacing_mm=4.0, steps=2, rounds=1, packed=(1, 2))


class Training:
    """Our loop on made scans."""

    def __init__(self, sizes: Sizes, folder: Path, network: str = "nnunet") -> None:
        self.sizes, self.device = sizes, torch.device(sizes.device)
        manifest = scans(folder, shape=(96, 80, 64), patients_per_center=1)
        options = {"width": sizes.width} if network == "nnunet" else {}
        self.spec = first_trial(
            manifest, data={"patch": sizes.patch, "spacing_mm": [sizes.spacing_mm] * 3}, methods=["nnunet_da"],
            training={"batch": sizes.batch, "amp": "bf16"}, networks=[{"name": network, "options": options}],
        )  # fmt: skip
        cache, grid = PreprocessCache(folder / "cache"), self.spec.preprocessing
        cases = tuple(cache.training_case(one, grid, "all") for one in manifest.cases)
        runtime = Runtime(device=self.device)
        self.ctx, self.feed = build_context(self.spec, runtime), Feed(self.spec, cases, runtime)

    def train(self) -> None:
        """Some steps."""
        for _ in range(self.sizes.steps):
            self.ctx.run_step(self.feed.batch(self.ctx.step))
        self.wait()

    def patches(self) -> None:
        """The same batches, augmented and not trained on."""
        for step in range(self.sizes.steps):
            self.ctx.method.views(self.ctx, self.feed.batch(step))
        self.wait()

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def floor_flops_s(sizes: Sizes) -> float:
    """FLOP a second of a 3 x 3 x 3 convolution of the second level, forward and backward."""
    channels, sides = 2 * sizes.width, [side // 2 for side in sizes.patch]
    image = torch.randn(sizes.batch, channels, *sides, device=sizes.device, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(channels, channels, 3, 3, 3, device=sizes.device, dtype=torch.bfloat16, requires_grad=True)

    def work() -> None:
        for _ in range(sizes.steps):
            functional.conv3d(image, weight, padding=1).sum().backward()
        if sizes.device == "cuda":
            torch.cuda.synchronize()

    seconds = min(alternate({"conv": work}, sizes.rounds)["conv"])
    return 3 * 2 * 27 * channels**2 * image[:, 0].numel() * sizes.steps / seconds


def variants(training: Training) -> dict[str, float]:
    """How many times as fast a bare loop on resident tensors is with channels last, compiled, and as it is."""
    batch, found = training.feed.batch(0), {}

    def loop(network: Any, image: torch.Tensor) -> Callable[[], None]:
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.99, nesterov=True)

        def work() -> None:
            for _ in range(training.sizes.steps):
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast(training.device.type, dtype=torch.bfloat16):
                    outputs = network(image)
                supervised_loss(outputs, batch.label).backward()
                optimizer.step()
            training.wait()

        return work

    network, last = training.ctx.network, torch.channels_last_3d
    loops = {"ours": training.train, "plain": loop(network, batch.image)}
    if training.device.type == "cuda":
        loops["compiled"] = loop(torch.compile(network), batch.image)
    seen = alternate(loops, training.sizes.rounds)
    found["bare loop / ours"] = ratio(seen, "plain", "ours")
    if "compiled" in seen:
        found["plain / compiled"] = ratio(seen, "plain", "compiled")
    seen_plain = seen["plain"]
    network.to(memory_format=last)
    seen = alternate({"last": loop(network, batch.image.to(memory_format=last))}, training.sizes.rounds)
    found["plain / channels_last_3d"] = min(seen_plain) / min(seen["last"])
    return found


def _one_of_many(sizes: Sizes, folder: Path, network: str, start: Any, seconds: Any) -> None:
    training = Training(sizes, folder, network)
    training.train()
    start.wait()
    begin = time.perf_counter()
    training.train()
    seconds.put(time.perf_counter() - begin)


def packing(sizes: Sizes, folder: Path, network: str) -> dict[str, float]:
    """Steps a second of all trials together, for several on one device."""
    spawn, found = multiprocessing.get_context("spawn"), {}
    for trials in sizes.packed:
        start, seconds = spawn.Barrier(trials), spawn.Queue()
        task = (sizes, folder, network, start, seconds)
        several = [spawn.Process(target=_one_of_many, args=task) for _ in range(trials)]
        for process in several:
            process.start()
        slowest = max(seconds.get(timeout=600) for _ in several)
        for process in several:
            process.join()
        found[f"{network}: {trials} at a time, steps/s"] = trials * sizes.steps / slowest
    return found


def run(sizes: Sizes | None = None) -> dict[str, Any]:
    """Everything; without an accelerator only that there is none."""
    if sizes is None and not torch.cuda.is_available():
        return {"not run": "no accelerator"}
    sizes = sizes or Sizes()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = one_trial(sizes, folder)
        for network in ("unet_tiny", "nnunet"):
            found |= packing(sizes, folder, network)
    return found


def one_trial(sizes: Sizes, folder: Path) -> dict[str, Any]:
    """Epoch, floor, variants and augmentation of one trial alone on the device."""
    training = Training(sizes, folder)
    seen = alternate({"train": training.train, "patches": training.patches}, sizes.rounds)
    step_s, patch_s = min(seen["train"]) / sizes.steps, min(seen["patches"]) / sizes.steps / sizes.batch
    task = NetworkTask(in_channels=1, n_classes=2, patch=sizes.patch, spacing_mm=(sizes.spacing_mm,) * 3,
                       options=dict(training.spec.network_options))  # fmt: skip
    flops, floor = 3 * sizes.batch * cost(training.ctx.network, task).flops, floor_flops_s(sizes)
    return {
        "device": torch.cuda.get_device_name() if sizes.device == "cuda" else "processor",
        "epoch of 250 steps, s": EPOCH_STEPS * step_s,
        "epoch at the speed of its own convolution, s": EPOCH_STEPS * flops / floor,
        "share of that convolution's speed": flops / step_s / floor,
        "TFLOP/s": flops / step_s / 1e12,
        "augmented patches/s": 1 / patch_s,
        **variants(training),
    }


if __name__ == "__main__":
    print(json.dumps(run(SMALL if "--small" in sys.argv else None), indent=2))
