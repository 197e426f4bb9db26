"""A synthetic run: three models on three benchmarks, with every file that the report reads."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from med42lib.formats.contamination import Label
from med42lib.formats.packed import PackInfo
from med42lib.formats.recipe import Recipe
from med42lib.formats.records import BenchmarkItem, Origin, write_items
from med42lib.formats.scores import SCORES_FILE, Score, write_scores
from med42lib.report.config import ReportConfig
from med42lib.report.stage import report
from med42lib.store.artifacts import Source, Target
from med42lib.store.manifest import Input, Manifest, describe_folder
from tests.mixture_table_rows import mixture_row

BENCHMARKS = {"mmlu_anatomy": 40, "mmlu_college_biology": 60, "medqa": 120}
RIGHT: dict[str, Callable[[int], bool]] = {
    "base": lambda i: i % 4 == 0,
    "full": lambda i: i % 2 == 0 or i % 10 == 5,
    "lora": lambda i: i % 4 == 0 or i % 3 == 0,
}
LEAKED_EVERY = 15
SUBJECTS = ("<i>heart</i> *lung*", "eye", "")
LABELS = (Label.SAME_ANSWER, Label.OTHER_OPTIONS, Label.REWORDED, Label.TOPIC_ONLY)
VERSIONS = {"torch": "2.13.0", "lm-eval": "0.4.13"}


class Run:
    """Folders of a finished run, which a test may damage before it makes the report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def source(self, edge: str) -> Source:
        return Source(str(self.folder / edge))

    def rewrite(self, name: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
        """Change the rows of a JSON lines file; the manifest goes, so that sizes are not compared."""
        path = self.folder / name
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in change(rows)))
        (path.parent / "manifest.json").unlink(missing_ok=True)

    def forget_manifests(self) -> None:
        for manifest in self.folder.glob("*/manifest.json"):
            manifest.unlink()

    def make_report(self, **settings: Any) -> Path:
        output = self.folder / "report"
        output.mkdir(exist_ok=True)
        config = ReportConfig(**{"title": "A synthetic run", **settings})
        report(config, **self.singles(), trained=self.of("trained"), scores=self.of("scores"), report=Target(output))
        return output

    def singles(self) -> dict[str, Source]:
        """The inputs that are one address each."""
        return {edge: self.source(edge) for edge in ("dataset", "items", "contamination", "packed")}

    def of(self, edge: str) -> dict[str, Source]:
        """The sources of an edge of many: `of("scores")["lora"]` lies in `scores.lora`."""
        found = sorted(path.name for path in self.folder.glob(f"{edge}.*"))
        return {name.removeprefix(f"{edge}."): self.source(name) for name in found}

    def add_model(self, name: str, method: str, *, like: str = "lora", **settings: Any) -> None:
        """Add a fine-tune that answers like one that is there."""
        edge = _folder(self.folder, f"trained.{name}")
        write_fine_tune(edge, settings, method=method, trainable=98_304)
        write_scored(self.folder / f"scores.{name}", like, make_items())

    def add_training(self, name: str, *, seed: int, shift: int) -> None:
        """Train a model again with another seed, which answers as the first does `shift` items before."""
        _, number = name.rsplit("_seed", 1)
        assert number.isdigit()
        first = name.removesuffix(f"_seed{number}")
        shutil.copytree(self.folder / f"trained.{first}", self.folder / f"trained.{name}")
        manifest = self.folder / f"trained.{name}/manifest.json"
        manifest.write_text(manifest.read_text().replace('"seed": 42', f'"seed": {seed}'))
        items = make_items()
        rows = [_score(item, right=RIGHT[first](position + shift)) for position, item in enumerate(items)]
        shutil.copytree(self.folder / f"scores.{first}", self.folder / f"scores.{name}")
        write_scores(self.folder / f"scores.{name}" / SCORES_FILE, rows)
        (self.folder / f"scores.{name}/manifest.json").unlink()

    def forget_model(self, name: str) -> None:
        for edge in ("trained", "scores"):
            shutil.rmtree(self.folder / f"{edge}.{name}")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of its own for a test that changes it or reports it anew."""
    return make_run(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one finished report, to be read only."""
    return make_run(tmp_path_factory.mktemp("finished")).make_report()


