"""Fields of KubeRay's and Kueue's objects, as JSON Schema: what their custom resource definitions would refuse.

Written for these tests from the published field references (KubeRay v1.6.2, ray.io/v1; Kueue kueue.x-k8s.io/v1beta2;
both Apache-2.0). Pod templates are opaque here: `kubernetes-validate` checks them as pods.
"""

from typing import Any

TEXT, COUNT, SWITCH, ANYTHING = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}, {}
QUANTITY = {"type": ["string", "integer"]}
TEXTS = {"type": "object", "additionalProperties": TEXT}
POLICY = {"enum": ["DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone"]}


def _fields(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


def _several(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


def _object(api: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = _fields(("name",), name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS)
    needed = ("apiVersion", "kind", "metadata", "spec")
    return _fields(needed, apiVersion={"const": api}, kind={"const": kind}, metadata=metadata, spec=spec)


HEAD = _fields(
    ("rayStartParams", "template"),
    rayStartParams=TEXTS, template={"type": "object"}, headService=ANYTHING, enableIngress=SWITCH, serviceType=TEXT,
    labels=TEXTS, resources=TEXTS,
)  # fmt: skip
WORKERS = _fields(
    ("groupName", "rayStartParams", "template", "minReplicas", "maxReplicas"),
    groupName=TEXT, replicas=COUNT, minReplicas=COUNT, maxReplicas=COUNT, numOfHosts=COUNT, suspend=SWITCH,
    idleTimeoutSeconds=COUNT, rayStartParams=TEXTS, template={"type": "object"}, scaleStrategy=ANYTHING, labels=TEXTS,
    resources=TEXTS,
)  # fmt: skip
CREDENTIAL = _fields(value=TEXT, valueFrom={"type": "object"})
CLUSTER = _fields(
    ("headGroupSpec",),
    rayVersion=TEXT, headGroupSpec=HEAD, workerGroupSpecs=_several(WORKERS), enableInTreeAutoscaling=SWITCH,
    autoscalerOptions=ANYTHING, headServiceAnnotations=TEXTS, suspend=SWITCH, managedBy=TEXT, upgradeStrategy=ANYTHING,
    authOptions=_fields(mode={"enum": ["disabled", "token"]}, secretName=TEXT, enableK8sTokenAuth=SWITCH),
    gcsFaultToleranceOptions=_fields(
        ("redisAddress",),
        redisAddress=TEXT, redisUsername=CREDENTIAL, redisPassword=CREDENTIAL, externalStorageNamespace=TEXT,
    ),
)  # fmt: skip
CONDITION = {
    **_fields(jobStatus={"enum": ["SUCCEEDED", "FAILED"]}, jobDeploymentStatus={"enum": ["Failed"]}, ttlSeconds=COUNT),
    "oneOf": [{"required": ["jobStatus"]}, {"required": ["jobDeploymentStatus"]}],
}
JOB = _fields(
    (),
    entrypoint=TEXT, runtimeEnvYAML=TEXT, jobId=TEXT, metadata=TEXTS, clusterSelector=TEXTS, suspend=SWITCH,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    submitterPodTemplate={"type": "object"}, submitterConfig=_fields(backoffLimit=COUNT), backoffLimit=COUNT,
    activeDeadlineSeconds={"type": "integer", "minimum": 1}, preRunningDeadlineSeconds=COUNT, managedBy=TEXT,
    shutdownAfterJobFinishes=SWITCH, ttlSecondsAfterFinished=COUNT, entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"}, entrypointResources=TEXT, rayClusterSpec=CLUSTER,
    deletionStrategy=_fields(
        deletionRules=_several(_fields(("policy", "condition"), policy=POLICY, condition=CONDITION))
    ),
)  # fmt: skip
QUOTA = _fields(
    ("name", "nominalQuota"), name=TEXT, nominalQuota=QUANTITY, borrowingLimit=QUANTITY, lendingLimit=QUANTITY
)
GROUP = _fields(
    ("coveredResources", "flavors"),
    coveredResources=_several(TEXT),
    flavors=_several(_fields(("name", "resources"), name=TEXT, resources=_several(QUOTA))),
)
PREEMPTION = _fields(
    withinClusterQueue={"enum": ["Never", "LowerPriority", "LowerOrNewerEqualPriority"]},
    reclaimWithinCohort={"enum": ["Never", "LowerPriority", "Any"]}, borrowWithinCohort=ANYTHING,
)  # fmt: skip
QUEUE = _fields(
    (),
    namespaceSelector={"type": "object"}, resourceGroups=_several(GROUP), preemption=PREEMPTION, cohortName=TEXT,
    queueingStrategy={"enum": ["StrictFIFO", "BestEffortFIFO"]}, flavorFungibility=ANYTHING, fairSharing=ANYTHING,
    stopPolicy={"enum": ["None", "Hold", "HoldAndDrain"]}, admissionChecksStrategy=ANYTHING, admissionScope=ANYTHING,
)  # fmt: skip
RAY, KUEUE = "ray.io/v1", "kueue.x-k8s.io/v1beta2"
SCHEMAS = {
    (RAY, "RayCluster"): _object(RAY, "RayCluster", CLUSTER),
    (RAY, "RayJob"): _object(RAY, "RayJob", JOB),
    (KUEUE, "ClusterQueue"): _object(KUEUE, "ClusterQueue", QUEUE),
    (KUEUE, "LocalQueue"): _object(
        KUEUE, "LocalQueue", _fields(clusterQueue=TEXT, stopPolicy=TEXT, fairSharing=ANYTHING)
    ),
    (KUEUE, "ResourceFlavor"): _object(
        KUEUE, "ResourceFlavor", _fields(nodeLabels=TEXTS, nodeTaints=ANYTHING, tolerations=ANYTHING, topologyName=TEXT)
    ),
}
"""(apiVersion, kind) -> schema of the whole object."""
