"""A finished run in a store, with models small enough to load in a test, and the servers it may meet."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from med42lib.engine.context import StageContext
from med42lib.formats.model_folder import copy_tokenizer, write_mlmodel
from med42lib.package_model.config import PackageModelConfig
from med42lib.package_model.stage import package_model
from med42lib.store.artifacts import Source, Target
from med42lib.store.manifest import COMMIT, Input, Manifest, describe_folder
from tests.http_server import QuietHandler, serving
from tests.mlflow_server import MLflowServer, mlflow_server_in
from tests.store.outputs import published
from tests.tiny_llama import make_llama

START_SECONDS = 60
MEASURED_AT_MS = 1_700_000_000_000
BASE_HUB, BASE_LICENCE = f"some/base@{40 * '0'}", "apache-2.0"


@dataclass
class FinishedRun:
    """Outputs of every stage before `register`, published as the runner does."""

    store: str
    scratch: Path
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def context(self) -> StageContext:
        """The context of a call of `register`."""
        return StageContext.in_folder(self.scratch, "register")

    def source(self, edge: str) -> Source:
        return Source(self.addresses[edge], cache=self.scratch / "cache" / edge)

    def publish(
        self,
        edge: str,
        stage: str,
        write: Callable[[Target], object],
        *,
        inputs: dict[str, str] | None = None,
        config: dict[str, object] | None = None,
        key: str = "",
        target: str = "",
        outside: dict[str, Input] | None = None,
    ) -> None:
        """Publish one output; `inputs` maps its edges to edges of this run, `outside` to what came from elsewhere."""
        key, target = key or f"{edge}-key", target or edge
        folder = self.scratch / f"{edge}-out"
        folder.mkdir(parents=True)
        out = Target(folder)
        write(out)
        sources = {name: self.source(upstream) for name, upstream in (inputs or {}).items()}
        manifest = Manifest(
            stage=stage,
            target=target,
            key=key,
            config=config or {},
            inputs={name: Input(source.digest, source.address) for name, source in sources.items()} | (outside or {}),
            files=describe_folder(folder, out.notes),
            rows=3,
            created_at="2026-01-02T03:04:05+00:00",
            seconds=2.5,
            versions={"torch": "2.13.0", COMMIT: f"commit of {stage}"},
        )
        self.addresses[edge] = published(self.store, folder, manifest)

    def trained(self) -> dict[str, Source]:
        """The fine-tunes by their names."""
        return {name: self.source(name) for name in ("full", "lora")}

    def package(self, candidate: str) -> Source:
        """Run `package_model` for a candidate and publish what it wrote, unless that was done."""
        if f"package_{candidate}" in self.addresses:
            return self.source(f"package_{candidate}")
        config = PackageModelConfig.model_validate({"candidate": candidate})
        base, trained = self.source("base"), self.trained()
        self.publish(
            f"package_{candidate}",
            "package_model",
            lambda out: package_model(config, base=base, trained=trained, package=out),
            inputs={"base": "base", "trained.full": "full", "trained.lora": "lora"},
            config=config.model_dump(mode="json"),
            target="package",
        )
        return self.source(f"package_{candidate}")


def _text(name: str, content: str) -> Callable[[Target], object]:
    return lambda out: out.path(name).write_text(content)


def _copy_of(folder: Path, num_metrics: int = 0) -> Callable[[Target], object]:
    def write(out: Target) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                out.path(path.relative_to(folder).as_posix()).write_bytes(path.read_bytes())
        lines = [
            f'{{"key": "loss", "value": {1 / (step + 1)}, "step": {step}, "timestamp_ms": {MEASURED_AT_MS + step}}}\n'
            for step in range(num_metrics)
        ]
        out.path("metrics.jsonl", note=True).write_text("".join(lines))

    return write


def _base(folder: Path) -> Callable[[Target], object]:
    def write(out: Target) -> None:
        _copy_of(folder)(out)
        out.path("licence.json", note=True).write_text(json.dumps({"licence": BASE_LICENCE}))

    return write


def _figure(value: float) -> dict[str, Any]:
    return {"n": 10, "value": value, "low": value - 0.1, "high": value + 0.1}


def _summary() -> dict[str, Any]:
    """The part of the report's numbers that the card shows; all questions, and all of one benchmark, score the same."""
    accuracies = {"base": 0.7, "full": 0.6, "lora": 0.75}
    subsets = {model: {subset: _figure(value) for subset in ("all", "clean")} for model, value in accuracies.items()}
    gains = {f"{model}-base": {**_figure(accuracies[model] - 0.7), "p_holm": 0.5} for model in ("full", "lora")}
    verdict = {"direction": 0, "smallest_shown": 0.2}
    return {
        "confidence": 0.95,
        "groups": {"medqa": ["medqa"], "overall": ["medqa"]},
        "accuracy": {"medqa": subsets, "overall": subsets},
        "difference": {
            group: {pair: {"all": gain, "clean": gain} for pair, gain in gains.items()}
            for group in ("medqa", "overall")
        },
        "verdicts": {
            "subset": "clean",
            "differences": {pair: gain | verdict for pair, gain in gains.items()},
            "added_by_leaks": {},
        },
        "contamination": {
            "threshold": 0.8,
            "close_match": "a training question of cosine above 0.8",
            "items_of_stem_only": 0,
            "benchmarks": {"medqa": {"items": 10, "contaminated": 1}},
            "detectors": {"cosine": 1, "both": 0, "overlap": 0},
        },
    }


