"""The sweep file as frozen, validated objects. Keys are fixed by the design; every default is written here."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from dgsweep.config.limits import BudgetConfig, ControlsConfig, ResourcesConfig
from dgsweep.config.prompt_protocol import parse_protocol
from dgsweep.config.section import Section

Triple = tuple[float, float, float]
IntTriple = tuple[int, int, int]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class DataConfig(Section):
    """Which scans, which structures, and the grid they are brought to."""

    manifest: str
    """Path of the manifest (CSV or Parquet)."""
    target_labels: tuple[str | int, ...] | None = None
    """Structures to segment, by the names of dataset.yaml or as integers; None takes every non-zero label."""
    spacing_mm: Annotated[Triple | None, Field()] = None
    """Working grid (x, y, z) in mm; None takes the median of the source training cases."""
    patch: IntTriple | None = None
    """Patch (x, y, z) in voxels of the working grid; None is planned from the source training cases."""
    allow_outside: bool = False
    """Let the manifest name files outside its own folder."""
    cache: str | None = None
    """Folder of the preprocess cache; None puts it into the output folder."""

    @field_validator("spacing_mm")
    @classmethod
    def _positive_spacing(cls, value: Triple | None) -> Triple | None:
        if value is not None and not all(0.01 <= component <= 100.0 for component in value):
            raise ValueError("each spacing must lie between 0.01 and 100 mm")
        return value

    @field_validator("patch")
    @classmethod
    def _usable_patch(cls, value: IntTriple | None) -> IntTriple | None:
        if value is not None and not all(low <= side <= 1024 for low, side in zip((4, 4, 1), value, strict=True)):
            raise ValueError("a patch x,y,z has 4 to 1024 voxels along x and y, and 1 to 1024 along z")
        return value


class ExplicitSplit(Section):
    """One row of an explicit protocol: shell patterns over domain names."""

    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    targets: tuple[str, ...] = ()


ProtocolKind = Literal[
    "in_domain", "cross_center", "cross_sequence", "single_source", "leave_one_domain_out", "explicit"
]


Unlabelled = Literal["source", "target_train", "both"]
Pool = Literal["source", "all_unlabelled"]


class ProtocolConfig(Section):
    """How source and target domains are chosen."""

    kind: ProtocolKind = "cross_sequence"
    folds: Annotated[int, Field(ge=1, le=20)] = 1
    label_ratio: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] = (1.0,)
    factors: Annotated[tuple[str, ...], Field(min_length=1)] = ("center", "sequence")
    splits: tuple[ExplicitSplit, ...] = ()
    target_cases: Literal["test", "all"] = "test"
    """`test`: targets are scored on test patients; `all`: on every patient who takes no part in training."""
    unlabelled: Unlabelled = "source"
    """Whose scans a method that learns without labels is given: the sources', the targets' training patients', both."""

    @model_validator(mode="after")
    def _splits_go_with_explicit(self) -> "ProtocolConfig":
        if (self.kind == "explicit") != bool(self.splits):
            raise ValueError("`splits` goes with `kind: explicit`, and an explicit protocol needs at least one split")
        return self


def _protocol(value: object) -> str:
    return parse_protocol(value).label


PromptName = Annotated[str, BeforeValidator(_protocol)]
"""A protocol, kept as the text that `parse_protocol` reads back."""


class InitFrom(Section):
    """What a method's network starts from: a pretraining of this sweep (`name`), or a finished trial (`trial`)."""

    name: str | None = None
    """A method of the phase `pretrain`."""
    data: Pool = "source"
    """Images of the training patients of the sources, or of every domain: of the targets too, which is transductive."""
    hp: dict[str, Any] = Field(default_factory=dict)
    trial: str | None = None
    """Folder of a finished trial, `<output>/trials/<id>`; a relative one starts where a relative `output` does."""
    head: Literal["keep", "new"] = "keep"
    """`new`: layers whose size follows the number of structures stay as the seed makes them."""

    @model_validator(mode="after")
    def _one_start(self) -> "InitFrom":
        if (self.name is None) == (self.trial is None):
            raise ValueError("give either `name`, a pretraining method, or `trial`, the folder of a finished trial")
        given = self.model_fields_set
        if self.trial is not None and given & {"data", "hp"}:
            raise ValueError("`data` and `hp` go with `name`: a trial that ran before has its own")
        if self.name is not None and "head" in given:
            raise ValueError("`head` goes with `trial`: a pretraining has no head to keep")
        return self


class MethodConfig(Section):
    """One method of the sweep, by name or with fixed hyperparameters."""

    name: str
    variant: str | None = None
    hp: dict[str, Any] = Field(default_factory=dict)
    unlabelled: Unlabelled | None = None
    """Instead of the protocol's, for a method that learns without labels."""
    init_from: InitFrom | None = None
    """None: from weights that the seed decides."""
    prompts: tuple[PromptName, ...] | None = None
    """Instead of `prompts.protocols`, for a promptable method."""


