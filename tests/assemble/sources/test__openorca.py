from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from med42lib.assemble.source import Conversation, ReadOptions, load_source
from med42lib.assemble.sources._openorca import BENCHMARK_WORDINGS
from med42lib.core.errors import DataError
from med42lib.formats.records import Exchange
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import ROWS_PER_BATCH
from med42lib.store.artifacts import Source
from tests.assemble.small_sources import one_by_one

PARQUET = "openorca/1M-GPT4-Augmented.parquet"
NAMES = ("openorca_t0", "openorca_flan", "openorca_cot")


def row(publisher_id: Any, **changes: Any) -> dict[str, Any]:
    return {"id": publisher_id, "system_prompt": "Be kind.", "question": "Why?", "response": "So.", **changes}


@pytest.mark.parametrize("file", [PARQUET, "openorca/rows.jsonl"])
def test_a_collection_is_told_by_its_id_and_the_others_are_passed_over(
    write: Any, conversations: Any, file: str
) -> None:
    write(file, [row("niv.1"), row("t0.2"), row("flan.3"), row("cot.4"), row("t0.5")])
    ids = {name: [conversation.publisher_id for conversation in conversations(name)] for name in NAMES}
    assert ids == {"openorca_t0": ["t0.2", "t0.5"], "openorca_flan": ["flan.3"], "openorca_cot": ["cot.4"]}
    assert conversations("openorca_t0", layout="huggingface") == conversations("openorca_t0")


def test_the_rows_system_prompt_is_kept_also_when_it_is_empty(write: Any, conversations: Any) -> None:
    write(PARQUET, [row("cot.1"), row("cot.2", system_prompt=""), row("cot.3", system_prompt=None)])
    said, empty, null = conversations("openorca_cot")
    assert said == Conversation("cot.1", (Exchange("Why?", "So."),), "Why?", system="Be kind.")
    assert (empty.system, null.system) == ("", "")


@pytest.mark.parametrize("file", [PARQUET, "openorca/rows.jsonl"])
def test_a_record_has_the_number_of_its_row_in_the_file(write: Any, data: Path, file: str) -> None:
    count = 2 * ROWS_PER_BATCH + 5
    write(file, [row(f"{'cot' if number % 700 == 0 else 'niv'}.{number}") for number in range(1, count + 1)])
    layout = load_source("openorca_cot").publisher
    found = layout.read(DataFolder(Source(str(data))), "openorca", ReadOptions("letters"))
    records: list[Any] = list(one_by_one(found))
    assert [(record.line, record.value.publisher_id) for record in records] == [(700, "cot.700"), (1400, "cot.1400")]


@pytest.mark.parametrize("name", ["x.parquet", "X.PARQUET"])
def test_rows_of_a_parquet_file_stay_columns_whatever_case_its_name_has(data: Path, name: str) -> None:
    pq.write_table(pa.Table.from_pylist([row("t0.2")]), data / name)
    found = load_source("openorca_t0").publisher.read(DataFolder(Source(str(data))), name, ReadOptions("letters"))
    assert isinstance(next(found), pa.RecordBatch), "one by one they take many times as long"


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_other_kinds_of_text_columns_are_read_alike(data: Path, conversations: Any, kind: Any) -> None:
    rows = [row("niv.1"), row("t0.2"), row("t0.3")]
    table = pa.table({name: pa.array([r[name] for r in rows], kind) for name in rows[0]})
    (data / "openorca").mkdir()
    pq.write_table(table, data / PARQUET)
    assert [conversation.publisher_id for conversation in conversations("openorca_t0")] == ["t0.2", "t0.3"]
    assert conversations("openorca_cot") == []


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (row("t1.1"), "the id names no collection"),
        (row(None), "id is missing"),
        (row("t0.1", question=None), "question is missing"),
        (row("t0.1", question=" "), "question is blank"),
        (row("t0.1", response=""), "response is blank"),
    ],
)
@pytest.mark.parametrize("file", [PARQUET, "openorca/rows.jsonl"])
def test_a_broken_row_is_a_reject_and_the_rest_goes_on(
    write: Any, conversations: Any, file: str, broken: Any, reason: str
) -> None:
    write(file, [broken, row("niv.1", question=""), row("t0.2")])
    first, second = conversations("openorca_t0")
    assert first == ("rejected", reason)
    assert second.publisher_id == "t0.2"


def test_a_missing_or_wrong_column_gives_rejects(write: Any, conversations: Any) -> None:
    write(PARQUET, [{"question": "Why?", "response": "So."}])
    assert conversations("openorca_t0") == [("rejected", "id is missing")]
    write(PARQUET, [row(12)])
    assert conversations("openorca_t0") == [("rejected", "id is not text")]


def test_a_cut_parquet_file_fails(write: Any, conversations: Any) -> None:
    path = write(PARQUET, [row("t0.1")])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a whole Parquet file"):
        conversations("openorca_t0")


@pytest.mark.parametrize(("wording", "benchmark"), BENCHMARK_WORDINGS.items())
def test_prompts_with_a_benchmarks_wording_are_left_out(
    write: Any, conversations: Any, wording: str, benchmark: str
) -> None:
    first, last = f"Q: {wording.upper()} anatomy {'x' * 900}", f"{'x' * 900} {wording.capitalize()} a or b?"
    write(PARQUET, [row("flan.1", question=first), row("flan.2", question=last), row("flan.3")])
    excluded = ("excluded", f"the prompt has a wording of a benchmark: {benchmark}")
    *found, kept = conversations("openorca_flan")
    assert found == [excluded, excluded]
    assert kept.publisher_id == "flan.3"
    assert all(
        isinstance(conversation, Conversation) for conversation in conversations("openorca_flan", benchmark_tasks=True)
    )


def test_the_real_rows_give_the_stated_counts(real_data: Path) -> None:
    """Two rows of 4,233,923 are here: a `niv.`, which no source reads, and a `flan.`."""
    counts = {}
    for name in NAMES:
        folder = DataFolder(Source(str(real_data / "raw")))
        found = load_source(name).publisher.read(folder, "openorca", ReadOptions("letters"))
        counts[name] = len(list(one_by_one(found)))
    assert counts == {"openorca_t0": 0, "openorca_flan": 1, "openorca_cot": 0}


PAPER = {"openorca_t0": (110_905, 112_500), "openorca_flan": (110_854, 112_500), "openorca_cot": (73_890, 75_000)}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_counts_are_a_draw_less_one_and_a_half_per_cent(name: str) -> None:
    source, (count, drawn) = load_source(name), PAPER[name]
    assert (source.num_paper, source.domain) == (count, "general")
    assert f"{drawn:,}" in source.num_paper_origin
    assert count / drawn == pytest.approx(0.985, abs=0.001)
