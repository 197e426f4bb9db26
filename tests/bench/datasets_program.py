"""The mixture by the obvious program with Hugging Face `datasets`: what `bench_assembly.py` compares with.

    python -m tests.bench.datasets_program MIXTURE RESULT.parquet CACHE --processes 2

load_dataset, filter, map, concatenate_datasets, shuffle, to_parquet. It does less than `med42 stage assemble`: nothing
is cleaned, hashed, counted or checked, no duplicate is found and no origin kept. It reads the easiest form there is:
JSON lines, or Parquet where the publisher has it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import datasets

from med42lib.assemble.conversations.markup import html_to_text
from med42lib.assemble.sources._niv2_tasks import TASKS
from tests.bench.mixture_generator import JSON_LINES, PUBLISHER, folder_of

Row = dict[str, Any]
SYSTEM = "You are a helpful medical assistant."
LETTERS = "ABCDE"


def conversation(*texts: str, system: str = SYSTEM) -> Row:
    """Make a conversation of texts by turns."""
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return {"system": system, "exchanges": [{"prompter": question, "assistant": answer} for question, answer in pairs]}


def choice(question: str, options: list[str], gold: int, explanation: str | None = None) -> Row:
    lettered = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    answer = lettered[gold] + (f"\n{explanation}" if explanation else "")
    return conversation("\n".join([question, *lettered]), answer)


def medmcqa(row: Row) -> Row:
    return choice(row["question"], [row[key] for key in ("opa", "opb", "opc", "opd")], row["cop"] - 1, row["exp"])


def stackexchange(row: Row) -> Row:
    best = max(row["answers"], key=lambda answer: (answer["selected"], answer["pm_score"]))
    return conversation(html_to_text(row["question"]), html_to_text(best["text"]))


def medqa(row: Row) -> Row:
    return choice(row["question"], list(row["options"].values()), LETTERS.index(row["answer_idx"]))


def pubmedqa(row: Row) -> Row:
    question = "\n".join([*row["CONTEXTS"], row["QUESTION"]])
    return choice(question, ["yes", "no", "maybe"], ["yes", "no", "maybe"].index(row["final_decision"]))


def headqa(row: Row) -> Row:
    return choice(row["qtext"], [answer["atext"] for answer in row["answers"]], int(row["ra"]) - 1)


def cord19(row: Row) -> Row:
    return conversation(f"Summarise this abstract as a title.\n{row['abstract']}", row["title"])


def health_advice(row: Row) -> Row:
    labels = {"0": "No advice.", "1": "Weak advice.", "2": "Strong advice."}
    return conversation(f"Does this sentence give health advice?\n{row['sentence']}", labels[row["label"]])


def pubmed_causal(row: Row) -> Row:
    labels = {"0": "No relationship.", "1": "A direct cause.", "2": "A conditional cause.", "3": "A correlation."}
    return conversation(f"What relationship does this sentence state?\n{row['sentence']}", labels[row["label"]])


def opengpt(row: Row) -> Row:
    for marker in ("<|user|>", "<|ai|>", "<|eod|>"):
        row["text"] = row["text"].replace(marker, "")
    return conversation(*(turn.strip() for turn in row["text"].split("<|eos|>")[:-1]))


def openorca(row: Row) -> Row:
    return conversation(row["question"], row["response"], system=row["system_prompt"])


def from_columns(question: str, answer: str, row: Row) -> Row:
    return conversation(row[question], row[answer])


def _always(row: Row) -> bool:
    return True


def _orca_part(prefix: str) -> Callable[[Row], bool]:
    return lambda row: row["id"].startswith(prefix)


PROGRAM: dict[str, tuple[Callable[[Row], bool], Callable[[Row], Row]]] = {
    "medmcqa": (_always, medmcqa),
    "medical_flashcards": (_always, partial(from_columns, "input", "output")),
    "stackexchange": (lambda row: ".meta." not in row["metadata"][1], stackexchange),
    "medqa": (_always, medqa),
    "cord19": (lambda row: row["abstract"] != "", cord19),
    "pubmedqa": (lambda row: not row["official_test"], pubmedqa),
    "headqa": (lambda row: row["image"] == "", headqa),
    "mediqa": (lambda row: row["ReferenceScore"] in "34", partial(from_columns, "QuestionText", "AnswerText")),
    "health_advice": (_always, health_advice),
    "pubmed_causal": (_always, pubmed_causal),
    "opengpt": (_always, opengpt),
    "medquad": (lambda row: row["Answer"] != "", partial(from_columns, "Question", "Answer")),
    "mmlu": (_always, lambda row: choice(row["question"], row["choices"], LETTERS.index(row["answer"]))),
    "niv2": (
        lambda row: row["task"] in TASKS,
        lambda row: conversation(f"{row['definition']}\n{row['input']}", row["output"][0]),
    ),
    "openorca_t0": (_orca_part("t0."), openorca),
    "openorca_flan": (_orca_part("flan."), openorca),
    "openorca_cot": (_orca_part("cot."), openorca),
}


def load(mixture: Path, source: str, cache: Path, processes: int | None) -> datasets.Dataset:
    lines = mixture / JSON_LINES / f"{source}.jsonl"
    folder = mixture / PUBLISHER / folder_of(source)
    builder, files = ("json", [lines]) if lines.exists() else ("parquet", sorted(folder.rglob("*.parquet")))
    return datasets.load_dataset(
        builder,
        data_files=[str(file) for file in files],
        split="train",
        cache_dir=str(cache),
        num_proc=processes and min(processes, len(files)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mixture", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--processes", type=int)
    options = parser.parse_args()
    datasets.disable_progress_bars()
    parts = []
    for source, (wanted, template) in PROGRAM.items():
        rows = load(options.mixture, source, options.cache, options.processes)
        rows = rows.filter(wanted, num_proc=options.processes)
        parts.append(rows.map(template, remove_columns=rows.column_names, num_proc=options.processes))
    mixture = datasets.concatenate_datasets(parts).shuffle(seed=42)
    mixture.to_parquet(options.result)
    print(len(mixture))


if __name__ == "__main__":
    main()
