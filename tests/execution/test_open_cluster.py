"""A Ray that lets strangers run code is refused; what an unauthenticated request gets decides, not what is claimed."""

import socket
import subprocess
import sys
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


def own_address() -> str:
    """An address of this machine that is not loopback; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has loopback only")
        address = str(probe.getsockname()[0])
    if address.startswith("127."):
        pytest.skip("this machine has loopback only")
    return address


def test_a_dashboard_that_answers_strangers_is_refused_with_the_way_out(dashboard: HTTPServer) -> None:
    with pytest.raises(InputError, match=r"RAY_AUTH_MODE=token.*--allow-open-cluster"):
        require_closed(f"{own_address()}:{dashboard.server_port}")


@pytest.mark.parametrize("status", [401, 403])
def test_a_dashboard_that_wants_a_token_is_let_pass(
    dashboard: HTTPServer, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dashboard, "status", status)
    require_closed(f"{own_address()}:{dashboard.server_port}")


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "localhost:{}", "http://127.0.0.1:{}/"])
def test_a_dashboard_on_loopback_is_let_pass(dashboard: HTTPServer, form: str) -> None:
    require_closed(form.format(dashboard.server_port))


@pytest.mark.parametrize("address", ["", "192.0.2.1:1", "[::1]:8265"])
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
