"""What a method sees while it trains: network, optimizer, random stream, losses, features, checkpointed state."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from dgsweep.method.base import Batch, Method, state_value
from dgsweep.method.case_request import CaseRequest
from dgsweep.method.losses import supervised_loss
from dgsweep.method.micro_batch import cut, summed_loss
from dgsweep.method.recipe import Recipe
from dgsweep.method.schedule import learning_rate_at
from dgsweep.method.workers import Alone, Workers


def stream_seed(*parts: object) -> int:
    """A 63-bit seed from any printable parts: equal parts, equal stream."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:8], "big") >> 1


class Context:
    """The engine of one training: runs steps of a method and keeps everything that a checkpoint needs."""

    def __init__(
        self,
        network: nn.Module,
        method: Method,
        recipe: Recipe,
        *,
        n_domains: int,
        workers: Workers | None = None,
        rebuild: Callable[[int], nn.Module] | None = None,
    ) -> None:
        self.network = network
        self._workers = workers or Alone()
        self._rebuild = rebuild
        self._parallel = self._workers.distribute(network)
        self.method = method
        self.recipe = recipe
        self.n_domains = n_domains
        self.rank = self._workers.rank
        self.micro_batches = 1
        """Into how many parts each batch is cut, where the device cannot hold it whole."""
        self.step = 0
        self.active_steps = 0
        self.adapted_cases = 0
        self.active_cases = 0
        self.forward_passes = 0
        self.device = next(network.parameters()).device
        self.generator = torch.Generator(device=self.device)
        self.modules = nn.ModuleDict()
        self.state: dict[str, Any] = {}
        self.features: dict[str, Tensor] = {}
        self.losses: dict[str, Tensor] = {}
        self.notes: dict[str, float] = {}
        self.batch: Batch | None = None
        self.request: CaseRequest | None = None
        self.first_bad_step = torch.full((), -1, dtype=torch.long, device=self.device)
        self._active_now = False
        self.generator.manual_seed(stream_seed("method", recipe.seed, 0, self.rank))
        with torch.random.fork_rng(devices=[]):  # auxiliary modules too start from the seed, alike on every worker
            torch.manual_seed(stream_seed("setup", recipe.seed))
            method.setup(self)
        self.modules.to(self.device)
        self._hooks = self._install_taps()
        self.optimizer = self._build_optimizer()

    def _install_taps(self) -> list[Any]:
        published: dict[str, nn.Module] = getattr(self.network, "taps", {})
        handles = []
        for name, tap in self.method.taps().items():
            if name not in published:
                raise ValueError(f"the network publishes no tap {name!r}; it has: {', '.join(published)}")

            def hook(module: nn.Module, _: Any, output: Tensor, *, name: str = name, tap: Any = tap) -> Tensor:
                if not module.training:
                    return output
                changed: Tensor = tap(output, self)
                self.features[name] = changed
                return changed

            handles.append(published[name].register_forward_hook(hook))
        return handles

    def _build_optimizer(self) -> torch.optim.Optimizer:
        recipe = self.recipe
        parameters = [*self.network.parameters(), *self._trainable()]
        if recipe.optimizer == "adamw":
            return torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        return torch.optim.SGD(
            parameters,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.momentum > 0,
            weight_decay=recipe.weight_decay,
        )

    def _trainable(self) -> list[nn.Parameter]:
        """Parameters of auxiliary modules that gradients reach."""
        return [parameter for parameter in self.modules.parameters() if parameter.requires_grad]

    def _reseed(self) -> None:
        """The random streams depend on seed, step and rank only, so a resumed run draws the same.

        The method has its own; layers of the network that draw (dropout) take torch's.
        """
        self.generator.manual_seed(stream_seed("method", self.recipe.seed, self.step, self.rank))
        torch.manual_seed(stream_seed("network", self.recipe.seed, self.step, self.rank))

    def add_module(self, name: str, module: nn.Module) -> nn.Module:
        """Register an auxiliary module: it is checkpointed with the network, and optimised where it needs gradients."""
        self.modules[name] = module
        return module

    def new_network(self, name: str) -> nn.Module:
        """A network like this one, registered as an auxiliary module, with weights of its own from the seed."""
        if self._rebuild is None:
            raise ValueError("this context was made without a way to build another network")
        made = self._rebuild(stream_seed("another network", name, self.recipe.seed)).to(self.device)
        return self.add_module(name, made)

    def twin(self, name: str) -> nn.Module:
        """A copy of the network that no gradient reaches, registered as an auxiliary module: a teacher."""
        made = self.new_network(name)
        made.load_state_dict(self.network.state_dict())
        return made.requires_grad_(requires_grad=False)

    def tap_channels(self, name: str) -> int:
        """Channels of a tap's feature map, known before the first step: a patch is traced without computing it."""
        published: dict[str, nn.Module] = getattr(self.network, "taps", {})
        if name not in published:
            raise ValueError(f"the network publishes no tap {name!r}; it has: {', '.join(published)}")
        if self.recipe.patch is None:
            raise ValueError("the channels of a tap are known for a patch only, and the recipe has none")
        seen: list[int] = []
        handle = published[name].register_forward_hook(lambda _module, _input, out: seen.append(int(out.shape[1])))
        was_training = self.network.training
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            self.network.eval()(torch.zeros(1, self.method.in_channels(1), *self.recipe.patch, device=self.device))
        self.network.train(was_training)
        handle.remove()
        return seen[0]

    def forward(self, image: Tensor, parameters: Mapping[str, Tensor] | None = None) -> Sequence[Tensor]:
        """Outputs of the network, finest first: each (B, K+1, x, y, z).

        Given `parameters` (named as in `network.named_parameters()`), it is evaluated at those instead of its own.
        """
        if parameters is not None:
            # tie_weights would leave the new ones in a layer that is held under two names, as DynUNet's are
            at = partial(torch.func.functional_call, self.network, dict(parameters), tie_weights=False)
            return self.forward_with(lambda shown: at((shown,)), image)
        return self.forward_with(self._parallel if self.network.training else self.network, image)

    def forward_with(self, network: Callable[[Tensor], Any], image: Tensor) -> Sequence[Tensor]:
        """Outputs of another network than the one that is trained (a teacher, a second student), finest first."""
        self.forward_passes += 1
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.recipe.autocast):
            outputs = network(image)
        return outputs if isinstance(outputs, list | tuple) else [outputs]

    def seg_loss(self, outputs: Sequence[Tensor], label: Tensor, mask: Tensor | None = None) -> Tensor:
        """Soft Dice plus cross-entropy over all outputs; a scalar in float32.

        With a mask (B, X, Y, Z) only its voxels count: for labels that are known, or believed, in places.
        """
        return supervised_loss(outputs, label, mask)

    def domains_in(self, batch: Batch) -> list[Batch]:
        """The batch cut by source domain, in the order of the domain index."""
        return [batch.subset(batch.domain == index) for index in torch.unique(batch.domain)]

    def domain_losses(self, outputs: Sequence[Tensor], batch: Batch) -> Tensor:
        """Segmentation loss of each source domain on its own samples, in the order of `domains_in`; (D,).

        `outputs` are those of one forward pass over the whole batch, finest first.
        """
        chosen = [batch.domain == index for index in torch.unique(batch.domain)]
        return torch.stack([self.seg_loss([out[own] for out in outputs], batch.label[own]) for own in chosen])

    def sum_over_workers(self, values: Tensor) -> Tensor:
        """Sum of tensors of one shape, equal on every worker and without gradients: for state that must stay alike."""
        return self._workers.sum_over_workers(values)

    def progress(self) -> float:
        """Share of the budget that is spent, in [0, 1)."""
        return self.step / self.recipe.budget_steps

    def ramp(self, start: float, length: float) -> float:
        """0 before `start`, 1 after `start + length`, linear between; both are fractions of the budget."""
        if length <= 0:
            return float(self.progress() >= start)
        return min(1.0, max(0.0, (self.progress() - start) / length))

    def note(self, name: str, value: float) -> None:
        """Leave a number that is worth a curve beside the losses, such as the weight of a term in this step."""
        self.notes[name] = value

    def mark_active(self) -> None:
        """Say that the method's own mechanism took part in this step."""
        self._active_now = True

    @contextmanager
    def adapted(self, image: Tensor) -> Iterator[None]:
        """In evaluation mode, after the method's test-time training on one case (1, C, X, Y, Z); all undone afterwards.

        The random stream starts anew with each case, so that no prediction depends on the cases before it; forward
        passes here do not count as training. `active_cases` counts the cases in which `mark_active` was called.
        """
        weights = {name: value.clone() for name, value in self.network.state_dict().items()}
        passes, was_training = self.forward_passes, self.network.training
        self.generator.manual_seed(stream_seed("adapt", self.recipe.seed))
        self._active_now = False
        self.network.eval()
        try:
            with torch.enable_grad():
                self.method.adapt(self, image)
            self.adapted_cases += 1
            self.active_cases += int(self._active_now)
            yield
        finally:
            self.network.load_state_dict(weights)
            self.network.train(was_training)
            self.forward_passes = passes
            self.zero_grad()

    def zero_grad(self) -> None:
        """Forget gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Backpropagate, remembering the first step whose loss was not finite (without waiting for the device)."""
        fresh = (self.first_bad_step < 0) & ~torch.isfinite(loss.detach())
        self.first_bad_step = torch.where(fresh, self.step, self.first_bad_step)
        loss.backward()

    def step_optimizer(self) -> None:
        """Average over workers the gradients that are not averaged yet, clip the gradient norm and update."""
        bare = self.network.parameters() if self._parallel is self.network else []
        reached = [parameter for parameter in bare if parameter.grad is not None]
        self._workers.average_gradients([*reached, *self._trainable()])
        parameters = [*self.network.parameters(), *self._trainable()]
        nn.utils.clip_grad_norm_(parameters, self.recipe.grad_clip)
        self.optimizer.step()

    def run_step(self, batch: Batch) -> None:
        """One training step of the method on one batch."""
        self._reseed()
        self._active_now = False
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(
                self.step, self.recipe.budget_steps, self.recipe.learning_rate, self.recipe.schedule
            )

        parts = cut(batch, self.micro_batches)
        self.method.optimize(self, lambda: summed_loss(self, parts))
        self.method.after_step(self)
        self.active_steps += int(self._active_now)
        self.step += 1

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs; tensors, numbers and strings only."""
        return {
            "network": self.network.state_dict(),
            "modules": self.modules.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": {name: state_value(value) for name, value in self.state.items()},
            "step": self.step,
            "active_steps": self.active_steps,
            "forward_passes": self.forward_passes,
            "first_bad_step": self.first_bad_step,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.load_weights(saved)
        self.optimizer.load_state_dict(saved["optimizer"])

    def load_weights(self, saved: dict[str, Any]) -> None:
        """Load all but the optimizer: what prediction needs."""
        self.network.load_state_dict(saved["network"])
        self.modules.load_state_dict(saved["modules"])
        self.state = dict(saved["state"])
        self.step, self.active_steps = saved["step"], saved["active_steps"]
        self.forward_passes = saved["forward_passes"]
        self.first_bad_step = saved["first_bad_step"].to(self.device)
