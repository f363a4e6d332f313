"""Follow a submitted job to its end, over a connection that may break: laptops sleep, tunnels drop."""

import asyncio
import time
from typing import TYPE_CHECKING, TextIO

import aiohttp

from dgsweep.errors import DgsweepError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

SUCCEEDED = "SUCCEEDED"
POLL_S = 2.0
PATIENCE_S = 600.0
"""How long a head that does not answer is asked again; the job goes on meanwhile."""


def follow(client: "JobSubmissionClient", submission_id: str, stream: TextIO) -> tuple[str, int]:
    """Write a job's output to a stream until it ends; give its status and the exit code of `dgsweep run`.

    Raises:
        DgsweepError: The head did not answer for ten minutes.
    """
    log, answered_s = _Log(stream), time.monotonic()
    while True:
        try:
            asyncio.run(log.tail(client, submission_id))
            job = client.get_job_info(submission_id)
        except (RuntimeError, OSError, aiohttp.ClientError) as failure:  # requests' errors are OSErrors
            if time.monotonic() - answered_s > PATIENCE_S:
                raise DgsweepError(
                    f"the Ray head does not answer ({failure}); {submission_id} may go on, and the same "
                    "`dgsweep submit` follows it again"
                ) from failure
        else:
            if job.status.is_terminal():
                return str(job.status.value), _exit_code(job)
            answered_s = time.monotonic()
        time.sleep(POLL_S)


class _Log:
    """What was written of a job's output; after a break Ray sends it from its beginning."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._written = 0

    async def tail(self, client: "JobSubmissionClient", submission_id: str) -> None:
        """Write what comes beyond what was written, until the job ends or the connection breaks."""
        received = 0
        async for text in client.tail_job_logs(submission_id):
            new = text[max(0, self._written - received) :]
            received += len(text)
            self._stream.write(new)
            self._stream.flush()
            self._written += len(new)


def _exit_code(job: "JobDetails") -> int:
    if job.status.value == SUCCEEDED:
        return 0
    return int(job.driver_exit_code) if job.driver_exit_code in {1, 2} else 1
