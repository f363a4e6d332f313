"""ERM with a diary: one appended line a step, which no kill can take back."""

import json
import os
import time
from dataclasses import dataclass
from typing import final

from dgsweep.method.base import Method
from dgsweep.method.context import Context

FILE, PAUSE = "STEP_LOG_FILE", "STEP_LOG_PAUSE_S"


@final
@dataclass(kw_only=True)
class StepLog(Method):
    """Trains as ERM does; the pause makes a training last long enough to be killed without using a processor."""

    def after_step(self, ctx: Context) -> None:
        """Append seed, step and process to the file that the environment names."""
        time.sleep(float(os.environ.get(PAUSE, "0")))
        if path := os.environ.get(FILE):
            line = json.dumps({"seed": ctx.recipe.seed, "step": ctx.step, "pid": os.getpid(), "time": time.time()})
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, f"{line}\n".encode())
            finally:
                os.close(descriptor)
