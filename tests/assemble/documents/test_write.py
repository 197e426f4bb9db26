"""The documents beside a data set, read by those they are for: Hugging Face's datasets, and mlcroissant."""

import hashlib
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.config import AssembleConfig
from med42lib.assemble.documents.write import write_documents
from med42lib.formats.dataset import write_examples
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.store.artifacts import Target
from tests.mixture_table_rows import demo_rows

NUM_EXAMPLES = 12
ALWAYS = ["README.md", "croissant.json", "mixture.csv", "mixture.md"]


def example(number: int) -> Example:
    """An example of one to three exchanges."""
    exchanges = tuple(Exchange(f"What is {number}.{turn}?", f"It is “{turn}”.") for turn in range(1 + number % 3))
    return Example("headqa", "MIT", "", exchanges, f"What is {number}?", Origin(str(number), "headqa.json", number + 1))


Write = Callable[..., Path]


@pytest.fixture
def documents(tmp_path: Path) -> Write:
    """Write examples and their documents to a folder of its own."""

    def write(name: str = "out", **settings: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        write_examples(folder, map(example, range(NUM_EXAMPLES)))
        values = {"sources": {"headqa": {"target": "all"}}, "multiple_choice": "letters", "seed": 1, **settings}
        write_documents(AssembleConfig.model_validate(values), Target(folder), demo_rows())
        return folder

    return write


def test_equal_data_have_equal_documents(documents: Write) -> None:
    one, other = documents("one", near_duplicates={}), documents("other", near_duplicates={})
    names = sorted(path.name for path in one.iterdir() if path.name != "examples.parquet")
    assert names == sorted([*ALWAYS, "near_duplicates.json"])
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_near_duplicates_are_sought_only_if_asked_for(documents: Write) -> None:
    folder = documents()
    assert not (folder / "near_duplicates.json").exists()
    assert "Near-duplicates were not looked for." in (folder / "mixture.md").read_text()


def test_near_duplicates_that_were_found_are_told(documents: Write) -> None:
    folder = documents(near_duplicates={"threshold": 0.5, "sample": 5})
    found = json.loads((folder / "near_duplicates.json").read_text())
    assert (found["rows"], found["rows_compared"], found["threshold"]) == (NUM_EXAMPLES, 5, 0.5)
    sentence = f"5 of 12 rows were compared; {found['pairs'] or 'no two'} "
    assert sentence in (folder / "mixture.md").read_text()


def test_one_pair_is_told_as_one(documents: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"threshold": 0.8, "similarity": "Jaccard", "rows": 12, "rows_compared": 12, "complete": True, "pairs": 1}
    found |= {"pairs_within_sources": 1, "pairs_across_sources": 0, "rows_with_near_duplicates": 2}
    found |= {"largest_clusters": [{"rows": 2}]}
    monkeypatch.setattr("med42lib.assemble.near_duplicates.search.find_near_duplicates", lambda *_: found)
    text = (documents(near_duplicates={}) / "mixture.md").read_text()
    assert "12 of 12 rows were compared. Pairs that are similar by 0.8 or more (Jaccard): 1, 1 within a source" in text
    assert "Rows in such a pair: 2; in the largest cluster: 2." in text


def test_datasets_opens_the_folder_by_its_card(
    documents: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    folder = documents()
    (folder / "rejects.jsonl").write_text('{"another": "schema"}\n')
    opened = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert opened.num_rows == NUM_EXAMPLES
    assert opened[2]["exchanges"][2] == {"prompter": "What is 2.2?", "assistant": "It is “2”."}
    assert opened.info.splits["train"].num_examples == NUM_EXAMPLES


def test_datasets_notices_by_the_card_that_examples_are_missing(
    documents: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    folder = documents()
    write_examples(folder, map(example, range(NUM_EXAMPLES - 1)))
    with pytest.raises(datasets.exceptions.NonMatchingSplitsSizesError):
        datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))


def test_mlcroissant_finds_no_fault_but_the_missing_date(documents: Write) -> None:
    """Equal data must be described by equal bytes, so there is no date of publishing."""
    import mlcroissant

    folder = documents()
    described = mlcroissant.Dataset(str(folder / "croissant.json"))
    issues = described.metadata.ctx.issues
    assert not issues.errors
    assert [warning.partition("] ")[2].partition(" is")[0] for warning in issues.warnings] == [
        'Property "https://schema.org/datePublished"'
    ]
    (file,) = described.metadata.distribution
    parquet = (folder / "examples.parquet").read_bytes()
    assert (file.sha256, file.content_size) == (hashlib.sha256(parquet).hexdigest(), f"{len(parquet)} B")


def test_mlcroissant_reads_the_records_with_their_exchanges(documents: Write) -> None:
    import mlcroissant

    described = mlcroissant.Dataset(str(documents() / "croissant.json"))
    records = list(islice(described.records("examples"), 3))
    assert [record["examples/publisher_id"] for record in records] == [b"0", b"1", b"2"]
    assert records[1]["examples/line"] == 2
    assert records[1]["examples/exchanges"] == [
        {
            "examples/exchanges/prompter": f"What is 1.{turn}?".encode(),
            "examples/exchanges/assistant": f"It is “{turn}”.".encode(),
        }
        for turn in range(2)
    ]