def _write_report(out: Target) -> None:
    for name in ("report.html", "pairs.html", "report.md", "results.csv"):
        out.path(name).write_text(f"content of {name}")
    out.path("summary.json").write_text(json.dumps(_summary()))
    out.path("figures/accuracy.svg").write_text("<svg/>")
    out.metric("accuracy/clean/overall/base", 0.7)
    out.metric("accuracy/clean/overall/lora", 0.75)
    out.metric("accuracy/clean/overall/full", 0.6)
    out.metric("leaked_share", 0.1)
    out.metric("difference,clean", 0.5)


def _write_dataset(out: Target) -> None:
    out.path("examples.parquet").write_text("rows")
    shares = [("a", "medical", 2), ("b", "general", 1)]
    rows = [
        {
            "source": name,
            "title": f"Source {name}",
            "domain": domain,
            "sampled": count,
            "licence": "CC BY 4.0",
            "hub": None,
        }
        for name, domain, count in shares
    ]
    out.path("mixture.json").write_text(json.dumps(rows))


def finish_run(store: str, scratch: Path, models: Path) -> FinishedRun:
    run = FinishedRun(store, scratch)
    weights = {"weights": Input("f" * 64, f"hub:{BASE_HUB}")}
    run.publish("base", "fetch_model", _base(models / "base"), target="model", outside=weights)
    run.publish("dataset", "assemble", _write_dataset, config={"mixture": [{"source": "a"}]})
    run.publish("items", "benchmarks", _text("items.jsonl", "{}"))
    checked = {"dataset": "dataset", "items": "items"}
    for target in ("training", "contamination"):
        run.publish(target, "decontaminate", _text(f"{target}.json", target), inputs=checked, key="decon-key")
    run.publish("packed", "pack", _text("chunks.bin", "0"), inputs={"dataset": "training", "model": "base"})
    for method in ("full", "lora"):
        run.publish(
            method,
            "train",
            _copy_of(models / method, num_metrics=1500),
            inputs={"packed": "packed", "model": "base"},
            config={"method": method, "recipe": {"epochs": 2, "betas": [0.9, 0.95]}},
            target="trained",
        )
    for model in ("base", "full", "lora"):
        inputs = {"items": "items", "base": "base", "model": model}
        run.publish(f"{model}_scores", "evaluate", _text("scores.jsonl", model), inputs=inputs, target="scores")
    publish_report(run, "report")
    return run


