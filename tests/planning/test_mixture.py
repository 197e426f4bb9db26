import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.config import AssembleConfig
from med42lib.formats.prompt import DEFAULT_SYSTEM, render
from med42lib.formats.records import Exchange
from med42lib.pack.config import PackConfig
from med42lib.planning import mixture
from med42lib.planning.mixture import BYTES_PER_TOKEN, SourcePlan, count_chunks, plan_sources, unusable_sources
from med42lib.store.backends.local import LocalStore
from tests.assemble.own_rows import MESSAGES, WARD
from tests.assemble.small_sources import settings, write_advice, write_cards
from tests.data_files import write_data

CARDS = "medical_flashcards"


def planned(config: AssembleConfig, data: Path, tmp_path: Path) -> dict[str, SourcePlan]:
    return {source.name: source for source in plan_sources(config, str(data), tmp_path / "cache")}


def cards(**settings_of_source: Any) -> AssembleConfig:
    return settings({CARDS: {"target": "all", **settings_of_source}})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Thirty flashcards."""
    write_cards(tmp_path / "data", [f"{number:02}" for number in range(30)])
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("source", "rows"),
    [({}, 30), ({"target": 7}, 7), ({"target": 100}, 30), ({"target": 7, "repeat": 3}, 21), ({"repeat": 2}, 60)],
)
def test_the_target_decides_and_no_more_are_taken_than_there_are(
    source: Mapping[str, Any], rows: int, data: Path, tmp_path: Path
) -> None:
    plan = planned(cards(**source), data, tmp_path)[CARDS]
    assert (plan.rows, plan.rows_counted, plan.remark) == (rows, True, "")


def test_a_source_of_the_users_own_is_read_to_its_end_since_no_paper_counts_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixture, "MOST_READ", 3)
    write_data(tmp_path / "data/ward.csv", "prompt,completion\n" + "".join(f"What is {n}?,It is.\n" for n in range(8)))
    ward = {"format": "instruction", "path": "ward.csv", "target": "all", "licence": "ours"}
    plan = planned(settings({"ward": ward}), tmp_path / "data", tmp_path)["ward"]
    assert (plan.rows, plan.rows_counted, plan.tokens_measured) == (8, True, True)


def test_a_share_is_of_the_total(tmp_path: Path) -> None:
    config = settings({CARDS: {"target": "25 %"}}, total=1000)
    assert planned(config, tmp_path / "gone", tmp_path)[CARDS].rows == 250


def test_a_row_is_measured_as_the_model_will_see_it(data: Path, tmp_path: Path) -> None:
    text = render(DEFAULT_SYSTEM, [Exchange("What is 17?", "It is 17.")]).text
    plan = planned(cards(), data, tmp_path)[CARDS]
    assert plan.tokens_measured
    assert plan.tokens_per_row == pytest.approx(len(text) / BYTES_PER_TOKEN)


def test_what_is_not_there_is_estimated_and_said(data: Path, tmp_path: Path) -> None:
    write_advice(data, {"a": ["Eat less."]})
    found = planned(settings({CARDS: {"target": "all"}, "medqa": {"target": "all"}}), data, tmp_path)
    assert found[CARDS].rows_counted
    medqa = found["medqa"]
    assert (medqa.rows, medqa.rows_counted, medqa.tokens_measured) == (11_290, False, False)
    assert medqa.remark == f"missing: {data} has no 'medqa/questions/US/4_options'"


def test_of_a_large_source_the_first_rows_are_read(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "MOST_READ", 10)
    everything = planned(cards(), data, tmp_path)[CARDS]
    assert (everything.rows, everything.rows_counted, everything.remark) == (30_106, False, "has more than 10 rows")
    few = planned(cards(target=9), data, tmp_path)[CARDS]
    assert (few.rows, few.rows_counted) == (9, True)
    many = planned(cards(target=25), data, tmp_path)[CARDS]
    assert (many.rows, many.rows_counted, many.tokens_measured) == (25, False, True)


def test_no_file_is_hashed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: LocalStore, name: str) -> None:
        raise AssertionError(f"{name} was hashed")

    monkeypatch.setattr(LocalStore, "blocks", refuse)
    assert planned(cards(), data, tmp_path)[CARDS].rows == 30


def test_a_file_that_cannot_be_read_is_named_and_estimated(data: Path, tmp_path: Path) -> None:
    write_cards(data, []).write_bytes(b"\xff\xfe")
    plan = planned(cards(), data, tmp_path)[CARDS]
    assert plan.remark.startswith("cannot be read: ")
    assert plan.rows == 30_106


def test_the_hub_is_not_asked(tmp_path: Path, data: Path) -> None:
    hub = f"medalpaca/medical_meadow_medical_flashcards@{'0' * 40}"
    plan = planned(cards(target=5, hub=hub, layout="huggingface"), data, tmp_path)[CARDS]
    assert (plan.rows, plan.rows_counted, plan.remark) == (5, False, "on the hub, which was not asked")


@pytest.mark.slow
def test_files_in_a_bucket_are_listed_and_not_fetched(bucket: str, tmp_path: Path) -> None:
    from med42lib.store.backends.s3 import make_client

    content = json.dumps([{"instruction": "", "input": "a?", "output": "b"}]).encode()
    make_client().put_object(
        Bucket=bucket, Key="data/medical_flashcards/medical_meadow_medical_flashcards.json", Body=content
    )
    config = settings({CARDS: {"target": 5}, "medqa": {"target": 5}})
    found = {plan.name: plan.remark for plan in plan_sources(config, f"s3://{bucket}/data", tmp_path / "cache")}
    assert found[CARDS] == "not on this machine, so not read"
    assert found["medqa"].startswith("missing: ")
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_rows_of_the_users_own_in_a_bucket_are_guessed_from_the_files_size(bucket: str, tmp_path: Path) -> None:
    from med42lib.store.backends.s3 import make_client

    row = json.dumps({"prompt": "What is it?" * 40, "completion": "It is so."}) + "\n"
    for name, num_rows in (("ward", 1000), ("other", 9)):
        make_client().put_object(Bucket=bucket, Key=f"data/{name}.jsonl", Body=row.encode() * num_rows)
    ward = {"format": "instruction", "path": "ward.jsonl", "target": "all", "licence": "ours"}
    config = settings({"ward": ward})
    [plan] = plan_sources(config, f"s3://{bucket}/data", tmp_path / "cache")
    assert plan.tokens == pytest.approx(len(row) * 1000 / BYTES_PER_TOKEN, rel=0.01)
    assert (plan.rows_counted, plan.remark) == (False, "not on this machine, so not read")
    [gone] = plan_sources(config, f"s3://{bucket}/nowhere", tmp_path / "cache")
    assert gone.rows == 0
    assert gone.remark.endswith("; counted as no rows")


def test_chunks_hold_all_tokens() -> None:
    source = SourcePlan("x", 10, 12.9, True, True, "")
    pack = PackConfig(policy="concatenate", chunk_length=128, seed=1)
    assert count_chunks([source, source], pack) == 3
    assert count_chunks([], pack) == 1
    assert count_chunks([source, source], pack.model_copy(update={"validation_share": 0.5})) == 2


def test_a_source_without_files_where_others_have_theirs_is_a_problem(data: Path, tmp_path: Path) -> None:
    config = settings({CARDS: {"target": "all"}, "medqa": {"target": 5}, "mmlu": {"target": 5}})
    found = list(unusable_sources(list(plan_sources(config, str(data), tmp_path / "cache"))))
    assert [problem.where for problem in found] == ["assemble.sources.medqa", "assemble.sources.mmlu"]
    assert "add its files, or take it out" in found[0].what


@pytest.mark.parametrize(("broken", "reason"), [(1, ""), (2, "2 of 40 records were rejected (5.0%)"), (40, "40 of 40")])
def test_a_source_of_which_too_many_rows_are_broken_is_a_problem(
    data: Path, tmp_path: Path, broken: int, reason: str
) -> None:
    write_data(data / "ward.jsonl", [{"messages": MESSAGES}] * (40 - broken) + [{"messages": "x"}] * broken)
    plans = list(plan_sources(settings({"ward": WARD}, max_rejected_share=0.04), str(data), tmp_path / "cache"))
    assert plans[0].rows == 40 - broken
    found = [problem.what for problem in unusable_sources(plans)]
    assert [what.startswith(reason) for what in found] == ([True] if reason else [])
    assert all("messages is not a list of messages, first at ward.jsonl:" in what for what in found)


def test_data_of_which_nothing_is_there_are_yet_to_come(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in ("empty", "gone"):
        plans = list(
            plan_sources(settings({CARDS: {"target": 5}, "medqa": {"target": 5}}), f"{tmp_path}/{place}", tmp_path)
        )
        assert list(unusable_sources(plans)) == []
