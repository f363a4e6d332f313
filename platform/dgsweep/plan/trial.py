"""Cells, trials and their identities: a trial id is a hash of what training depends on, and of nothing else."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dgsweep.plan.search import CellSearch

BASELINE = "erm"
"""The method that every other is compared with."""
Panel = Literal["main", "transductive", "oracle", "control", "inner"]
SIDE_PANELS = frozenset({"control", "inner"})
"""Cells of these panels stand in no table of methods, and no selection rule chooses among them."""
INNER_RULE = "inner_leave_one_domain_out"
"""The rule that needs cells of the panel `inner`: a source domain left out of training each."""
CEILING, SHUFFLED = "ceiling", "shuffled_labels"
"""Variants of the baseline in the panel `control`."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal content gives equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_id(value: Any, *, length: int = 16) -> str:
    """First `length` hexadecimal digits of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Case ids by role. `test` are the in-domain test cases of the sources, `target` those of the targets."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    target: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()
    """Scans that train without their labels."""

    def to_json(self) -> dict[str, list[str]]:
        """Role -> case ids; `unlabelled` only where there are any."""
        plain = {role: list(ids) for role, ids in vars(self).items()}
        return plain if self.unlabelled else {role: ids for role, ids in plain.items() if role != "unlabelled"}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What else distinguishes rows of a table."""

    variant: str | None = None
    label_ratio: float = 1.0
    unlabelled: str = "none"
    init_from: str | None = None
    prompt: str | None = None

    def label(self) -> str:
        """Short text for tables; '' for the plain setting."""
        plain = vars(Setting())
        return ", ".join(f"{key}={value}" for key, value in vars(self).items() if value != plain[key])


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a scan becomes the network's input; fitted on source training cases only."""

    spacing_mm: tuple[float, float, float]
    patch: tuple[int, int, int]
    labels: Mapping[str, int]
    """Structures to segment: name -> value in the label file. Class k of the network is the k-th name (from 1)."""
    normalisation: str = "zscore"
    version: int = 1


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """Everything that a worker needs to know to run one trial. Written as spec.json."""

    trial_id: str
    cell_id: str
    sweep: str
    method: str
    recipe_version: int
    setting: Setting
    hp: Mapping[str, Any]
    network: str
    network_recipe: int
    network_options: Mapping[str, Any]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    sources_label: str
    """Short name of the source set for tables, e.g. `T1W` for every center's T1W."""
    fold: int
    seed: int
    trial: int
    budget_steps: int
    preprocessing: Preprocessing
    training: Mapping[str, Any]
    inference: Mapping[str, Any]
    metrics: Mapping[str, Any]
    output_keep: str
    split: Split
    domains: Mapping[str, str]
    """case id -> domain name, for every case of the split."""
    score_shas: Mapping[str, str]
    """case id -> fingerprint of what its score depends on beside the model (image, label, inference, metrics)."""
    train_sha: str
    """Fingerprint of the content of the train and val cases."""
    panel: Panel = "main"
    phase: Literal["train", "pretrain", "zero_shot"] = "train"
    """A pretraining learns from `split.unlabelled` alone and is not scored; zero-shot is scored and learns nothing."""
    depends_on: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    """Weights of a trial that ran before: `checkpoint`, `sha256`, `head`; empty where it does not start from any."""
    labels_from: Mapping[str, str] = field(default_factory=dict)
    """Training case -> the case whose label it trains with instead of its own: a negative control."""

    @property
    def name(self) -> str:
        """Readable name: `method | sources | fold seed trial`."""
        if self.phase == "pretrain":
            return f"{self.method} | pretraining on {self.sources_label} | fold {self.fold} seed {self.seed} trial 0"
        setting = f" ({self.setting.label()})" if self.setting.label() else ""
        return f"{self.method}{setting} | {self.sources_label} | fold {self.fold} seed {self.seed} trial {self.trial}"

    @property
    def full_name(self) -> str:
        """Its name and its network, which sweeps of several networks need."""
        return f"{self.name} | {self.network}"

    @property
    def is_plain_baseline(self) -> bool:
        """Whether it is trial 0 of the baseline without any setting, among the methods."""
        return self.panel == "main" and self.method == BASELINE and not self.setting.label() and self.trial == 0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; `TrialSpec.from_json` reads them back."""
        # `vars`, not `asdict`, which copies all it finds, one by one: a sweep has thousands of these
        plain: dict[str, Any] = json.loads(json.dumps({**vars(self), "split": self.split.to_json()}, default=vars))
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "TrialSpec":
        """Inverse of `to_json`."""
        fields = dict(plain)
        fields["setting"] = Setting(**fields["setting"])
        fields["split"] = Split(**{role: tuple(ids) for role, ids in fields["split"].items()})
        grid = fields["preprocessing"]
        fields["preprocessing"] = Preprocessing(
            **{**grid, "spacing_mm": tuple(grid["spacing_mm"]), "patch": tuple(grid["patch"])}
        )
        for name in ("sources", "targets", "depends_on"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A cell that the planner refused before anything was scheduled, with the reason."""

    method: str
    network: str
    sources: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A reviewable, diffable list of trials. Written as plan.json."""

    sweep: str
    config: Mapping[str, Any]
    """The sweep file with every value resolved."""
    trials: tuple[TrialSpec, ...]
    pretraining: tuple[TrialSpec, ...] = ()
    """Trials that others start from; they come first and are scored by nobody."""
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    version: str = ""
    splits: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """fold -> patient id -> role: the one division of the whole data set."""
    searches: tuple[CellSearch, ...] = ()
    """Cells that get further trials while the sweep runs; what was proposed so far stands in `trials`."""

    @property
    def all_trials(self) -> tuple[TrialSpec, ...]:
        """Pretraining first, then what starts from it."""
        return (*self.pretraining, *self.trials)

    @property
    def compared(self) -> tuple[TrialSpec, ...]:
        """Trials of the methods that the sweep compares, without those of SIDE_PANELS."""
        return tuple(trial for trial in self.trials if trial.panel not in SIDE_PANELS)

    @property
    def to_propose(self) -> dict[str, int]:
        """Searched cell -> trials that it is still to get."""
        have: dict[str, int] = {}
        for trial in self.trials:
            have[trial.cell_id] = have.get(trial.cell_id, 0) + 1
        return {search.cell_id: max(0, search.trials - have.get(search.cell_id, 0)) for search in self.searches}

    def weights(self) -> dict[str, int]:
        """Trial id -> trials that it stands for in a forecast: itself, and what its cell is still to get for trial 0.

        Trials of one cell cost alike, so that sums over the plan count trials that nobody has proposed yet.
        """
        left = self.to_propose
        return {trial.trial_id: 1 + (left.get(trial.cell_id, 0) if trial.trial == 0 else 0) for trial in self.trials}

    @property
    def plan_id(self) -> str:
        """Hash of the trial ids, of what is scored and of what is searched: equal plans have equal ids.

        Trials that were proposed meanwhile do not enter.
        """
        searched = {search.cell_id for search in self.searches}
        asked = [trial for trial in self.trials if trial.cell_id not in searched or trial.trial == 0]
        content = [[trial.trial_id, dict(trial.score_shas)] for trial in (*asked, *self.pretraining)]
        return content_id([*content, *([search.cell_id, search.trials, search.space] for search in self.searches)])
