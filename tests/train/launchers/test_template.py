from pathlib import Path

import pytest
import yaml

from med42lib.commands.k8s import RESULT_ANNOTATION, rendered_jobs
from med42lib.core.errors import ConfigError, EnvironmentProblem
from med42lib.spec import load_spec
from med42lib.train.launchers.template import MAX_NAME_LENGTH, JobTemplate, job_name, make_pytorchjob
from tests.conftest import REPOSITORY
from tests.train.launchers.kubernetes_api import kubernetes_api
from tests.train.launchers.local_operator import LocalOperator

TEMPLATE = REPOSITORY / "k8s/base/job_template.yaml"


def template(**others: object) -> JobTemplate:
    return JobTemplate.model_validate({**yaml.safe_load(TEMPLATE.read_text(encoding="utf-8")), **others})


def test_one_node_is_a_master_alone_which_needs_no_init_container() -> None:
    made = make_pytorchjob(template(nodes=1), "a", [], labels={}, annotations={})
    assert list(made["spec"]["pytorchReplicaSpecs"]) == ["Master"]


def test_each_breakdown_of_all_nodes_counts_once() -> None:
    """The operator adds up the restarts of all pods, and in a breakdown each is started again once or twice."""
    made = make_pytorchjob(template(nodes=8, max_restarts=3), "a", [], labels={}, annotations={})
    assert made["spec"]["runPolicy"]["backoffLimit"] == 3 * 2 * 8 + 1
    made = make_pytorchjob(template(nodes=8, max_restarts=0), "a", [], labels={}, annotations={})
    assert made["spec"]["runPolicy"]["backoffLimit"] == 1


def test_the_platform_may_replace_the_run_policy_and_the_template_stays_as_it_is() -> None:
    given = template(run_policy={"schedulingPolicy": {"queue": "q"}, "cleanPodPolicy": "All"})
    before = given.model_dump()
    policy = make_pytorchjob(given, "a", ["--job", "x"], labels={"l": "1"}, annotations={})["spec"]["runPolicy"]
    assert (policy["schedulingPolicy"], policy["cleanPodPolicy"]) == ({"queue": "q"}, "All")
    assert given.model_dump() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes": 0}, "nodes: .*greater than or equal to 1"),
        ({"pods": {}}, "pods: is not a known setting"),
        ({"pod": {"spec": {"containers": [{"name": "main", "image": "i"}]}}}, "not one container 'pytorch'"),
        ({"pod": {"spec": {"containers": [{"name": "pytorch"}]}}}, "'pytorch' with an image"),
        (
            {"pod": {"spec": {"containers": [{"name": "pytorch", "image": "i", "args": []}]}}},
            "has args, which we fill in",
        ),
        ({"pod": {"spec": []}}, "not one container 'pytorch'"),
    ],
)
def test_a_template_that_makes_no_job_is_refused_with_its_path(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    values = {**yaml.safe_load(TEMPLATE.read_text(encoding="utf-8")), **change}
    (tmp_path / "template.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=message) as caught:
        JobTemplate.read(tmp_path / "template.yaml")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("text", [None, "nodes: [", "\x00"])
def test_a_template_that_cannot_be_read_is_told_with_what_to_do(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "template.yaml").write_text(text)
    with pytest.raises(EnvironmentProblem, match="mount the ConfigMap that holds it"):
        JobTemplate.read(tmp_path / "template.yaml")


@pytest.mark.parametrize("label", ["llama-2-70b_full seed 2", "x" * 200, "train/0123456789abcdef", "ünïcode."])
def test_a_name_is_a_short_dns_label_that_says_what_the_job_is(label: str) -> None:
    name = job_name(label, "a")
    assert len(name) <= MAX_NAME_LENGTH
    assert name.replace("-", "").isalnum()
    assert name.isascii()
    assert name == job_name(label, "a") != job_name(label, "b")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_rendered_job_that_is_applied_needs_nothing_else_to_train(
    base_model: Path, packed_data: Path, tmp_path: Path
) -> None:
    settings = ["global_batch_size=4", "micro_batch_size=4", "warmup_steps=1", "epochs=1"]
    spec = load_spec(REPOSITORY / "pipelines/specs/demo.yaml", [f"train.full.{each}" for each in settings])
    here = {"packed": str(packed_data), "model": str(base_model), "store": str(tmp_path / "store")}
    job = dict(rendered_jobs(spec, template(processes_per_node=1), **here))["full"]
    (tmp_path / "pods").mkdir()
    with kubernetes_api() as api:
        api.put_job(job)
        LocalOperator(api, tmp_path / "pods").run(job["metadata"]["name"])
        conditions = api.jobs[job["metadata"]["name"]]["status"]["conditions"]
    assert conditions[-1]["type"] == "Succeeded", api.logs
    assert (Path(job["metadata"]["annotations"][RESULT_ANNOTATION]) / "model/model.safetensors").is_file()