def make_run(folder: Path) -> Run:
    items = make_items()
    write_data(folder, items)
    write_training(folder)
    for model in RIGHT:
        write_scored(folder / f"scores.{model}", model, items)
    return Run(folder)


def make_items() -> list[BenchmarkItem]:
    return [
        BenchmarkItem(
            id=f"{benchmark}/{number:03d}",
            benchmark=benchmark,
            question=f"Which nerve supplies muscle number {benchmark}{number} of the <b>forearm</b> & hand?",
            context="",
            options=("ulnar nerve", "median nerve", "radial nerve", "axillary nerve"),
            gold=number % 4,
            origin=Origin(str(number), f"{benchmark}.jsonl", number + 1),
            subject=SUBJECTS[number % 3] if benchmark == "medqa" else "",
        )
        for benchmark, count in BENCHMARKS.items()
        for number in range(count)
    ]


def write_data(folder: Path, items: list[BenchmarkItem]) -> None:
    edge = _folder(folder, "items")
    write_items(edge, items)
    _json(edge / "summary.json", {name: item_counts(count) for name, count in BENCHMARKS.items()} | {"usmle": ABSENT})
    _manifest(edge, "benchmarks", "items", {}, seconds=3.2, rows=len(items))
    leaked = [item for position, item in enumerate(items) if position % LEAKED_EVERY == 0]
    write_contamination(_folder(folder, "contamination"), items, leaked)
    edge = _folder(folder, "dataset")
    _json(edge / "mixture.json", [mixture_row("headqa", 400), mixture_row("medquad", 600)])
    _manifest(edge, "assemble", "dataset", {"seed": 1}, seconds=61.0, rows=1000)


ABSENT = {"items": 0, "absent": "bring its files"}


def item_counts(items: int) -> dict[str, Any]:
    """What `benchmarks` counts: of a benchmark's questions eleven cannot be asked."""
    return {
        **{"items": items, "read": items + 11, "rejected": 2, "excluded": 9, "usable": items},
        "rejected_by_reason": {"the question has no answer": 2},
        "excluded_by_reason": {"the question is about an image": 9},
    }


def write_contamination(edge: Path, items: list[BenchmarkItem], leaked: list[BenchmarkItem]) -> None:
    cosines = {item.id: round(0.81 + 0.012 * rank, 3) for rank, item in enumerate(leaked)}
    _json(edge / "contaminated.json", {"threshold": 0.8, "items": cosines})
    pairs = [
        {
            "item_id": item.id,
            "benchmark": item.benchmark,
            "example_id": f"headqa/{rank:04d}",
            "source": "headqa" if rank % 3 else "medquad",
            "cosine": cosines[item.id],
            "item_text": item.question,
            "example_text": f"Muscle number {rank} of the forearm: which nerve? <script>alert(1)</script>",
            "detectors": ["cosine", "ngrams"],
            "overlap": 0.5,
            "label": LABELS[rank % len(LABELS)],
            "item_request": f"{item.question}\nA. ulnar nerve\nB. median nerve",
            "item_answer": "A. ulnar nerve",
            "example_request": f"Muscle number {rank} of the forearm: which nerve? <script>alert(1)</script>",
            "example_answer": "It is the ulnar nerve.",
        }
        for rank, item in enumerate(leaked)
    ]
    _lines(edge / "pairs.jsonl", pairs)
    overlap = {"example_id": "medquad/overlap", "cosine": 0.61, "detectors": ["ngrams"]}
    _lines(edge / "overlaps.jsonl", [{**pairs[0], **overlap}])
    _lines(edge / "stems.jsonl", [])
    examples = {pair["item_id"]: pair["example_id"] for pair in pairs}
    rows = [
        {
            "item_id": item.id,
            "benchmark": item.benchmark,
            "example_id": examples.get(item.id, "headqa/0"),
            "cosine": cosines.get(item.id, 0.3 + 0.002 * position),
            "stem_only": False,
        }
        for position, item in enumerate(items)
    ]
    _lines(edge / "nearest.jsonl", rows)
    counts = {
        name: {"items": count, "contaminated": sum(item.benchmark == name for item in leaked)}
        for name, count in BENCHMARKS.items()
    }
    labelled = Counter(pair["label"] for pair in pairs)
    _json(
        edge / "summary.json",
        {
            "benchmarks": counts,
            "sources": {},
            "labels": {
                label: {"pairs": {"cosine": 0, "both": labelled[label], "overlap": 1}, "items": labelled[label]}
                for label in Label
            },
            "detectors": {"cosine": 4, "both": 11, "overlap": 5, "neither": 200},
            "stems": {"items_otherwise_clean": 0},
        },
    )
    inputs = {"encoder": Input("e" * 64, "package:some_encoder/all-MiniLM-L6-v2")}
    _manifest(edge, "decontaminate", "contamination", {"threshold": 0.8, "action": "flag"}, seconds=24.5, inputs=inputs)


