"""What a training asks of the workers that share it; one worker alone has nothing to share."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn


class Workers(Protocol):
    """The workers of one training, seen from one of them."""

    @property
    def rank(self) -> int:
        """Number of this worker, from 0."""

    def distribute(self, network: nn.Module) -> nn.Module:
        """The network, with gradients averaged over workers."""

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average over workers, in place, the gradients of parameters that the distributed network does not hold."""

    def sum_over_workers(self, values: Tensor) -> Tensor:
        """The sum over workers of tensors of one shape, equal on every worker and without gradients."""


@dataclass(frozen=True)
class Alone:
    """One worker."""

    rank: int = 0

    def distribute(self, network: nn.Module) -> nn.Module:
        """The network itself."""
        return network

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Nothing to average."""

    def sum_over_workers(self, values: Tensor) -> Tensor:
        """The values themselves, without gradients."""
        return values.detach()