def publish_report(run: FinishedRun, edge: str) -> None:
    """Publish a report of these models, under a key of its own."""
    inputs = {edge: edge for edge in ("dataset", "items", "contamination", "packed")}
    inputs |= {f"trained.{model}": model for model in ("full", "lora")}
    inputs |= {f"scores.{model}": f"{model}_scores" for model in ("base", "full", "lora")}
    run.publish(edge, "report", _write_report, inputs=inputs, target="report")


@pytest.fixture(scope="session")
def text_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models whose weights are a line of text: enough for everything but loading."""
    folder = tmp_path_factory.mktemp("text_models")
    for name, inside in (("base", "model"), ("full", "model"), ("lora", "peft")):
        (folder / name / inside).mkdir(parents=True)
        (folder / name / inside / "tokenizer.json").write_text("{}")
        (folder / name / inside / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
        (folder / name / inside / "weights.safetensors").write_text(f"weights of {name}")
    for name in ("base", "full"):
        copy_tokenizer(folder / name / "model", folder / name / "components" / "tokenizer")
    write_mlmodel(folder / "full", adapter=False)
    return folder


@pytest.fixture
def finished_run(tmp_path: Path, text_models: Path) -> FinishedRun:
    return finish_run(str(tmp_path / "a store"), tmp_path / "scratch", text_models)


@pytest.fixture(scope="session")
def real_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama, the same with other weights, and an adapter that changes its output."""
    import torch
    from peft import LoraConfig, get_peft_model
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("real_models")
    words = ["<unk>", "</s>", "what", "treats", "fever", "aspirin", "rest", "water", "and", "the"]
    raw = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", eos_token="</s>", pad_token="</s>")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    settings = {"vocab_size": len(words), "max_position_embeddings": 64}
    ends = {"eos_token_id": 1, "bos_token_id": 1, "pad_token_id": 1}
    for seed, name in enumerate(("base", "full")):
        torch.manual_seed(seed)
        make_llama(**settings, **ends).save_pretrained(folder / name / "model")
        tokenizer.save_pretrained(folder / name / "model")
    for name in ("base", "full"):
        copy_tokenizer(folder / name / "model", folder / name / "components" / "tokenizer")
    write_mlmodel(folder / "full", adapter=False)
    base = LlamaForCausalLM.from_pretrained(folder / "base" / "model")
    adapted = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(folder / "lora" / "peft")
    tokenizer.save_pretrained(folder / "lora" / "peft")
    return folder


@pytest.fixture(autouse=True)
def mlflow_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test's own MLflow: a SQLite file in a folder whose name has a space."""
    home = tmp_path / "med42 home"
    monkeypatch.setenv("MED42_HOME", str(home))
    for variable in ("MLFLOW_TRACKING_URI", "MED42_GIT_SHA"):
        monkeypatch.delenv(variable, raising=False)
    return home


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, which takes seconds: tests start from a copy."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def database(mlflow_home: Path, empty_database: Path) -> Path:
    mlflow_home.mkdir()
    return Path(shutil.copy(empty_database, mlflow_home))


def at_once(work: Callable[[], object]) -> None:
    """Call a function in four processes at the same moment."""
    import med42lib.tracking.versions  # noqa: F401

    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)

    def wait_and_work() -> None:
        barrier.wait()
        work()

    processes = [context.Process(target=wait_and_work) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4


@contextmanager
def answering(
    code: int, body: bytes = b"", *, seen: list[str | None] | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A web server that gives everyone the same answer; `seen` gets each request's credentials."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            if seen is not None:
                seen.append(self.headers["Authorization"])
            self.answer(code, body)

    with serving(Handler, tls=tls) as address:
        yield address


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    """A real MLflow server for the whole session."""
    with mlflow_server_in(tmp_path_factory.mktemp("mlflow_server")) as server:
        yield server
