import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.pods import PODS, read_pods
from med42lib.catalogue import STAGES
from med42lib.commands.main import main
from med42lib.core.environment import GIVEN_PROXIES
from med42lib.core.errors import ConfigError
from tests.conftest import REPOSITORY

DEMO = list(yaml.safe_load_all((REPOSITORY / "pipelines/compiled/demo.yaml").read_text(encoding="utf-8")))
CONTAINERS: dict[str, Any] = DEMO[0]["deploymentSpec"]["executors"]
PODS_ON_A_CLUSTER: dict[str, Any] = DEMO[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
EVERY = pytest.mark.parametrize("executor", CONTAINERS)
SETTINGS = (REPOSITORY / "k8s/base/settings.yaml").read_text(encoding="utf-8").partition("---")[0]


def step_of(executor: str) -> str:
    return executor.removeprefix("exec-").rstrip("-0123456789").replace("-", "_")


def compiled_with(pods: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The demo's containers and pods, by executors, as compiled with what a file says of its pods."""
    (folder / "pods.yaml").write_text(pods)
    demo, output = str(REPOSITORY / "pipelines/specs/demo.yaml"), folder / "demo.yaml"
    assert main(["compile", demo, f"--output={output}", f"--pods={folder / 'pods.yaml'}"]) == 0
    pipeline, platform = yaml.safe_load_all(output.read_text(encoding="utf-8"))
    return pipeline["deploymentSpec"]["executors"], platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def mounted(executor: str) -> dict[str, str]:
    """The ConfigMaps that are mounted, by the places where they are."""
    return {
        each["mountPath"]: each["configMapName"] for each in PODS_ON_A_CLUSTER[executor].get("configMapAsVolume", ())
    }


def variables(executor: str, kind: str) -> dict[str, set[str]]:
    """The keys that are read from ConfigMaps (`configMap`) or Secrets (`secret`), by the names of these."""
    return {
        given[f"{kind}Name"]: {each[f"{kind}Key"] for each in given["keyToEnv"]}
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


@pytest.mark.parametrize("pods", ["{}", "train: {hours: 900}", "evaluate: {hours: 900}\nregister: {hours: 500}"])
def test_a_run_may_take_as_long_as_its_steps_one_after_the_other(pods: str, tmp_path: Path) -> None:
    compiled_with(pods, tmp_path)
    pipeline, platform = yaml.safe_load_all((tmp_path / "demo.yaml").read_text(encoding="utf-8"))
    on_a_cluster = platform["platforms"]["kubernetes"]
    tasks = pipeline["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    seconds = {
        name: int(pod["activeDeadlineSeconds"]) for name, pod in on_a_cluster["deploymentSpec"]["executors"].items()
    }

    @cache
    def until_the_end_of(task: str) -> int:
        component = pipeline["components"][tasks[task]["componentRef"]["name"]]
        before = max(map(until_the_end_of, tasks[task].get("dependentTasks", ())), default=0)
        return before + seconds[component["executorLabel"]]

    longest = max(map(until_the_end_of, tasks)) + seconds["exec-stop"]
    assert longest < on_a_cluster["pipelineConfig"]["activeDeadlineSeconds"] < longest + 14 * 24 * 3600


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
    text = "evaluate: {gpus: 1, memory: [32Gi, 64Gi]}\ntrain: {gpus: 8, hours: 600, node_selector: {pool: a100}}\n"
    executors, pods = compiled_with(text, tmp_path)
    evaluate = executors["exec-evaluate"]["container"]["resources"]
    assert evaluate["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert (evaluate["accelerator"]["resourceCount"], evaluate["resourceMemoryRequest"]) == ("1", "32Gi")
    assert evaluate["resourceCpuLimit"] == PODS["evaluate"].cpu[1]  # type: ignore[index]
    assert executors["exec-train-2"]["container"]["resources"]["accelerator"]["resourceCount"] == "8"
    assert pods["exec-train"]["nodeSelector"]["labels"] == {"pool": "a100"}
    assert pods["exec-train"]["activeDeadlineSeconds"] == str(600 * 3600)
    pipeline, _ = yaml.safe_load_all((tmp_path / "demo.yaml").read_text(encoding="utf-8"))
    checked = pipeline["components"]["comp-exit-handler-1"]["dag"]["tasks"]["check"]["inputs"]["parameters"]
    assert checked["train_hours"] == {"runtimeValue": {"constant": 600.0}}
    assert checked["scoring_memory"] == {"runtimeValue": {"constant": {"answer_questions": ["2Gi", "64Gi"]}}}
    assert checked["train_task_config"]["runtimeValue"]["constant"] == {
        "nodeSelector": {"pool": "a100"},
        "resources": {"limits": {"nvidia.com/gpu": "8"}, "requests": {"nvidia.com/gpu": "8"}},
    }
    [toleration] = pods["exec-train"]["tolerations"]
    assert (toleration["key"], toleration["operator"]) == ("nvidia.com/gpu", "Exists")


def test_a_file_sends_a_step_into_a_queue_and_onto_nodes_with_a_taint(tmp_path: Path) -> None:
    text = """
        evaluate:
          gpus: 1
          labels: {kueue.x-k8s.io/queue-name: med42}
          tolerations: [{key: pool, value: gpu, effect: NoSchedule}, {operator: Exists, effect: NoExecute}]
    """
    _, pods = compiled_with(text, tmp_path)
    assert pods["exec-evaluate"]["podMetadata"]["labels"] == {
        "kueue.x-k8s.io/queue-name": "med42",
        "app.kubernetes.io/part-of": "med42",
        "istio.io/dataplane-mode": "none",
    }
    assert pods["exec-evaluate"]["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "pool", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
        {"operator": "Exists", "effect": "NoExecute"},
    ]
    assert "kueue.x-k8s.io/queue-name" not in pods["exec-report"]["podMetadata"]["labels"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("evalute: {gpus: 1}", "evalute: is no step"),
        ("evaluate: {gpu_count: 1}", r"evaluate\.gpu_count: is not a known setting"),
        ("evaluate: {gpus: -1}\npack: {memory: [1, 2]}", r"(?s)pack\.memory.*evaluate\.gpus"),
        (
            "pack: {labels: {a b: x}}\nevaluate: {tolerations: [{key: -}]}",
            r"(?s)pack\.labels.*evaluate\.tolerations\.0",
        ),
        ("pack: {labels: {app.kubernetes.io/part-of: us}}", "app.kubernetes.io/part-of is ours"),
        ("pack: {node_selector: {disk: large disk}}", r"pack\.node_selector\.disk: must be at most 63 letters"),
        ("pack: {tolerations: [{effect: NoSchedule}]}", r"pack\.tolerations\.0: needs a key"),
        ("pack: {tolerations: [{key: a, operator: Exists, value: b}]}", "Exists compares no value"),
        ("pack: {tolerations: [{key: a, effect: NoScheduling}]}", r"pack\.tolerations\.0\.effect"),
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
    assert ("AWS_SESSION_TOKEN" in secrets.get("med42-s3", ())) == (step != "stop")
    settings = variables(executor, "configMap").get("med42-settings", set())
    assert ("MLFLOW_TRACKING_URI" in settings) == (step in ("check", "register"))
    for name in ("AWS_ENDPOINT_URL", "MED42_S3_SSE", "MED42_S3_KMS_KEY_ID"):
        assert (name in settings) == (step != "stop")
    assert ("HF_HUB_OFFLINE" in settings) == (step not in ("stop", "fetch_model"))


@EVERY
def test_a_proxy_and_a_companys_authorities_reach_every_step_that_asks_more_than_the_api_server(executor: str) -> None:
    step, settings = step_of(executor), variables(executor, "configMap")["med42-settings"]
    assert {"MED42_LOG", "MED42_QUOTE_RECORDS"} <= settings
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        assert (name in settings) == (step != "stop")
    assert ("/etc/med42-ca" in mounted(executor)) == (step != "stop")


@EVERY
def test_no_variable_is_set_that_kubeflow_sets_itself_where_its_server_has_a_proxy(executor: str) -> None:
    """The API server refuses a variable with a value of its own and a reference to a ConfigMap."""
    named = [each for given in PODS_ON_A_CLUSTER[executor].get("configMapAsEnv", ()) for each in given["keyToEnv"]]
    theirs = {*GIVEN_PROXIES, *map(str.lower, GIVEN_PROXIES)}
    assert not theirs & {each["envVar"] for each in named}
    of_ours = {each["configMapKey"]: each["envVar"] for each in named if each["configMapKey"] != each["envVar"]}
    assert of_ours == ({} if step_of(executor) == "stop" else GIVEN_PROXIES)


@EVERY
def test_a_mirror_of_the_hub_reaches_those_whose_inputs_may_be_on_a_hub(executor: str) -> None:
    asks = ("fetch_model", "benchmarks", "assemble", "embed_questions", "decontaminate")
    assert ("HF_ENDPOINT" in variables(executor, "configMap")["med42-settings"]) == (step_of(executor) in asks)


def test_every_key_of_the_settings_is_read_and_certificates_are_where_they_say() -> None:
    shown = set(re.findall(r"^  (?:# )?([A-Z0-9_]+): ", SETTINGS, re.MULTILINE))
    assert shown == {name for executor in CONTAINERS for name in variables(executor, "configMap")["med42-settings"]}
    places = {place for executor in CONTAINERS for place, name in mounted(executor).items() if name == "med42-ca"}
    assert {f"{place}/" for place in places} == set(re.findall(r": (/.*/)\w+\.pem", SETTINGS))


@EVERY
def test_no_step_is_in_a_mesh_whose_tunnel_the_policies_do_not_let_through(executor: str) -> None:
    assert PODS_ON_A_CLUSTER[executor]["podMetadata"]["labels"]["istio.io/dataplane-mode"] == "none"


@EVERY
def test_an_autoscaler_is_asked_to_leave_a_steps_node_alone_as_it_is_a_trainings(executor: str) -> None:
    annotations = PODS_ON_A_CLUSTER[executor]["podMetadata"]["annotations"]
    assert annotations == {
        "karpenter.sh/do-not-disrupt": "true",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    }
    template = yaml.safe_load((REPOSITORY / "k8s/base/job_template.yaml").read_text(encoding="utf-8"))
    assert annotations.items() <= template["pod"]["metadata"]["annotations"].items()


@EVERY
def test_the_launchers_settings_reach_those_that_launch_check_and_stop(executor: str) -> None:
    launching = step_of(executor) in ("check", "train", "stop")
    assert ("med42-driver" in variables(executor, "configMap")) == launching
    assert (mounted(executor).get("/etc/med42") == "med42-job-template") == launching


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
