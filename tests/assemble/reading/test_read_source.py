import importlib.metadata
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from med42lib.assemble.conversations.columns import ROWS_PER_BATCH
from med42lib.assemble.conversations.templates import question_conversation
from med42lib.assemble.mixing.spill import read_keys, read_rows
from med42lib.assemble.reading import read_source as module
from med42lib.assemble.reading.pool import prepare_all
from med42lib.assemble.reading.read_source import SUMMARY_FILE, Reading, prepare, read_source, readings
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource, load_source
from med42lib.core.errors import DataError
from med42lib.engine import closure as closure_module
from med42lib.engine.closure import Module, module_file, read_module
from med42lib.formats.rejects import REJECTS_FILE, Reject
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.parsers import Record, each
from med42lib.store.artifacts import Source
from med42lib.store.cache import StageCache
from tests.assemble.small_sources import ADVICE, CARDS, settings, write_advice, write_cards
from tests.store.hub_server import REPO, REVISION, Hub, point_client_at, serving

SOURCES = {"medical_flashcards": {"target": 3}, "health_advice": {"target": 3}}


def nothing(_: int) -> None:
    """Take no notice of progress."""


@pytest.fixture
def filled(data: Path) -> Path:
    """A data folder of both small sources."""
    write_cards(data, ["fever", "cough"])
    write_advice(data, {"a": ["Take this.", "Perhaps take this."]})
    return data


def reading(data: Path, name: str = "medical_flashcards", **settings_of_source: Any) -> Reading:
    """Make one source's reading, with settings of the stage under `stage`."""
    stage = settings_of_source.pop("stage", {})
    config = settings({name: {"target": 3, **settings_of_source}}, **stage)
    return readings(config, Source(str(data)), data.parent / "cache")[0]


def paths(one: Reading) -> list[str]:
    return [entry.path for entry in one.data.files]


def test_sources_are_read_in_the_order_of_their_names(filled: Path) -> None:
    found = readings(settings(SOURCES), Source(str(filled)), filled)
    assert [one.name for one in found] == ["health_advice", "medical_flashcards"]


def test_a_source_may_open_its_own_folder_and_no_other(filled: Path) -> None:
    advice, cards = readings(settings(SOURCES), Source(str(filled)), filled)
    assert paths(advice) == [f"{ADVICE}/annotations_a.csv"]
    assert paths(cards) == [CARDS]


@pytest.mark.parametrize(
    ("path", "reach"),
    [
        ("x", ["x/1.csv", "x/deep/2.csv"]),
        ("x/", ["x/1.csv", "x/deep/2.csv"]),
        ("x/1.csv", ["x/1.csv", "x/deep/2.csv"]),
        ("x/deep/2.csv", ["x/deep/2.csv"]),
        ("x/deep/*.csv", ["x/deep/2.csv"]),
        ("x/de*/2.csv", ["x/1.csv", "x/deep/2.csv"]),
        (".", ["x/1.csv", "x/deep/2.csv", "xy/3.csv"]),
        ("./x", ["x/1.csv", "x/deep/2.csv"]),
        ("*/1.csv", ["x/1.csv", "x/deep/2.csv", "xy/3.csv"]),
    ],
)
def test_a_path_brings_its_folder_into_reach(data: Path, write: Any, path: str, reach: list[str]) -> None:
    for name in ("x/1.csv", "x/deep/2.csv", "xy/3.csv"):
        write(name, "text")
    assert paths(reading(data, path=path)) == reach


def test_sources_that_are_missing_are_listed_all_at_once_with_what_there_is(data: Path, write: Any) -> None:
    write("x/1.csv", "text")
    sources = {"headqa": {"path": "x"}, "medquad": {"path": "absent"}, "pubmedqa": {"path": "x/*.json"}}
    config = settings({name: {"target": 1, **place} for name, place in sources.items()})
    with pytest.raises(DataError, match=r"(?s)2 of 3 sources are missing; .* has x/1\.csv") as error:
        readings(config, Source(str(data)), data)
    assert f"medquad: {data} has no 'absent'\n  pubmedqa: {data} has no 'x/*.json'" in str(error.value)


@pytest.mark.parametrize(
    ("name", "source", "document"),
    [
        ("headqa", {"path": "y"}, "med42lib/assemble/sources/README.md"),
        ("ward", {"path": "y", "format": "instruction", "licence": "ours"}, "med42lib/readers/own/README.md"),
    ],
)
def test_a_missing_source_leads_to_the_document_of_its_kind(
    data: Path, write: Any, name: str, source: dict[str, str], document: str
) -> None:
    write("x/1.csv", "text")
    with pytest.raises(DataError, match=rf"put the files there \(see {document}\)"):
        readings(settings({name: {"target": 1, **source}}), Source(str(data)), data)


