from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.assemble.config import SOURCES, AssembleConfig, SourceConfig
from med42lib.assemble.source import LayoutName, ReadOptions, load_source
from med42lib.core.config import parse_config
from med42lib.core.errors import ConfigError, DataError, Problem
from med42lib.readers.files import DataFolder
from med42lib.store.artifacts import Source
from tests.assemble import good_rows

GOOD: dict[str, Any] = {"sources": {"headqa": {"target": 10}}, "multiple_choice": "letters", "seed": 0}
REVISION = "0123456789abcdef0123456789abcdef01234567"


def parse(**changes: Any) -> AssembleConfig:
    return parse_config(AssembleConfig, {**GOOD, **changes}, title="bad", prefix="assemble")


def headqa(**settings: Any) -> SourceConfig:
    return parse(sources={"headqa": {"target": 10, **settings}}, total=1000).sources["headqa"]


def problems(**changes: Any) -> list[Problem]:
    with pytest.raises(ConfigError) as error:
        parse(**changes)
    return error.value.problems


@pytest.mark.parametrize("target", [1, 2657, "all", "25.5 %", "25.5%", "100 %", "0.01 %", "3 %"])
def test_a_target_is_a_count_a_share_or_all(target: Any) -> None:
    assert headqa(target=target).target == target


@pytest.mark.parametrize(
    "target",
    [
        0,
        -3,
        2.5,
        True,
        "some",
        None,
        [1],
        "10",
        "0 %",
        "0.0%",
        "101 %",
        "-5 %",
        "5 percent",
        "%",
        "5  %",
        ".5 %",
        "1e1 %",
    ],
)
def test_any_other_target_is_one_problem_with_its_path(target: Any) -> None:
    (problem,) = problems(sources={"headqa": {"target": target}}, total=10)
    assert problem.where == "assemble.sources.headqa.target"
    assert "must be 'all', a whole number of at least 1, or a share of the total such as '25.5 %'" in problem.what


@pytest.mark.parametrize(
    ("target", "total", "wanted"),
    [
        ("all", None, 7),
        (3, None, 3),
        (90, None, 90),
        ("25.5 %", 1000, 255),
        ("100%", 706_713, 706_713),
        ("0.1 %", 99, 0),
    ],
)
def test_a_target_becomes_a_number_of_rows(target: Any, total: int | None, wanted: int) -> None:
    assert SourceConfig(target=target).wanted(available=7, total=total) == wanted


@given(st.integers(1, 100), st.integers(1, 10**7))
def test_shares_that_make_up_the_whole_make_up_the_total_but_for_rounding(share: int, total: int) -> None:
    parts = [SourceConfig(target=f"{s} %") for s in (share, 100 - share) if s]
    assert abs(sum(part.wanted(available=0, total=total) for part in parts) - total) <= 1


def test_shares_need_a_total_and_the_problem_names_the_sources() -> None:
    sources = {"medquad": {"target": "50 %"}, "headqa": {"target": "50 %"}, "pubmedqa": {"target": 3}}
    (problem,) = problems(sources=sources)
    assert problem.where == "assemble"
    assert "total is required, since the target of headqa, medquad is a share of it" in problem.what
    assert parse(sources=sources, total=10).total == 10


@pytest.mark.parametrize("repeat", [0, -1, 101, 1.5, "twice"])
def test_a_repetition_is_a_whole_number_from_1_to_100(repeat: Any) -> None:
    (problem,) = problems(sources={"headqa": {"target": 1, "repeat": repeat}})
    assert problem.where == "assemble.sources.headqa.repeat"


def test_nothing_is_repeated_and_duplicates_are_dropped_within_a_source_alone_unless_the_settings_say_so() -> None:
    config = parse()
    assert config.sources["headqa"].repeat == 1
    assert (config.duplicates, config.duplicates_across_sources) == ("drop", "keep")
    assert (config.min_characters, config.max_characters) == (0, None)


def test_a_source_can_be_read_from_the_hub() -> None:
    assert headqa(hub=f"lab/head_qa@{REVISION}", layout="huggingface").hub == f"lab/head_qa@{REVISION}"


