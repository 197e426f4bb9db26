from pathlib import Path

import pytest

from med42lib.core import environment
from med42lib.core.errors import (
    ConfigError,
    DataError,
    EnvironmentProblem,
    StoreError,
    TrackingError,
    TrackingUnavailable,
)
from med42lib.planning import readiness
from med42lib.planning.readiness import check_place
from med42lib.spec import load_spec
from med42lib.store.artifacts import Source
from med42lib.train.launchers.template import JobTemplate
from tests.conftest import REPOSITORY

V100 = "k8s/components/gpu-v100/20-gpu.yaml"
DEMO = REPOSITORY / "pipelines/specs/demo.yaml"
HUB_BASE = f"inputs.base_model=hub:meta-llama/Llama-2-7b-hf@{'a' * 40}"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MED42_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # its variable counts at import only
    return str(tmp_path / "store")


def test_the_demo_can_be_run_here(store: str) -> None:
    check_place(load_spec(DEMO), store)


def test_a_run_whose_certificates_are_not_there_does_not_begin(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/mine.pem")
    both = "AWS_CA_BUNDLE=/nowhere/ca.pem, REQUESTS_CA_BUNDLE=/nowhere/mine.pem"
    with pytest.raises(EnvironmentProblem, match=both):
        check_place(load_spec(DEMO), store)


def test_missing_inputs_are_found(store: str) -> None:
    with pytest.raises(DataError, match=r"inputs\.training_data"):
        check_place(load_spec(DEMO, ["inputs.training_data=/nowhere"]), store)


def test_a_store_in_a_folder_that_is_an_input_is_found(store: str, tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text("{}")
    data = f"inputs.training_data={tmp_path}"
    with pytest.raises(ConfigError, match=r"inputs\.training_data: .* holds the store .*; choose a --store outside it"):
        check_place(load_spec(DEMO, [data]), store)
    check_place(load_spec(DEMO, [data]), f"{tmp_path.parent}/runs")


def test_chunks_longer_than_the_context_of_a_known_model_on_a_hub_are_found(store: str) -> None:
    check_place(load_spec(DEMO, [HUB_BASE]), store)
    with pytest.raises(ConfigError, match="chunk_length"):
        check_place(load_spec(DEMO, [HUB_BASE, "pack.chunk_length=8192"]), store)


def test_a_place_that_cannot_hold_outputs_is_found(store: str) -> None:
    Path(store).write_text("a file")
    with pytest.raises(StoreError):
        check_place(load_spec(DEMO), store)


def test_mlflow_is_asked_unless_nothing_is_to_be_registered(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(TrackingError):
        check_place(load_spec(DEMO), store)
    check_place(load_spec(DEMO, ["register.enabled=false"]), store)


def test_a_pod_that_mlflow_is_kept_from_in_its_first_moments_asks_once_more(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([TrackingUnavailable("Connection refused"), None])

    def check_tracking(_: str) -> None:
        if error := next(answers):
            raise error

    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setattr(environment, "SECONDS_UNTIL_LET_THROUGH", 0.0)
    monkeypatch.setattr(readiness, "check_tracking", check_tracking)
    check_place(load_spec(DEMO), store)
    assert list(answers) == []


def test_a_base_model_without_settings_is_found(store: str, tmp_path: Path) -> None:
    (tmp_path / "Llama-2-7b-hf").mkdir()
    (tmp_path / "Llama-2-7b-hf" / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(DataError, match=r"has no file config\.json"):
        check_place(load_spec(DEMO, [f"inputs.base_model={tmp_path}/Llama-2-7b-hf"]), store)


OWN = {"licence": "ours", "path": "exam.jsonl"}


def test_what_the_spec_names_inside_the_data_is_looked_for_and_all_that_is_missing_is_named(
    store: str, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "notes.jsonl").write_text("{}\n")
    here = [f"inputs.{name}={data}" for name in ("training_data", "benchmark_data", "encoder")]
    exam, ward = {**OWN, "format": "multiple_choice"}, {**OWN, "format": "instruction", "target": "all"}
    sources = {"ward": ward, "notes": {**ward, "path": "*.jsonl"}}
    own = [f"benchmarks.include={ {'exam': exam} }", f"assemble.sources={sources}"]
    with pytest.raises(DataError) as caught:
        check_place(load_spec(DEMO, [*here, *own]), store)
    told = str(caught.value).split("\n  ")
    assert told[1:3] == [
        f"assemble.sources.ward: {data} has no 'exam.jsonl'; it has notes.jsonl",
        f"benchmarks.include.exam: {data} has no 'exam.jsonl'; it has notes.jsonl",
    ]
    assert told[3].startswith(f"inputs.encoder: {data} is not a SentenceTransformers model: it has no modules.json")
    assert len(told) == 4


def test_an_adapter_larger_than_a_layer_is_found(store: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.lora\.lora\.rank: must be at most 128"):
        check_place(load_spec(DEMO, ["train.lora.lora.rank=129"]), store)


def test_gpus_that_the_template_names_are_held_against_the_spec(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MED42_LAUNCHER", "pytorchjob")
    bfloat16 = load_spec(DEMO, ["train.full.precision=bfloat16", "train.lora.lora.rank=129"])
    template = JobTemplate.read(REPOSITORY / "k8s/base/job_template.yaml", REPOSITORY / V100)
    monkeypatch.setattr(JobTemplate, "of_environment", lambda: template)
    with pytest.raises(ConfigError) as caught:
        check_place(bfloat16, store)
    assert [problem.where for problem in caught.value.problems] == ["train.lora.lora.rank", "train.full.precision"]
    check_place(load_spec(DEMO), store)


def test_the_base_models_settings_are_fetched_once(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    reach = Source.reach

    def recording(source: Source, name: str) -> Path:
        fetched.append(name)
        return reach(source, name)

    monkeypatch.setattr(Source, "reach", recording)
    check_place(load_spec(DEMO), store)
    assert fetched == ["config.json"]