def test_a_source_on_the_hub_is_read_from_there(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cards(data, ["fever", "cough"])
    name = Path(CARDS).name
    files = {name: (data / CARDS).read_bytes(), "README.md": b"card"}
    with serving(Hub(files, kind="datasets", large=frozenset({name}))) as hub:
        point_client_at(hub.endpoint, monkeypatch, tmp_path)
        one = reading(data, layout="huggingface", hub=f"{REPO}@{REVISION}")
        assert one.data.address == f"hub:datasets/{REPO}@{REVISION}"
        [folder] = prepare_all([one], StageCache(str(tmp_path / "store"), "assemble", tmp_path / "one"))
        [again] = prepare_all([one], StageCache(str(tmp_path / "store"), "assemble", tmp_path / "two"))
    assert len(read_keys(folder)) == 2
    assert [file["path"] for file in json.loads((folder / SUMMARY_FILE).read_text())["files"]] == [name]
    assert again == folder
    assert hub.served.count(name) == 1


def test_the_stages_form_holds_unless_the_source_has_its_own(filled: Path) -> None:
    assert reading(filled).read_options == ReadOptions("letters")
    own = reading(filled, "medmcqa", path=CARDS, multiple_choice="texts", explanations=False)
    assert own.read_options == ReadOptions("texts", explanations=False)
    own = reading(filled, "niv2", path=CARDS, include=["a"], benchmark_tasks=True)
    assert own.read_options == ReadOptions("letters", include=("a",), benchmark_tasks=True)


def test_the_key_is_made_of_what_the_rows_are_made_of(filled: Path) -> None:
    medmcqa = partial(reading, filled, "medmcqa")
    key = medmcqa(path=CARDS).key
    same: list[dict[str, Any]] = [
        {"target": "all"},
        {"repeat": 3},
        {"stage": {"min_characters": 9, "duplicates": "keep", "total": 5}},
    ]
    others: list[dict[str, Any]] = [
        {"licence": "mine"},
        {"explanations": False},
        {"stage": {"seed": 8}},
        {"path": "*/*.json"},
    ]
    others += [{"stage": {"multiple_choice": "texts"}}, {"stage": {"max_rejected_share": 0.5}}]
    assert {medmcqa(**{"path": CARDS, **changes}).key for changes in same} == {key}
    assert len({key, *(medmcqa(**{"path": CARDS, **changes}).key for changes in others)}) == 7


def test_the_key_follows_the_files_in_reach_alone_wherever_they_lie(filled: Path, tmp_path: Path) -> None:
    key = reading(filled).key
    write_advice(filled, {"b": ["More."]})
    moved = filled.rename(tmp_path / "moved")
    assert reading(moved).key == key
    write_cards(moved, ["fever", "cough", "pain"])
    assert reading(moved).key != key


@pytest.mark.parametrize(
    ("changed", "read_again"),
    [
        ("med42lib.assemble.sources.medmcqa", {"medmcqa"}),
        ("med42lib.readers.publishers.medmcqa", {"medmcqa"}),
        ("med42lib.readers.publishers.usmle", set()),
        ("med42lib.assemble.documents.mixture", set()),
        ("med42lib.assemble.conversations.markup", {"stackexchange"}),
        ("med42lib.assemble.mixing.spill", {"medmcqa", "stackexchange", "medical_flashcards"}),
        ("med42lib.core.hashing", {"medmcqa", "stackexchange", "medical_flashcards"}),
    ],
)
def test_changed_code_has_only_those_sources_read_again_that_it_reads(
    filled: Path, monkeypatch: pytest.MonkeyPatch, changed: str, read_again: set[str]
) -> None:
    names = ("medmcqa", "stackexchange", "medical_flashcards")
    before = {name: reading(filled, name, path=CARDS).key for name in names}

    def read(path: Path, package: str) -> Module:
        module = read_module(path, package)
        return replace(module, sha256="changed") if path == module_file(changed) else module

    monkeypatch.setattr(closure_module, "read_module", read)
    assert {name for name in names if reading(filled, name, path=CARDS).key != before[name]} == read_again


def test_another_version_of_a_library_has_what_it_reads_read_again(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("medmcqa", "stackexchange")
    before = {name: reading(filled, name, path=CARDS).key for name in names}
    installed = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.0" if name == "lxml" else installed(name))
    assert {name for name in names if reading(filled, name, path=CARDS).key != before[name]} == {"stackexchange"}


def test_a_source_becomes_runs_keys_rejects_and_counts(filled: Path, tmp_path: Path) -> None:
    (filled / CARDS).write_text(
        json.dumps([{"input": "a?", "output": "b"}, {"input": "a?"}, {"input": "c", "output": "d"}])
    )
    one = reading(filled, stage={"max_rejected_share": 0.5})
    folder = prepare(one, StageCache(str(tmp_path / "store"), "assemble", tmp_path / "scratch"), nothing)
    assert len(read_keys(folder)) == 2
    assert len(list(folder.glob("run-*"))) == 1
    [reject] = [json.loads(line) for line in (folder / REJECTS_FILE).read_text().splitlines()]
    assert (reject["source"], reject["line"], reject["reason"]) == ("medical_flashcards", 2, "output is missing")
    summary = json.loads((folder / SUMMARY_FILE).read_text())
    assert (summary["read"], summary["rejected"]) == (3, 1)
    assert [file["path"] for file in summary["files"]] == [CARDS]


def test_what_was_read_before_is_found_and_its_files_are_not_opened(filled: Path, tmp_path: Path) -> None:
    first = prepare_all([reading(filled)], StageCache(str(tmp_path / "store"), "assemble", tmp_path / "one"))
    again = reading(filled, target="all", repeat=2)
    (filled / CARDS).unlink()
    assert prepare_all([again], StageCache(str(tmp_path / "store"), "assemble", tmp_path / "two")) == first


def test_what_was_read_of_a_file_that_changed_meanwhile_is_not_kept(filled: Path, tmp_path: Path) -> None:
    one, cache = reading(filled), StageCache(str(tmp_path / "store"), "assemble", tmp_path / "scratch")
    file = filled / CARDS
    time.sleep(0.02)
    with pytest.raises(DataError, match=r"changed while it was read; run again"):
        prepare(one, cache, lambda _: file.touch())
    assert cache.find(one.key) is None


def test_a_source_that_fails_leaves_no_part(filled: Path, tmp_path: Path) -> None:
    write_cards(filled, [])
    with pytest.raises(DataError, match="hold no records"):
        prepare(reading(filled), StageCache(str(tmp_path / "store"), "assemble", tmp_path / "one"), nothing)
    assert not (tmp_path / "store").exists()


def test_rows_are_reported_as_they_are_read(filled: Path, tmp_path: Path) -> None:
    write_cards(filled, map(str, range(2 * ROWS_PER_BATCH + 1)))
    seen: list[int] = []
    read_source(reading(filled), tmp_path, seen.append)
    assert seen == [ROWS_PER_BATCH, ROWS_PER_BATCH, 1]


def test_the_licence_of_the_settings_replaces_even_what_records_bring(data: Path, tmp_path: Path, write: Any) -> None:
    write("cord19/metadata.csv", "cord_uid,title,abstract,license\na,On X,X is so.,cc-by\nb,On Y,Y is so.,\n")
    publishers = load_source("cord19").facts.licence
    for setting, licences in {None: {publishers, f"cc-by; {publishers}"}, "mine": {"mine"}}.items():
        (folder := tmp_path / f"runs-{setting}").mkdir()
        read_source(reading(data, "cord19", licence=setting), folder, nothing)
        assert set(read_rows(folder, 0, np.arange(2, dtype=np.uint32))["licence"].to_pylist()) == licences


def test_the_size_of_runs_can_be_given(filled: Path, tmp_path: Path) -> None:
    write_cards(filled, map(str, range(2 * ROWS_PER_BATCH + 1)))
    read_source(reading(filled), tmp_path, nothing, characters_per_run=200)
    assert len(list(tmp_path.glob("run-*"))) == 3


def rows(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    return each(table_rows(folder, path), lambda row: question_conversation(row["q"], row["a"]))


def test_the_chosen_layout_is_read_with_its_own_path(
    data: Path, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = load_source("medical_flashcards")
    both: TrainingSource = replace(publisher, huggingface=SourceLayout("medical_flashcards", rows))
    monkeypatch.setattr(module, "source_of", lambda name, settings: both)
    write("medical_flashcards/train.jsonl", '{"q": " Fever\\u0000? ", "a": "Yes"}\n')
    write("medical_flashcards/test.jsonl", "never opened")
    read_source(reading(data, layout="huggingface", licence="mine"), tmp_path, nothing)
    assert len(read_keys(tmp_path)) == 1
    assert [file["path"] for file in json.loads((tmp_path / SUMMARY_FILE).read_text())["files"]] == [
        "medical_flashcards/train.jsonl"
    ]