class NetworkConfig(Section):
    """One backbone of the sweep, by name or with options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class SearchConfig(Section):
    """How many trials a cell gets and how their hyperparameters are drawn; trial 0 is always the defaults."""

    trials: Annotated[int, Field(ge=1, le=100_000)] = 1
    sampler: Literal["random", "grid", "optuna"] = "random"
    """`optuna` proposes each trial while the sweep runs, from what the trials of its cell before it came to."""
    scheduler: Literal["none", "asha"] = "none"
    """`asha` stops trials that fall behind the others of their cell in source validation."""
    min_steps: Annotated[int, Field(ge=1)] | None = None
    """Steps before which `asha` stops nothing; None: the first point of the source-validation curve."""
    reduction: Annotated[int, Field(ge=2, le=100)] = 3
    """Of the trials that reach a rung of `asha`, one in so many goes on; the next rung is so many times as far."""
    spaces: str | None = None
    """Folder of search-space files that take precedence over the shipped ones."""

    @property
    def needs_validation(self) -> bool:
        """Whether source validation steers it while it runs."""
        return self.trials > 1 and (self.sampler == "optuna" or self.scheduler == "asha")


class TrackingConfig(Section):
    """Where MLflow records."""

    uri: str = "sqlite:///runs/mlflow.db"
    experiment: str | None = None
    """None takes the name of the sweep."""
    pictures: bool | None = None
    """Whether pictures of patients go to MLflow: None only to a database on this machine, never to a server."""


class AugmentConfig(Section):
    """Spatial augmentation and mirroring of the training recipe (nnU-Net v2's probabilities, no intensity changes)."""

    p_rotate: Fraction = 0.2
    rotate_deg: Annotated[float, Field(ge=0, le=180)] = 30.0
    p_scale: Fraction = 0.2
    scale: tuple[float, float] = (0.7, 1.4)
    mirror_axes: tuple[Literal["x", "y", "z"], ...] = ("x", "y", "z")

    @field_validator("scale")
    @classmethod
    def _scale_is_a_range(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1]:
            raise ValueError("must be [low, high] with 0 < low <= high")
        return scale


class TrainingConfig(Section):
    """The training recipe that every method shares."""

    batch: Annotated[int, Field(ge=1)] = 2
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """None: 1e-2 for SGD (nnU-Net), 1e-3 for AdamW."""
    momentum: Fraction = 0.99
    weight_decay: Annotated[float, Field(ge=0)] = 3e-5
    schedule: Literal["poly", "cosine", "one_cycle", "constant"] = "poly"
    grad_clip: Annotated[float, Field(gt=0)] = 12.0
    amp: Literal["auto", "off", "bf16"] = "auto"
    """auto: bfloat16 on an accelerator, off on a CPU."""
    deep_supervision: bool = True
    unlabelled_batch: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Unlabelled patches beside each batch, for methods that learn from them; as many as labelled ones unless set."""
    foreground_fraction: Fraction = 0.33
    """Least share of the patches of a batch that are centred on a foreground voxel (nnU-Net: 0.33, at least one)."""
    eval_every: Annotated[int, Field(ge=1)] | None = None
    """Steps between two points of the source-validation curve; None: a tenth of the budget."""
    checkpoint_every: Annotated[int, Field(ge=1)] | None = None
    """Steps between two checkpoints; None: a tenth of the budget, at most 1000."""
    early_stop_evals: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many validations without a better source score; None never stops early."""
    augment: AugmentConfig = AugmentConfig()


class InferenceConfig(Section):
    """Sliding-window prediction."""

    overlap: Annotated[float, Field(ge=0, lt=0.95)] = 0.5
    batch: Annotated[int, Field(ge=1)] = 4
    """Windows at a time on an accelerator; a processor takes two at most."""
    mirror_axes: tuple[Literal["x", "y", "z"], ...] = ()
    """Axes over whose mirror images the prediction is averaged."""


class MetricsConfig(Section):
    """Scoring."""

    tau_mm: Annotated[float, Field(gt=0)] = 2.0
    bootstrap: Annotated[int, Field(ge=100)] = 2000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class PromptsConfig(Section):
    """What promptable models are told; each protocol is a row of its own."""

    protocols: Annotated[tuple[PromptName, ...], Field(min_length=1)] = ("per_slice_box",)
    """Of `dgsweep.config.prompt_protocol`."""


SelectionRule = Literal["source_val", "inner_leave_one_domain_out", "last", "oracle_target"]


class SweepConfig(Section):
    """A whole sweep file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = "sweep"
    data: DataConfig
    protocol: ProtocolConfig = ProtocolConfig()
    methods: Annotated[tuple[MethodConfig, ...], Field(min_length=1)]
    networks: Annotated[tuple[NetworkConfig, ...], Field(min_length=1)] = (NetworkConfig(name="nnunet"),)
    search: SearchConfig = SearchConfig()
    selection: Annotated[tuple[SelectionRule, ...], Field(min_length=1)] = ("source_val",)
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    budget: BudgetConfig = BudgetConfig()
    resources: ResourcesConfig = ResourcesConfig()
    output: str = "runs/sweep"
    output_keep: Literal["all", "extremes", "none"] = "extremes"
    tracking: TrackingConfig = TrackingConfig()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()
    metrics: MetricsConfig = MetricsConfig()
    prompts: PromptsConfig = PromptsConfig()
    controls: ControlsConfig = ControlsConfig()

    @field_validator("methods", "networks", mode="before")
    @classmethod
    def _names_stand_for_objects(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [{"name": item} if isinstance(item, str) else item for item in value]
        return value

    @field_validator("seeds", "selection")
    @classmethod
    def _no_value_twice(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a value stands twice in the list")
        return value