@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        ("medquad", {"include": ["typo"]}, "include is for mmlu, niv2, stackexchange only, not for medquad"),
        ("headqa", {"benchmark_tasks": True}, "benchmark_tasks is for niv2, openorca_cot, openorca_flan, openorca_t0"),
        ("niv2", {"multiple_choice": "texts"}, "multiple_choice is for headqa, medmcqa, medqa, mmlu, pubmedqa only"),
        ("headqa", {"explanations": False}, "explanations is for medmcqa, pubmedqa only, not for headqa"),
        (
            "pubmedqa",
            {"layout": "huggingface", "hub": f"lab/qa@{REVISION}"},
            "the hub lacks a file that pubmedqa needs: download it into the data folder instead",
        ),
    ],
)
def test_a_setting_that_a_source_lacks_is_refused(name: str, settings: Any, problem: str) -> None:
    (found,) = problems(sources={name: {"target": 1, **settings}})
    assert found.where == "assemble.sources"
    assert problem in found.what


def test_all_settings_that_sources_lack_are_listed_at_once_and_one_that_changes_nothing_is_none() -> None:
    lacking = {"include": ["typo"], "benchmark_tasks": True, "multiple_choice": "texts"}
    sources = {"medquad": {"target": 1, **lacking}, "headqa": {"target": 1, "explanations": False}}
    (found,) = problems(sources=sources)
    named = [part.split()[0] for part in found.what.partition(" (given")[0].split("; ")]
    assert named == ["explanations", "include", "benchmark_tasks", "multiple_choice"]
    assert headqa(include=[], benchmark_tasks=False, explanations=True)


@pytest.mark.parametrize("setting", ["include", "multiple_choice", "explanations"])
def test_the_settings_are_declared_for_the_sources_on_which_they_have_an_effect(
    data: Path, write: Any, setting: str
) -> None:
    changed: dict[str, Any] = {"include": ("no_such_part",), "multiple_choice": "texts", "explanations": False}
    affected = set()
    for (name, layout), good in good_rows.GOOD.items():
        for file, text in {good.name: good.write([good.row]), **good.beside}.items():
            write(file, text)
        usual: dict[str, Any] = {"multiple_choice": "letters", "include": good.include}
        both = ReadOptions(**usual), ReadOptions(**{**usual, setting: changed[setting]})
        one, other = (read_good(data, name, layout, read_options) for read_options in both)
        affected |= {name} if one != other else set()
    assert affected == {name for name in SOURCES.names() if setting in load_source(name).settings}


def read_good(data: Path, name: str, layout: LayoutName, read_options: ReadOptions) -> list[Any]:
    """Read a source's good row; gives conversations or rejects, or the error instead."""
    folder, path = DataFolder(Source(str(data))), good_rows.read_path(name, layout, good_rows.GOOD[name, layout].name)
    try:
        return list(load_source(name).layout(layout).read(folder, path, read_options))
    except DataError as error:
        return [str(error)]


def test_an_unknown_source_is_a_problem_that_lists_the_known_ones() -> None:
    (problem,) = problems(sources={"head_qa": {"target": 1}})
    assert "did you mean 'headqa'? There are: " in problem.what
    assert ", ".join(SOURCES.names()) in problem.what


WARD: dict[str, Any] = {"format": "conversations", "path": "ward.jsonl", "licence": "ours", "target": "all"}


def test_an_unknown_source_without_a_format_is_told_that_its_format_is_what_to_give() -> None:
    (problem,) = problems(sources={"ward": {"target": 1}})
    assert problem.where == "assemble.sources.ward"
    assert "For data of your own say their format: conversations, instruction, multiple_choice" in problem.what
    assert parse(sources={"ward": WARD}).sources["ward"].format == "conversations"


