"""Says what to do when the head of the Ray cluster is gone: Ray ends this process a minute later, and says less.

Seen on Ray 2.60: 60 s after the last answer (RAY_gcs_rpc_server_reconnect_timeout_s) the process of the driver is ended
with exit code 1; no exception reaches Python. A head that comes back in time, as one with a database behind it can, is
joined again.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray

LOOK_EVERY_S = 2.0
MISSED_LOOKS = 3
"""A head that does not answer so often in a row is told of."""
GIVES_UP_AFTER = "RAY_gcs_rpc_server_reconnect_timeout_s"
_LOG = logging.getLogger(__name__)


@contextmanager
def head_watched(resume_command: str) -> Iterator[None]:
    """Look every few seconds whether the head of the connected cluster answers, until the block ends."""
    over = threading.Event()
    address = str(ray.get_runtime_context().gcs_address)
    thread = threading.Thread(target=_watch, args=(address, resume_command, over), name="head-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(address: str, resume_command: str, over: threading.Event) -> None:
    missed = 0
    while not over.wait(LOOK_EVERY_S):
        answered = _answers(address)
        if answered and missed >= MISSED_LOOKS:
            _LOG.warning("the head of the Ray cluster at %s answers again; the sweep goes on", address)
        missed = 0 if answered else missed + 1
        if missed == MISSED_LOOKS:
            _LOG.warning(
                "the head of the Ray cluster at %s does not answer. Unless it comes back within %s s, this command "
                "ends; every finished trial is kept, and the others go on from their last checkpoints. "
                "Start the cluster again. To go on: %s",
                *(address, os.environ.get(GIVES_UP_AFTER, "60"), resume_command),
            )


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_EVERY_S).close()
    except OSError:
        return False
    return True
