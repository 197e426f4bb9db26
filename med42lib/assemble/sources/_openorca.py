"""OpenOrca: answers by GPT-4 and GPT-3.5 to the prompts of four collections, which only a row's id tells apart.

    {"id": "flan.564327", "system_prompt": "You are an AI assistant. ...", "question": "Generate ...",
     "response": "Midsummer House is ..."}

The publisher hands it out on the hub, as two Parquet files (`1M-GPT4-Augmented`, `3_5M-GPT3_5-Augmented`, 4,233,923
rows together); JSON lines of the same columns are read too. An id begins with `t0.`, `flan.`, `cot.` or `niv.`; the
first three are a source each, and `niv.`, which the paper took from elsewhere, is none. A collection's source passes
over the rows of the others without counting them: they are not its records. A row whose id names no collection is a
reject in each.

The system prompt of a row is kept; often it is empty, and the conversation then has none.

Among the prompts are tasks made of the benchmarks. They are known by their fixed wordings: those of PubMedQA in the
collection of prompts that T0 and Flan use (promptsource), and the usual ones of MMLU and HeadQA. A prompt with one of
them near its beginning or end is excluded unless the settings say `benchmark_tasks: true`. Questions in other words are
left to decontamination.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from med42lib.assemble.source import Conversation, Conversations, ReadOptions, SourceLayout, TrainingSource
from med42lib.formats.records import Exchange
from med42lib.formats.rejects import BadRecord, ExcludedRecord, Reject
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.fields import mapping, optional_text, text_field
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.hf_layout import Rows, file_rows, parquet_batches, table_files
from med42lib.readers.parsers import Record, each

COLLECTIONS = ("t0.", "flan.", "cot.", "niv.")
Collection = Literal["t0.", "flan.", "cot."]

BENCHMARK_WORDINGS = {
    "given a pubmed abstract:": "PubMedQA",
    "given a research abstract:": "PubMedQA",
    "summarize the above answer as yes, no, or maybe": "PubMedQA",
    "the above text would most likely be found in which section:": "PubMedQA",
    "pubmedqa": "PubMedQA",
    "pubmed_qa": "PubMedQA",
    "the following are multiple choice questions (with answers) about": "MMLU",
    'you are also given 4 answer options (associated with "a", "b", "c", "d")': "MMLU",
    "a multiple-choice question about healthcare": "HeadQA",
    "medmcqa": "MedMCQA",
}
"""Wordings in small letters, and the benchmark each belongs to."""

_SEARCHED_CHARACTERS = 256
"""How far from either end of a prompt a wording is looked for: instructions stand there, and texts are long."""


def openorca(
    collection: Collection, *, name: str, title: str, num_paper: int, num_paper_origin: str, tokens_per_row: int
) -> TrainingSource:
    """Make the source of one collection."""
    read = partial(_read, collection)
    return TrainingSource(
        name=name,
        title=title,
        domain="general",
        facts=PublisherFacts(
            licence="MIT (as OpenOrca states); answers by GPT-4 and GPT-3.5, so OpenAI's terms concern them",
            attribution="The OpenOrca authors; prompts of the FLAN collection",
            citation="Lian et al. 2023, OpenOrca: An Open Dataset of GPT Augmented FLAN Reasoning Traces",
        ),
        settings=("benchmark_tasks",),
        publisher=SourceLayout("openorca", read),
        huggingface=SourceLayout("openorca", read, repository="Open-Orca/OpenOrca", hub_path="*.parquet"),
        num_paper=num_paper,
        num_paper_origin=num_paper_origin,
        tokens_per_row=tokens_per_row,
        left_out="prompts with a known wording of a benchmark",
    )


def _read(collection: Collection, folder: DataFolder, path: str, read_options: ReadOptions) -> Conversations:
    for file in table_files(folder, path):
        if file.name.lower().endswith(".parquet"):
            yield from _of_columns(collection, file, read_options)
        else:
            yield from _of_rows(collection, file_rows(file), read_options)


def _of_columns(collection: Collection, file: DataFile, read_options: ReadOptions) -> Conversations:
    from med42lib.assemble.conversations.columns import in_order_of_lines
    from med42lib.assemble.sources._openorca_columns import split_plain

    unwanted = () if read_options.benchmark_tasks else tuple(BENCHMARK_WORDINGS)
    for batch in parquet_batches(file):
        plain, rest = split_plain(batch, collection, others=_others(collection), unwanted=unwanted)
        odd = list(_of_rows(collection, rest.records(), read_options))
        if not len(plain):
            yield from odd
            continue
        yield from (found for found in odd if isinstance(found, Reject))
        yield in_order_of_lines(plain, [found for found in odd if isinstance(found, Record)])


def _of_rows(collection: Collection, rows: Rows, read_options: ReadOptions) -> Iterator[Record[Conversation] | Reject]:
    others = _others(collection)
    wanted = (row for row in rows if isinstance(row, Reject) or not _id_begins(row.value, others))
    return each(wanted, partial(_conversation, collection, read_options.benchmark_tasks))


def _others(collection: Collection) -> tuple[str, ...]:
    return tuple(other for other in COLLECTIONS if other != collection)


def _id_begins(row: object, beginnings: tuple[str, ...]) -> bool:
    publisher_id = row.get("id") if isinstance(row, dict) else None
    return isinstance(publisher_id, str) and publisher_id.startswith(beginnings)


def _conversation(collection: Collection, benchmark_tasks: bool, value: Any) -> Conversation:
    row = mapping(value)
    publisher_id = text_field(row, "id")
    if not publisher_id.startswith(collection):
        raise BadRecord("the id names no collection", f"id = {publisher_id!r}")
    question, response = text_field(row, "question"), text_field(row, "response")
    if not benchmark_tasks:
        _check_wording(question)
    return Conversation(
        publisher_id, (Exchange(question, response),), question, system=optional_text(row, "system_prompt")
    )


def _check_wording(question: str) -> None:
    ends = f"{question[:_SEARCHED_CHARACTERS]}\n{question[-_SEARCHED_CHARACTERS:]}".lower()
    for wording, benchmark in BENCHMARK_WORDINGS.items():
        if wording in ends:
            raise ExcludedRecord(f"the prompt has a wording of a benchmark: {benchmark}", wording)
