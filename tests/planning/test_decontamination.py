from pathlib import Path

import pytest

from med42lib.benchmarks.config import BenchmarksConfig
from med42lib.decontaminate.config import DecontaminateConfig
from med42lib.planning.decontamination import DecontaminationPlan, count_own_items, plan_decontamination
from med42lib.planning.hardware import GPUS
from med42lib.planning.mixture import SourcePlan
from med42lib.spec import load_spec
from tests.assemble.own_rows import CHOICE
from tests.conftest import REPOSITORY
from tests.data_files import write_data


def sources(rows: int) -> list[SourcePlan]:
    return [SourcePlan("medqa", rows, 100.0, rows_counted=False, tokens_measured=False, remark="")]


def plan(rows: int, benchmarks: BenchmarksConfig, **settings: object) -> DecontaminationPlan:
    return plan_decontamination(DecontaminateConfig.model_validate(settings), benchmarks, sources(rows), {})


@pytest.fixture
def of_the_paper() -> BenchmarksConfig:
    return load_spec(REPOSITORY / "pipelines/specs/med42.yaml").benchmarks


def test_the_papers_run_takes_two_cores_an_hour_to_embed_and_seconds_to_compare(of_the_paper: BenchmarksConfig) -> None:
    paper = plan(706_713, of_the_paper)

    assert (paper.items, paper.unknown) == (10_437, ())
    assert paper.embed_seconds(2) == pytest.approx(3_600, rel=0.2)
    assert paper.compare_seconds(2) == pytest.approx(11, rel=0.1)
    assert paper.compare_flops == pytest.approx(706_713 * 10_437 * 384 * 2)


def test_a_gpu_is_worked_out_from_its_data_sheet(of_the_paper: BenchmarksConfig) -> None:
    paper = plan(706_713, of_the_paper)
    to_embed, to_compare = paper.gpu_seconds(GPUS["v100-32"])

    assert to_embed == pytest.approx(paper.embed_flops / (0.3 * 15.7e12))
    assert to_compare == pytest.approx(paper.compare_flops / (0.3 * 15.7e12))


def test_requests_are_longer_than_questions(of_the_paper: BenchmarksConfig) -> None:
    question, request = (plan(1000, of_the_paper, text=text) for text in ("question", "request"))
    assert request.embed_seconds(1) > 1.5 * question.embed_seconds(1)
    assert request.compare_seconds(1) == question.compare_seconds(1)


def test_items_of_ones_own_are_counted_where_their_files_are(tmp_path: Path) -> None:
    own = {"format": "multiple_choice", "licence": "CC0-1.0"}
    parts = {"ours": {**own, "path": "a.jsonl"}, "few": {**own, "path": "a.jsonl", "limit": 2}}
    parts |= {"gone": {**own, "path": "b.jsonl"}, "task": {"format": "lm_eval", "path": "t.yaml", "licence": "CC0-1.0"}}
    benchmarks = BenchmarksConfig.model_validate({"include": parts})
    write_data(tmp_path / "a.jsonl", [CHOICE] * 3)

    counted = count_own_items(benchmarks, str(tmp_path))
    found = plan_decontamination(DecontaminateConfig(threshold=0.8, action="flag"), benchmarks, sources(1), counted)

    assert counted == {"ours": 3, "few": 3}
    assert (found.items, found.unknown) == (3 + 2, ("gone", "task"))
    assert count_own_items(benchmarks, str(tmp_path / "nowhere")) == {}


def test_topics_and_limits_are_heeded_and_a_benchmark_of_ones_own_is_named() -> None:
    own = {"path": "own.jsonl", "format": "multiple_choice", "licence": "CC0-1.0"}
    mmlu = {"path": "mmlu", "topics": ["anatomy", "medical_genetics"], "limit": 120}
    benchmarks = BenchmarksConfig.model_validate({"include": {"mmlu": mmlu, "pubmedqa": {"path": "p"}, "ours": own}})

    found = plan(10, benchmarks)

    assert (found.items, found.unknown) == (120 + 100 + 500, ("ours",))
