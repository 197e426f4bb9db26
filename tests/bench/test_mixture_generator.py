"""The made-up mixture is what the bench says it is: the publishers' formats, the paper's counts, the same bytes."""

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from med42lib.assemble.conversations.columns import batches, examples
from med42lib.assemble.source import ReadOptions, load_source
from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFolder
from med42lib.store.artifacts import Source
from tests.bench.datasets_program import PROGRAM
from tests.bench.mixture_generator import JSON_LINES, NUM_PAPER, PUBLISHER, generate, num_rows
from tests.bench.mixture_text import Prose

SCALE = 0.002


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    generate(folder, scale=SCALE)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_program_compared_with_reads_the_same_sources() -> None:
    assert PROGRAM.keys() == NUM_PAPER.keys()


@pytest.mark.parametrize("name", NUM_PAPER)
def test_a_source_reads_as_many_distinct_examples_as_the_paper_has_and_rejects_nothing(
    mixture: Path, name: str
) -> None:
    source = load_source(name)
    layout = source.publisher
    folder = DataFolder(Source(str(mixture / PUBLISHER)))
    records = list(layout.read(folder, layout.path, ReadOptions("letters")))
    rejects = [record for record in records if isinstance(record, Reject)]
    assert {reject.kind for reject in rejects} <= {"excluded"}
    conversations = batches(record for record in records if not isinstance(record, Reject))
    ids = [id for batch in conversations for id in examples(batch, source, None)["id"].to_pylist()]
    assert len(set(ids)) == len(ids) == num_rows(name, SCALE)


def test_the_json_lines_hold_the_rows_of_the_publishers_files(mixture: Path) -> None:
    lines = (mixture / JSON_LINES / "medmcqa.jsonl").read_text()
    assert lines == (mixture / PUBLISHER / "medmcqa" / "train.json").read_text()
    rows = [json.loads(line) for line in (mixture / JSON_LINES / "cord19.jsonl").read_text().splitlines()]
    with (mixture / PUBLISHER / "cord19" / "metadata.csv").open(newline="") as stream:
        assert [row["abstract"] for row in csv.DictReader(stream)] == [row["abstract"] for row in rows]


def test_stackexchange_is_html_by_site(mixture: Path) -> None:
    folder = mixture / PUBLISHER / "stackexchange" / "data"
    assert len(list(folder.iterdir())) == 7  # six sites and a meta site
    (row,) = pq.read_table(next(folder.glob("health.*/*.parquet"))).slice(0, 1).to_pylist()
    assert row["question"].startswith("<")
    assert {"pm_score", "selected", "text"} <= row["answers"][0].keys()


def test_openorca_names_each_rows_part_in_its_id(mixture: Path) -> None:
    files = (mixture / PUBLISHER / "openorca").glob("*.parquet")
    parts = Counter(id.partition(".")[0] for file in files for id in pq.read_table(file)["id"].to_pylist())
    assert parts["t0"] == num_rows("openorca_t0", SCALE)
    assert parts.keys() == {"t0", "flan", "cot", "niv"}


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(mixture: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", scale=SCALE)
    assert digests(tmp_path / "again") == digests(mixture)
    generate(tmp_path / "other", scale=SCALE, seed=1)
    assert not digests(tmp_path / "other").items() & digests(mixture).items()


def test_a_mixture_that_is_there_is_not_made_again(mixture: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in mixture.rglob("*")}
    generate(mixture, scale=SCALE)
    assert {path: path.stat().st_mtime_ns for path in mixture.rglob("*")} == before


@pytest.mark.parametrize("kind", ["line", "prose"])
def test_texts_have_the_mean_asked_for_a_long_tail_and_some_letters_outside_ascii(kind: str) -> None:
    texts = Prose(0, "test").texts(5000, 1000, kind=kind)  # type: ignore[arg-type]
    lengths = sorted(len(text.encode()) for text in texts)
    assert sum(lengths) / len(lengths) == pytest.approx(1000, rel=0.05)
    assert lengths[-1] > 5 * lengths[len(lengths) // 2]
    assert 0.05 < sum(not text.isascii() for text in texts) / len(texts) < 0.3
    assert all(text == text.strip() for text in texts)


def test_even_three_terms_hardly_ever_come_twice() -> None:
    texts = Prose(0, "test").texts(50_000, 10, kind="terms")
    assert len(set(texts)) == len(texts)
