"""Kubernetes manifests: valid for the API server, KubeRay and Kueue, and closed to whoever has no business there."""

import copy
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import yaml
from deployment_files import DOCKER, documents
from jsonschema import Draft202012Validator
from ray_io_schema import SCHEMAS

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="it comes with the test extra")

KUBERNETES = "1.33"
MANIFESTS = sorted(
    path for folder in ("kuberay", "kueue") for path in (DOCKER / folder).glob("*.yaml") if "kustom" not in path.name
)
OBJECTS = [
    pytest.param(one, id=f"{path.name}-{one['metadata']['name']}") for path in MANIFESTS for one in documents(path)
]


def pod_templates(value: Any) -> Iterator[dict[str, Any]]:
    """Every pod template inside an object, wherever it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in {"template", "submitterPodTemplate"} and isinstance(inner, dict) and "spec" in inner:
                yield inner
            yield from pod_templates(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pod_templates(inner)


def problems(manifest: dict[str, Any]) -> list[str]:
    """What the API server would say, in strict validation."""
    schema = SCHEMAS.get((manifest["apiVersion"], manifest["kind"]))
    found = [error.message for error in Draft202012Validator(schema).iter_errors(manifest)] if schema else []
    plain = [] if schema else [manifest]
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", **template.get("metadata", {})},
         "spec": template["spec"]}
        for template in pod_templates(manifest)
    ]  # fmt: skip
    for one in [*plain, *pods]:
        try:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(error.message)
    return found


@pytest.mark.parametrize("manifest", OBJECTS)
def test_a_manifest_is_valid(manifest: dict[str, Any]) -> None:
    assert problems(manifest) == []


def test_a_wrong_field_is_found_at_every_depth() -> None:
    (job,) = documents(DOCKER / "kuberay" / "rayjob.yaml")
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]
    for place, key in ((job["spec"], "ttl"), (head, "replica"), (head["template"]["spec"]["containers"][0], "volumes")):
        place[key] = 1
        assert len(problems(job)) == 1, key
        del place[key]
    (policy, *_) = documents(DOCKER / "kuberay" / "network-policy.yaml")
    assert problems({**policy, "spec": {**policy["spec"], "ingres": []}})


def test_each_deletion_rule_has_one_condition() -> None:
    (job,) = documents(DOCKER / "kuberay" / "rayjob.yaml")
    rules = job["spec"]["deletionStrategy"]["deletionRules"]
    assert {"SUCCEEDED", "FAILED"} <= {rule["condition"].get("jobStatus") for rule in rules}
    rules[0]["condition"]["jobDeploymentStatus"] = "Failed"
    assert problems(job)


@pytest.mark.parametrize("name", ["raycluster", "rayjob"])
def test_ray_wants_a_token_and_runs_no_trial_on_the_head(name: str) -> None:
    (manifest,) = documents(DOCKER / "kuberay" / f"{name}.yaml")
    spec = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["rayVersion"] == version("ray")


@pytest.mark.parametrize("manifest", OBJECTS)
def test_no_pod_runs_as_root_or_may_become_it(manifest: dict[str, Any]) -> None:
    for template in pod_templates(manifest):
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        assert template["spec"]["automountServiceAccountToken"] is False
        for container in template["spec"]["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("manifest", OBJECTS)
def test_no_manifest_holds_a_secret(manifest: dict[str, Any]) -> None:
    assert manifest["kind"] != "Secret"
    for template in pod_templates(manifest):
        for container in template["spec"]["containers"]:
            for variable in container.get("env", []):
                secret = any(part in variable["name"] for part in ("PASSWORD", "TOKEN", "SECRET", "KEY"))
                assert not secret or variable["name"].endswith("_FILE") or "valueFrom" in variable


def selected(policy: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = policy["spec"]["podSelector"].get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items())


def test_the_network_is_closed_but_for_what_ray_needs() -> None:
    policies = documents(DOCKER / "kuberay" / "network-policy.yaml")
    closed = next(one for one in policies if one["metadata"]["name"] == "deny-all")
    assert closed["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    head = {"ray.io/is-ray-node": "yes", "ray.io/node-type": "head"}
    doors = [rule for one in policies if selected(one, head) for rule in one["spec"].get("ingress", [])]
    assert all(rule.get("from") for rule in doors)  # a rule without `from` is open to everybody
    assert {port["port"] for rule in doors for port in rule.get("ports", [])} == {8265}
    ways = [rule for one in policies for rule in one["spec"].get("egress", [])]
    assert all(rule.get("to") for rule in ways)


def test_what_a_retry_goes_on_from_outlives_the_cluster() -> None:
    (job,) = documents(DOCKER / "kuberay" / "rayjob.yaml")
    claims = {one["metadata"]["name"] for one in documents(DOCKER / "kuberay" / "storage.yaml")}
    for template in pod_templates(job["spec"]["rayClusterSpec"]):
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        (container,) = template["spec"]["containers"]
        home = next(variable["value"] for variable in container["env"] if variable["name"] == "DGSWEEP_HOME")
        mounted = next(mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == home)
        assert volumes[mounted]["persistentVolumeClaim"]["claimName"] in claims


def test_kueue_gets_the_same_job_suspended_in_a_queue_that_exists() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed; it builds the overlay")
    built = subprocess.run([kubectl, "kustomize", str(DOCKER / "kueue")], capture_output=True, text=True, check=True)
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for one in yaml.safe_load_all(built.stdout):
        assert problems(one) == []
        by_kind.setdefault(one["kind"], []).append(one)
    (job,), (queue,) = by_kind["RayJob"], by_kind["LocalQueue"]
    assert job["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": queue["metadata"]["name"]}
    assert job["spec"]["suspend"] is True
    assert "deletionStrategy" not in job["spec"]  # KubeRay refuses it beside shutdownAfterJobFinishes
    (plain,) = documents(DOCKER / "kuberay" / "rayjob.yaml")
    assert job["spec"]["rayClusterSpec"] == plain["spec"]["rayClusterSpec"]
    changed = copy.deepcopy(plain["spec"]["rayClusterSpec"])
    changed["rayVersion"] = "0"
    assert job["spec"]["rayClusterSpec"] != changed
