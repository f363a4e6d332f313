"""Efficient attention (Shen et al., WACV 2021) in transformer layers, as PanSegNet and LinTransUNet use it."""

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Attention = Literal["faithful", "corrected"]
Start = Literal["independent", "cloned"]
LAYER_NORM_EPS = 1e-6


def linear_attention(query: Tensor, key: Tensor, value: Tensor, *, kind: Attention) -> Tensor:
    """softmax(query over features) times softmax(key over tokens)^T times value, without the matrix of all pairs.

    Row sums of that matrix are 1 when `corrected`; `faithful` divides by the root of the features, as the public code.

    Args:
        query: (B, heads, N, D).
        key: as `query`.
        value: (B, heads, N, E).
        kind: normalisation of the rows.
    """
    scale = 1.0 if kind == "corrected" else 1.0 / math.sqrt(query.shape[-1])
    context = functional.softmax(key, dim=-2).transpose(-2, -1) @ value
    return (functional.softmax(query, dim=-1) * scale) @ context


class LinearAttention(nn.Module):
    """Multi-head self-attention of linear cost on tokens (B, N, D)."""

    def __init__(self, width: int, heads: int, kind: Attention) -> None:
        super().__init__()
        self.heads, self.kind = heads, kind
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        query, key, value = (self._heads(layer(tokens)) for layer in (self.query, self.key, self.value))
        mixed = linear_attention(query, key, value, kind=self.kind)
        mixed_tokens: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return mixed_tokens

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class TransformerLayer(nn.Module):
    """Attention, then two linear layers with GELU; each is added to its input and then normalised."""

    def __init__(self, width: int, hidden: int, *, heads: int, dropout: float, kind: Attention) -> None:
        super().__init__()
        self.attention = LinearAttention(width, heads, kind)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=LAYER_NORM_EPS) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        tokens = self.norm1(tokens + self.dropout(self.attention(tokens)))
        mixed: Tensor = self.norm2(tokens + self.dropout(self.feed_forward(tokens)))
        return mixed


def clone_layers(layers: Sequence[TransformerLayer]) -> None:
    """Start all layers from one, and its query, key, value and output matrices from one, as deep copies would."""
    first = layers[0]
    for part in (first.attention.key, first.attention.value, first.attention.out):
        part.load_state_dict(first.attention.query.state_dict())
    for layer in layers:
        layer.load_state_dict(first.state_dict())
