"""Refuse a Ray that lets everybody in the network run code: its job API without a token is a remote shell."""

import ipaddress
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from dgsweep.errors import InputError, Problem

AUTH_VARIABLE = "RAY_AUTH_MODE"
TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
OVERRIDE = "--allow-open-cluster"
PROBE_TIMEOUT_S = 10.0
_NOT_LET_IN = {401, 403, 404}


def use_token_if_there_is_one() -> None:
    """Offer the token where one exists: `ray start` demands it, and clients do not offer it by default.

    Ray's job client reads the mode when `ray` is imported (seen on 2.60), so call this before.
    """
    if AUTH_VARIABLE in os.environ:
        return
    if any(name in os.environ for name in TOKEN_VARIABLES) or (Path.home() / ".ray" / "auth_token").exists():
        os.environ[AUTH_VARIABLE] = "token"


def require_token_mode(environ: Mapping[str, str]) -> None:
    """Raise InputError where Ray would be started without a token.

    The dashboard listens on loopback then, but Ray's control store and workers listen on every address (measured).
    """
    if environ.get(AUTH_VARIABLE, "token").lower() == "disabled":
        problem = Problem(
            where=f"{AUTH_VARIABLE}=disabled",
            found="Ray on this machine would take tasks from everybody in the network",
            fix=f"unset {AUTH_VARIABLE} (Ray then makes itself a token), or say {OVERRIDE}",
        )
        raise InputError("Ray is not started without authentication:", [problem])


def require_closed(dashboard: str) -> None:
    """Raise InputError when a dashboard that others in the network can reach answers without a token.

    Args:
        dashboard: Its address, `host:port` or an http(s) URL; '' when there is none.
    """
    url = dashboard if "://" in dashboard else f"http://{dashboard}"
    if not dashboard or _is_loopback(url) or not _answers_strangers(url):
        return
    problem = Problem(
        where=f"dashboard {url}",
        found="it answers without a token, so everybody in its network can run code as you on every node",
        fix=f"start every node with {AUTH_VARIABLE}=token (`ray get-auth-token --generate` makes the token), or the "
        f"head with --dashboard-host 127.0.0.1 behind an SSH tunnel; {OVERRIDE} if its network is yours alone",
    )
    raise InputError("the Ray cluster is open:", [problem])


def _is_loopback(url: str) -> bool:
    host = urllib.request.Request(url).host.rpartition("@")[2]  # noqa: S310 - parsed, not opened
    name = host.rpartition(":")[0] if not host.endswith("]") else host
    name = (name or host).strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _answers_strangers(url: str) -> bool:
    """Ask for the list of jobs as somebody who has no token. Where nobody answers, nobody is let in."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url.rstrip('/')}/api/jobs/", timeout=PROBE_TIMEOUT_S) as answer:
            return int(answer.status) < 400
    except urllib.error.HTTPError as refusal:
        return refusal.code not in _NOT_LET_IN
    except (OSError, ValueError):
        return False
