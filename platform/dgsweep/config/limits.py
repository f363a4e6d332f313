"""What a sweep may spend, and what one of its trials holds: two parts of the sweep file."""

from typing import Annotated

from pydantic import Field

from dgsweep.config.section import Section


class BudgetConfig(Section):
    """The same for every method of the table."""

    steps: Annotated[int, Field(ge=1)] = 25_000
    pretrain_steps: Annotated[int, Field(ge=1)] | None = None
    """Of each pretraining that a method starts from, beside `steps`; None: as many."""
    max_gpu_hours: Annotated[float, Field(gt=0)] | None = None
    """Of the whole sweep, over all its runs; None: no cap."""
    max_core_hours: Annotated[float, Field(gt=0)] | None = None
    """The same for processor cores, for sweeps without accelerators."""
    max_wall_h: Annotated[float, Field(gt=0)] | None = None
    """Of one call of `run`."""


class ControlsConfig(Section):
    """Cells beside the methods, of plain ERM with its defaults: what is the best one could hope for, and the worst."""

    ceiling: bool = False
    """Train on each target domain's own training patients, so that its test patients show what it allows."""
    shuffled_labels: bool = False
    """Train on each source set with every label taken from another patient: nothing about the images to learn."""


class ResourcesConfig(Section):
    """What one trial holds while it runs; None is resolved from the node that runs it."""

    gpus_per_trial: Annotated[float, Field(ge=0)] | None = None
    cpus_per_trial: Annotated[int, Field(ge=1)] | None = None
    workers_per_trial: Annotated[int, Field(ge=1)] = 1
    max_failures: Annotated[int, Field(ge=0)] = 1
    """How often in a row a trial whose worker died (not one that failed by itself) is started again; a trial that got
    further in between starts counting anew."""
    custom: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Ray's custom resources that each worker of a trial holds, such as `{site_A: 1}`."""
    min_free_gib: Annotated[float, Field(ge=0)] = 1.0
    """The sweep stops at checkpoints while the disk of its output or cache still has this much room."""
    hang_timeout_s: Annotated[float, Field(ge=10)] | None = None
    """A worker that shows no progress for so long is ended and its trial started again, once; None: never."""
    stop_grace_s: Annotated[float, Field(ge=0)] = 20.0
    """After SIGTERM, running trials have this long to reach a checkpoint."""
