import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from med42lib.core.errors import ConfigError, DataError
from med42lib.engine.context import StageContext
from med42lib.evaluate.config import EvaluateConfig
from med42lib.evaluate.stage import evaluate
from med42lib.formats.chat_template import save_tokenizer
from med42lib.formats.records import BenchmarkItem, write_items
from med42lib.store.artifacts import Source, Target
from tests.evaluate.base_scores import rows_in

Settings = Callable[..., EvaluateConfig]
LETTERS, TEXTS, DIVIDED = (
    f"{{scoring: {how}}}" for how in ("letters", "texts, normalise: none", "texts, normalise: bytes")
)


@pytest.fixture
def run(items_folder: Path, base: Path, tmp_path: Path) -> Callable[..., Path]:
    """Run the stage on a model; returns the folder of scores."""

    def call(config: EvaluateConfig, model: Path = base, items: Path = items_folder) -> Path:
        scores = tmp_path / f"scores{len(list(tmp_path.iterdir()))}"
        scores.mkdir()
        context = StageContext.in_folder(scores.with_name(f"{scores.name}-context"), "evaluate")
        edges = {"items": Source(str(items)), "base": Source(str(base)), "model": Source(str(model))}
        evaluate(config, **edges, answers={}, scores=Target(scores), context=context)
        return scores

    return call


def test_every_item_gets_a_row_in_the_items_order(
    run: Callable[..., Path], settings: Settings, items: list[BenchmarkItem]
) -> None:
    found = rows_in(run(settings()))
    assert [(row["item_id"], row["benchmark"], row["gold"]) for row in found] == [
        (item.id, item.benchmark, item.gold) for item in items
    ]
    assert all(row["correct"] == (row["prediction"] == row["gold"]) for row in found)


def test_the_summary_and_the_metrics_agree_with_the_rows(run: Callable[..., Path], settings: Settings) -> None:
    scores = run(settings(scoring="texts"))
    found, summary = rows_in(scores), json.loads((scores / "summary.json").read_text())
    metrics = {point.key: point.value for point in Source(str(scores)).metrics()}
    for benchmark in ("medqa", "pubmedqa"):
        correct = [row["correct"] for row in found if row["benchmark"] == benchmark]
        assert summary[benchmark]["accuracy"] == metrics[f"accuracy/{benchmark}"] == sum(correct) / len(correct)
        assert summary[benchmark]["items"] == len(correct)
    assert metrics["truncated_items"] == 0
    assert metrics["items_per_second"] > 0


@pytest.mark.parametrize(
    ("scoring", "warned"),
    [
        ({"scoring": "letters"}, [f"pubmedqa is scored by {LETTERS}, but lm-eval's pubmedqa by {TEXTS}, so"]),
        (
            {"scoring": "texts"},
            [
                f"pubmedqa is scored by {DIVIDED}, but lm-eval's pubmedqa by {TEXTS}, so",
                f"medqa is scored by {DIVIDED}, but lm-eval's medqa_4options by {LETTERS}, so",
            ],
        ),
        ({"scoring": "letters", "benchmarks": {"pubmedqa": {"scoring": "texts", "normalise": "none"}}}, []),
    ],
)
def test_a_plain_benchmark_that_is_scored_otherwise_than_by_lm_eval_is_named(
    run: Callable[..., Path],
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    scoring: dict[str, Any],
    warned: list[str],
) -> None:
    with caplog.at_level(logging.WARNING, "med42"):
        run(settings(prompt="plain", **scoring))
    assert [message for message in caplog.messages if not message.startswith(tuple(warned))] == []
    assert len(caplog.messages) == len(warned)


@pytest.mark.parametrize(
    ("said", "warned"),
    [
        ({"system": "Be brief."}, []),
        ({}, ["evaluate.system is 'You are a helpful medical assistant.', but most training data"]),
        ({"prompt": "plain", "scoring": "letters"}, ["pubmedqa is scored by {scoring: letters}"]),
    ],
)
def test_a_fine_tune_that_was_taught_another_system_text_is_named(
    run: Callable[..., Path],
    settings: Settings,
    base: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    said: dict[str, str],
    warned: list[str],
) -> None:
    shutil.copytree(base, tmp_path / "tuned")
    save_tokenizer(base / "model", tmp_path / "tuned/model", "Be brief.")
    with caplog.at_level(logging.WARNING, "med42"):
        run(settings(**said), model=tmp_path / "tuned")
    assert [message for message in caplog.messages if not message.startswith(tuple(warned))] == []
    assert len(caplog.messages) == len(warned)


def test_the_same_inputs_give_the_same_bytes(run: Callable[..., Path], settings: Settings) -> None:
    first, second = run(settings()), run(settings())
    for name in ("scores.jsonl", "summary.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_base_and_adapter_are_scored_on_the_same_items_with_other_results(
    run: Callable[..., Path], settings: Settings, adapter: Path
) -> None:
    config = settings(limit=2)
    of_base, of_adapter = rows_in(run(config)), rows_in(run(config, adapter))
    assert [row["item_id"] for row in of_base] == [row["item_id"] for row in of_adapter]
    assert len(of_base) == 4
    assert all(a["loglikelihoods"] != b["loglikelihoods"] for a, b in zip(of_base, of_adapter, strict=True))


def test_settings_of_a_benchmark_that_the_user_has_not_brought_are_no_mistake(
    run: Callable[..., Path], settings: Settings, items: list[BenchmarkItem], tmp_path: Path
) -> None:
    folder = tmp_path / "without_usmle"
    folder.mkdir()
    write_items(folder, items)
    (folder / "summary.json").write_text(json.dumps({"usmle_sample_exam": {"items": 0, "absent": "bring it"}}))
    config = settings(benchmarks={"usmle_sample_exam": {"scoring": "texts"}})
    assert len(rows_in(run(config, items=folder))) == len(items)
    for broken in ("[1]", '{"medqa": 1}'):
        (folder / "summary.json").write_text(broken)
        with pytest.raises(
            DataError, match=r"summary\.json is (broken|not the summary of benchmark items).*; run bench"
        ):
            run(config, items=folder)


def test_one_line_says_what_came_out(
    run: Callable[..., Path], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="med42"):
        run(settings())
    assert caplog.messages[-1].startswith("scored 5 items in ")
    assert "medqa" in caplog.messages[-1]


def test_items_without_a_line_are_an_error(run: Callable[..., Path], settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "items.jsonl").touch()
    with pytest.raises(DataError, match="no benchmark item"):
        run(settings(), items=tmp_path / "none")


def test_a_misspelt_benchmark_is_an_error(run: Callable[..., Path], settings: Settings) -> None:
    with pytest.raises(ConfigError, match="medq: "):
        run(settings(benchmarks={"medq": {"scoring": "texts"}}))


def test_importing_the_stage_imports_nothing_heavy() -> None:
    program = (
        "import sys, med42lib.evaluate.stage, med42lib.evaluate.config\n"
        "print([name for name in ('torch', 'transformers', 'lm_eval', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
