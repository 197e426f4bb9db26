from pathlib import Path
from typing import Any

import pytest
import yaml

from components.pods import PODS, RUN_SECONDS, read_pods
from med42lib.catalogue import STAGES
from med42lib.commands.main import main
from med42lib.core.errors import ConfigError
from tests.conftest import REPOSITORY

DEMO = list(yaml.safe_load_all((REPOSITORY / "pipelines/compiled/demo.yaml").read_text(encoding="utf-8")))
CONTAINERS: dict[str, Any] = DEMO[0]["deploymentSpec"]["executors"]
PODS_ON_A_CLUSTER: dict[str, Any] = DEMO[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
EVERY = pytest.mark.parametrize("executor", CONTAINERS)


def step_of(executor: str) -> str:
    return executor.removeprefix("exec-").rstrip("-0123456789").replace("-", "_")


def variables(executor: str, kind: str) -> dict[str, set[str]]:
    """The variables that come from ConfigMaps (`configMap`) or Secrets (`secret`), by the names of these."""
    return {
        given[f"{kind}Name"]: {each["envVar"] for each in given["keyToEnv"]}
        for given in PODS_ON_A_CLUSTER[executor].get(f"{kind}AsEnv", ())
    }


@EVERY
def test_every_pod_may_run_in_a_restricted_namespace_and_has_a_folder_to_write_in(executor: str) -> None:
    pod = PODS_ON_A_CLUSTER[executor]
    assert pod["securityContext"] == {"runAsNonRoot": True}, "OpenShift refuses a user of ours"
    [scratch] = pod["emptyDirMounts"]
    of_the_images = (REPOSITORY / "images/Dockerfile").read_text()
    assert "\nUSER 10001:0\n" in of_the_images, "the kubelet takes no name for one who is not root"
    assert all(f"{name}={scratch['mountPath']} " in of_the_images for name in ("HOME", "TMPDIR", "MED42_SCRATCH"))


@EVERY
def test_every_pod_ends_before_its_pipeline_does(executor: str) -> None:
    assert 0 < int(PODS_ON_A_CLUSTER[executor]["activeDeadlineSeconds"]) < RUN_SECONDS


def test_a_training_may_take_as_long_as_the_job_template_lets_it_wait_and_work() -> None:
    template = yaml.safe_load((REPOSITORY / "k8s/base/job_template.yaml").read_text(encoding="utf-8"))
    assert template["max_hours_waiting"] + template["max_hours_working"] < PODS["train"].hours


@EVERY
def test_every_pod_says_what_it_needs_but_that_of_a_training_whose_needs_are_its_jobs(executor: str) -> None:
    resources = CONTAINERS[executor]["container"].get("resources", {})
    if step_of(executor) == "train":
        assert resources == {}
    else:
        assert {"resourceCpuRequest", "resourceCpuLimit"} <= resources.keys()
        assert {"resourceMemoryRequest", "resourceMemoryLimit"} <= resources.keys()


def test_resources_are_said_of_every_step_and_of_nothing_else() -> None:
    assert PODS.keys() == {"check", "stop", *STAGES}


def test_a_file_gives_steps_gpus_and_trainings_what_their_jobs_pods_are_to_have(tmp_path: Path) -> None:
    file, output = tmp_path / "pods.yaml", tmp_path / "demo.yaml"
    file.write_text(
        "evaluate: {gpus: 1, memory: [32Gi, 64Gi]}\ntrain: {gpus: 8, hours: 600, node_selector: {pool: a100}}\n"
    )
    demo = str(REPOSITORY / "pipelines/specs/demo.yaml")
    assert main(["compile", demo, f"--output={output}", f"--pods={file}"]) == 0
    pipeline, platform = yaml.safe_load_all(output.read_text(encoding="utf-8"))
    executors, pods = (part["deploymentSpec"]["executors"] for part in (pipeline, platform["platforms"]["kubernetes"]))
    evaluate = executors["exec-evaluate"]["container"]["resources"]
    assert evaluate["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert (evaluate["accelerator"]["resourceCount"], evaluate["resourceMemoryRequest"]) == ("1", "32Gi")
    assert evaluate["resourceCpuLimit"] == PODS["evaluate"].cpu[1]  # type: ignore[index]
    assert executors["exec-train-2"]["container"]["resources"]["accelerator"]["resourceCount"] == "8"
    assert pods["exec-train"]["nodeSelector"]["labels"] == {"pool": "a100"}
    assert pods["exec-train"]["activeDeadlineSeconds"] == str(600 * 3600)
    checked = pipeline["components"]["comp-exit-handler-1"]["dag"]["tasks"]["check"]["inputs"]["parameters"]
    assert checked["train_hours"] == {"runtimeValue": {"constant": 600.0}}
    [toleration] = pods["exec-train"]["tolerations"]
    assert (toleration["key"], toleration["operator"]) == ("nvidia.com/gpu", "Exists")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("evalute: {gpus: 1}", "evalute: is no step"),
        ("evaluate: {gpu_count: 1}", r"evaluate\.gpu_count: is not a known setting"),
        ("evaluate: {gpus: -1}\npack: {memory: [1, 2]}", r"(?s)pack\.memory.*evaluate\.gpus"),
        ("- evaluate", "expected lines like"),
        ("evaluate: [", "is not YAML: line 1"),
        ("pack: {gpus: 1}\npack: {gpus: 2}", "line 2.*'pack' stands twice"),
    ],
)
def test_a_file_that_says_what_there_is_not_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "pods.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_pods(tmp_path / "pods.yaml")


