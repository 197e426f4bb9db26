from typing import Any

import pytest

from med42lib.benchmarks.config import BenchmarksConfig
from med42lib.core.config import parse_config
from med42lib.core.errors import ConfigError


def parse(include: Any, **settings: Any) -> BenchmarksConfig:
    return parse_config(BenchmarksConfig, {"include": include, **settings}, title="bad", prefix="benchmarks")


def test_the_path_alone_is_enough() -> None:
    settings = parse({"medqa": {"path": "medqa/test.jsonl"}}).include["medqa"]
    assert (settings.path, settings.layout) == ("medqa/test.jsonl", "publisher")
    assert (settings.limit, settings.topics) == ("all", ())


def test_an_unknown_benchmark_is_a_problem_that_lists_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"did you mean 'medqa'\? There are: headqa, medmcqa, medqa, mmlu, pubmedqa, usmle"
    ):
        parse({"med_qa": {"path": "x"}})


OWN = {"format": "multiple_choice", "path": "exam.jsonl", "licence": "ours"}


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("exam", {"format": None}, r"exam: is not a known benchmark.*say their format: multiple_choice"),
        ("exam", {"format": "conversations"}, r"exam\.format: should be 'multiple_choice'"),
        ("exam", {"licence": None}, "exam: licence is required for data of your own"),
        ("exam", {"fields": {"stem": "x"}}, "exam: fields has no part 'stem'; a row of multiple_choice has question"),
        ("exam", {"layout": "huggingface"}, "exam: layout is not for data of your own"),
        ("medqa", {}, "medqa: is a benchmark with a format of its own"),
        ("mmlu_ward", {}, "mmlu_ward: would be taken for a part of mmlu"),
        ("overall", {}, "overall: is what the report calls a line of several benchmarks"),
        ("in_distribution", {}, "in_distribution: is what the report calls a line of several benchmarks"),
        ("ward_average", {}, "ward_average: is what the report calls a line of several benchmarks"),
    ],
)
def test_what_questions_of_a_users_own_cannot_mean_is_a_problem_with_its_path(
    name: str, changes: dict[str, Any], problem: str
) -> None:
    assert parse({"exam": OWN, "medqa": {"path": "x"}}).include["exam"].format == "multiple_choice"
    with pytest.raises(ConfigError, match=rf"benchmarks\.include\.{problem}"):
        parse({name: {**OWN, **changes}})


@pytest.mark.parametrize(
    ("include", "where"),
    [
        ({}, "benchmarks.include"),
        ({"medqa": {}}, "benchmarks.include.medqa.path"),
        ({"medqa": {"path": ""}}, "benchmarks.include.medqa.path"),
        ({"medqa": {"path": "x", "limit": 0}}, "benchmarks.include.medqa.limit"),
        ({"medqa": {"path": "x", "layout": "parquet"}}, "benchmarks.include.medqa.layout"),
        ({"medqa": {"path": "x", "topic": "anatomy"}}, "benchmarks.include.medqa.topic"),
    ],
)
def test_a_wrong_setting_is_a_problem_with_its_path(include: Any, where: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(include)
    assert [problem.where for problem in error.value.problems] == [where]


def test_groups_are_refused_where_no_field_can_name_them() -> None:
    with pytest.raises(ConfigError, match=r"benchmarks\.include.*group is for data of your own"):
        parse({"medqa": {"path": "x", "group": "case"}})
    with pytest.raises(ConfigError, match=r"group is not for ward, whose format is lm_eval"):
        parse({"ward": {"path": "x", "format": "lm_eval", "licence": "ours", "group": "case"}})


def test_topics_are_refused_where_a_benchmark_has_none() -> None:
    with pytest.raises(ConfigError, match=r"benchmarks\.include.*topics is for mmlu only, not for medqa"):
        parse({"medqa": {"path": "x", "topics": ["anatomy"]}})
    parse({"mmlu": {"path": "x", "topics": ["anatomy"]}})


REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("hub", ["owner/name", "owner/name@main", f"name@{REVISION}", f"owner/name@{REVISION[1:]}"])
def test_a_hub_is_named_with_its_full_revision(hub: str) -> None:
    with pytest.raises(ConfigError, match=r"benchmarks\.include\.medqa\.hub"):
        parse({"medqa": {"path": ".", "layout": "huggingface", "hub": hub}})
    parse({"medqa": {"path": ".", "layout": "huggingface", "hub": f"owner/name@{REVISION}"}})


@pytest.mark.parametrize(
    ("name", "layout", "problem"),
    [
        ("medqa", "publisher", "hub needs layout: huggingface"),
        ("pubmedqa", "huggingface", "the hub lacks a file that pubmedqa needs"),
    ],
)
def test_a_hub_is_refused_where_it_cannot_be_read(name: str, layout: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse({name: {"path": ".", "layout": layout, "hub": f"owner/name@{REVISION}"}})


def test_the_hubs_layout_is_refused_for_what_is_not_on_a_hub() -> None:
    with pytest.raises(ConfigError, match=r"benchmarks\.include.*usmle has the layout publisher only"):
        parse({"usmle": {"path": "x", "layout": "huggingface"}})
