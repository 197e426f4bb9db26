import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from med42lib.core.errors import DataError
from med42lib.decontaminate.config import DecontaminateConfig
from med42lib.formats.dataset import read_examples
from med42lib.formats.prompt import multiple_choice
from med42lib.formats.records import BenchmarkItem, Example, Exchange, Generation
from med42lib.store.artifacts import Source
from med42lib.store.manifest import METRICS_FILE, describe_folder, files_digest

ReadLines = Callable[[Path], list[dict[str, Any]]]

ASKED_IN_TRAINING = [
    "Uvula vesicae seen in bladder is formed from the following structure?",
    "Which vitamin deficiency causes scurvy?",
    "What is the normal resting heart rate of an adult?",
]
ASKED_IN_EXAM = [
    "Uvula vesicae is produced by which prostate lobe?",
    "Scurvy is caused by a deficiency of which vitamin?",
    "Which nerve innervates the diaphragm?",
]


@pytest.fixture
def examples(example: Callable[..., Example]) -> list[Example]:
    return [example(number, text) for number, text in enumerate(ASKED_IN_TRAINING)]


@pytest.fixture
def items(item: Callable[..., BenchmarkItem]) -> list[BenchmarkItem]:
    return [item(number, text) for number, text in enumerate(ASKED_IN_EXAM)]


@pytest.mark.slow
def test_a_reworded_question_is_flagged_and_an_unrelated_one_is_not(
    workbench: Any, examples: list[Example], items: list[BenchmarkItem], read_lines: ReadLines
) -> None:
    training, contamination = workbench.run(examples, items, threshold=0.7)

    flagged = json.loads((contamination / "contaminated.json").read_text())
    assert list(flagged["items"]) == ["exam/0", "exam/1"]
    pairs = read_lines(contamination / "pairs.jsonl")
    assert [(pair["item_id"], pair["example_id"]) for pair in pairs] == [
        ("exam/0", examples[0].id),
        ("exam/1", examples[1].id),
    ]
    nearest = read_lines(contamination / "nearest.jsonl")
    assert [row["item_id"] for row in nearest] == ["exam/0", "exam/1", "exam/2"]
    assert nearest[2]["cosine"] < 0.5
    assert list(read_examples(training)) == examples