@EVERY
def test_nothing_that_is_mounted_has_to_be_there(executor: str) -> None:
    pod = PODS_ON_A_CLUSTER[executor]
    for kind in ("configMapAsEnv", "secretAsEnv", "configMapAsVolume", "secretAsVolume"):
        assert all(given["optional"] for given in pod.get(kind, ()))


@EVERY
def test_a_credential_reaches_those_alone_that_need_it(executor: str) -> None:
    step, secrets = step_of(executor), variables(executor, "secret")
    assert ("HF_TOKEN" in secrets.get("med42-hf", ())) == (step == "fetch_model")
    assert ("med42-mlflow" in secrets) == (step in ("check", "register"))
    assert ("med42-s3" in secrets) == (step != "stop")
    settings = variables(executor, "configMap").get("med42-settings", set())
    assert ("MLFLOW_TRACKING_URI" in settings) == (step in ("check", "register"))
    assert ("AWS_ENDPOINT_URL" in settings) == (step != "stop")
    assert ("HF_HUB_OFFLINE" in settings) == (step not in ("stop", "fetch_model"))


@EVERY
def test_the_launchers_settings_reach_those_that_launch_check_and_stop(executor: str) -> None:
    launching = step_of(executor) in ("check", "train", "stop")
    assert ("med42-driver" in variables(executor, "configMap")) == launching
    mounted = [volume["mountPath"] for volume in PODS_ON_A_CLUSTER[executor].get("configMapAsVolume", ())]
    assert mounted == (["/etc/med42"] if launching else [])


def test_a_training_knows_its_run_and_its_image_and_gets_what_a_person_sets_on_its_task() -> None:
    [run] = PODS_ON_A_CLUSTER["exec-train"]["fieldPathAsEnv"]
    assert run == {"name": "MED42_RUN", "fieldPath": "metadata.labels['pipeline/runid']"}
    container = CONTAINERS["exec-train"]["container"]
    assert {"name": "MED42_IMAGE", "value": container["image"]} in container["env"]
    passed = DEMO[0]["components"]["comp-train"]["taskConfigPassthroughs"]
    assert {entry["field"]: entry.get("applyToTask", False) for entry in passed} == {
        "RESOURCES": False,
        "KUBERNETES_TOLERATIONS": False,
        "KUBERNETES_NODE_SELECTOR": False,
        "KUBERNETES_AFFINITY": False,
        "ENV": True,
        "KUBERNETES_VOLUMES": True,
    }
