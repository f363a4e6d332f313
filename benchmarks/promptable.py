"""Train a small SAM 2 video model of ours on phantom T1W, and register it: it is not MedSAM2, and says so in its name.

No weights of the SAM family can be had here. This model has every part of SAM 2 in small (`Architecture.small`), is
trained with the original package `sam2`, whose state dictionary is the layout of published checkpoints, and is used
through the product as a user's own checkpoint would be: `dgsweep weights add`, then a sweep. It sees T1W of training
patients only, and learns to find anything in it (`promptable_objects`); contrasts are inverted and remapped at random
while it learns, without which it could not answer on another sequence. It shows the path, and not what a foundation
model can do.

    python benchmarks/promptable.py [--steps N] [--minutes M]

Goes on where it stopped, and registers what there is when its minutes are over. A quarter of an hour on one core.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import evidence
import numpy as np
import torch
from promptable_model import begun, remembering, stack_loss
from promptable_probe import probe
from promptable_stacks import Scan, draw_stacks, scans_of

from dgsweep.config.load import load_sweep
from dgsweep.method.promptable.architecture import Architecture

sys.path.insert(0, str(evidence.ROOT / "tests" / "promptable"))
from originals import original_sam2  # builds the package's model without torchvision

SIZE_PX = 128
SEED = 0
STEPS = 3600
IMAGE_STEPS, IMAGE_AGAIN_SHARE = 2500, 0.2
"""The first ones, on single slices: the memory has nothing to carry before slices are segmented. And the share of
single slices among the later ones."""
IMAGE_BATCH, STACK_BATCH, DEPTHS = 4, 2, (2, 3, 4)
IMAGE_OBJECTS, STACK_OBJECTS = 6, 3
"""Of one image: several answers from one embedding, so that only the prompt can tell which one is meant."""
POINT_SHARE = 0.15
"""Batches that are prompted with a point inside instead of a box."""
LEARNING_RATE, WEIGHT_DECAY, WARM_UP_STEPS, CLIP_NORM = 1e-3, 0.01, 50, 1.0
OF_MEMORY = (
    "memory_",
    "maskmem_",
    "obj_ptr_",
    "no_obj_",
    "no_mem_pos",
    "mask_downsample",
    "sam_mask_decoder.pred_obj_",
)
"""How parameters begin that matter to stacks alone: the memory, and whether an object is there at all."""
BALANCED_STEPS = 2200
"""The first ones, with the balance of `stack_loss`; without it masks shrink to their objects within a hundred steps."""
PROBE_EVERY = 300
KEEP_EVERY = 100
FOLDER = evidence.ROOT / "runs" / "promptable"
TRAINED = "trained.json"
"""What the page says of the training."""
SAID = {"steps": "step", "planned_steps": "plans", "cpu_s": "cpu_s", "probes": "probes"}
NAMES = {"phantom_promptable": "medsam2", "phantom_promptable_images": "sam2"}
"""Registered under both families of this layout: with memory, and slice by slice with SAM 2's preprocessing."""


