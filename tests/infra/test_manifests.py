"""Manifests are what users start from: each is parsed, held against its schema, and what it names exists."""

import copy

import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray._private.ray_constants import DEFAULT_OBJECT_STORE_MEMORY_PROPORTION

from raygen.settings import load_settings
from tests.infra.manifests import INFRA, ROOT, container_paths, crd_schema, documents, launcher_schema, strings

KUBERNETES_VERSION = "1.33"
ALL = documents("kuberay/*.yaml")
KUBERAY = [one for one in ALL if one[1]["apiVersion"].startswith("ray.io/")]
PLAIN = [one for one in ALL if not one[1]["apiVersion"].startswith("ray.io/")]
EVERYTHING = [*ALL, *documents("cloud/*.yaml")]


def named(pairs):
    return {"argvalues": [document for _, document in pairs], "ids": [name for name, _ in pairs]}


def faults(document):
    validator = jsonschema.Draft7Validator(crd_schema(document["kind"]))
    return [f"{list(fault.absolute_path)}: {fault.message[:200]}" for fault in validator.iter_errors(document)]


def test_all_kinds_are_there():
    kinds = {document["kind"] for _, document in ALL}
    assert kinds >= {"RayJob", "RayCronJob", "CronJob", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"}


@pytest.mark.parametrize("document", **named(KUBERAY))
def test_a_kuberay_manifest_fits_its_definition(document):
    assert faults(document) == []


def test_a_misspelt_field_would_be_seen():
    broken = copy.deepcopy(dict(KUBERAY)["rayjob.yaml:RayJob"])
    broken["spec"]["backofLimit"] = 1
    broken["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplicas"] = "many"
    assert len(faults(broken)) == 2


@pytest.mark.parametrize("document", **named(PLAIN))
def test_a_kubernetes_manifest_fits_its_definition(document):
    kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)


def pod_specs(document):
    """(name, spec) of every pod that a document makes, and the KubeRay pods too."""
    spec = document.get("spec", {})
    if document["kind"] == "Pod":
        yield "pod", spec
    if document["kind"] == "CronJob":
        yield "wait", spec["jobTemplate"]["spec"]["template"]["spec"]
    if document["kind"] == "RayCronJob":
        spec = spec["jobTemplate"]
    if "rayClusterSpec" in spec:
        cluster = spec["rayClusterSpec"]
        yield "submitter", spec["submitterPodTemplate"]["spec"]
        for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
            yield group.get("groupName", "head"), group["template"]["spec"]


PODS = [(f"{name}-{role}", pod) for name, document in ALL for role, pod in pod_specs(document)]


