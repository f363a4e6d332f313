"""How the bottleneck joins continuous features and codes: each reads the other, then all tokens read each other."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head attention of the tokens (B, N, C) to other tokens (B, M, C)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.project = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor, read: Tensor) -> Tensor:
        """Tokens that ask, tokens that are read; (B, N, C)."""
        query = self.query(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = self.key_value(read).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed: Tensor = self.project(
            functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        )
        return mixed


class Exchange(nn.Module):
    """DisConX: features read codes and codes read features, each added to what asked; a linear layer joins both."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm_continuous, self.norm_discrete = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.to_discrete, self.to_continuous = Attention(channels, heads), Attention(channels, heads)
        self.join = nn.Linear(2 * channels, channels)

    def forward(self, continuous: Tensor, discrete: Tensor) -> Tensor:
        """Two times (B, N, C) to (B, N, C)."""
        own, code = self.norm_continuous(continuous), self.norm_discrete(discrete)
        both = torch.cat([continuous + self.to_discrete(own, code), discrete + self.to_continuous(code, own)], dim=-1)
        joined: Tensor = self.join(both)
        return joined


class Correction(nn.Module):
    """A transformer layer over the joined tokens: attention to each other, then two linear layers, both added."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_feed = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = Attention(channels, heads)
        self.feed = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) to the same shape."""
        normal = self.norm_attention(tokens)
        tokens = tokens + self.attention(normal, normal)
        corrected: Tensor = tokens + self.feed(self.norm_feed(tokens))
        return corrected
