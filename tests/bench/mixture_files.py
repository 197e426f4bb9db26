"""The publishers' own files around made-up rows: each function writes the rows of one source into its folder.

All write as they read, so that a source of any size needs the memory of a batch; only the small documents that are one
JSON value (PubMedQA, HeadQA, Niv2) and MEDIQA, whose answers stand below their question, are held whole.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby, islice
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.mixture_rows import Row

Rows = Iterable[Row]

ROWS_PER_GROUP = 5_000
MEDQA_DEV_EVERY = 9
CORD19_COLUMNS = (
    *("cord_uid", "sha", "source_x", "title", "doi", "pmcid", "pubmed_id", "license", "abstract", "publish_time"),
    *("authors", "journal", "mag_id", "who_covidence_id", "arxiv_id", "pdf_json_files", "pmc_json_files", "url"),
    "s2_id",
)
ADVICE_FILES = ("discussion", "structured_abstract", "unstructured_abstract")
OPENGPT_FILES = {1: "nhs_uk_qa", 4: "nhs_uk_conversations"}
ORCA_FILES = {True: "1M-GPT4-Augmented.parquet", False: "3_5M-GPT3_5-Augmented.parquet"}
MMLU_SHOTS = 5
MEDIQA_SETS = ("TrainingSet1-LiveQAMed", "TrainingSet2-Alexa")
ANSWER = pa.struct(
    [
        ("answer_id", pa.int64()),
        ("author", pa.string()),
        ("author_id", pa.int64()),
        ("author_profile", pa.string()),
        ("pm_score", pa.int64()),
        ("selected", pa.bool_()),
        ("text", pa.string()),
    ]
)
STACKEXCHANGE_SCHEMA = pa.schema(
    [
        ("qid", pa.int64()),
        ("question", pa.string()),
        ("answers", pa.list_(ANSWER)),
        ("date", pa.string()),
        ("metadata", pa.list_(pa.string())),
    ]
)
ORCA_SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "system_prompt", "question", "response")])


def write_json_lines(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.writelines(orjson.dumps(row) + b"\n" for row in rows)


def write_medmcqa(folder: Path, rows: Rows) -> None:
    write_json_lines(folder / "train.json", rows)


def write_medical_flashcards(folder: Path, rows: Rows) -> None:
    with (folder / "medical_meadow_medical_flashcards.json").open("wb") as stream:
        for number, row in enumerate(rows):
            stream.write((b",\n" if number else b"[\n") + orjson.dumps(row))
        stream.write(b"\n]\n")


def write_medqa(folder: Path, rows: Rows) -> None:
    options = folder / "questions" / "US" / "4_options"
    splits: dict[str, list[Row]] = {"train": [], "dev": []}
    for number, row in enumerate(rows):
        splits["train" if number % MEDQA_DEV_EVERY else "dev"].append(row)
    for split, chosen in splits.items():
        write_json_lines(options / f"phrases_no_exclude_{split}.jsonl", chosen)


def write_stackexchange(folder: Path, rows: Rows) -> None:
    def file_of(row: Row) -> Path:
        site: str = row["metadata"][1].removeprefix("https://")
        return folder / "data" / site / "train-00000-of-00001.parquet"

    _write_parquet(rows, file_of, STACKEXCHANGE_SCHEMA)


def write_openorca(folder: Path, rows: Rows) -> None:
    def file_of(row: Row) -> Path:
        return folder / ORCA_FILES[row["id"].endswith(("0", "5"))]

    _write_parquet(rows, file_of, ORCA_SCHEMA)


def _write_parquet(rows: Rows, file_of: Callable[[Row], Path], schema: Any) -> None:
    """Write each row to its file, in row groups of a batch."""
    writers: dict[Path, Any] = {}
    with ExitStack() as stack:
        for batch in _batches(rows):
            by_file = defaultdict(list)
            for row in batch:
                by_file[file_of(row)].append(row)
            for path, chosen in by_file.items():
                if path not in writers:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    writers[path] = stack.enter_context(pq.ParquetWriter(path, schema))
                writers[path].write_table(pa.Table.from_pylist(chosen, schema=schema))


def _batches(rows: Rows) -> Iterator[list[Row]]:
    rows = iter(rows)
    while batch := list(islice(rows, ROWS_PER_GROUP)):
        yield batch


def write_cord19(folder: Path, rows: Rows) -> None:
    _write_csv(rows, lambda row: folder / "metadata.csv", CORD19_COLUMNS)


def write_health_advice(folder: Path, rows: Rows) -> None:
    def file_of(row: Row) -> Path:
        return folder / f"annotations_{ADVICE_FILES[int(row['pmid']) % 3]}.csv"

    _write_csv(rows, file_of, ("label", "pmid", "sentence"))


def write_pubmed_causal(folder: Path, rows: Rows) -> None:
    _write_csv(rows, lambda row: folder / "annotated_pubmed.csv", ("sentence", "label"))


def write_opengpt(folder: Path, rows: Rows) -> None:
    def file_of(row: Row) -> Path:
        return folder / f"prepared_generated_data_for_{OPENGPT_FILES[row['turns']]}.csv"

    _write_csv(rows, file_of, ("text", "raw_data_id"))


def _write_csv(rows: Rows, file_of: Callable[[Row], Path], columns: Sequence[str]) -> None:
    writers: dict[Path, csv.DictWriter[str]] = {}
    with ExitStack() as stack:
        for row in rows:
            path = file_of(row)
            if path not in writers:
                stream = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
                writers[path] = csv.DictWriter(stream, columns, restval="", extrasaction="ignore", lineterminator="\n")
                writers[path].writeheader()
            writers[path].writerow(row)


def write_mmlu(folder: Path, rows: Rows) -> None:
    """Write the publisher's layout, without header: five shots of a subject, and its validation questions."""
    for subject, chosen in _by(rows, "subject").items():
        cells = [[row["question"], *row["choices"], row["answer"]] for row in chosen]
        for split, part in (("dev", cells[:MMLU_SHOTS]), ("val", cells[MMLU_SHOTS:])):
            (folder / split).mkdir(exist_ok=True)
            with (folder / split / f"{subject}_{split}.csv").open("w", encoding="utf-8", newline="") as stream:
                csv.writer(stream, lineterminator="\n").writerows(part)


