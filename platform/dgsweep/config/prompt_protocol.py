"""Prompt protocols as sweep files name them, such as `per_slice_box` and `{jittered_box: 10}`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BOX_PROTOCOLS = ("global_3d_box", "per_slice_box", "keyslice_propagate")
"""Protocols without a parameter whose prompts are boxes; `predicted_box` takes one of them."""
PROTOCOLS = (*BOX_PROTOCOLS, "jittered_box", "center_point", "predicted_box")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What a promptable model is given."""

    name: str
    """One of `PROTOCOLS`."""
    jitter_px: int = 0
    """Greatest shift of each side of a `jittered_box`, in pixels of the native slice."""
    box: str = ""
    """The rule by which `predicted_box` makes boxes: one of `BOX_PROTOCOLS`."""

    @property
    def oracle(self) -> bool:
        """Whether the prompt comes from the reference: its numbers then stand in a panel of their own."""
        return self.name != "predicted_box"

    @property
    def random(self) -> bool:
        """Whether another seed gives other prompts."""
        return self.name == "jittered_box" and self.jitter_px > 0

    @property
    def rule(self) -> str:
        """How prompts are made of a mask, whichever mask it is."""
        return self.box or self.name

    @property
    def label(self) -> str:
        """For tables: `jittered_box: 10`; `parse_protocol` reads it back."""
        parameter = self.box if self.name == "predicted_box" else str(self.jitter_px)
        return f"{self.name}: {parameter}" if self.name in {"jittered_box", "predicted_box"} else self.name


def parse_protocol(value: object) -> Protocol:
    """Read a name, or a name with its parameter as `{jittered_box: 10}` or as the text `jittered_box: 10`.

    Raises:
        ValueError: It names no protocol, or its parameter is wrong; the message says what is right.
    """
    name, parameter = _name_and_parameter(value)
    if name not in PROTOCOLS:
        raise ValueError(f"{value!r} is no prompt protocol; there are {', '.join(PROTOCOLS)}")
    if name == "jittered_box":
        if isinstance(parameter, int) and not isinstance(parameter, bool) and parameter >= 0:
            return Protocol(name=name, jitter_px=parameter)
        raise ValueError(f"jittered_box has {parameter!r} as its parameter; write {{jittered_box: 10}} (pixels)")
    if name == "predicted_box":
        box = "per_slice_box" if parameter is None else parameter
        if isinstance(box, str) and box in BOX_PROTOCOLS:
            return Protocol(name=name, box=box)
        raise ValueError(f"predicted_box has {box!r} as its rule; there are {', '.join(BOX_PROTOCOLS)}")
    if parameter is not None:
        raise ValueError(f"{name} takes no parameter, found {parameter!r}")
    return Protocol(name=name)


def _name_and_parameter(value: object) -> tuple[str, Any]:
    if isinstance(value, Mapping) and len(value) == 1:
        name, parameter = next(iter(value.items()))
        return str(name), parameter
    if not isinstance(value, str):
        return "", None
    name, colon, text = (part.strip() for part in value.partition(":"))
    return name, (int(text) if text.isdecimal() else text) if colon else None