# The two contaminated pairs of the paper's figure A.1: question and options in training, then in evaluation.
FIGURE_A1 = [
    (
        "In a patient with head injury, eye opening is seen with painful stimulus, localizes the pain and there is "
        "inappropriate verbal response. What would be score on Glasgow coma scale?",
        ("8", "9", "10", "11"),
        "Before a patient with traumatic brain injury, what score on the Glasgow Coma Scale does it show if we observe "
        "that it emits inappropriate words, opens its eyes when speaking to it and makes a withdrawal response when "
        "applying a painful stimulus?",
        ("11", "10", "9", "8"),
    ),
    (
        "Uvula vesicae seen in bladder is formed from the following structure?",
        (
            "Lateral lobe of prostate",
            "Median lobe of prostate",
            "Anterior lobe of prostate",
            "Posterior lobe of prostate",
        ),
        "Uvula vesicae is produced by which prostate lobe?",
        ("Anterior lobe", "Post lobe", "Median lobe", "Lateral lobe"),
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("text", "flagged"), [("question", ["exam/0"]), ("request", ["exam/0", "exam/1"])])
def test_of_the_papers_two_contaminated_pairs_the_question_finds_one_and_the_request_both(
    workbench: Any,
    example: Callable[..., Example],
    item: Callable[..., BenchmarkItem],
    text: str,
    flagged: list[str],
) -> None:
    examples = [
        replace(example(n, question), exchanges=(Exchange(multiple_choice(question, options), "It is this one."),))
        for n, (question, options, _, _) in enumerate(FIGURE_A1)
    ]
    items = [replace(item(n, question), options=options) for n, (_, _, question, options) in enumerate(FIGURE_A1)]

    _, contamination = workbench.run(examples, items, text=text)

    assert list(json.loads((contamination / "contaminated.json").read_text())["items"]) == flagged


@pytest.mark.slow
def test_a_verbatim_repeat_has_similarity_one(
    workbench: Any, example: Callable[..., Example], item: Callable[..., BenchmarkItem]
) -> None:
    question = "Which vitamin deficiency causes scurvy?"
    _, contamination = workbench.run([example(0, question), example(1, "Why?")], [item(0, question)])

    assert json.loads((contamination / "contaminated.json").read_text()) == {
        "threshold": 0.8,
        "items": {"exam/0": 1.0},
    }


@pytest.mark.slow
@pytest.mark.parametrize("text", ["question", "request"])
def test_a_question_in_a_later_turn_of_a_conversation_is_found(
    workbench: Any,
    example: Callable[..., Example],
    item: Callable[..., BenchmarkItem],
    read_lines: ReadLines,
    text: str,
) -> None:
    asked = ("How do I sleep better?", ASKED_IN_TRAINING[1], "Thank you. And who was Molière?", ASKED_IN_EXAM[1])
    conversation = replace(example(0, asked[0]), exchanges=tuple(Exchange(turn, "So.") for turn in asked))

    training, contamination = workbench.run(
        [conversation, example(1, "Why?")], [item(1, ASKED_IN_EXAM[1])], text=text, action="drop_training"
    )

    (pair,) = read_lines(contamination / "pairs.jsonl")
    assert (pair["example_id"], pair["example_text"]) == (conversation.id, ASKED_IN_EXAM[1])
    assert pair["cosine"] > 0.95
    assert [kept.question for kept in read_examples(training)] == ["Why?"]


STEM = "Which of the following statements is true?"
KIDNEYS = ("Kidneys make renin", "Kidneys lie in the pelvis", "There are four kidneys")
EYES = ("Rods see colours", "The lens is muscle", "Cones see colours")


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["tell_apart", "count_as_leaks"])
def test_a_generic_stem_is_a_leak_only_where_options_or_answer_agree_unless_the_papers_rule_is_asked_for(
    workbench: Any,
    example: Callable[..., Example],
    item: Callable[..., BenchmarkItem],
    read_lines: ReadLines,
    rule: str,
) -> None:
    eyes = replace(example(0, STEM), exchanges=(Exchange(multiple_choice(STEM, EYES), "C. Cones see colours"),))
    kidneys = replace(example(1, STEM), exchanges=(Exchange(STEM, f"It is true that {KIDNEYS[0].lower()}."),))
    asked = [replace(item(0, STEM), options=KIDNEYS), replace(item(1, STEM), options=("Bones grow", "Skin is bone"))]

    training, contamination = workbench.run(
        [eyes, kidneys, example(2, "Who was Molière?")], asked, generic_stems=rule, action="drop_training"
    )

    def found(name: str) -> set[tuple[str, str]]:
        return {(pair["item_id"], pair["example_id"]) for pair in read_lines(contamination / name)}

    every = {(asked_of, trained.id) for asked_of in ("exam/0", "exam/1") for trained in (eyes, kidneys)}
    leaks = {("exam/0", kidneys.id)} if rule == "tell_apart" else every
    assert (found("pairs.jsonl"), found("stems.jsonl")) == (leaks, every - leaks)
    assert list(json.loads((contamination / "contaminated.json").read_text())["items"]) == sorted({i for i, _ in leaks})
    assert eyes.id in {kept.id for kept in read_examples(training)} or rule == "count_as_leaks"
    assert json.loads((contamination / "summary.json").read_text())["stems"] == (
        {"pairs": 3, "items": 2, "items_otherwise_clean": 1}
        if rule == "tell_apart"
        else {"pairs": 0, "items": 0, "items_otherwise_clean": 0}
    )
    nearest = read_lines(contamination / "nearest.jsonl")
    assert nearest[1]["stem_only"] == (rule == "tell_apart")


@pytest.mark.slow
def test_one_question_asked_of_many_contexts_leaks_only_with_its_context(
    workbench: Any, example: Callable[..., Example], item: Callable[..., BenchmarkItem], read_lines: ReadLines
) -> None:
    asked = "Does this report mention pneumonia?"
    reports = [
        f"The {number}th patient has {finding} on the left." for number, finding in enumerate((*KIDNEYS, "gout"))
    ]
    trained = [
        replace(example(number, asked), exchanges=(Exchange(f"{report}\n{asked}", "yes"),))
        for number, report in enumerate(reports[:2])
    ]
    items = [replace(item(number, asked), context=report) for number, report in enumerate(reports[1:])]

    _, contamination = workbench.run(trained, items)

    pairs = [(pair["item_id"], pair["example_id"]) for pair in read_lines(contamination / "pairs.jsonl")]
    assert pairs == [("exam/0", trained[1].id)]
    assert len(read_lines(contamination / "stems.jsonl")) == 5
    assert [near["stem_only"] for near in read_lines(contamination / "nearest.jsonl")][1:] == [True, True]