def write_pubmedqa(folder: Path, rows: Rows) -> None:
    questions: dict[str, Row] = {}
    truth: dict[str, str] = {}
    for row in rows:
        if row["official_test"]:
            truth[row["PMID"]] = row["final_decision"]
        questions[row["PMID"]] = {key: row[key] for key in row.keys() - {"PMID", "official_test"}}
    for name, document in (("ori_pqal.json", questions), ("test_ground_truth.json", truth)):
        (folder / name).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


def write_headqa(folder: Path, rows: Rows) -> None:
    exams = {
        name: {
            "name": name,
            "year": "2013",
            "category": "medicine",
            "data": [{key: value for key, value in row.items() if key != "exam"} for row in chosen],
        }
        for name, chosen in _by(rows, "exam").items()
    }
    (folder / "HEAD_EN").mkdir(exist_ok=True)
    document = orjson.dumps({"version": "1.0", "language": "en", "exams": exams})
    (folder / "HEAD_EN" / "train_HEAD_EN.json").write_bytes(document)


def write_niv2(folder: Path, rows: Rows) -> None:
    (folder / "tasks").mkdir(exist_ok=True)
    for task, chosen in _by(rows, "task").items():
        document = {
            "Contributors": ["Jane Doe"],
            "Source": ["made up"],
            "URL": ["https://www.example.org/"],
            "Categories": ["Question Answering"],
            "Reasoning": [],
            "Definition": [chosen[0]["definition"]],
            "Input_language": ["English"],
            "Output_language": ["English"],
            "Instruction_language": ["English"],
            "Domains": ["Medicine"],
            "Positive Examples": [{"input": "a sign", "output": "a disease", "explanation": "It follows."}],
            "Negative Examples": [],
            "Instances": [{key: row[key] for key in ("id", "input", "output")} for row in chosen],
            "Instance License": ["CC0 1.0"],
        }
        (folder / "tasks" / f"{task}.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def write_mediqa(folder: Path, rows: Rows) -> None:
    questions = list(_by(rows, "QID").values())
    (folder / "MEDIQA2019").mkdir(exist_ok=True)
    for place, name in enumerate(MEDIQA_SETS):
        chosen = questions[place :: len(MEDIQA_SETS)]
        root = f"MEDIQA2019-Task3-QA-{name}"
        body = "".join(_mediqa_question(answers) for answers in chosen)
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>\n{body}</{root}>\n'
        (folder / "MEDIQA2019" / f"{root}.xml").write_text(text, encoding="utf-8")


def _mediqa_question(answers: list[Row]) -> str:
    names = ("AID", "SystemRank", "ReferenceRank", "ReferenceScore")
    items = "".join(
        f"\t\t\t<Answer {' '.join(f'{name}={quoteattr(row[name])}' for name in names)}>\n"
        f"\t\t\t\t<AnswerURL>{escape(row['AnswerURL'])}</AnswerURL>\n"
        f"\t\t\t\t<AnswerText>{escape(row['AnswerText'])}</AnswerText>\n\t\t\t</Answer>\n"
        for row in answers
    )
    question = f'\t<Question QID="{answers[0]["QID"]}">\n\t\t<QuestionText>{escape(answers[0]["QuestionText"])}'
    return f"{question}</QuestionText>\n\t\t<AnswerList>\n{items}\t\t</AnswerList>\n\t</Question>\n"


def write_medquad(folder: Path, rows: Rows) -> None:
    sites = {"GHR": "3_GHR_QA", "ADAM": "10_MPlus_ADAM_QA"}
    for site in sites.values():
        (folder / "MedQuAD" / site).mkdir(parents=True, exist_ok=True)
    for (source, document), pairs in groupby(rows, key=lambda row: (row["source"], row["document"])):
        pairs_text = "".join(
            f'\t<QAPair pid="{row["pid"]}">\n\t\t<Question qid="{row["qid"]}" qtype="{row["qtype"]}">'
            f"{escape(row['Question'])}</Question>\n\t\t<Answer>{escape(row['Answer'])}</Answer>\n\t</QAPair>\n"
            for row in pairs
        )
        page = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Document id="{document}" source="{source}" '
            f'url="https://www.example.org/{document}">\n<Focus>{document}</Focus>\n'
            f"<QAPairs>\n{pairs_text}</QAPairs>\n</Document>\n"
        )
        (folder / "MedQuAD" / sites[source] / f"{document}.xml").write_text(page, encoding="utf-8")


def _by(rows: Rows, field: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[field]].append(row)
    return groups
