"""The tracking server's password: from the environment, or from the file that the environment names."""

import os
from pathlib import Path

from dgsweep.errors import InputError, Problem

PASSWORD_VARIABLE = "MLFLOW_TRACKING_PASSWORD"  # noqa: S105 - a name, not a password
FILE_VARIABLE = "MLFLOW_TRACKING_PASSWORD_FILE"


def use_password_file() -> None:
    """Let MLflow's client find the password that MLFLOW_TRACKING_PASSWORD_FILE names, as containers mount secrets.

    A job's environment is shown on Ray's dashboard, so a password belongs into a file, not there.

    Raises:
        InputError: The file cannot be read or is empty.
    """
    name = os.environ.get(FILE_VARIABLE)
    if not name or os.environ.get(PASSWORD_VARIABLE):
        return
    try:
        password = Path(name).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise _unusable(name, str(error.strerror)) from None
    if not password:
        raise _unusable(name, "it is empty")
    os.environ[PASSWORD_VARIABLE] = password


def _unusable(name: str, found: str) -> InputError:
    problem = Problem(where=f"{FILE_VARIABLE}={name}", found=found, fix="name a readable file that holds the password")
    return InputError("the password of the tracking server cannot be read", [problem])
