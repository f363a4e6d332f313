"""Where a training runs: device, rank, and the report function that inline, warm and Ray executors inject."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Report = Callable[[Mapping[str, float | int | str]], None]


def silent(_: Mapping[str, float | int | str]) -> None:
    """A report function that reports to nobody."""


def ignore_step(_: int) -> None:
    """A tick that nobody watches."""


def never() -> str:
    """A training that nobody stops."""
    return ""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """One worker of a trial."""

    device: torch.device
    rank: int = 0
    world_size: int = 1
    report: Report = silent
    """Called at validations and checkpoints, on every worker."""
    wraps: bool = True
    """Whether gradients of the network are averaged while they are made; else, as those of other modules, afterwards.
    The wrapper waits for every parameter before the segmentation outputs, which pretraining has no loss on."""
    tick: Callable[[int], None] = ignore_step
    """Called after every step with the number of finished steps."""
    stopping: Callable[[], str] = never
    """Why this worker is to stop at a checkpoint; '' to go on."""

    @property
    def leads(self) -> bool:
        """Whether this worker writes files."""
        return self.rank == 0

    def share(self, items: list[Any]) -> list[Any]:
        """Every world_size-th item, starting at the own rank."""
        return items[self.rank :: self.world_size]

    def gather(self, rows: list[Any]) -> list[Any]:
        """The rows of all workers, on every worker, in rank order."""
        if self.world_size == 1:
            return rows
        collected: list[list[Any]] = [[] for _ in range(self.world_size)]
        torch.distributed.all_gather_object(collected, rows)
        return [row for part in collected for row in part]

    def agreed_stop(self, *, at_checkpoint: bool) -> str:
        """Why all workers stop here; '' to go on. Several agree where each writes or waits anyway: at a checkpoint."""
        if self.world_size == 1:
            return self.stopping()
        return next(filter(None, self.gather([self.stopping()])), "") if at_checkpoint else ""

    def distribute(self, network: nn.Module) -> nn.Module:
        """Wrap the network so that gradients are averaged over workers; the network itself with one worker."""
        if self.world_size == 1 or not self.wraps:
            return network
        devices = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices, find_unused_parameters=True)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average over workers, in place, the gradients of parameters that the distributed network does not hold."""
        if self.world_size == 1:
            return
        for parameter in parameters:
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.distributed.all_reduce(gradient)
            parameter.grad = gradient / self.world_size

    def sum_over_workers(self, values: Tensor) -> Tensor:
        """The sum over workers of tensors of one shape, equal on every worker and without gradients."""
        total = values.detach().clone()
        if self.world_size > 1:
            torch.distributed.all_reduce(total)
        return total
