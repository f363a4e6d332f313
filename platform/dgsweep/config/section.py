"""What every part of the sweep file has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the sweep file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
