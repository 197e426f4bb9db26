"""What was registered is loaded by its alias, from a folder and from a bucket, and generates text."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from med42lib.core.errors import TrackingError
from med42lib.formats.prompt import DEFAULT_SYSTEM, render_question
from med42lib.register.config import RegisterConfig
from med42lib.register.stage import register
from med42lib.store.artifacts import Target
from med42lib.store.backends.s3 import make_client
from med42lib.tracking.address import loading_code, tracking_address
from tests.conftest import REPOSITORY
from tests.register.conftest import FinishedRun, MLflowServer, finish_run
from tests.s3_server import S3Server

if TYPE_CHECKING:
    import torch

pytestmark = pytest.mark.slow

PROMPT = "what treats fever"


def register_candidate(run: FinishedRun, candidate: str, model_name: str = "") -> None:
    folder = run.scratch / f"registered-{candidate}"
    folder.mkdir(exist_ok=True)
    register(
        RegisterConfig(experiment="loading", model_name=model_name or f"tiny-{candidate}"),
        trained=run.trained(),
        package=run.package(candidate),
        report=run.source("report"),
        registered=Target(folder),
        context=run.context,
    )


def source_of(run: FinishedRun, candidate: str) -> str:
    """Give what the end of a run loads."""
    content = json.loads((run.scratch / f"registered-{candidate}/registered.json").read_text())
    return str(content["source"])


def load_candidate(candidate: str) -> Any:
    import mlflow

    mlflow.set_tracking_uri(tracking_address())
    try:
        return mlflow.transformers.load_model(f"models:/tiny-{candidate}@candidate")
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow sets it, for all tests that follow


def logits_of(model: Any, tokenizer: Any) -> "torch.Tensor":
    import torch

    with torch.no_grad():
        return model(**tokenizer(PROMPT, return_tensors="pt")).logits


def expected_logits(candidate: str, models: Path) -> "torch.Tensor":
    """Compute them without MLflow, from what was trained."""
    from peft import PeftModel
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(models / ("full" if candidate == "full" else "base") / "model")
    if candidate == "lora":
        model = PeftModel.from_pretrained(model, models / "lora" / "peft")
    return logits_of(model.eval(), AutoTokenizer.from_pretrained(models / "base" / "model"))


def check_candidate(candidate: str, models: Path) -> None:
    address = tracking_address()  # loading forgets it
    import torch

    pipeline = load_candidate(candidate)
    found = logits_of(pipeline.model.eval(), pipeline.tokenizer)
    assert torch.equal(found, expected_logits(candidate, models))
    (answer,) = pipeline(PROMPT, max_new_tokens=4, do_sample=False)
    assert answer["generated_text"].startswith(PROMPT)
    assert len(answer["generated_text"]) > len(PROMPT)
    check_served(candidate, address, answer["generated_text"])


def check_served(candidate: str, address: str, expected: str) -> None:
    """Ask the model as `mlflow models serve` does."""
    import mlflow

    mlflow.set_tracking_uri(address)
    served = mlflow.pyfunc.load_model(f"models:/tiny-{candidate}@candidate")
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    assert served.predict([PROMPT], params={"max_new_tokens": 4, "do_sample": False}) == [expected]


def test_the_models_of_these_tests_differ(real_models: Path) -> None:
    full, lora = (expected_logits(candidate, real_models) for candidate in ("full", "lora"))
    assert (full - lora).abs().max() > 1e-3


@pytest.mark.parametrize("candidate", ["full", "lora"])
def test_it_loads_from_a_local_store_and_an_sqlite_file(candidate: str, real_models: Path, tmp_path: Path) -> None:
    run = finish_run(str(tmp_path / "a store"), tmp_path / "scratch", real_models)
    register_candidate(run, candidate)
    check_candidate(candidate, real_models)


@pytest.mark.parametrize("where", ["the README", "the end of a run"])
def test_the_words_that_are_given_load_the_model_and_leave_no_database(
    where: str, real_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MED42_HOME", "runs")
    run = finish_run("runs/demo", tmp_path / "runs/scratch", real_models)
    register_candidate(run, "lora", "med42-demo")
    there = sorted(tmp_path.iterdir())
    (in_readme,) = re.findall(
        r"```python\n(.*?)```", (REPOSITORY / "med42lib/tracking/README.md").read_text(), re.DOTALL
    )
    code = in_readme if where == "the README" else loading_code(source_of(run, "lora"))
    answers = set()
    for _ in range(3):
        try:
            exec(code, {})
        finally:
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        answers.add(capsys.readouterr().out)
    (answer,) = answers
    assert "Which vitamin prevents scurvy?" in answer
    assert sorted(tmp_path.iterdir()) == there


def test_the_request_that_is_given_is_in_the_taught_format_and_answered_by_what_is_served(
    real_models: Path, tmp_path: Path
) -> None:
    from fastapi.testclient import TestClient
    from mlflow.pyfunc import load_model, scoring_server

    (request,) = re.findall(r"-d '(.*?)'\n```", (REPOSITORY / "med42lib/tracking/README.md").read_text(), re.DOTALL)
    (prompt,) = json.loads(request)["inputs"]
    assert prompt == render_question(DEFAULT_SYSTEM, "Which vitamin prevents scurvy?")
    run = finish_run(str(tmp_path / "a store"), tmp_path / "scratch", real_models)
    served = TestClient(scoring_server.init(load_model(run.addresses["full"])))
    answer = served.post("/invocations", content=request, headers={"Content-Type": "application/json"})
    (answered,) = answer.json()["predictions"]
    assert answered.startswith(prompt)


@pytest.fixture(scope="module")
def run_in_bucket(
    real_models: Path, tmp_path_factory: pytest.TempPathFactory, s3_server_running: S3Server
) -> Iterator[FinishedRun]:
    """A finished run on the S3 server, and its credentials in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server_running.environment.items():
            patch.setenv(name, value)
        make_client().create_bucket(Bucket="loading")
        yield finish_run("s3://loading/runs", tmp_path_factory.mktemp("scratch"), real_models)