@pytest.mark.slow
def test_a_pair_says_what_both_sides_say_and_what_they_share(
    workbench: Any, example: Callable[..., Example], item: Callable[..., BenchmarkItem], read_lines: ReadLines
) -> None:
    question, options = ASKED_IN_EXAM[2], ("Vagus nerve", "Phrenic nerve")
    trained = replace(
        example(0, question), exchanges=(Exchange(multiple_choice(question, options), f"B. {options[1]}"),)
    )

    written = Generation(f"{question}\nAnswer:", ("Phrenic nerve", "The phrenic nerve"), {})
    asked = [
        replace(item(0, question), options=options, gold=1),
        replace(item(1, question), options=(), gold=None, generation=written),
    ]

    _, contamination = workbench.run([trained, example(1, "Why?")], asked)

    chosen, generated = read_lines(contamination / "pairs.jsonl")
    assert chosen["label"] == generated["label"] == "same_answer"
    assert chosen["item_request"] == chosen["example_request"] == multiple_choice(question, options)
    assert chosen["item_answer"] == chosen["example_answer"] == "B. Phrenic nerve"
    assert generated["item_request"] == question
    assert generated["item_answer"] == "Phrenic nerve or The phrenic nerve"
    summary = json.loads((contamination / "summary.json").read_text())
    assert summary["labels"]["same_answer"] == {"pairs": {"cosine": 0, "both": 2, "overlap": 0}, "items": 2}


