"""The contract of a method: a class whose fields are its hyperparameters, with hooks that each default to ERM."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from dgsweep.method.context import Context

Tap = Callable[[Tensor, "Context"], Tensor]
Closure = Callable[[], Tensor]


@dataclass(frozen=True, kw_only=True)
class View:
    """One version of a batch that the network is shown."""

    image: Tensor
    """(B, C, X, Y, Z)."""
    label: Tensor
    """(B, X, Y, Z)."""
    weight: float = 1.0
    tag: str = "main"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Patches of source training cases on the training device, spatially augmented."""

    image: Tensor
    """(B, C, X, Y, Z) float, z-scored."""
    label: Tensor
    """(B, X, Y, Z) integer classes, 0 is the background."""
    domain: Tensor
    """(B,) integer index of the source domain."""
    case_ids: tuple[str, ...]
    unlabelled: "Batch | None" = None
    """Patches of scans without their labels (every voxel of `label` is -1), for a method that learns from them. Its
    domains are counted on after those of the sources where they are others."""

    def subset(self, chosen: Tensor) -> "Batch":
        """The samples where the boolean mask `chosen` (B,) holds."""
        keep = [case for case, wanted in zip(self.case_ids, chosen.tolist(), strict=True) if wanted]
        return Batch(
            image=self.image[chosen], label=self.label[chosen], domain=self.domain[chosen], case_ids=tuple(keep)
        )

    def as_shown(self, views: Sequence[View]) -> "Batch":
        """The batch with image and label of its only view, for a loss that needs all outputs of one forward pass.

        Raises:
            ValueError: There are several views.
        """
        if len(views) != 1:
            raise ValueError(f"this method's loss is defined for one view of a batch, not for {len(views)}")
        return replace(self, image=views[0].image, label=views[0].label)


@dataclass(frozen=True, kw_only=True)
class BatchSpec:
    """What a method asks of the sampler."""

    min_domains: int = 1
    """Least number of source domains in one batch."""


class NoNetwork(nn.Module):
    """Stands where a method that is not trained has no network either: it only knows its device."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1), requires_grad=False)


@dataclass(kw_only=True)
class Method:
    """Base of every method. Subclass it, add hyperparameters as fields without defaults, override hooks.

    The defaults of the fields stand in the method's declaration. Randomness comes from `ctx.generator` only, which
    is a stream apart from the data's: a method that does nothing equals ERM bit for bit.
    """

    def hooks(self) -> tuple[str, ...]:
        """Names of the hooks that this method overrides."""
        names = [name for name, value in vars(Method).items() if callable(value) and not name.startswith("_")]
        return tuple(
            name for name in names if name != "hooks" and getattr(type(self), name) is not getattr(Method, name)
        )

    def batch_spec(self) -> BatchSpec:
        """What the sampler must put into a batch."""
        return BatchSpec()

    def in_channels(self, image_channels: int) -> int:
        """Channels of the network's input, for methods that replace the image by descriptors."""
        return image_channels

    def setup(self, ctx: "Context") -> None:
        """Create auxiliary modules and state, once, before the first step."""

    def views(self, ctx: "Context", batch: Batch) -> Sequence[View]:
        """The versions of the batch that are shown to the network; the default shows it as it is."""
        del ctx
        return [View(image=batch.image, label=batch.label)]

    def taps(self) -> Mapping[str, Tap]:
        """Tap name of the network -> function applied to that feature map in training."""
        return {}

    def loss(self, ctx: "Context", batch: Batch, views: Sequence[View]) -> Mapping[str, Tensor]:
        """Named terms whose sum is minimised; the default is the weighted mean segmentation loss over views."""
        del batch
        total = sum(view.weight for view in views)
        terms = [view.weight / total * ctx.seg_loss(ctx.forward(view.image), view.label) for view in views]
        return {"segmentation": torch.stack(terms).sum()}

    def optimize(self, ctx: "Context", closure: Closure) -> None:
        """One update: backward, clip, step. `closure` runs views and loss and returns the total."""
        ctx.zero_grad()
        ctx.backward(closure())
        ctx.step_optimizer()

    def after_step(self, ctx: "Context") -> None:
        """Moving averages, queues."""

    def on_eval(self, ctx: "Context", scores: Mapping[str, float]) -> None:
        """Called after each source validation with its scores."""

    def finish(self, ctx: "Context") -> None:
        """Once, when the budget ends or training stops early: the weights left in the network are the result."""

    def predictor(self, ctx: "Context") -> nn.Module:
        """The network whose predictions count, in validation too: a teacher, for instance."""
        return ctx.network

    def infer_input(self, ctx: "Context", image: Tensor) -> Tensor:
        """Fixed transform of the network's input at prediction: windows (B, C, X, Y, Z), padded and mirrored before."""
        del ctx
        return image

    def adapt(self, ctx: "Context", image: Tensor) -> None:
        """Test-time training on one case (1, C, X, Y, Z); weights are restored after the case."""

    def pretrained(self, device: torch.device, prompt: str | None) -> nn.Module:
        """The network of a method that is not trained, in evaluation mode, for one protocol; the default has none."""
        del prompt
        return NoNetwork().to(device)

    def predict_case(self, ctx: "Context", image: Tensor) -> Tensor | None:
        """Class probabilities (K+1, X, Y, Z) of one case (C, X, Y, Z), or None for the platform's sliding window."""
        del ctx, image
        return None


def state_value(value: Any) -> Any:
    """A value of `ctx.state` as it is kept in a checkpoint (tensors are detached and copied)."""
    return value.detach().clone() if isinstance(value, Tensor) else value
