"""How the small promptable model of ours begins, and what it loses: SAM 2 of the original package."""

from typing import Any

import numpy as np
import torch
from promptable_stacks import Stacks
from torch import Tensor
from torch.nn import functional

ATTENTION_STD, POSITION_EMBEDDING = 0.15, 0.5
"""Of the weights that begin the decoder's queries and keys; the amplitude of the encoder's positions. See `begun`."""
POSITION_SCALE = 0.5
"""Of the random positions: this grid has 8 cells a side where the published ones have 32 or 64."""
PROMPT_AGAIN_SHARE = 0.25
"""Chance that a later slice of the stacks is prompted too, as the protocols with a box in every slice do."""
LARGEST_LOGIT = 15.0
"""SAM 2 answers -1024 where it believes that there is no object; the loss of that is kept in bounds."""
WHISPER, SAME_PLACE = 0.1, 4.0
"""Of the weights with which the layers of the memory's attention begin to speak, and every element of the vector with
which they ask and are found: a cell beside the own one gets exp(-3) of its attention, about."""


@torch.no_grad()
def begun(model: Any) -> Any:
    """Weights to train from that know where things are, so that minutes suffice to learn what a prompt means.

    Queries and keys of the mask decoder begin alike, so that a corner attends to its own place from the first step; the
    encoder's positions begin as waves, so that each place of the embedding can be told from the others.
    """
    for name, module in model.sam_mask_decoder.transformer.named_modules():
        if name.endswith(("self_attn", "image_to_token", "token_to_image")):
            wide = module.q_proj.out_features == module.q_proj.in_features
            torch.nn.init.normal_(module.q_proj.weight, std=ATTENTION_STD / (2 if wide else 1))
            module.k_proj.weight.copy_(module.q_proj.weight)
    places = model.image_encoder.trunk.pos_embed
    waves, shift = torch.randn(places.shape[1], 2, 1, 1), 2 * np.pi * torch.rand(places.shape[1], 1, 1)
    y, x = torch.meshgrid(*(torch.linspace(-np.pi, np.pi, n) for n in places.shape[2:]), indexing="ij")
    places.copy_(POSITION_EMBEDDING * torch.sin(waves[:, 0] * x + waves[:, 1] * y + shift))
    model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix.mul_(POSITION_SCALE)
    torch.nn.init.constant_(model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 2.0)
    return model


@torch.no_grad()
def remembering(model: Any, pixels: Tensor) -> None:
    """Let the memory begin as a look at the same place of the remembered slices, added to the frame as it is known.

    The last norm of the memory's attention is fitted to the features of these images. Queries and keys begin as one
    vector, which rotary positions make largest where nothing is moved; what else its layers say is a whisper at first.
    """
    feats = model._prepare_backbone_features(model.forward_image(pixels))[1][-1]
    wanted = (feats + model.no_mem_embed).flatten(0, 1)
    given = functional.layer_norm(feats, feats.shape[-1:]).flatten(0, 1)
    norm = model.memory_attention.norm
    spread = given - given.mean(dim=0)
    norm.weight.copy_((spread * (wanted - wanted.mean(dim=0))).mean(dim=0) / spread.square().mean(dim=0))
    norm.bias.copy_(wanted.mean(dim=0) - norm.weight * given.mean(dim=0))
    for layer in model.memory_attention.layers:
        looks = layer.cross_attn_image
        for quiet in (layer.self_attn.out_proj, layer.linear2, looks.q_proj, looks.k_proj):
            quiet.weight.mul_(WHISPER)
        for same in (looks.q_proj, looks.k_proj):
            same.bias.fill_(SAME_PLACE)


def stack_loss(model: Any, stacks: Stacks, rng: np.random.Generator, *, balance: float = 0.0) -> tuple[Tensor, float]:
    """Loss over all slices of the stacks, and the mean Dice of those that show the object.

    Args:
        model: SAM 2 of the original package.
        stacks: What is seen, asked and right.
        rng: Decides on single or several masks, and on which slices are prompted.
        balance: Weight of a loss in which inside and outside count alike, whatever the object's size. Without it, all
            masks of a model that knows nothing become empty, and stay so; with it, they remain too large.
    """
    n = len(stacks.image)
    batch = len(stacks.pixels) // stacks.depth
    with torch.set_grad_enabled(stacks.depth == 1):  # single slices teach the encoder
        seen = model.forward_image(stacks.pixels)
    _, feats, positions, sizes = model._prepare_backbone_features(seen)
    model.multimask_max_pt_num = int(rng.choice((1, 2)))  # a box is two points: it must fit one mask and three
    memory: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    losses, overlaps = [], []
    for frame in range(stacks.depth):
        place = slice(frame * n, (frame + 1) * n)
        every = bool(stacks.present[place].all())
        prompted = frame == 0 or (every and rng.random() < PROMPT_AGAIN_SHARE)
        points = {"point_coords": stacks.points[place], "point_labels": stacks.labels[place]} if prompted else None
        shown = frame * batch + stacks.image
        own = [level[:, shown] for level in feats]
        out, answer, _, _ = model._track_step(
            frame, prompted, own, [level[:, shown] for level in positions], sizes,
            points, None, memory, stacks.depth, False, None,
        )  # fmt: skip
        _, masks, ious, _, best, out["obj_ptr"], score = answer
        if frame + 1 < stacks.depth:
            model._encode_memory_in_output(own, sizes, points, True, best, score, out)
        memory["cond_frame_outputs" if prompted else "non_cond_frame_outputs"][frame] = out
        loss, dice = _slice_loss(masks, ious, score, stacks.masks[place], stacks.present[place], balance)
        losses.append(loss)
        overlaps.append(dice)
    return torch.stack(losses).mean(), float(torch.cat(overlaps).mean())


def _slice_loss(
    masks: Tensor, ious: Tensor, score: Tensor, target: Tensor, present: Tensor, balance: float
) -> tuple[Tensor, Tensor]:
    """Of all masks (B, M, S, S), the best of them most, as SAM 2 corrects it alone; of IoU estimates and object scores.

    Slices without the object count in its score alone. Returns the loss, and the Dice of the slices that have it.
    """
    found = functional.binary_cross_entropy_with_logits(score[:, 0], present.float())
    logits = masks.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
    wanted = target[:, None].expand_as(logits)
    crossed = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    inside, outside = (_mean_where(crossed, weight) for weight in (wanted, 1 - wanted))
    probability = logits.sigmoid()
    overlap = 2 * (probability * wanted).sum(dim=(2, 3)) + 1
    dice_loss = 1 - overlap / (probability.sum(dim=(2, 3)) + wanted.sum(dim=(2, 3)) + 1)
    hard = logits.detach() > 0
    both, either = (hard & (wanted > 0)).sum(dim=(2, 3)), (hard | (wanted > 0)).sum(dim=(2, 3))
    iou = both / either.clamp(min=1)
    per_mask = 0.5 * balance * (inside + outside) + 3 * crossed.mean(dim=(2, 3)) + dice_loss
    rated = functional.mse_loss(ious, iou, reduction="none").mean(dim=1)
    shape = (per_mask.amin(dim=1) + per_mask.mean(dim=1)) / 2 + rated
    dice = (2 * iou / (1 + iou)).gather(1, ious.argmax(dim=1, keepdim=True))[:, 0]
    return (shape * present).sum() / present.sum().clamp(min=1) + found, dice[present]


def _mean_where(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the pixels, (B, M)."""
    return (values * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp(min=1)
