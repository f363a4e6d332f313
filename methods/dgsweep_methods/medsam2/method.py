"""The family whose preprocessing and weights the shared base takes."""

from dataclasses import dataclass
from typing import ClassVar, final

from dgsweep.method.promptable.zero_shot import PromptableMethod


@final
@dataclass(kw_only=True)
class MedSam2(PromptableMethod):
    """See the card."""

    family: ClassVar[str] = "medsam2"
