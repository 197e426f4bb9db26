"""USMLE: practice questions of the US licensing examination, in two benchmarks. The user brings the files.

The questions are copyrighted by FSMB and NBME, so nothing is shipped, and a benchmark without files is left out with a
warning while the rest of the run goes on. `path` is a folder with a folder for each benchmark:

    <path>/sample_exam/        usmle_sample_exam
    <path>/self_assessment/    usmle_self_assessment

Either holds medAlpaca's JSON (`step1.json`, `step1_solutions.json`, ..., `question_with_images.json`) or files of JSON
lines (`*.jsonl`); see `readers.publishers.usmle`. The paper scores 325 questions of each and does not say which. Three
different sets go by "self-assessment": NBME's paid forms, the free sample booklets (376 questions), and medAlpaca's
324, which are a text-only cut of those booklets; so the paper's two sets may largely be the same questions.
"""

from __future__ import annotations

from collections.abc import Set
from itertools import chain

from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Absent, Family, Questions
from med42lib.core.errors import DataError
from med42lib.readers.data_set import PublisherFacts
from med42lib.readers.files import DataFolder
from med42lib.readers.publishers.usmle import read_usmle_lines, read_usmle_step, usmle_images, usmle_solutions

FOLDERS = {"usmle_sample_exam": "sample_exam", "usmle_self_assessment": "self_assessment"}
_STEPS = ("step1", "step2", "step3")
_IMAGES_FILE = "question_with_images.json"


def read(folder: DataFolder, settings: BenchmarkConfig) -> dict[str, Questions | Absent]:
    """Read what there is of the two benchmarks.

    Raises:
        DataError: If a benchmark's folder holds both layouts, or a file is not of its layout.
    """
    return {name: _read_one(folder, f"{settings.path}/{part}") for name, part in FOLDERS.items()}


def _read_one(folder: DataFolder, path: str) -> Questions | Absent:
    steps = [step for step in _STEPS if folder.has_file(f"{path}/{step}.json")]
    lines = [name for name in folder.names(path) if name.endswith(".jsonl")]
    if steps and lines:
        raise DataError(f"{path} holds both {steps[0]}.json and {lines[0]}: keep one layout, or questions count twice")
    if steps:
        return _read_steps(folder, path, steps)
    if lines:
        return chain.from_iterable(read_usmle_lines(folder.file(name)) for name in lines)
    return Absent(_advice(path))


def _read_steps(folder: DataFolder, path: str, steps: list[str]) -> Questions:
    if not folder.has_file(f"{path}/{_IMAGES_FILE}"):
        raise DataError(
            f"{path} has no {_IMAGES_FILE}, without which questions about images would be asked; put medAlpaca's "
            "there, or one that says {} if none of your questions is about an image"
        )
    images = usmle_images(folder.file(f"{path}/{_IMAGES_FILE}"))
    return chain.from_iterable(_read_step(folder, path, step, images.get(step, frozenset())) for step in steps)


def _read_step(folder: DataFolder, path: str, step: str, images: Set[str]) -> Questions:
    name = f"{path}/{step}_solutions.json"
    solutions = usmle_solutions(folder.file(name)) if folder.has_file(name) else {}
    return read_usmle_step(folder.file(f"{path}/{step}.json"), step, solutions, images)


def _advice(path: str) -> str:
    return (
        f"no questions in {path}/ of the benchmark data. They are copyrighted by FSMB and NBME and not part of this "
        "suite: bring them yourself and put into that folder either medAlpaca's files (step1.json to step3.json, "
        f"step1_solutions.json to step3_solutions.json and {_IMAGES_FILE}, from the hub's data set "
        "medalpaca/medical_meadow_usmle_self_assessment), or a .jsonl file of your own with one "
        '{"question": ..., "options": {"A": ..., ...}, "answer": "C"} on each line'
    )


FAMILY = Family(
    name="usmle",
    title="USMLE (practice questions)",
    facts=PublisherFacts(
        licence="Copyright FSMB and NBME; brought by the user, not to be passed on",
        attribution="Federation of State Medical Boards and National Board of Medical Examiners",
        citation="Federation of State Medical Boards and National Board of Medical Examiners, USMLE practice "
        "materials; as scored by Nori et al. 2023 and Han et al. 2023",
    ),
    layouts=("publisher",),
    read=read,
)
