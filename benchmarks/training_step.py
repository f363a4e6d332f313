"""Steps per second of our loop (sampling and augmentation included) against a bare loop and nnU-Net's own trainer.

The bare loop trains the same network with the same loss, optimizer and clipping on batches that lie ready in memory.
nnU-Net's trainer gets the same scans, patch, batch, spacing, widths and levels, and its loader runs in the same
process; ours applies nnU-Net's list of augmentations (`nnunet_da`) there. One thread each.

    python benchmarks/training_step.py
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import nnunet_peer
import torch
from made_data import first_trial, scans
from rounds import alternate, ratio
from torch import nn

from dgsweep.data.cache import PreprocessCache
from dgsweep.data.manifest import Manifest
from dgsweep.method.losses import supervised_loss
from dgsweep.plan.trial import TrialSpec
from dgsweep.training.assemble import build_context
from dgsweep.training.feed import Feed
from dgsweep.training.runtime import Runtime

STEPS = 6
ROUNDS = 5
CASES = (("unet_tiny", {}, (48, 40, 24), 4), ("nnunet", {"width": 16}, (32, 32, 32), 2))
PEER_CASE = ({"width": 32}, (64, 64, 64), 2, 5)
"""Options, patch, batch and levels of the comparison with nnU-Net: its first five full widths."""
SPACING_MM = (2.5, 2.5, 2.5)
RUNTIME = Runtime(device=torch.device("cpu"))


class Ours:
    """Our loop on a trial of a manifest."""

    def __init__(self, spec: TrialSpec, manifest: Manifest, folder: Path) -> None:
        cases, cache = {case.info.case_id: case for case in manifest.cases}, PreprocessCache(folder / "cache")
        train = tuple(cache.training_case(cases[n], spec.preprocessing, spec.domains[n]) for n in spec.split.train)
        self.ctx = build_context(spec, RUNTIME)
        self.feed = Feed(spec, train, RUNTIME)

    def steps(self, count: int) -> None:
        """Train on."""
        for _ in range(count):
            self.ctx.run_step(self.feed.batch(self.ctx.step))


def against_bare(folder: Path, manifest: Manifest) -> dict[str, float]:
    """Our loop against the bare one, for each of CASES."""
    found = {}
    for network, options, patch, batch in CASES:
        spec = first_trial(
            manifest, data={"patch": patch, "spacing_mm": [4, 4, 4]}, training={"batch": batch},
            networks=[{"name": network, "options": options}],
        )  # fmt: skip
        ours, bare = Ours(spec, manifest, folder), build_context(spec, RUNTIME)
        ready = [ours.feed.batch(step) for step in range(STEPS)]

        def bare_steps(bare: Any = bare, ready: Any = ready) -> None:
            for one in ready:
                bare.optimizer.zero_grad(set_to_none=True)
                supervised_loss(bare.network(one.image), one.label).backward()
                nn.utils.clip_grad_norm_(bare.network.parameters(), 12.0)
                bare.optimizer.step()

        seen = alternate({"ours": lambda ours=ours: ours.steps(STEPS), "bare": bare_steps}, ROUNDS)
        found[f"{network} {'x'.join(map(str, patch))} batch {batch}: bare loop / ours"] = ratio(seen, "bare", "ours")
    return found


def against_nnunet(folder: Path, manifest: Manifest) -> dict[str, float]:
    """Our loop in full and in half precision against nnU-Net's, its loader included; and the network's share of it."""
    options, patch, batch, stages = PEER_CASE
    data = {"patch": patch, "spacing_mm": list(SPACING_MM)}
    common = {"networks": [{"name": "nnunet", "options": options}], "methods": ["nnunet_da"]}
    ours = {
        amp: Ours(first_trial(manifest, data=data, training={"batch": batch, "amp": amp}, **common), manifest, folder)
        for amp in ("off", "bf16")
    }
    peer = nnunet_peer.plan(
        nnunet_peer.write_raw(folder, manifest.cases[:6]), patch, batch, SPACING_MM, options["width"], stages
    )
    nnunet_peer.preprocess(peer, peer.names)
    trainer = nnunet_peer.trainer(peer)
    batch_of_theirs = next(trainer.dataloader_train)
    seen = alternate(
        {
            "ours": lambda: ours["off"].steps(1),
            "ours_bf16": lambda: ours["bf16"].steps(1),
            "theirs": lambda: trainer.train_step(next(trainer.dataloader_train)),
            "their_step_alone": lambda: trainer.train_step(batch_of_theirs),
        },
        ROUNDS,
    )  # fmt: skip
    return {
        "nnU-Net's loop / ours, same precision": ratio(seen, "theirs", "ours"),
        "nnU-Net's loop / ours in bfloat16 (nnU-Net has none on a processor)": ratio(seen, "theirs", "ours_bf16"),
        "nnU-Net's loop / its step without a loader: more than this cannot be won on one core": ratio(
            seen, "theirs", "their_step_alone"
        ),
    }


def run() -> dict[str, float]:
    """Ratios; aims: the bare loop at most 1.03 times as fast, nnU-Net at least 1.3 times as slow."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = scans(folder)
        found = against_bare(folder, manifest)
        return {**found, **against_nnunet(folder, manifest)} if nnunet_peer.installed() else found


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
