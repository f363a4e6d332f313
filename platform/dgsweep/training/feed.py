"""Batches for one worker: sampled patches, moved to the device and augmented there."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch

from dgsweep.data.cache import CachedCase
from dgsweep.data.sampling import UNLABELLED, PatchBatch, PatchSampler
from dgsweep.method.base import Batch
from dgsweep.method.context import stream_seed
from dgsweep.plan.trial import TrialSpec
from dgsweep.training.augment import apply_spatial, sample_spatial
from dgsweep.training.runtime import Runtime
from dgsweep.training.shuffled import with_labels_of_others

LOOK_AHEAD = 4
"""Batches sampled in advance by a thread where the network runs on an accelerator."""


class Stream:
    """The same stream of batches for any number of workers: each takes its share of every batch."""

    def __init__(self, sampler: PatchSampler, spec: TrialSpec, runtime: Runtime, *, randomness: str) -> None:
        self.sampler = sampler
        self._spec, self._runtime, self._randomness = spec, runtime, randomness
        self._ahead: dict[int, Future[PatchBatch]] = {}
        self._pool = ThreadPoolExecutor(max_workers=2) if runtime.device.type == "cuda" else None

    def batch(self, step: int) -> Batch:
        """This worker's share of the batch of one step."""
        drawn = self._sampled(step)
        mine = self._share(len(drawn.case_ids))
        device, spacing_mm = self._runtime.device, self._spec.preprocessing.spacing_mm
        image = torch.from_numpy(drawn.image[mine]).to(device, non_blocking=True)
        label = torch.from_numpy(drawn.label[mine]).to(device, non_blocking=True)
        parameters = sample_spatial(
            self._spec.training["augment"],
            spacing_mm,
            len(drawn.image),
            seed=self._spec.seed,
            step=step,
            randomness=self._randomness,
        )
        image, label = apply_spatial(image, label, parameters.share(mine), spacing_mm)
        domain = torch.from_numpy(drawn.domain[mine]).to(device)
        return Batch(image=image, label=label.long(), domain=domain, case_ids=tuple(drawn.case_ids[mine]))

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
            return self.sampler.batch(step)
        for ahead in range(step, min(step + LOOK_AHEAD, self._spec.budget_steps)):
            if ahead not in self._ahead:
                self._ahead[ahead] = self._pool.submit(self.sampler.batch, ahead)
        return self._ahead.pop(step).result()


class Feed:
    """Labelled patches, and unlabelled ones beside them for a method that learns from both; in pretraining alone."""

    def __init__(
        self,
        spec: TrialSpec,
        cases: Sequence[CachedCase],
        runtime: Runtime,
        unlabelled: Sequence[CachedCase] = (),
    ) -> None:
        alone = spec.phase == "pretrain"
        cases = with_labels_of_others(cases, spec.labels_from)
        self._labelled = _stream(spec, unlabelled if alone else cases, runtime, "labelled")
        self._unlabelled = _stream(spec, unlabelled, runtime, "unlabelled") if unlabelled and not alone else None
        self._hidden = alone
        self._places = torch.from_numpy(self._global_places()).to(runtime.device)

    def batch(self, step: int) -> Batch:
        """This worker's share of the batch of one step."""
        labelled = self._labelled.batch(step)
        if self._hidden:
            return _without_label(labelled)
        if self._unlabelled is None:
            return labelled
        free = _without_label(self._unlabelled.batch(step))
        return replace(labelled, unlabelled=replace(free, domain=self._places[free.domain]))

    def case_ids(self, step: int) -> tuple[str, ...]:
        """Cases of the batch of one step (drawn again: the stream depends on the step only)."""
        streams = [self._labelled, *([self._unlabelled] if self._unlabelled else [])]
        return tuple(case_id for stream in streams for case_id in stream.sampler.batch(step).case_ids)

    def close(self) -> None:
        """End the sampling threads."""
        self._labelled.close()
        if self._unlabelled is not None:
            self._unlabelled.close()

    def _global_places(self) -> np.ndarray:
        """Index of each unlabelled domain: a source keeps its own, others are counted on."""
        if self._unlabelled is None:
            return np.empty(0, dtype=np.int64)
        known = list(self._labelled.sampler.domains)
        known += [name for name in self._unlabelled.sampler.domains if name not in known]
        return np.array([known.index(name) for name in self._unlabelled.sampler.domains], dtype=np.int64)


def _without_label(batch: Batch) -> Batch:
    """Augmentation fills the label of what comes from outside a patch with 0: here nothing may look like background."""
    return replace(batch, label=torch.full_like(batch.label, UNLABELLED))


def _stream(spec: TrialSpec, cases: Sequence[CachedCase], runtime: Runtime, kind: str) -> Stream:
    labelled = kind == "labelled"
    sampler = PatchSampler(
        cases,
        patch=spec.preprocessing.patch,
        batch=int(spec.training["batch" if labelled else "unlabelled_batch"]),
        foreground_fraction=float(spec.training["foreground_fraction"]) if labelled else 0.0,
        seed=stream_seed("patches" if labelled else "unlabelled patches", spec.seed),
    )
    return Stream(sampler, spec, runtime, randomness="augment" if labelled else "augment unlabelled")
