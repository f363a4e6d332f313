"""Send a sweep to a remote Ray head: what it needs travels as a runtime environment, no image is built.

The submission id is made of the plan, so that sending the same sweep again finds the job that runs already.
"""

import os
import re
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgsweep.config.anchor import HOME_VARIABLE
from dgsweep.config.load import load_sweep
from dgsweep.config.secrets import holds_password
from dgsweep.config.umask import UMASK_VARIABLE
from dgsweep.errors import ConfigError, InputError, Problem, Problems, ResourceError
from dgsweep.execution.follow import SUCCEEDED
from dgsweep.execution.open_cluster import require_closed, use_token_if_there_is_one
from dgsweep.execution.prepare import prepare
from dgsweep.execution.wheel import put_wheel
from dgsweep.plan.trial import content_id

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient  # imported when the token is chosen: it is read then

SWEEP_FILE = "sweep.yaml"
PENDING = "PENDING"
GOING_ON = (PENDING, "RUNNING")
_SECRET_NAME = re.compile(r"(?i)(password|passwd|token|secret|credential|api_?key|access_?key)")
_FILES = ("_FILE", "_PATH")


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a person asks for."""

    sweep: Path
    overrides: tuple[str, ...] = ()
    address: str
    """Of the dashboard: http://head:8265."""
    wheel: str = "none"
    """none: nodes have dgsweep. auto: this dgsweep travels along. Or the path of a wheel."""
    home: str | None = None
    """Folder on the cluster at which relative paths of the sweep file start."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables of the job; no secrets, since Ray's dashboard shows them."""
    again: bool = False
    """Submit even though an equal job has succeeded."""
    allow_open: bool = False


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The job that now runs, or ran, for a submission."""

    submission_id: str
    submitted: bool
    """False when it was there already."""
    status: str
    notes: tuple[str, ...] = field(default=())


def submit(wanted: Submission, folder: Path) -> tuple["JobSubmissionClient", Sent]:
    """Submit a sweep, unless the same one waits, runs or has succeeded.

    Args:
        wanted: What to submit, and where.
        folder: Empty folder of this machine; what travels along is put into it.

    Raises:
        InputError: The sweep file, an option or the wheel is wrong, or the cluster is open or cannot be reached.
    """
    _require_no_secrets(wanted)
    base, notes = _base_id(wanted)
    if not wanted.allow_open:
        require_closed(wanted.address)
    client = _client(wanted.address)
    newest, status = _newest(client, base)
    if status in GOING_ON or (status == SUCCEEDED and not wanted.again):
        done = () if status in GOING_ON else ("nothing is left of it to run; --again submits it all the same",)
        return client, Sent(submission_id=newest, submitted=False, status=status, notes=(*notes, *done))
    new = _next_id(newest, base) if status else base
    environment = _runtime_environment(wanted, folder)
    accepted = _accepted(client, new, _entry(wanted), environment)
    return client, Sent(submission_id=new, submitted=accepted, status=PENDING, notes=notes)


def _entry(wanted: Submission) -> str:
    """Command of the job."""
    command = ["python", "-m", "dgsweep.cli", "run", SWEEP_FILE]
    command += [part for override in wanted.overrides for part in ("--set", override)]
    return shlex.join(command + ["--allow-open-cluster"] * wanted.allow_open)


def _client(address: str) -> "JobSubmissionClient":
    use_token_if_there_is_one()
    from ray.exceptions import RayError
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except (RuntimeError, OSError, RayError) as failure:
        lines = str(failure).strip().splitlines() or [type(failure).__name__]
        problem = Problem(
            where=f"address {address}", found=lines[0],
            fix="give the dashboard's address (http://head:8265), through a tunnel if it listens on loopback, and the "
            "token of its nodes: RAY_AUTH_MODE=token and the same ~/.ray/auth_token",
        )  # fmt: skip
        raise ResourceError("the Ray cluster takes no job:", [problem]) from failure


def _base_id(wanted: Submission) -> tuple[str, tuple[str, ...]]:
    """Submission id of the plan; where scans are on the cluster alone, of the sweep file with its overrides."""
    config = load_sweep(wanted.sweep, list(wanted.overrides))
    notes: tuple[str, ...] = ()
    name = re.sub(r"[^A-Za-z0-9-]+", "-", config.name).strip("-").lower()[:40]
    try:
        plan_id = prepare(wanted.sweep, list(wanted.overrides)).plan.plan_id
    except ConfigError as error:
        if not any(problem.where == "data.manifest" for problem in error.problems):
            raise
        plan_id = content_id([config.model_dump(mode="json")])
        notes = ("the scans are not on this machine: the job is told from others by its sweep file, and checked there",)
    where = content_id([plan_id, config.output, wanted.home or ""])
    return f"dgsweep-{name}-{where[:12]}", notes


def _newest(client: "JobSubmissionClient", base: str) -> tuple[str, str]:
    """Newest submission of a sweep and its status; the base id and '' when there is none."""
    pattern = re.compile(rf"{re.escape(base)}(?:-(\d+))?")
    found: dict[int, tuple[str, str]] = {}
    for job in client.list_jobs():
        match = pattern.fullmatch(job.submission_id or "")
        if match:
            found[int(match.group(1) or 1)] = (str(job.submission_id), str(job.status.value))
    return found[max(found)] if found else (base, "")


def _next_id(submission_id: str, base: str) -> str:
    """Id of the next attempt, since Ray never takes one twice."""
    last = submission_id.removeprefix(base).lstrip("-")
    return f"{base}-{int(last or 1) + 1}"


def _accepted(client: "JobSubmissionClient", submission_id: str, entry: str, environment: dict[str, Any]) -> bool:
    """Submit; False when somebody else took the id in the meantime."""
    try:
        client.submit_job(entrypoint=entry, submission_id=submission_id, runtime_env=environment)
    except RuntimeError as failure:
        if "already exists" in str(failure):
            return False
        line = next((line for line in reversed(str(failure).splitlines()) if line.strip()), "")
        raise ResourceError(f"Ray refuses the job: {line.strip()}") from failure
    return True


def _runtime_environment(wanted: Submission, folder: Path) -> dict[str, Any]:
    """Put the sweep file, search spaces of its own and the wheel into the folder; nothing else leaves this machine."""
    put_wheel(wanted.wheel, folder)
    shutil.copyfile(wanted.sweep, folder / SWEEP_FILE)
    _copy_spaces(wanted, folder)
    variables = dict(wanted.environment)
    if wanted.home:
        variables[HOME_VARIABLE] = wanted.home
    if UMASK_VARIABLE in os.environ:
        variables.setdefault(UMASK_VARIABLE, os.environ[UMASK_VARIABLE])
    return {"working_dir": str(folder), "env_vars": variables}


def _copy_spaces(wanted: Submission, folder: Path) -> None:
    """Search spaces beside the sweep file travel with it; an absolute folder is the cluster's own."""
    spaces = load_sweep(wanted.sweep, list(wanted.overrides)).search.spaces
    if not spaces or Path(spaces).is_absolute():
        return
    source = wanted.sweep.absolute().parent / spaces
    if ".." in Path(spaces).parts or not source.is_dir():
        problem = Problem(where="search.spaces", found=spaces, fix="name a folder beside or below the sweep file")
        raise InputError("the search spaces cannot be sent along:", [problem])
    shutil.copytree(source, folder / spaces, dirs_exist_ok=True)


def _require_no_secrets(wanted: Submission) -> None:
    """Raise InputError for a secret in the command or environment of the job: Ray stores and shows both."""
    problems = Problems()
    fix = "give the cluster's nodes a file (MLFLOW_TRACKING_PASSWORD_FILE), or the variable when they are started"
    for name, value in wanted.environment:
        if (_SECRET_NAME.search(name) and not name.endswith(_FILES)) or holds_password(value):
            problems.add(f"--env {name}", "a secret, which Ray's dashboard would show", fix)
    for override in wanted.overrides:
        if holds_password(override):
            problems.add(f"--set {override.split('=', 1)[0]}", "a password, which Ray's dashboard would show", fix)
    if wanted.sweep.is_file() and holds_password(wanted.sweep.read_text(encoding="utf-8", errors="replace")):
        problems.add(str(wanted.sweep), "a password in an address; the file is copied to every node", fix)
    problems.raise_if_any(InputError, "the job would carry secrets:")
