"""MLflow's settings for a driver that must not wait or talk: read by MLflow when it is imported and when it asks.

Import this module before `mlflow`. Anything that is set in the environment already stays as it is.
"""

import os

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Short timeouts, because the driver waits meanwhile: what is lost in an outage comes from the ledger later."""

for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