def main() -> None:
    """Train what is missing, then register."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this, and keep what is there")
    wanted = parser.parse_args()
    train(wanted.steps, wanted.minutes)
    register()


def train(steps: int, minutes: float) -> None:
    """Train up to a number of steps, keeping the state on the way."""
    training, begun = _Training(steps), time.perf_counter()
    if training.step >= steps:
        return
    config = load_sweep(evidence.SWEEPS / "promptable.yaml")
    manifest = evidence.ROOT / config.data.manifest
    scans, held_out = (scans_of(manifest, config.protocol, role) for role in ("train", "val"))
    print(f"{len(scans)} scans; from step {training.step} to {steps}", file=sys.stderr)
    while training.step < steps:
        training.one_step(scans)
        if training.step % KEEP_EVERY == 0 or training.step == steps:
            training.keep()
            print(f"step {training.step}: {training.said()}", file=sys.stderr, flush=True)
        if training.step % PROBE_EVERY == 0 or training.step == steps:
            training.probed(held_out)
            training.keep()
        if time.perf_counter() - begun > 60 * minutes:
            training.keep()
            break


def register() -> None:
    """Save in the original layout, and register as a user does."""
    kept = torch.load(FOLDER / "training.pt", weights_only=True)
    file = FOLDER / "phantom_promptable.pt"
    (FOLDER / TRAINED).write_text(json.dumps({name: kept[key] for name, key in SAID.items()}))
    torch.save({"model": kept["model"]}, file)
    for name, family in NAMES.items():
        sizes = FOLDER / f"{family}.json"
        sizes.write_text(json.dumps(Architecture.small(family, SIZE_PX).document()))
        command = ["weights", "add", name, str(file), "--family", family, "--architecture", str(sizes), "--replace"]
        subprocess.run([sys.executable, "-m", "dgsweep.cli", *command], check=True)


class _Training:
    """The package's model with its optimiser; every step is a function of the seed and its number."""

    def __init__(self, steps: int) -> None:
        torch.manual_seed(SEED)
        self.model: Any = begun(original_sam2(Architecture.small("medsam2", SIZE_PX), random_everywhere=False))
        named = list(self.model.named_parameters())
        own = [value for name, value in named if name.startswith(OF_MEMORY)]
        others = [value for name, value in named if not name.startswith(OF_MEMORY)]
        groups = [{"params": others}, {"params": own}]
        self._optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        self._steps, self.step, self._recent = steps, 0, list[tuple[float, float]]()
        self._plans = [steps]
        self._spent_s, self._begun_s = 0.0, time.process_time()
        self._probes: dict[str, dict[str, float]] = {}
        self._file = FOLDER / "training.pt"
        if self._file.exists():
            kept = torch.load(self._file, weights_only=True)
            self.model.load_state_dict(kept["model"])
            self._optimizer.load_state_dict(kept["optimizer"])
            self.step, self._spent_s, self._probes = kept["step"], kept["cpu_s"], kept["probes"]
            self._plans = kept["plans"] + [steps] * (kept["plans"][-1] != steps)

    @property
    def cpu_s(self) -> float:
        """Processor time of all runs so far: of one core where one thread is used."""
        return self._spent_s + time.process_time() - self._begun_s

    def keep(self) -> None:
        """Replace the file; a run that is killed meanwhile leaves the former one."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        part = self._file.with_suffix(".part")
        state = {"model": self.model.state_dict(), "optimizer": self._optimizer.state_dict()}
        facts = {"step": self.step, "plans": self._plans, "cpu_s": self.cpu_s, "probes": self._probes}
        torch.save({**state, **facts}, part)
        part.replace(self._file)

    def said(self) -> str:
        """Means since the last time."""
        loss, dice = np.mean(self._recent, axis=0)
        self._recent.clear()
        return f"loss {loss:.3f}, Dice of slices {dice:.3f}, {self.cpu_s:.0f} s of processor time"

    def probed(self, held_out: Sequence[Scan]) -> None:
        """Dice of validation patients with each kind of prompt, said and kept."""
        found = probe(self.model, held_out, SIZE_PX)
        self._probes[str(self.step)] = found
        listed = ", ".join(f"{name} {dice:.2f}" for name, dice in found.items())
        print(f"  validation patients, T1W: {listed}", file=sys.stderr, flush=True)

    def one_step(self, scans: Sequence[Scan]) -> None:
        """One batch of single slices, or of stacks."""
        rng = np.random.default_rng((SEED, self.step))
        torch.manual_seed(self.step)
        single = self.step < IMAGE_STEPS or rng.random() < IMAGE_AGAIN_SHARE
        stacks = draw_stacks(
            scans,
            rng,
            batch=IMAGE_BATCH if single else STACK_BATCH,
            objects=IMAGE_OBJECTS if single else STACK_OBJECTS,
            depth=1 if single else int(rng.choice(DEPTHS)),
            size_px=SIZE_PX,
            kind="point" if rng.random() < POINT_SHARE else "box",
        )
        for group, rate in zip(self._optimizer.param_groups, self._rates(), strict=True):
            group["lr"] = LEARNING_RATE * rate
        balance = 1.0 if self.step < BALANCED_STEPS else 0.0
        if self.step == IMAGE_STEPS:
            remembering(self.model, stacks.pixels)
        loss, dice = stack_loss(self.model.train(), stacks, rng, balance=balance)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self._optimizer.step()
        self._recent.append((loss.item(), dice))
        self.step += 1

    def _rates(self) -> tuple[float, float]:
        """Of the learning rate, for all parameters but the memory's and for those, which begin anew with the stacks."""
        whole = _rate(self.step, self._steps)
        if self.step < IMAGE_STEPS:
            return whole, whole
        return whole, _rate(self.step - IMAGE_STEPS, self._steps - IMAGE_STEPS)


def _rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + float(np.cos(np.pi * step / steps)))


if __name__ == "__main__":
    main()
