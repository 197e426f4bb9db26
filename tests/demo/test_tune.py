import json
from pathlib import Path

import pytest

from med42lib.demo import tune
from med42lib.engine.runner import Request, Result
from med42lib.engine.stage import Stage
from med42lib.spec import RunSpec, load_spec
from med42lib.store.artifacts import Source

SPEC = Path(__file__).parents[2] / "pipelines" / "specs" / "demo.yaml"


class Recorder:
    """Stands in for the runner: notes each request, and scores the n-th evaluated model n / 10."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[tuple[str, Request]] = []

    def __call__(self, stage: Stage, request: Request) -> Result:
        self.calls.append((stage.name, request))
        targets = {name: str(self.folder / f"{len(self.calls)}-{name}") for name in stage.targets}
        if stage.name == "evaluate":
            scores = Path(targets["scores"])
            scores.mkdir()
            (scores / "summary.json").write_text(json.dumps({"medqa": {"accuracy": len(self.of("evaluate")) / 10}}))
        return Result(targets, reused=False)

    def of(self, stage: str) -> list[Request]:
        return [request for name, request in self.calls if name == stage]


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder(tmp_path)
    monkeypatch.setattr(tune, "run_stage", recorder)
    return recorder


@pytest.fixture(scope="module")
def spec() -> RunSpec:
    return load_spec(SPEC)


def test_every_rate_of_each_method_is_tried_once_after_the_base(runner: Recorder, spec: RunSpec) -> None:
    trials = list(tune.tune(spec, "runs/tune"))
    expected = [("base", 0.0), *((method, rate) for method, rates in tune.RATES.items() for rate in rates)]
    assert [(trial.method, trial.learning_rate) for trial in trials] == expected
    assert [trial.accuracy for trial in trials] == [number / 10 for number in range(1, len(trials) + 1)]


def test_only_the_learning_rate_differs_from_the_spec(runner: Recorder, spec: RunSpec) -> None:
    list(tune.tune(spec, "runs/tune"))
    for request in runner.of("train"):
        in_spec = spec.train[str(request.config["method"])]
        rate = request.config["learning_rate"]
        assert request.config == in_spec.model_dump(mode="json") | {"learning_rate": rate}


def test_models_are_scored_on_validation_questions_and_no_benchmark_is_read(runner: Recorder, spec: RunSpec) -> None:
    list(tune.tune(spec, "runs/tune"))
    (questions,) = runner.of("benchmarks")
    assert questions.sources == {"data": tune.VALIDATION_DATA}
    (position,) = (number for number, (name, _) in enumerate(runner.calls, start=1) if name == "benchmarks")
    items = str(runner.folder / f"{position}-items")
    assert {request.sources["items"] for request in runner.of("evaluate")} == {items}


def test_the_validation_questions_lie_at_their_address() -> None:
    assert Source(tune.VALIDATION_DATA).has(tune.VALIDATION_PATH)


def test_the_rates_of_the_spec_are_among_those_tried(spec: RunSpec) -> None:
    assert spec.train["full"].learning_rate in tune.RATES["full"]
    assert spec.train["lora"].learning_rate in tune.RATES["lora"]
