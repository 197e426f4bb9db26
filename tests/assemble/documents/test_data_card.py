import re
import shlex
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from med42lib.assemble.documents.data_card import data_card
from med42lib.commands.main import main
from med42lib.formats.dataset import SCHEMA, write_examples, write_tables
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.store.manifest import FileEntry
from tests.hostile import HTML, MARKDOWN, UNSEEN, unseen_in
from tests.markdown_page import OF_A_STRANGER, kinds, num_cells, num_headings
from tests.mixture_table_rows import demo_rows, mixture_row


@pytest.fixture
def metadata(tmp_path: Path) -> pq.FileMetaData:
    write_tables(tmp_path, [SCHEMA.empty_table()])
    return pq.read_metadata(tmp_path / "examples.parquet")


def front_matter(card: str) -> dict[str, Any]:
    start, yaml_text, _ = card.split("---\n", 2)
    assert start == ""
    front: dict[str, Any] = yaml.safe_load(yaml_text)
    return front


def card_of(metadata: Any, rows: list[dict[str, Any]] | None = None) -> str:
    return data_card(rows or demo_rows(), FileEntry("examples.parquet", 123, "e" * 64), metadata)


def test_features_are_those_that_datasets_reads_from_the_parquet_file(metadata: pq.FileMetaData) -> None:
    import datasets

    features = front_matter(card_of(metadata))["dataset_info"]["features"]
    assert features == datasets.Features.from_arrow_schema(SCHEMA)._to_yaml_list()


def test_the_hub_finds_every_field_of_a_dataset_card(metadata: pq.FileMetaData) -> None:
    from huggingface_hub import DatasetCard

    data = DatasetCard(card_of(metadata)).data
    assert (data.license, data.language) == ("other", ["en"])
    assert data.configs[0]["data_files"] == [{"split": "train", "path": "examples.parquet"}]
    assert data.dataset_info["download_size"] == 123


@pytest.mark.parametrize(
    ("num_rows", "size"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (706_713, "100K<n<1M"), (2_000_000, "1M<n<10M"), (10**8, "100M<n<1B")],
)
def test_the_size_is_one_of_the_hubs_classes(num_rows: int, size: str) -> None:
    class Footer:
        num_row_groups = 0

    Footer.num_rows = num_rows  # type: ignore[attr-defined]
    assert front_matter(card_of(Footer()))["size_categories"] == [size]


def test_each_source_has_licence_attribution_citation_and_counts(metadata: pq.FileMetaData) -> None:
    card = card_of(metadata)
    for row in demo_rows():
        assert f"### {row['title']}\n\n- Attribution: {row['attribution']}" in card
        assert f"- Licence: {row['licence']}\n- Citation: {row['citation']}\n" in card
        assert f"| {row['title']} | {row['sampled']:,} | {row['licence']} |" in card
    assert "There is no licence of the whole" in card
    assert "| HeadQA (English) | 1,212 | 3 | 4 | 1,205 | 1,200 | 1,200 |" in card


def test_a_source_from_the_hub_names_repository_and_revision(metadata: pq.FileMetaData) -> None:
    hub = f"someone/headqa@{'a' * 40}"
    card = card_of(metadata, [mixture_row("headqa", 10, hub=hub, layout="huggingface")])
    assert f"- Read from: `{hub}`" in card
    assert front_matter(card)["source_datasets"] == ["someone/headqa"]
    assert "source_datasets" not in front_matter(card_of(metadata))


@pytest.mark.parametrize("text", [*HTML, *MARKDOWN, UNSEEN])
@pytest.mark.parametrize("name", ["title", "licence", "attribution", "citation", "hub"])
def test_a_text_of_a_source_is_text_on_the_card(metadata: pq.FileMetaData, name: str, text: str) -> None:
    plain, card = (card_of(metadata, [mixture_row("headqa", 10, **{name: value})]) for value in ("x", text))
    page, expected = (each.split("---\n", 2)[2] for each in (card, plain))
    assert not kinds(page) & OF_A_STRANGER
    assert kinds(page) <= kinds(expected) | {"text_special"}
    assert (num_cells(page), num_headings(page)) == (num_cells(expected), num_headings(expected))
    assert not unseen_in(card)
    assert front_matter(card)["dataset_info"] == front_matter(plain)["dataset_info"]


def test_what_the_card_says_for_trl_gives_conversations_in_its_form(
    metadata: pq.FileMetaData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    exchanges = (Exchange("Fever?", "Yes."),)
    systems = ("Be kind.", "")
    rows = [Example("s", "CC0", system, exchanges, "Fever?", Origin("1", "f", 1)) for system in systems]
    write_examples(tmp_path, rows)
    codes = re.findall(r"```\w*\n(.*?)```", card_of(metadata), re.DOTALL)
    [command] = [code for code in codes if code.startswith("med42 export")]
    [loading] = [code for code in codes if code.startswith("train_dataset")]
    assert main(shlex.split(command.replace("path/to/this/folder", "."))[1:]) == 0
    names: dict[str, Any] = {"load_dataset": datasets.load_dataset}
    exec(loading, names)
    spoken = [{"role": "user", "content": "Fever?"}, {"role": "assistant", "content": "Yes."}]
    assert list(names["train_dataset"]["messages"]) == [[{"role": "system", "content": "Be kind."}, *spoken], spoken]