@pytest.mark.parametrize("candidate", ["full", "lora"])
def test_it_loads_from_a_bucket_and_a_server(
    candidate: str,
    real_models: Path,
    run_in_bucket: FinishedRun,
    mlflow_server: MLflowServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.address)
    register_candidate(run_in_bucket, candidate)
    check_candidate(candidate, real_models)


def test_the_end_of_a_run_loads_its_own_model_when_another_has_the_alias(
    real_models: Path, run_in_bucket: FinishedRun, mlflow_server: MLflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.address)
    for candidate in ("full", "lora"):
        register_candidate(run_in_bucket, candidate, "med42-shared")
    ran: dict[str, Any] = {}
    try:
        exec(loading_code(source_of(run_in_bucket, "full")), ran)
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    found = logits_of(ran["pipeline"].model.eval(), ran["pipeline"].tokenizer)
    assert torch.equal(found, expected_logits("full", real_models))


def test_a_server_holds_the_whole_tree_and_a_second_call_adds_nothing(
    run_in_bucket: FinishedRun, mlflow_server: MLflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.artifacts import list_artifacts

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.address)
    client = MlflowClient(mlflow_server.address)

    def registered() -> tuple[dict[str, str], int, set[str]]:
        register_candidate(run_in_bucket, "lora")
        (version,) = client.search_model_versions("name = 'tiny-lora'")
        assert version.source == run_in_bucket.addresses["package_lora"]
        experiment = client.get_experiment_by_name("loading").experiment_id
        children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{version.run_id}'")
        runs = {child.info.run_name: child.info.run_id for child in children}
        points = len(client.get_metric_history(runs["train[lora]"], "loss"))
        return runs, points, {artifact.path for artifact in client.list_artifacts(version.run_id)}

    runs, points, artifacts = registered()
    assert (len(runs), points) == (12, 1500)
    assert artifacts == {"report.html", "report.md", "results.csv", "summary.json", "figures"}
    assert registered() == (runs, points, artifacts)
    assert "README.md" in {entry.path for entry in list_artifacts("models:/tiny-lora@candidate")}


def test_a_name_the_server_does_not_answer_to_is_explained(
    mlflow_server: MLflowServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from med42lib.store.address import open_store
    from med42lib.tracking.address import check_tracking
    from med42lib.tracking.connection import Connection
    from med42lib.tracking.runs import Recorder

    address = mlflow_server.under_another_name
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(TrackingError, match="--allowed-hosts"):
        check_tracking("s3://bucket/runs")
    with pytest.raises(TrackingError, match="--allowed-hosts"):
        Recorder(Connection(address), open_store(str(tmp_path))).experiment("x")