@pytest.mark.parametrize("pod", **named(PODS))
def test_the_pods_of_every_group_fit_kubernetes_too(pod):
    kind = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": pod}
    kubernetes_validate.validate(kind, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize("pod", **named(PODS))
def test_no_pod_runs_as_root_and_each_says_what_memory_it_needs(pod):
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        assert container["resources"]["limits"]["memory"]
        assert not container["image"].endswith(":latest")
    mounted = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", [])}
    assert mounted <= {volume["name"] for volume in pod.get("volumes", [])}


@pytest.mark.parametrize("pod", **named(PODS))
def test_a_service_account_that_a_pod_names_is_made_here(pod):
    made = {document["metadata"]["name"] for _, document in ALL if document["kind"] == "ServiceAccount"}
    assert pod.get("serviceAccountName", "default") in {*made, "default"}
    assert "automountServiceAccountToken" in pod, "who may ask Kubernetes is said, not left to the default"


@pytest.mark.parametrize("role", ["head", "gpu-spot"])
def test_the_pods_of_a_run_reach_buckets_by_workload_identity(role):
    assert dict(PODS)[f"rayjob.yaml:RayJob-{role}"]["serviceAccountName"] == "raygen"
    egress = dict(ALL)["network-policy.yaml:NetworkPolicy"]["spec"]["egress"]
    (metadata,) = [rule for rule in egress if any("ipBlock" in to for to in rule.get("to", []))]
    assert {to["ipBlock"]["cidr"] for to in metadata["to"]} >= {"169.254.169.254/32", "169.254.170.23/32"}
    assert {port["port"] for port in metadata["ports"]} == {80, 988}


@pytest.mark.parametrize("role", ["head", "gpu-spot"])
def test_shared_memory_is_larger_than_rays_object_store(role):
    """A store that does not fit goes to a disk: resolve_object_store_memory and determine_plasma_store_config of Ray."""
    pod = dict(PODS)[f"rayjob.yaml:RayJob-{role}"]
    memory = gibibytes(pod["containers"][0]["resources"]["limits"]["memory"])
    (shared_memory,) = [volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "shm"]
    limit = min(gibibytes(shared_memory["sizeLimit"]), memory)
    assert DEFAULT_OBJECT_STORE_MEMORY_PROPORTION * memory <= 0.95 * limit


def gibibytes(quantity):
    assert quantity.endswith("Gi")
    return int(quantity.removesuffix("Gi"))


def test_what_a_run_mounts_read_only_can_be_written_by_the_loader():
    modes = {
        document["metadata"]["name"]: document["spec"]["accessModes"]
        for _, document in ALL
        if document["kind"] == "PersistentVolumeClaim"
    }
    assert modes == {"raygen-data": ["ReadWriteMany"], "raygen-scores": ["ReadWriteMany"]}
    loader = dict(PODS)["loader.yaml:Pod-pod"]
    writable = {mount["mountPath"] for mount in loader["containers"][0]["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/data", "/scores"}


@pytest.mark.parametrize("document", **named(EVERYTHING))
def test_what_a_manifest_names_exists_and_settings_load(document):
    found = [path for text in strings(document) for path in container_paths(text)]
    for path in found:
        if path.startswith("/opt/raygen/"):
            assert (ROOT / path.removeprefix("/opt/raygen/")).exists(), path
        elif path.startswith("/etc/raygen-job/"):
            assert (INFRA / "kuberay" / path.removeprefix("/etc/raygen-job/")).exists(), path
        else:
            load_settings(str(ROOT / "configs/runs" / path.rpartition("/")[2]))


def test_the_nightly_settings_name_a_landing_folder_and_paths_that_the_pods_have():
    settings = load_settings(str(ROOT / "configs/runs/nightly.yaml"))
    head = dict(PODS)["rayjob.yaml:RayJob-head"]["containers"][0]
    written = [mount["mountPath"] for mount in head["volumeMounts"] if not mount.get("readOnly")]
    read = [mount["mountPath"] for mount in head["volumeMounts"] if mount.get("readOnly")]
    assert str(settings.output.path).startswith(tuple(f"{place}/" for place in written))
    for path in (settings.landing.folder, settings.input.reference, settings.model.name):
        assert str(path).startswith(tuple(f"{place}/" for place in read))


def test_the_nightly_job_forbids_a_second_night_beside_it_and_retries_only_what_can_be_resumed():
    spec = dict(ALL)["nightly-cronjob.yaml:CronJob"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    rules = spec["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert {"action": "FailJob", "onExitCodes": {"containerName": "wait", "operator": "In", "values": [2, 3]}} in rules


def test_the_waiting_pod_may_do_what_it_does_and_no_more():
    role, account = (dict(ALL)[f"nightly-cronjob.yaml:{kind}"] for kind in ("Role", "ServiceAccount"))
    assert role["rules"] == [{"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}]
    pod = dict(PODS)["nightly-cronjob.yaml:CronJob-wait"]
    assert pod["serviceAccountName"] == account["metadata"]["name"]


def test_the_scheduled_variant_is_the_same_job_with_another_entrypoint():
    job = copy.deepcopy(dict(ALL)["rayjob.yaml:RayJob"]["spec"])
    job["entrypoint"] = "python /opt/raygen/jobs/nightly.py /etc/raygen/nightly.yaml"
    assert dict(ALL)["raycronjob.yaml:RayCronJob"]["spec"]["jobTemplate"] == job


def test_the_ray_of_the_manifests_is_the_ray_that_is_pinned():
    pinned = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("ray=="))
    assert dict(ALL)["rayjob.yaml:RayJob"]["spec"]["rayClusterSpec"]["rayVersion"] == pinned.removeprefix("ray==")


@pytest.mark.parametrize("path", sorted(INFRA.glob("cloud/*.yaml")), ids=lambda path: path.name)
def test_a_launcher_file_fits_rays_schema(path):
    config = yaml.safe_load(path.read_text())
    jsonschema.validate(config, launcher_schema())
    assert config["head_node_type"] in config["available_node_types"]
    for target, source in config["file_mounts"].items():
        assert source.startswith("~") or (ROOT / source).exists(), target


@pytest.mark.parametrize("path", sorted(INFRA.glob("cloud/*.yaml")), ids=lambda path: path.name)
def test_every_machine_of_a_launcher_file_reaches_the_buckets_by_a_profile_that_is_made(path):
    """Ray gives a profile to its head only."""
    script = (INFRA / "cloud/aws-profiles.sh").read_text()
    for name, node in yaml.safe_load(path.read_text())["available_node_types"].items():
        profile = node["node_config"]["IamInstanceProfile"]["Name"]
        assert f"\nprofile {profile}\n" in script, name


def test_the_settings_of_the_launcher_name_no_folder_that_its_machines_lack():
    config = yaml.safe_load((INFRA / "cloud/aws.yaml").read_text())
    assert not [option for option in config["docker"]["run_options"] if "--volume" in option or "-v " in option]
    settings = load_settings(str(ROOT / "configs/runs/biobank-cluster.yaml"))
    paths = [*settings.input.variants, settings.input.reference, settings.model.name, settings.output.path]
    assert all(str(path).startswith("s3://") for path in paths), paths