def write_training(folder: Path) -> None:
    edge = _folder(folder, "packed")
    info = PackInfo("concatenate", 512, 1000, 120, 60_000, 21_000, 0, 0, 1, 0, 4096)
    _json(edge / "packed.json", asdict(info))
    _manifest(edge, "pack", "packed", {"policy": "concatenate", "chunk_length": 512}, seconds=5.1, rows=120)
    settings = {
        "warmup_steps": 100,
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "weight_decay": 0.1,
        "max_steps": None,
        "seed": 42,
    }
    lora = {"rank": 8, "alpha": 16.0, "dropout": 0.0}
    full = {**settings, "learning_rate": 5e-5, "epochs": 3}
    write_fine_tune(_folder(folder, "trained.full"), full, method="full", trainable=2_140_000)
    adapted = {**settings, "learning_rate": 6e-3, "epochs": 10, "lora": lora}
    write_fine_tune(_folder(folder, "trained.lora"), adapted, method="lora", trainable=98_304)


def write_fine_tune(edge: Path, settings: dict[str, Any], *, method: str, trainable: int) -> None:
    numbers = [
        ("loss", step, 4.0 * (0.985 if method == "full" else 0.99) ** step + 0.2 * (step % 3)) for step in range(150)
    ]
    numbers += [("tokens_per_second", step, 3000.0 + step) for step in range(150)]
    numbers.append(("train_seconds", 0, 84.0))
    rows = [{"key": key, "value": value, "step": step, "timestamp_ms": 0} for key, step, value in numbers]
    _lines(edge / "metrics.jsonl", rows)
    Recipe(method, 150, 120, 180_000, 63_000, trainable, 2_140_000, 2, 1, 4.0, 0.6, device="NVIDIA H200").write(edge)
    if method == "lora":
        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        _json(edge / "peft/adapter_config.json", {"target_modules": names})
    _manifest(edge, "train", "trained", {"method": method, **settings}, seconds=96.0)


def write_scored(edge: Path, model: str, items: list[BenchmarkItem]) -> None:
    edge.mkdir(parents=True)
    rows = [_score(item, right=RIGHT[model](position)) for position, item in enumerate(items)]
    write_scores(edge / SCORES_FILE, rows)
    summary = {
        name: {"items": count, "accuracy": 0.5, "scoring": "letters", "normalise": "none", "prompt": "med42"}
        for name, count in BENCHMARKS.items()
    }
    _json(edge / "summary.json", summary)
    _manifest(edge, "evaluate", "scores", {}, seconds=12.0, rows=len(items))


def _score(item: BenchmarkItem, *, right: bool) -> Score:
    prediction = item.gold if right else (item.gold + 1) % 4
    loglikelihoods = tuple(-1.0 - (position - prediction) % 4 for position in range(4))
    return Score(item.id, item.benchmark, item.gold, prediction, right, loglikelihoods, truncated=False)


def _folder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _json(path: Path, value: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _manifest(
    edge: Path,
    stage: str,
    target: str,
    config: dict[str, Any],
    *,
    seconds: float,
    rows: int | None = None,
    inputs: dict[str, Input] | None = None,
) -> None:
    manifest = Manifest(
        stage=stage,
        target=target,
        key=f"{edge.name:0<16}",
        config=config,
        inputs=inputs or {},
        files=describe_folder(edge),
        rows=rows,
        created_at="2026-11-02T10:00:00+00:00",
        seconds=seconds,
        versions=VERSIONS,
    )
    (edge / "manifest.json").write_text(manifest.to_json())
