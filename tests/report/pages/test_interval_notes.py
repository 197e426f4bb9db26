import numpy as np
import pytest

from med42lib.report.pages.result_tables import accuracy_table, difference_table
from med42lib.report.provenance.models import Model, pairs_to_compare
from med42lib.report.results.cautions import Cautions
from med42lib.report.results.scores import Answers
from med42lib.report.results.table import Results, analyse


def results(*seeded: str) -> Results:
    """A run on two parts of MMLU; `seeded` models were trained three times."""
    trainings = {name: tuple(f"{name}{k}" for k in range(3)) for name in seeded}
    generator = np.random.default_rng(0)
    correct = {
        training: generator.random(80) < 0.5
        for name in ("base", "full", "lora")
        for training in trainings.get(name, (name,))
    }
    models = tuple(
        Model(name, name, number, trainings.get(name, ())) for number, name in enumerate(("base", "full", "lora"))
    )
    answers = Answers(
        tuple(map(str, range(80))),
        np.repeat(["mmlu_anatomy", "mmlu_virology"], 40),
        np.zeros(80, dtype=np.bool_),
        correct,
        trainings=trainings,
    )
    return analyse(answers, models, pairs_to_compare((), models), 0.95)


@pytest.mark.parametrize(
    ("seeded", "said"),
    [
        ((), "In brackets: 95 % interval, Wilson's, of averages Korn and Graubard's."),
        (
            ("lora",),
            "Wilson's, of averages Korn and Graubard's (Base, Full); Student's, for other questions and other seeds "
            "(LoRA).",
        ),
    ],
)
def test_the_note_on_accuracies_names_the_method_of_each_model(seeded: tuple[str, ...], said: str) -> None:
    found = results(*seeded)
    note = accuracy_table(found, Cautions({}, {}, {}), confidence=0.95, subsets=("all",)).note
    assert said in note.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("seeded", "said", "unsaid"),
    [
        (
            (),
            "Newcombe's for pairs (method 10), of averages Zou, Huang and Zhang's, and p is McNemar's exact (mid-p). "
            "Averages have no test.",
            "Student",
        ),
        (
            ("full", "lora"),
            "Student's, for other questions and other seeds, and so is p (Full − Base, LoRA − Base, Full",
            "McNemar",
        ),
        (
            ("lora",),
            "and p is McNemar's exact (mid-p) (Full − Base); Student's, for other questions and other seeds, and so is "
            "p (LoRA − Base, Full − LoRA).",
            "nothing else",
        ),
    ],
)
def test_the_note_on_differences_names_the_test_of_each_comparison(
    seeded: tuple[str, ...], said: str, unsaid: str
) -> None:
    note = difference_table(results(*seeded), confidence=0.95, subset="all").note
    assert said in note
    assert unsaid not in note
