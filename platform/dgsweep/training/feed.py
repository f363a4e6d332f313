"""Batches for one worker: sampled patches, moved to the device and augmented there."""

from concurrent.futures import Future, ThreadPoolExecutor

import torch

from dgsweep.data.cache import CachedCase
from dgsweep.data.sampling import PatchBatch, PatchSampler
from dgsweep.method.base import Batch
from dgsweep.method.context import stream_seed
from dgsweep.plan.trial import TrialSpec
from dgsweep.training.augment import apply_spatial, sample_spatial
from dgsweep.training.runtime import Runtime

LOOK_AHEAD = 4
"""Batches sampled in advance by a thread where the network runs on an accelerator."""


class Feed:
    """The same stream of batches for any number of workers: each takes its share of every batch."""

    def __init__(self, spec: TrialSpec, cases: tuple[CachedCase, ...], runtime: Runtime) -> None:
        self._spec = spec
        self._runtime = runtime
        self._sampler = PatchSampler(
            cases,
            patch=spec.preprocessing.patch,
            batch=int(spec.training["batch"]),
            foreground_fraction=float(spec.training["foreground_fraction"]),
            seed=stream_seed("patches", spec.seed),
        )
        self._ahead: dict[int, Future[PatchBatch]] = {}
        self._pool = ThreadPoolExecutor(max_workers=2) if runtime.device.type == "cuda" else None

    def batch(self, step: int) -> Batch:
        """This worker's share of the batch of one step."""
        drawn = self._sampled(step)
        mine = self._share(len(drawn.case_ids))
        device = self._runtime.device
        image = torch.from_numpy(drawn.image[mine]).to(device, non_blocking=True)
        label = torch.from_numpy(drawn.label[mine]).to(device, non_blocking=True)
        parameters = sample_spatial(
            self._spec.training["augment"],
            self._spec.preprocessing.spacing_mm,
            len(drawn.image),
            seed=self._spec.seed,
            step=step,
        )
        image, label = apply_spatial(image, label, parameters.share(mine), self._spec.preprocessing.spacing_mm)
        domain = torch.from_numpy(drawn.domain[mine]).to(device)
        return Batch(image=image, label=label, domain=domain, case_ids=tuple(drawn.case_ids[mine]))

    def case_ids(self, step: int) -> tuple[str, ...]:
        """Cases of the batch of one step (drawn again: the stream depends on the step only)."""
        return tuple(self._sampler.batch(step).case_ids)

    def close(self) -> None:
        """End the sampling threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _share(self, size: int) -> slice:
        """Neighbours in the batch: the sampler takes domains in turn, so every worker gets different ones."""
        rank, workers = self._runtime.rank, self._runtime.world_size
        return slice(rank * size // workers, (rank + 1) * size // workers)

    def _sampled(self, step: int) -> PatchBatch:
        if self._pool is None:
            return self._sampler.batch(step)
        for ahead in range(step, min(step + LOOK_AHEAD, self._spec.budget_steps)):
            if ahead not in self._ahead:
                self._ahead[ahead] = self._pool.submit(self._sampler.batch, ahead)
        return self._ahead.pop(step).result()
