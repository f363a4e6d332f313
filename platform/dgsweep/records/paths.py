"""Every file name of the ledger, in one place."""

import re
from dataclasses import dataclass

from dgsweep.records.atomic import RecordError
from dgsweep.storage.files import names
from dgsweep.storage.place import AnyPath

_TRIAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_UNSAFE = re.compile(r"[/\\%:\x00-\x1f]|^\.")


@dataclass(frozen=True)
class SweepPaths:
    """Files of one output folder."""

    output: AnyPath

    @property
    def plan(self) -> AnyPath:
        """The plan that was run last."""
        return self.output / "plan.json"

    @property
    def sweep_id(self) -> AnyPath:
        """Random name of this output folder, made once; MLflow runs carry it."""
        return self.output / "sweep_id"

    @property
    def lock(self) -> AnyPath:
        """Held by the one driver that may write here."""
        return self.output / "driver.lock"

    @property
    def driver(self) -> AnyPath:
        """Who holds the lock, for the message to a second driver."""
        return self.output / "driver.json"

    @property
    def lease(self) -> AnyPath:
        """Folder of the lease, by which drivers of several machines are kept apart."""
        return self.output / "driver.lease"

    @property
    def stop(self) -> AnyPath:
        """A request that the running sweep stops, written by anyone who sees this folder."""
        return self.output / "stop.json"

    @property
    def driver_state(self) -> AnyPath:
        """What the driver says of itself every few seconds."""
        return self.output / "driver_state.json"

    @property
    def network_times(self) -> AnyPath:
        """Inference times of its backbones, where somebody measured them."""
        return self.output / "networks.json"

    @property
    def mlflow(self) -> AnyPath:
        """MLflow run ids of the parent, the trials and the summaries."""
        return self.output / "mlflow.json"

    @property
    def trials(self) -> AnyPath:
        """Folder of all trials."""
        return self.output / "trials"

    def trial(self, trial_id: str) -> "TrialPaths":
        """Files of one trial.

        Raises:
            RecordError: `trial_id` could leave the folder of trials.
        """
        if not _TRIAL_ID.fullmatch(trial_id):
            raise RecordError(f"trial id {trial_id!r}: expected letters, digits, `_` and `-` only")
        return TrialPaths(self.trials / trial_id)


@dataclass(frozen=True)
class TrialPaths:
    """Files of one trial."""

    root: AnyPath

    @property
    def spec(self) -> AnyPath:
        """What was trained and scored."""
        return self.root / "spec.json"

    @property
    def curves(self) -> AnyPath:
        """Values over training steps."""
        return self.root / "curves.parquet"

    @property
    def cases(self) -> AnyPath:
        """One row per scored case and structure."""
        return self.root / "cases.parquet"

    @property
    def provenance(self) -> AnyPath:
        """Versions, hardware, times."""
        return self.root / "provenance.json"

    @property
    def checkpoint(self) -> AnyPath:
        """Folder of the checkpoint."""
        return self.root / "checkpoint"

    @property
    def final_weights(self) -> AnyPath:
        """Weights of the finished training."""
        return self.checkpoint / "final.pt"

    @property
    def predictions(self) -> AnyPath:
        """Folder of the kept masks."""
        return self.root / "predictions"

    @property
    def done(self) -> AnyPath:
        """Written last: the trial is finished and these are the checksums of its files."""
        return self.root / "DONE"

    @property
    def heartbeat(self) -> AnyPath:
        """Sign of life of the process that runs the trial."""
        return self.root / "heartbeat.json"

    @property
    def cost(self) -> AnyPath:
        """What the trial cost so far, over all its starts."""
        return self.root / "cost.json"

    @property
    def micro_batches(self) -> AnyPath:
        """Into how many parts each batch is cut since the device's memory did not hold a whole one."""
        return self.root / "micro_batches.json"

    @property
    def hangs(self) -> AnyPath:
        """Where each start that was ended for hanging stood."""
        return self.root / "hangs"

    @property
    def failed(self) -> AnyPath:
        """Why the trial failed."""
        return self.root / "failed.json"

    def prediction(self, case_id: str) -> AnyPath:
        """Mask of one case; characters of the case id that could leave the folder are written as %XX."""
        return self.predictions / f"{_UNSAFE.sub(lambda match: f'%{ord(match[0]):02X}', case_id)}.nii.gz"

    def has_checkpoint(self) -> bool:
        """Whether anything was kept from which the trial can go on."""
        return bool(names(self.checkpoint))