@pytest.mark.slow
def test_dropping_leaves_out_the_examples_in_pairs_and_flags_the_items_all_the_same(
    workbench: Any, examples: list[Example], items: list[BenchmarkItem]
) -> None:
    training, contamination = workbench.run(examples, items, threshold=0.7, action="drop_training")

    assert list(read_examples(training)) == examples[2:]
    assert len(json.loads((contamination / "contaminated.json").read_text())["items"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("dropped_by", ["cosine", "either"])
def test_what_words_alone_find_flags_no_item_and_is_dropped_only_if_asked_for(
    workbench: Any,
    example: Callable[..., Example],
    item: Callable[..., BenchmarkItem],
    read_lines: ReadLines,
    dropped_by: str,
) -> None:
    told = replace(example(0, "What do you know?"), exchanges=(Exchange("What do you know?", f"This: {VIGNETTE}"),))
    kept = example(1, "Who was Molière?")

    training, contamination = workbench.run(
        [told, kept], [item(0, VIGNETTE[:300])], action="drop_training", dropped_by=dropped_by
    )

    (pair,) = read_lines(contamination / "overlaps.jsonl")
    assert (pair["item_id"], pair["example_id"], pair["detectors"]) == ("exam/0", told.id, ["ngrams"])
    assert pair["cosine"] < 0.8
    assert read_lines(contamination / "pairs.jsonl") == []
    assert json.loads((contamination / "contaminated.json").read_text())["items"] == {}
    assert list(read_examples(training)) == ([kept] if dropped_by == "either" else [told, kept])


@pytest.mark.slow
def test_dropping_every_example_is_an_error(
    workbench: Any, examples: list[Example], items: list[BenchmarkItem]
) -> None:
    with pytest.raises(DataError, match="none is left; use action: flag"):
        workbench.run(examples[:2], items, threshold=0.7, action="drop_training")


@pytest.mark.slow
def test_block_size_and_repetition_change_no_byte(
    workbench: Any, examples: list[Example], items: list[BenchmarkItem]
) -> None:
    outputs = [workbench.run(examples, items, rows_per_block=rows) for rows in (1, 2, 2048, 2048)]

    digests = {tuple(files_digest(describe_folder(folder, {METRICS_FILE})) for folder in two) for two in outputs}
    assert len(digests) == 1


VIGNETTE = " ".join(
    f"On day {day} the {who} came with {what} and a pulse of {60 + day}/min, which was treated with {drug}."
    for day, (who, what, drug) in enumerate(
        [
            ("man", "a cough", "codeine"),
            ("farmer", "joint pain", "ibuprofen"),
            ("patient", "a red rash", "cetirizine"),
            ("man", "swollen ankles", "furosemide"),
            ("farmer", "night sweats", "rifampicin"),
        ]
        * 3
    )
)


@pytest.mark.slow
def test_long_vignettes_that_differ_in_their_last_sentence_are_told_apart_and_equal_ones_found(
    workbench: Any, example: Callable[..., Example], item: Callable[..., BenchmarkItem], read_lines: ReadLines
) -> None:
    asked = [
        f"{VIGNETTE} {last}" for last in ("Which is the most likely diagnosis?", "How is the drug best monitored?")
    ]
    _, contamination = workbench.run([example(n, text) for n, text in enumerate(asked)], [item(1, asked[1])])

    pairs = read_lines(contamination / "pairs.jsonl")
    assert [(pair["cosine"], pair["example_text"]) for pair in pairs] == [(1.0, asked[1])]


@pytest.mark.slow
def test_a_question_at_the_end_of_a_long_prompt_is_found_and_what_long_texts_cost_is_recorded(
    workbench: Any, example: Callable[..., Example], item: Callable[..., BenchmarkItem]
) -> None:
    shots = "".join(f"Question: {text}\nA. Yes\nB. No\nAnswer: B\n\n" for text in VIGNETTE.split(". "))
    prompt = f"{shots}Question: {ASKED_IN_EXAM[2]}\nAnswer:"
    _, contamination = workbench.run([example(0, prompt), example(1, "Why?")], [item(0, ASKED_IN_EXAM[2])])

    assert list(json.loads((contamination / "contaminated.json").read_text())["items"]) == ["exam/0"]
    metrics = {point.key: point.value for point in Source(str(contamination)).metrics()}
    long = json.loads((contamination / "summary.json").read_text())["long"]
    assert long == {
        "texts": 1,
        "windows": metrics["windows"],
        "share_of_embedded_characters": pytest.approx(0.99, abs=0.01),
        "max_tokens": 254,
    }
    assert metrics["embedded_texts"] == metrics["windows"] + 2
    assert (metrics["long_texts"], metrics["pairs"]) == (1, 1)


def test_an_empty_dataset_is_an_error(workbench: Any, items: list[BenchmarkItem]) -> None:
    with pytest.raises(DataError, match=r"examples\.parquet holds no training example"):
        workbench.run([], items)


def test_no_items_is_an_error(workbench: Any, examples: list[Example]) -> None:
    with pytest.raises(DataError, match=r"items\.jsonl holds no evaluation item"):
        workbench.run(examples, [])


@pytest.mark.parametrize(
    "settings", [{"threshold": 1.0}, {"threshold": 0}, {"action": "drop"}, {"text": "answer"}, {"rows_per_block": 0}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DecontaminateConfig.model_validate(settings)


def test_saying_by_which_detector_to_drop_where_nothing_is_dropped_is_refused() -> None:
    with pytest.raises(ValidationError, match="no effect with action: flag"):
        DecontaminateConfig(dropped_by="either")


@pytest.mark.slow
def test_no_test_question_of_pubmedqa_is_among_its_other_questions(
    workbench: Any,
    example: Callable[..., Example],
    item: Callable[..., BenchmarkItem],
    real_data: Path,
    read_lines: ReadLines,
) -> None:
    folder = real_data / "raw" / "pubmedqa"
    questions = {pmid: row["QUESTION"] for pmid, row in json.loads((folder / "ori_pqal.json").read_text()).items()}
    test_pmids = json.loads((folder / "test_ground_truth.json").read_text()).keys()

    _, contamination = workbench.run(
        [example(n, text, "pubmedqa") for n, (pmid, text) in enumerate(questions.items()) if pmid not in test_pmids],
        [item(n, text, "pubmedqa") for n, (pmid, text) in enumerate(questions.items()) if pmid in test_pmids],
    )

    summary = json.loads((contamination / "summary.json").read_text())
    assert summary["benchmarks"] == {"pubmedqa": {"items": 500, "contaminated": 0}}
    assert summary["sources"] == {"pubmedqa": 0}
    nearest = read_lines(contamination / "nearest.jsonl")
    assert 0.6 < max(row["cosine"] for row in nearest) < 0.8
