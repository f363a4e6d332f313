"""What every promptable method does: read its weights, keep embeddings, answer the prompts of a case."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dgsweep.config.prompt_protocol import parse_protocol
from dgsweep.method.base import Method
from dgsweep.method.case_request import CaseRequest
from dgsweep.method.context import Context
from dgsweep.method.promptable.embeddings import Embeddings, embeddings_key
from dgsweep.method.promptable.family import build
from dgsweep.method.promptable.predict import Promptable, predict_case
from dgsweep.method.promptable.weights import find


@dataclass(kw_only=True)
class PromptableMethod(Method):
    """Base of zero-shot methods that are told where a structure lies."""

    weights: str
    family: ClassVar[str]

    def pretrained(self, device: torch.device, prompt: str | None) -> nn.Module:
        """The registered weights; SAM 2 with its memory where one slice is to tell about the others.

        Raises:
            WeightsError: they are not registered, damaged, or of another family.
        """
        follows = prompt is not None and parse_protocol(prompt).rule == "keyslice_propagate"
        video = True if follows or self.family == "medsam2" else None
        return build(self.family, find(self.weights).path, device=device, video=video)

    def predict_case(self, ctx: Context, image: Tensor) -> Tensor:
        """Class probabilities (K+1, X, Y, Z); a structure is where its own exceeds one half, by the family's threshold.

        Raises:
            ValueError: outside of a zero-shot trial, where nobody prompts.
        """
        if ctx.request is None:
            raise ValueError(f"{self.family} answers prompts, and there are none")
        volume = image[0].cpu().numpy()
        promptable = Promptable(model=ctx.network, family=self.family)
        kept, place = self._embeddings(ctx, promptable, volume)
        encoded, found = 0, [np.zeros(volume.shape, dtype=np.float32) for _ in ctx.request.prompts]
        for k, prompts in ctx.request.prompts.items():
            answer = predict_case(promptable, volume, prompts, embeddings=kept)
            found[k - 1] = answer.probability
            encoded += answer.encoded_slices
        if encoded and place is not None:
            kept.save(place)
        ctx.forward_passes += encoded
        if encoded or any(ctx.request.prompts.values()):
            ctx.mark_active()
        foreground = np.stack(found)
        return torch.from_numpy(np.concatenate([1.0 - foreground.max(axis=0, keepdims=True), foreground]))

    def _embeddings(
        self, ctx: Context, promptable: Promptable, volume: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"
    ) -> tuple[Embeddings, Path | None]:
        """What is kept of the case, and where."""
        request: CaseRequest | None = ctx.request
        network: Any = ctx.network
        key = embeddings_key(
            volume,
            weights_sha256=find(self.weights).sha256,
            family=self.family,
            image_size=int(network.config.prompt_encoder_config.image_size),
            device=ctx.device.type,
            preparation=promptable.preparation,
        )
        if request is None or request.cache is None:
            return Embeddings(key=key), None
        place = request.cache / f"{key}.safetensors"
        return Embeddings.load(place, key), place
