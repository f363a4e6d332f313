"""A Ray that lets strangers run code is refused; what an unauthenticated request gets decides, not what is claimed."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dgsweep.errors import InputError
from dgsweep.execution.open_cluster import require_closed, require_token_mode


class Dashboard(BaseHTTPRequestHandler):
    """Ray's job API as seen from outside: the status says whether a token is wanted."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/api/jobs/" else 500)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def dashboard() -> Iterator[HTTPServer]:
    server = HTTPServer(("0.0.0.0", 0), Dashboard)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


EVERYWHERE = "0.0.0.0:{}"
"""Not a loopback address, and yet it leads to this machine and no further."""


def test_a_dashboard_that_answers_strangers_is_refused_with_the_way_out(dashboard: HTTPServer) -> None:
    with pytest.raises(InputError, match=r"RAY_AUTH_MODE=token.*--allow-open-cluster"):
        require_closed(EVERYWHERE.format(dashboard.server_port))


@pytest.mark.parametrize("status", [401, 403])
def test_a_dashboard_that_wants_a_token_is_let_pass(
    dashboard: HTTPServer, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dashboard, "status", status)
    require_closed(EVERYWHERE.format(dashboard.server_port))


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "localhost:{}", "http://127.0.0.1:{}/"])
def test_a_dashboard_on_loopback_is_let_pass(dashboard: HTTPServer, form: str) -> None:
    require_closed(form.format(dashboard.server_port))


@pytest.mark.parametrize("address", ["", "0.0.0.0:1", "[::1]:8265"])
def test_without_a_dashboard_there_is_nothing_to_refuse(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgsweep.execution.open_cluster.PROBE_TIMEOUT_S", 0.2)
    require_closed(address)


def test_ray_is_not_started_here_without_authentication() -> None:
    with pytest.raises(InputError, match="unset RAY_AUTH_MODE"):
        require_token_mode({"RAY_AUTH_MODE": "disabled"})
    require_token_mode({})
    require_token_mode({"RAY_AUTH_MODE": "token"})


def test_the_refusal_comes_before_ray_is_started() -> None:
    code = "from dgsweep.execution.cluster import ray_session\nwith ray_session(None): print('started')"
    result = subprocess.run(
        [sys.executable, "-c", code], env={"RAY_AUTH_MODE": "disabled", "PYTHONPATH": ":".join(sys.path), "HOME": "/"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "Ray is not started without authentication" in result.stderr
    assert "started\n" not in result.stdout


OPEN_HEAD = """
import os, signal, subprocess, sys, time
from pathlib import Path
from dgsweep.errors import DgsweepError
os.environ["RAY_AUTH_MODE"] = "disabled"
folder, dashboard = sys.argv[1:]
ray = str(Path(sys.executable).with_name("ray"))
command = [ray, "start", "--head", "--block", "--num-cpus=1", "--port=6399", "--node-ip-address=10.77.0.1",
           f"--dashboard-host={dashboard}", "--dashboard-port=8299", "--disable-usage-stats", f"--temp-dir={folder}"]
head = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
from dgsweep.execution.cluster import ray_session
from dgsweep.execution.open_cluster import _answers_strangers
host = "127.0.0.1" if dashboard == "127.0.0.1" else "10.77.0.1"
deadline = time.monotonic() + 300
while not _answers_strangers(f"http://{host}:8299") and time.monotonic() < deadline:
    time.sleep(0.5)
for allowed in (False, True):
    try:
        with ray_session("10.77.0.1:6399", allow_open=allowed) as nodes:
            print("joined", allowed, len(nodes))
    except DgsweepError as refusal:
        print("refused", allowed, refusal.exit_code, refusal)
head.kill()
"""
NAMESPACE = """set -e
ip link set lo up
ip link add d0 type veth peer name d1
ip addr add 10.77.0.1/24 dev d0
ip link set d0 up
ip link set d1 up
exec "$@"
"""


@pytest.mark.slow
@pytest.mark.parametrize(("dashboard", "first"), [("0.0.0.0", "refused False 2"), ("127.0.0.1", "joined False 1")])
def test_a_real_head_that_is_open_is_refused_unless_it_is_said(dashboard: str, first: str) -> None:
    """In a network of its own, so that nobody else can reach the open head; its processes end with that."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "ip"))):
        pytest.skip("a network namespace needs root, unshare and ip")
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        inside = [sys.executable, "-c", OPEN_HEAD, folder, dashboard]
        command = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
        result = subprocess.run(
            [*command, "sh", "-c", NAMESPACE, "sh", *inside],
            capture_output=True, text=True, check=False, timeout=500,
        )  # fmt: skip
    assert first in result.stdout, result.stdout + result.stderr[-3000:]
    assert "joined True 1" in result.stdout
    assert ("--allow-open-cluster" in result.stdout) == (dashboard == "0.0.0.0")
