"""Run the services of compose.yaml as local processes: the very commands and variables, on ports of this machine.

What differs from containers, and nothing else: names of services become 127.0.0.1, ports become free ones, secrets lie
in a folder instead of /run/secrets, and what the official PostgreSQL image does before its command (initdb, a database)
is done here. The S3-compatible store is moto's server in place of the image that compose.yaml names.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import psutil
import psycopg2
from deployment_files import DOCKER, ROOT, compose

BIN = Path(sys.executable).parent
START_S = 180.0
SECRETS = "/run/secrets/"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Started(NamedTuple):
    process: subprocess.Popen[bytes]
    log: Path


def wait_for(what: str, ready: Callable[[], bool], started: Started) -> None:
    deadline_s = time.monotonic() + START_S
    while not ready():
        if time.monotonic() > deadline_s or started.process.poll() is not None:
            raise TimeoutError(f"{what} did not come up:\n{started.log.read_text()[-3000:]}")
        time.sleep(0.25)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


class Services:
    """Processes of this test run; leaving the block ends them, each with the session that it leads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database_folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # where the user postgres may go
        self.ray_folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # short: it holds sockets
        self.content = compose({"DGSWEEP_SCANS": "/scans", "DGSWEEP_SECRETS": str(folder / "secrets")})
        self.ports = {name: free_port() for name in ("database", "s3", "mlflow", "ray", "dashboard")}
        self._running: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
        subprocess.run(
            ["sh", str(DOCKER / "make-secrets.sh"), str(folder / "secrets")], check=True, stdout=subprocess.DEVNULL
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process, log in reversed(self._running):
            end_session(process)
            log.close()
        for folder in (self.database_folder, self.ray_folder):
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def mlflow_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['mlflow']}"

    @property
    def dashboard_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['dashboard']}"

    def secret(self, name: str) -> str:
        return Path(self.content["secrets"][name]["file"]).read_text()

    def environment(self, name: str) -> dict[str, str]:
        """Variables of a service, with a container's names and ports replaced, on top of this process's own."""
        own = {key: self._address(str(value)) for key, value in self._service(name).get("environment", {}).items()}
        path = os.pathsep.join([str(BIN), os.environ["PATH"]])
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "MLFLOW_", "AWS_"))}
        return {**clean, "PATH": path, **own}

    def command(self, name: str) -> list[str]:
        """Command of a service, as compose.yaml has it, with a container's names and ports replaced."""
        return [self._local(str(part)) for part in self._service(name)["command"]]

    def _service(self, name: str) -> dict[str, Any]:
        return dict(self.content["services"][name])

    def _local(self, text: str) -> str:
        ports = self.ports
        replaced = {
            "http://s3:8333": f"http://127.0.0.1:{ports['s3']}",
            "ray-head:6379": f"127.0.0.1:{ports['ray']}",
            "--port=6379": f"--port={ports['ray']}",
            "--dashboard-port=8265": f"--dashboard-port={ports['dashboard']}",
            "--dashboard-host=0.0.0.0": "--dashboard-host=127.0.0.1",
            "127.0.0.1:5000": f"127.0.0.1:{ports['mlflow']}",
            "/opt/dgsweep/": f"{DOCKER}/",
        }
        for theirs, ours in replaced.items():
            text = text.replace(theirs, ours)
        if text.startswith(SECRETS):
            return str(self.content["secrets"][text.removeprefix(SECRETS)]["file"])
        return text

    def _address(self, text: str) -> str:
        return {"postgres": "127.0.0.1", "5432": str(self.ports["database"])}.get(text) or self._local(text)

    def start(self, name: str, command: list[str], environment: Mapping[str, str], **options: Any) -> Started:
        """Start a process in a session of its own; its output goes to the file that is returned."""
        log = self.folder / f"{name}.log"
        stream = log.open("wb")
        process = subprocess.Popen(
            command, env=dict(environment), stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
            **{"cwd": self.folder, **options},
        )  # fmt: skip
        self._running.append((process, stream))
        return Started(process, log)

    def start_postgres(self) -> None:
        """The command of compose.yaml, after what the image's entry point does: initdb, and the database."""
        variables, owner = self.environment("postgres"), _database_user()
        password = self.database_folder / "password"
        password.write_text(Path(variables["POSTGRES_PASSWORD_FILE"]).read_text())
        data, user = self.database_folder / "data", variables["POSTGRES_USER"]
        for path in (self.database_folder, password):
            if owner:
                os.chown(path, owner.pw_uid, owner.pw_gid)
        identity = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
        initdb = ["initdb", "-D", str(data), "-U", user, f"--pwfile={password}", "--auth-local=scram-sha-256"]
        subprocess.run(
            [*initdb, variables["POSTGRES_INITDB_ARGS"]], check=True, capture_output=True, cwd="/", **identity
        )
        program, *options = self.command("postgres")
        place = ["-D", str(data), "-p", str(self.ports["database"]), "-k", str(self.database_folder), "-h", "127.0.0.1"]
        started = self.start("postgres", [program, *place, *options], {"PATH": os.environ["PATH"]}, cwd="/", **identity)
        where = {"host": "127.0.0.1", "port": self.ports["database"], "user": user, "password": password.read_text()}
        wait_for("PostgreSQL", lambda: _connects(where), started)
        connection = psycopg2.connect(dbname="postgres", **where)
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {variables['POSTGRES_DB']}")
        connection.close()

    def start_s3(self) -> None:
        """Start the S3-compatible store and run the service that makes the bucket."""
        server = [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(self.ports["s3"])]
        started = self.start("s3", server, os.environ)
        wait_for("the S3-compatible store", lambda: answers(f"http://127.0.0.1:{self.ports['s3']}/"), started)
        subprocess.run(self.command("bucket"), env=self.environment("bucket"), check=True)

    def start_mlflow(self) -> None:
        """Start the MLflow server by the script of its image."""
        own = {
            "MLFLOW_HOST": "127.0.0.1", "MLFLOW_PORT": str(self.ports["mlflow"]), "MLFLOW_WORKERS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }  # fmt: skip
        environment = {**self.environment("mlflow"), **own}
        started = self.start("mlflow", self.command("mlflow"), environment)
        healthy = str(DOCKER / "mlflow-healthy.sh")
        wait_for("MLflow", lambda: _succeeds([healthy], environment), started)

    def start_ray(self) -> None:
        """Start head and one worker; each is ready when the health check of its image says so."""
        path = {"PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT / "methods")]), "OMP_NUM_THREADS": "1"}
        healthy = str(DOCKER / "ray-healthy.sh")
        # A folder for each, as containers have: two nodes in one would remove each other's copies of a job's files.
        for name, more in (("ray-head", []), ("ray-worker", ["--num-cpus=2"])):
            environment = {**self.environment(name), **path, "RAY_PORT": str(self.ports["ray"])}
            own = [f"--temp-dir={self.ray_folder}/{name}", f"--dashboard-agent-listen-port={free_port()}"]
            started = self.start(name, [*self.command(name), *more, *own], environment)
            wait_for(name, lambda environment=environment: _succeeds([healthy], environment), started)
            wait_for("the dashboard", lambda: answers(f"{self.dashboard_url}/api/version"), started)


def _connects(where: Mapping[str, Any]) -> bool:
    try:
        psycopg2.connect(dbname="postgres", **where).close()
    except psycopg2.OperationalError:
        return False
    return True


def _succeeds(command: list[str], environment: Mapping[str, str]) -> bool:
    return subprocess.run(command, env=dict(environment), capture_output=True, check=False).returncode == 0


def _database_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: then Debian's user for it; otherwise this user."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and everything that still belongs to its session; nothing of it is kept."""
    process.kill()
    for other in psutil.process_iter():
        try:
            if os.getsid(other.pid) == process.pid:
                other.send_signal(signal.SIGKILL)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    process.wait()
