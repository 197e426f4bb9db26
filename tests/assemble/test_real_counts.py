"""Every source that has real records at hand, through the whole stage: counts stated and explained."""

import json
from pathlib import Path
from typing import Any

import pytest

from med42lib.assemble.config import AssembleConfig
from med42lib.assemble.stage import assemble
from med42lib.engine.context import StageContext
from med42lib.formats.dataset import read_examples
from med42lib.store.artifacts import Source, Target

COUNTS = ("read", "rejected", "excluded", "duplicates", "kept")
SOURCES: dict[str, dict[str, Any]] = {
    "headqa": {},
    "pubmedqa": {},
    "health_advice": {},
    "pubmed_causal": {},
    "mediqa": {"path": "mediqa/MEDIQA2019"},
    "medquad": {},
    "mmlu": {},
    "medqa": {"path": "medqa/mediq_all_dev_good.jsonl"},
    "niv2": {"path": "niv2", "include": ["task181_outcome_extraction", "task591_sciq_answer_generation"]},
    "opengpt": {"path": "opengpt/example_project_data"},
    "stackexchange": {"layout": "huggingface", "path": "stackexchange", "include": ["any"]},
    "medical_flashcards": {"path": "medical_flashcards/first_row.json"},
    "openorca_flan": {"layout": "huggingface", "path": "openorca/first_rows.jsonl"},
}


@pytest.fixture(scope="module")
def assembled(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder that the stage wrote, and its mixture by source."""
    folder = tmp_path_factory.mktemp("real") / "dataset"
    folder.mkdir()
    values = {
        "sources": {name: {"target": "all", **settings} for name, settings in SOURCES.items()},
        "multiple_choice": "letters",
        "seed": 42,
    }
    assemble(
        AssembleConfig.model_validate(values),
        data=Source(str(real_data / "raw")),
        dataset=Target(folder),
        context=StageContext.in_folder(folder.parent, "assemble"),
    )
    return folder, {row["source"]: row for row in json.loads((folder / "mixture.json").read_text())}


EXPECTED = {
    # Five exams of 2013 and 2014: Table A1's 2,657, of which 68 show an image, 2 have the right option twice and 6 say
    # the same as another.
    "headqa": [2657, 0, 70, 6, 2581],
    # 10,848 sentences; two stand there twice with different labels.
    "health_advice": [10848, 0, 4, 16, 10828],
    "medical_flashcards": [1, 0, 0, 0, 1],
    # Two training sets and the validation set; 1,207 answers are rated as wrong or only related.
    "mediqa": [1935, 0, 1207, 4, 724],
    # The development set as MediQ hands it out; three ask about a figure.
    "medqa": [1272, 0, 3, 0, 1269],
    # The development questions of 13 subjects, five each; no validation files are here.
    "mmlu": [65, 0, 0, 0, 65],
    # 338 and 1,000 instances of the two tasks' training files; their dev and test files are not read.
    "niv2": [1338, 0, 0, 0, 1338],
    "opengpt": [306, 0, 0, 0, 306],
    # The other of the two rows is a `niv.` one, which is Niv2's.
    "openorca_flan": [1, 0, 0, 0, 1],
    # 3,061 sentences; one stands there twice with different labels.
    "pubmed_causal": [3061, 0, 2, 6, 3053],
    # 1,000 questions, half of them the official test.
    "pubmedqa": [1000, 0, 500, 0, 500],
    # 25 pairs of answers to 8 questions; the same better answer stands in several pairs.
    "stackexchange": [25, 0, 0, 9, 16],
}


@pytest.mark.parametrize("source", sorted(EXPECTED))
def test_the_real_files_assemble_to_the_stated_counts(assembled: tuple[Path, dict[str, Any]], source: str) -> None:
    row = assembled[1][source]
    assert [row[name] for name in COUNTS] == EXPECTED[source]


def test_medquads_files_that_are_here_assemble_to_the_stated_counts(
    assembled: tuple[Path, dict[str, Any]], real_data: Path
) -> None:
    """440 of 11,274 files: 3,186 pairs, 226 of them without an answer for copyright, and 6 documents without pairs."""
    if len(list((real_data / "raw" / "medquad").rglob("*.xml"))) != 440:
        pytest.skip("another selection of MedQuAD's files is here")
    assert [assembled[1]["medquad"][name] for name in COUNTS] == [3192, 0, 232, 48, 2912]


def test_all_of_it_is_in_the_data_set_once(assembled: tuple[Path, dict[str, Any]]) -> None:
    folder, rows = assembled
    examples = list(read_examples(folder))
    assert len(examples) == len({example.id for example in examples}) == sum(row["sampled"] for row in rows.values())
    assert all(row["short_by"] == row["left_over"] == 0 for row in rows.values())
