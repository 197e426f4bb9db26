import json

from med42lib.assemble.documents.croissant import croissant
from med42lib.formats.dataset import SCHEMA
from med42lib.store.manifest import FileEntry
from tests.hostile import UNSEEN, unseen_in
from tests.mixture_table_rows import demo_rows, mixture_row

FILE = FileEntry("examples.parquet", 123, "e" * 64)


def test_every_column_is_a_field_and_so_is_what_is_in_it() -> None:
    (records,) = json.loads(croissant(demo_rows(), FILE))["recordSet"]
    assert [field["name"] for field in records["field"]] == [f"examples/{name}" for name in SCHEMA.names]
    exchanges = records["field"][-1]
    assert exchanges["repeated"]
    assert [(part["source"]["extract"], part["source"]["transform"]) for part in exchanges["subField"]] == [
        ({"column": "exchanges"}, {"jsonPath": "prompter"}),
        ({"column": "exchanges"}, {"jsonPath": "assistant"}),
    ]


def test_all_licences_and_citations_are_named_once() -> None:
    rows = [mixture_row("headqa", licence="B"), mixture_row("medquad", licence="A"), mixture_row("mmlu", licence="B")]
    described = json.loads(croissant(rows, FILE))
    assert described["license"] == ["A", "B"]
    assert described["citeAs"].splitlines() == [row["citation"] for row in rows]


def test_the_context_is_the_one_that_mlcroissant_writes() -> None:
    from mlcroissant import Metadata

    theirs = Metadata(name="x").to_json()["@context"]
    ours = json.loads(croissant(demo_rows(), FILE))["@context"]
    assert ours == theirs


def test_a_licence_is_exact_and_written_without_unseen_characters() -> None:
    text = croissant([mixture_row("headqa", licence=UNSEEN)], FILE)
    assert json.loads(text)["license"] == [UNSEEN]
    assert not unseen_in(text)
