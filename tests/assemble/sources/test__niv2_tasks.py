import pytest

from med42lib.assemble.source import ReadOptions
from med42lib.assemble.sources._niv2_tasks import TASKS, benchmark_of, choose
from med42lib.core.errors import DataError


def test_the_inferred_tasks_are_47_and_none_is_made_of_a_benchmark() -> None:
    assert len(TASKS) == len(set(TASKS)) == 47
    assert not [task for task in TASKS if benchmark_of(task)]


@pytest.mark.parametrize(
    ("task", "benchmark"),
    [
        ("task665_mmmlu_answer_generation_anatomy", "MMLU"),
        ("task685_mmmlu_answer_generation_clinical_knowledge", "MMLU"),
        ("task1431_head_qa_answer_generation", "HeadQA"),
        ("task1433_head_qa_language_translation_es_to_en", "HeadQA"),
        ("task846_pubmedqa_classification", "PubMedQA"),
        ("task9999_MedMCQA_answer_generation", "MedMCQA"),
        ("task9999_medqa_usmle", "MedQA"),
        ("task1645_medical_question_pair_dataset_text_classification", "Medical Question Pairs"),
        ("task591_sciq_answer_generation", ""),
    ],
)
def test_tasks_made_of_benchmarks_are_known_by_their_names(task: str, benchmark: str) -> None:
    assert benchmark_of(task) == benchmark


def test_without_names_the_47_are_read_and_the_blocked_ones_to_be_counted() -> None:
    choice = choose(ReadOptions("letters"))
    assert all(choice.reads(task) for task in TASKS)
    assert choice.reads("task846_pubmedqa_classification")
    assert not choice.reads("task001_quoref_question_generation")


def test_names_in_the_settings_take_the_place_of_the_47() -> None:
    choice = choose(ReadOptions("letters", include=("task001_quoref_question_generation",)))
    assert choice.reads("task001_quoref_question_generation")
    assert not choice.reads(TASKS[0])
    assert not choice.reads("task846_pubmedqa_classification")
    with pytest.raises(DataError, match="no such task among the files: task001_quoref_question_generation"):
        choice.check_found({TASKS[0]})


def test_naming_a_blocked_task_fails_and_says_which() -> None:
    include = (TASKS[0], "task846_pubmedqa_classification", "task700_mmmlu_answer_generation_x")
    with pytest.raises(DataError, match=r"task846_pubmedqa_classification \(PubMedQA\), task700.* \(MMLU\)") as error:
        choose(ReadOptions("letters", include=include))
    assert TASKS[0] not in str(error.value)
    assert choose(ReadOptions("letters", include=include, benchmark_tasks=True)).reads(include[1])
