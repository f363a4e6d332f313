"""The network of `nnunet_resenc_m`, for larger patches."""

from dgsweep.networks.nnunet_resenc_m.network import build

__all__ = ["build"]
