"""Names of prompt protocols, as a sweep file gives them: `per_slice_box`, `jittered_box(10)`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_FORM = re.compile(r"^(?P<name>[a-z0-9_]+)(?:\((?P<px>\d{1,4})\))?$")


@dataclass(frozen=True, kw_only=True)
class PromptProtocol:
    """How a promptable model is told where the structure lies."""

    name: str
    px: int = 0
    """Largest shift of a side of a box, in pixels; only of `jittered_box`."""

    @property
    def label(self) -> str:
        """As it is written in a sweep file and in tables."""
        return f"{self.name}({self.px})" if self.name == JITTERED else self.name

    @property
    def oracle(self) -> bool:
        """Whether it is made from the reference of the case that is scored."""
        return self.name != PREDICTED

    @property
    def random(self) -> bool:
        """Whether another seed gives other prompts."""
        return self.name == JITTERED


JITTERED, PREDICTED = "jittered_box", "predicted_box"
MEANING = {
    "global_3d_box": "one box around the whole structure, given on every slice that it spans",
    "per_slice_box": "the tight box of every slice",
    "keyslice_propagate": "the tight box of the slice with the largest area, propagated both ways",
    JITTERED: "the box of every slice, each side moved at random by at most so many pixels: jittered_box(10)",
    "center_point": "one point inside the structure on every slice",
    PREDICTED: "the box of every slice of what a trained method predicted: no label of the case is used",
}
"""Name -> what the model is given."""


def parse_protocol(text: str) -> PromptProtocol:
    """The protocol that a text names.

    Raises:
        ValueError: it names none; the message lists what there is.
    """
    found = _FORM.match(text.strip())
    known = ", ".join(f"{name}(PX)" if name == JITTERED else name for name in MEANING)
    if found is None or found["name"] not in MEANING:
        raise ValueError(f"no prompt protocol {text!r}; there are {known}")
    name, px = found["name"], int(found["px"] or 0)
    if (name == JITTERED) != bool(px):
        raise ValueError(f"{text!r}: only jittered_box has a number of pixels, and it needs one, as jittered_box(10)")
    return PromptProtocol(name=name, px=px)


def labels(protocols: Iterable[PromptProtocol]) -> str:
    """Names for a sentence."""
    return ", ".join(protocol.label for protocol in protocols)
