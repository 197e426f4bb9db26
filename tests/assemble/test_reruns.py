"""What a rerun reads again: seen by the parts that it makes."""

from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.reading.pool import PROCESSES_VARIABLE
from med42lib.core.errors import DataError
from med42lib.formats.dataset import read_examples
from med42lib.store.address import open_store
from med42lib.store.cache import CACHE_FOLDER
from tests.assemble.small_sources import ADVICE, ALL, CARDS, outputs, run_stage, write_advice, write_cards


class Reruns:
    """Runs the stage again and again with one store."""

    def __init__(self, data: Path, store: str, root: Path) -> None:
        self.data, self.store, self.root = data, store, root
        self.num_runs = 0

    def __call__(self, sources: Any = ALL, **settings: Any) -> Path:
        self.num_runs += 1
        return run_stage(self.data, self.root / f"run{self.num_runs}", sources, store=self.store, **settings)

    def parts(self) -> set[str]:
        """List what is kept."""
        if self.store.startswith("s3://"):
            return {name.split("/")[2] for name in open_store(self.store).files(f"{CACHE_FOLDER}/assemble")}
        folder = Path(self.store, CACHE_FOLDER, "assemble")
        return {path.name for path in folder.iterdir()} if folder.exists() else set()

    def made(self, sources: Any = ALL, **settings: Any) -> int:
        """Run, and count the sources that were read."""
        before = self.parts()
        self(sources, **settings)
        return len(self.parts() - before)


@pytest.fixture
def again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reruns:
    """The stage on both small sources and an empty store."""
    monkeypatch.setenv(PROCESSES_VARIABLE, "1")
    write_cards(data, map(str, range(30)))
    write_advice(data, {"a": [f"Take {n}." for n in range(20)]})
    return Reruns(data, str(tmp_path / "store"), tmp_path / "runs")


def test_a_rerun_reads_nothing_and_writes_the_same(again: Reruns) -> None:
    first = again()
    assert len(again.parts()) == 2
    second = again()
    assert len(again.parts()) == 2
    assert outputs(first) == outputs(second)


@pytest.mark.parametrize(
    "settings",
    [
        {"min_characters": 14},
        {"max_characters": 60},
        {"duplicates": "keep"},
        {"duplicates_across_sources": "drop"},
        {"total": 9, "sources": {**ALL, "health_advice": {"target": "50 %"}}},
        {"sources": {**ALL, "health_advice": {"target": 3, "repeat": 4}}},
        {"sources": {"health_advice": {"target": "all"}}},
    ],
)
def test_what_is_decided_on_keys_alone_needs_no_reading(again: Reruns, settings: dict[str, Any]) -> None:
    again()
    assert again.made(**settings) == 0


def test_after_a_source_changed_it_alone_is_read_again(again: Reruns) -> None:
    before = again()
    write_cards(again.data, map(str, range(31)))
    assert again.made() == 1
    after = again.root / "run2"
    assert len(list(read_examples(after))) == len(list(read_examples(before))) + 1
    assert outputs(after) == outputs(run_stage(again.data, again.root / "without-parts"))


def test_a_source_put_back_as_it_was_is_not_read_again(again: Reruns) -> None:
    again()
    write_cards(again.data, ["other"])
    assert again.made() == 1
    write_cards(again.data, map(str, range(30)))
    assert again.made() == 0


def test_a_file_more_concerns_only_the_source_whose_folder_it_is_in(again: Reruns) -> None:
    again()
    (again.data / "notes.txt").write_text("mine")
    assert again.made() == 0
    write_advice(again.data, {"b": ["More."]})
    assert again.made() == 1


def test_a_sources_own_setting_has_it_read_again_and_the_seed_has_all(again: Reruns) -> None:
    again()
    assert again.made({**ALL, "health_advice": {"target": "all", "licence": "mine"}}) == 1
    assert again.made(multiple_choice="texts") == 2
    assert again.made(seed=8) == 2


def test_sources_read_before_a_failure_are_not_read_again(again: Reruns) -> None:
    good = (again.data / ADVICE / "annotations_a.csv").read_bytes()
    (again.data / ADVICE / "annotations_a.csv").write_text("no columns")
    with pytest.raises(DataError):
        again()
    (again.data / ADVICE / "annotations_a.csv").write_bytes(good)
    assert again.made() == 1


def test_a_damaged_part_is_noticed_and_named(again: Reruns) -> None:
    again()
    [keys, *_] = Path(again.store).rglob("keys.npy")
    keys.write_bytes(keys.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"\.cache/assemble/.*keys\.npy is missing or not .* delete .* and run again"):
        again()


def test_deleted_parts_are_made_again(again: Reruns) -> None:
    first = again()
    for path in sorted(Path(again.store).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert again.made() == 2
    assert outputs(again.root / "run2") == outputs(first)


@pytest.mark.slow
def test_parts_in_a_bucket_are_found_again_whichever_process_made_them(
    again: Reruns, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    again.store = f"s3://{bucket}"
    monkeypatch.setenv(PROCESSES_VARIABLE, "2")
    first = again()
    assert len(again.parts()) == 2
    (again.data / CARDS).touch()
    assert again.made() == 0
    write_cards(again.data, ["other"])
    assert again.made() == 1
    assert outputs(again.root / "run2") == outputs(first)
