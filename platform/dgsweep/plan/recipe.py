"""The training recipe with every value that the sweep file leaves open."""

from typing import Any

from dgsweep.config.schema import SweepConfig, TrainingConfig

_LEARNING_RATES = {"sgd": 1e-2, "adamw": 1e-3}


def resolved_training(training: TrainingConfig, steps: int) -> dict[str, Any]:
    """The training section in plain JSON types with every missing value filled."""
    tenth = max(1, steps // 10)
    rate = training.learning_rate
    return {
        **training.model_dump(mode="json"),
        "learning_rate": _LEARNING_RATES[training.optimizer] if rate is None else rate,
        "unlabelled_batch": training.unlabelled_batch or training.batch,
        "eval_every": training.eval_every or tenth,
        "checkpoint_every": training.checkpoint_every or min(tenth, 1000),
    }


def scoring_sections(config: SweepConfig) -> dict[str, dict[str, Any]]:
    """How cases are predicted and scored, in plain JSON types: the fields `inference` and `metrics` of a trial."""
    return {"inference": config.inference.model_dump(mode="json"), "metrics": config.metrics.model_dump(mode="json")}