@pytest.mark.parametrize(
    ("name", "changes", "where", "what"),
    [
        ("medqa", {}, ".medqa", "is a source with a format of its own: leave format out, or give yours another name"),
        ("Ward 7", {}, ".Ward 7", "must be small letters, digits and _, and begin with a letter"),
        ("ward", {"format": "chat"}, ".ward.format", "'conversations', 'instruction' or 'multiple_choice'"),
        ("ward", {"licence": None}, ".ward", "licence is required for data of your own: whose they are"),
        ("ward", {"path": None}, ".ward", "path is required for data of your own"),
        ("ward", {"layout": "huggingface"}, ".ward", "layout is not for data of your own"),
        ("ward", {"answers": "letter"}, ".ward", "answers is for format multiple_choice only"),
        (
            "ward",
            {"fields": {"output": "x"}},
            ".ward",
            "has no part 'output'; a row of conversations has messages, role",
        ),
        (
            "ward",
            {"fields": {"id": "nr"}, "ignore": ["nr"]},
            ".ward",
            "ignore names nr, which fields or group name too",
        ),
        ("ward", {"fields": {"messages": ["a", "b"]}}, ".ward", "fields.messages must be the name of a field"),
        ("ward", {"multiple_choice": "texts"}, "", "multiple_choice is not for ward, whose format is conversations"),
        (
            "ward",
            {"format": "instruction", "include": ["x"]},
            "",
            "include is not for ward, whose format is instruction",
        ),
        ("headqa", {"format": None, "group": "patient"}, ".headqa", "group is for data of your own: say their format"),
        ("headqa", {"format": None, "ignore": ["exp"]}, ".headqa", "ignore is for data of your own: say their format"),
        (
            "headqa",
            {"format": None, "fields": {"a": "b"}},
            ".headqa",
            "fields is for data of your own: say their format",
        ),
    ],
)
def test_what_data_of_a_users_own_cannot_mean_is_a_problem_with_its_path(
    name: str, changes: dict[str, Any], where: str, what: str
) -> None:
    (problem,) = problems(sources={name: {**WARD, **changes}})
    assert problem.where == f"assemble.sources{where}"
    assert what in problem.what


def test_settings_of_the_users_own_are_read_back_as_they_were_written() -> None:
    choice = {**WARD, "format": "multiple_choice", "fields": {"options": ["a", "b"]}, "answers": "number_from_1"}
    config = parse(sources={"ward": {**WARD, "group": "patient"}, "exam": choice, "headqa": {"target": 1}})
    assert parse(**config.model_dump(mode="json")) == config


def test_all_problems_are_listed_at_once() -> None:
    sources = {
        "headqa": {"targt": 1},
        "medquad": {"target": "most", "repeat": 0, "layout": "kaggle", "path": "", "licence": ""},
        "no_such": {"target": 1},
    }
    found = problems(
        sources=sources, multiple_choice="numbers", seed=-1, max_rejected_share=2, duplicate="drop", total=0
    )
    assert {problem.where for problem in found} == {
        "assemble.sources.headqa.target",
        "assemble.sources.headqa.targt",
        "assemble.sources.medquad.target",
        "assemble.sources.medquad.repeat",
        "assemble.sources.medquad.layout",
        "assemble.sources.medquad.path",
        "assemble.sources.medquad.licence",
        "assemble.sources.no_such",
        "assemble.multiple_choice",
        "assemble.seed",
        "assemble.max_rejected_share",
        "assemble.duplicate",
        "assemble.total",
    }


def test_a_misspelt_setting_is_named_as_unknown() -> None:
    (problem,) = problems(max_character=5)
    assert problem == Problem(
        "assemble.max_character", "is not a known setting (given: 5); did you mean 'max_characters'?"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_characters", -1),
        ("max_characters", 0),
        ("duplicates", "report"),
        ("duplicates_across_sources", True),
        ("total", 0),
        ("seed", 1.5),
    ],
)
def test_a_setting_out_of_range_is_one_problem_with_its_path(field: str, value: Any) -> None:
    (problem,) = problems(**{field: value})
    assert problem.where == f"assemble.{field}"


def test_a_mixture_needs_a_source() -> None:
    (problem,) = problems(sources={})
    assert problem.where == "assemble.sources"


def test_the_order_of_sources_does_not_change_the_settings() -> None:
    one = {"headqa": {"target": 1}, "medquad": {"target": 2}}
    other = {"medquad": {"target": 2}, "headqa": {"target": 1}}
    assert parse(sources=one).key_json() == parse(sources=other).key_json()


def test_length_limits_that_leave_nothing_are_refused() -> None:
    (problem,) = problems(min_characters=100, max_characters=99)
    assert "max_characters = 99 is below min_characters = 100" in str(problem)
    assert parse(min_characters=100, max_characters=100).max_characters == 100
