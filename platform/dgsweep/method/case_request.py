"""What a method that is not trained is told of a case, beside its image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class CaseRequest:
    """One case of a zero-shot trial; stands in `ctx.request` while `predict_case` runs."""

    case_id: str
    spacing_mm: tuple[float, float, float]
    prompts: Mapping[int, tuple[Any, ...]] = field(default_factory=dict)
    """Class (from 1) -> its prompts (`promptable.prompts.Prompt`); none where the case has nothing of it."""
    cache: Path | None = None
    """Folder for embeddings, shared by all trials of the sweep; None keeps nothing."""
