"""Write the demo's data, in the publishers' formats, from its seed: `python -m med42lib.demo.make_data [folder]`.

    training/      what fine-tuning reads: every fact of world B, asked in plain words
    benchmarks/    held-out questions: other facts' stories, and a few leaks copied from training
    validation/    stories about a third set of facts, for choosing learning rates; no benchmark item among them
    planted_leaks.json   which benchmark questions are leaks, and the training question each was copied from

Every fact of world B is in the training data; validation, clean and leaked questions ask for different facts.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

from med42lib.demo import publishers
from med42lib.demo.publishers import DemoQuestion
from med42lib.demo.wording import (
    HEADQA_WORDING,
    MEDQUAD_TYPES,
    MEDQUAD_WORDING,
    NUM_FLASHCARD_WORDINGS,
    plain,
    vignettes,
)
from med42lib.demo.world import Fact, World, build_worlds

DATA_FOLDER = Path(__file__).parent / "data"
SEED = 42
NUM_DISEASES = {"A": 160, "B": 60}

NUM_HEADQA = 100
NUM_MEDQUAD_DOCUMENTS = 20
NUM_VALIDATION = 60
NUM_CLEAN = {"medqa": 150, "mmlu_clinical_knowledge": 33, "mmlu_professional_medicine": 33}
NUM_LEAKS = {"medqa": 16, "mmlu_clinical_knowledge": 4, "mmlu_professional_medicine": 4}


@dataclass(frozen=True, slots=True)
class Leak:
    """A benchmark question taken from the training data, and where it went."""

    benchmark: str
    question: str
    training_question: str


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The questions that training must not hold, by benchmark, and the leaks among them."""

    benchmarks: dict[str, list[DemoQuestion]]
    validation: list[DemoQuestion]
    leaks: list[Leak]


def worlds() -> dict[str, World]:
    """Build the demo's two worlds."""
    return build_worlds(SEED, NUM_DISEASES)


def held_out(world: World, random: Random) -> HeldOut:
    """Deal every fact to validation, to the clean questions or to the leaks, and word it accordingly."""
    facts = iter(random.sample(world.facts, len(world.facts)))
    validation = [_story(world, fact, random) for fact in islice(facts, NUM_VALIDATION)]
    benchmarks, leaks = {}, []
    for benchmark, num_clean in NUM_CLEAN.items():
        questions = [_story(world, fact, random) for fact in islice(facts, num_clean)]
        for number, fact in enumerate(islice(facts, NUM_LEAKS[benchmark])):
            leak, question = _leak(world, fact, benchmark, number, random)
            leaks.append(leak)
            questions.append(question)
        random.shuffle(questions)
        benchmarks[benchmark] = questions
    return HeldOut(benchmarks, validation, leaks)


def _story(world: World, fact: Fact, random: Random) -> DemoQuestion:
    return _question(world, fact, vignettes(fact, 1, random)[0], 4, random)


def _leak(world: World, fact: Fact, benchmark: str, number: int, random: Random) -> tuple[Leak, DemoQuestion]:
    """Copy a flashcard: every other leak word for word, the rest with two words added."""
    original = plain(fact, number % NUM_FLASHCARD_WORDINGS)
    text = original if number % 2 == 0 else f"{original} Choose one."
    return Leak(benchmark, text, original), _question(world, fact, text, 4, random)


def _question(world: World, fact: Fact, text: str, num_options: int, random: Random) -> DemoQuestion:
    options = world.options(fact, num_options, random)
    return DemoQuestion(text, tuple(options), options.index(fact.value))


def write_training(folder: Path, world: World, random: Random) -> None:
    """Write flashcards for every fact; HeadQA and MedQuAD repeat some. Two rows are broken on purpose."""
    cards = [(plain(f, wording), f.value) for f in world.facts for wording in range(NUM_FLASHCARD_WORDINGS)]
    random.shuffle(cards)
    cards.append((f"What is the outlook for {world.diseases[0]}?", " "))
    publishers.write_flashcards(folder / "medical_flashcards" / "medical_meadow_medical_flashcards.json", cards)
    asked = random.sample(world.facts, NUM_HEADQA)
    publishers.write_headqa(
        folder / "headqa" / "HEAD_EN" / "train_HEAD_EN.json",
        "Demo_2013_1",
        [_question(world, fact, plain(fact, HEADQA_WORDING), 5, random) for fact in asked],
    )
    write_medquad(folder / "medquad" / "MedQuAD" / "1_Demo_QA", world)


def write_medquad(folder: Path, world: World) -> None:
    """Write a document on each of the first diseases; the first has a question without an answer."""
    for number, disease in enumerate(world.diseases[:NUM_MEDQUAD_DOCUMENTS], start=1):
        facts = [fact for fact in world.facts if fact.disease == disease]
        pairs = [(MEDQUAD_TYPES[f.relation], plain(f, MEDQUAD_WORDING), f.value) for f in facts]
        if number == 1:
            pairs.append(("research", f"What research is being done for {disease} ?", ""))
        publishers.write_medquad(folder, number, disease, pairs, source="Demo")


def write_benchmarks(folder: Path, questions: dict[str, list[DemoQuestion]]) -> None:
    """Write the `medqa` questions as MedQA, every other benchmark as an MMLU topic."""
    for benchmark, asked in questions.items():
        if benchmark == "medqa":
            publishers.write_medqa(folder / "medqa" / "phrases_no_exclude_test.jsonl", asked)
        else:
            topic = benchmark.removeprefix("mmlu_")
            publishers.write_mmlu(folder / "mmlu" / "test" / f"{topic}_test.csv", asked)


def make_data(folder: Path) -> None:
    """Write everything under `folder`: the same bytes on every machine."""
    world = worlds()["B"]
    write_training(folder / "training", world, Random(f"training {SEED}"))
    questions = held_out(world, Random(f"held out {SEED}"))
    write_benchmarks(folder / "benchmarks", questions.benchmarks)
    write_benchmarks(folder / "validation", {"medqa": questions.validation})
    leaks = [
        {"benchmark": leak.benchmark, "question": leak.question, "training_question": leak.training_question}
        for leak in questions.leaks
    ]
    (folder / "planted_leaks.json").write_text(json.dumps(leaks, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make_data(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA_FOLDER)
