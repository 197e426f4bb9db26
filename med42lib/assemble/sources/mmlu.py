"""MMLU: the dev and validation questions of the paper's 13 subjects.

    publisher    dev/<subject>_dev.csv and val/<subject>_val.csv, no header, the answer as a letter:
                     What is the embryological origin of the hyoid bone?,The first …,The first and …,…,…,D
                 or the hub's rows written as CSV again, with a header and the answer as a number from 0
    hub          <subject>/dev-*.parquet and <subject>/validation-*.parquet:
                     {"question": "What is the …?", "subject": "anatomy", "choices": ["…", "…", "…", "…"], "answer": 3}

`include` names other subjects, as the files do (`high_school_biology`). Test files, the hub's `auxiliary_train` and its
`all`, which holds every subject once more, are never read. Five dev questions stand in the test split of a sibling
subject; that is for `decontaminate` to find.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import PurePosixPath

from med42lib.assemble.conversations.templates import choice_conversation
from med42lib.assemble.source import Conversation, ReadOptions, SourceLayout, TrainingSource
from med42lib.core.errors import DataError
from med42lib.formats.rejects import Reject
from med42lib.readers.files import DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.parsers import Record, csv_rows, each
from med42lib.readers.publishers.mmlu import FACTS, mmlu_rows_of_hub, read_mmlu, topic_of

SUBJECTS = (
    "anatomy",
    "clinical_knowledge",
    "college_medicine",
    "medical_genetics",
    "professional_medicine",
    "college_biology",
    "high_school_biology",
    "professional_psychology",
    "high_school_psychology",
    "human_sexuality",
    "human_aging",
    "nutrition",
    "virology",
)
_ENDINGS = ("_dev.csv", "_val.csv")


def read(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read `<subject>_dev.csv` and `<subject>_val.csv`, as far as there are both, below the folder `path`."""
    for name in _names(folder, path, read_options.include or SUBJECTS):
        yield from each(read_mmlu(folder.file(name)), lambda question: choice_conversation(question, read_options))


def _names(folder: DataFolder, path: str, subjects: Collection[str]) -> list[str]:
    names = [name for name in folder.names(path) if name.endswith(_ENDINGS) and topic_of(name) in subjects]
    missing = set(subjects) - {topic_of(name) for name in names}
    if missing:
        raise DataError(
            f"{folder.address}/{path} has neither dev nor val files of {', '.join(sorted(missing))}; "
            "copy them there, or say in include which subjects to read"
        )
    return names


def read_hub(folder: DataFolder, path: str, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    """Read the dev and validation splits of each subject's folder below `path`."""
    for subject in read_options.include or SUBJECTS:
        rows = table_rows(folder, (PurePosixPath(path) / subject).as_posix(), splits=("validation",))
        yield from each(mmlu_rows_of_hub(rows), lambda question: choice_conversation(question, read_options))


SOURCE = TrainingSource(
    name="mmlu",
    title="MMLU (13 subjects)",
    domain="medical",
    facts=FACTS,
    settings=("include", "multiple_choice"),
    publisher=SourceLayout("mmlu", read, records=csv_rows),
    huggingface=SourceLayout("mmlu_hf", read_hub, repository="cais/mmlu"),
    num_paper=244,
    num_paper_origin="unexplained: neither the dev nor the validation questions of the 13 subjects are 244, and the "
    "test questions are over 100 in each",
    tokens_per_row=112,  # measured on 65 rows
    left_out="the test split, which benchmarks score",
)
