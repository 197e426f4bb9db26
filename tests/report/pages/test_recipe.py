import json
from dataclasses import replace
from typing import Any

import pytest

from med42lib.report.pages.recipe import NOT_RECORDED, RecordedRun, SettingComparison, compare_with_paper, recipe_table
from med42lib.report.provenance.record import read_provenance
from med42lib.report.results.paper import LINEAR_LAYERS

TRAIN: dict[str, Any] = {
    "warmup_steps": 100,
    "max_steps": None,
    "min_lr_ratio": 0.1,
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "weight_decay": 0.1,
    "max_grad_norm": 1.0,
    "precision": "float32",
    "lora": {"rank": 8, "alpha": 16.0, "dropout": 0.0},
}
PAPER_RUN = RecordedRun(
    train={
        "full": {**TRAIN, "learning_rate": 5e-5, "epochs": 3},
        "lora": {**TRAIN, "learning_rate": 1e-4, "epochs": 8},
    },
    pack={"policy": "concatenate", "chunk_length": 4096},
    decontaminate={"threshold": 0.8, "generic_stems": "count_as_leaks", "action": "flag"},
    num_examples=706_713,
    num_parameters=6_738_415_616,
    adapted_layers=LINEAR_LAYERS,
)


def departures(ran: RecordedRun) -> list[tuple[str, str]]:
    return [(c.label, c.method) for c in compare_with_paper(ran) if c.departs]


def find(ran: RecordedRun, label: str, method: str) -> SettingComparison:
    return next(c for c in compare_with_paper(ran) if (c.label, c.method) == (label, method))


def test_the_papers_own_recipe_departs_nowhere() -> None:
    assert departures(PAPER_RUN) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"pack": {"policy": "best_fit", "chunk_length": 4096}}, [("Packing", "full"), ("Packing", "lora")]),
        ({"num_parameters": 134_515_008}, [("Base model", "full"), ("Base model", "lora")]),
        ({"adapted_layers": frozenset({"q_proj", "v_proj"})}, [("LoRA layers", "lora")]),
        (
            {"decontaminate": {"threshold": 0.8, "generic_stems": "tell_apart", "action": "flag"}},
            [("Generic stems", "full"), ("Generic stems", "lora")],
        ),
        ({"decontaminate": {"threshold": 0.8, "text": "request", "generic_stems": "tell_apart", "action": "flag"}}, []),
        (
            {"decontaminate": {"threshold": 0.8, "action": "drop_training"}},
            [("What follows from a leak", "full"), ("What follows from a leak", "lora")],
        ),
    ],
)
def test_a_changed_setting_departs(change: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert departures(replace(PAPER_RUN, **change)) == expected


def test_each_method_is_compared_with_its_own_learning_rate() -> None:
    both = {method: {**TRAIN, "learning_rate": 5e-5, "epochs": 3} for method in ("full", "lora")}
    assert departures(replace(PAPER_RUN, train=both)) == [("Peak learning rate", "lora"), ("Epochs", "lora")]


def test_a_limit_of_steps_departs() -> None:
    train = {method: {**settings, "max_steps": 60} for method, settings in PAPER_RUN.train.items()}
    assert find(replace(PAPER_RUN, train=train), "Limit of steps", "full").departs


def test_what_the_paper_does_not_state_cannot_depart() -> None:
    found = find(PAPER_RUN, "Number format", "full")
    assert (found.paper, found.here, found.departs) == ("not stated", "float32", False)


def test_training_examples_are_those_that_were_packed_not_all_of_the_mixture(run: Any) -> None:
    path = run.folder / "packed/packed.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_examples": 900, "num_dropped": 10}))
    (run.folder / "packed/manifest.json").unlink()
    provenance = read_provenance(run.singles(), run.of("trained"), run.of("scores"))
    assert provenance.num_examples == 1000
    assert RecordedRun.from_provenance(provenance).num_examples == 890


def test_what_was_not_recorded_cannot_depart() -> None:
    unknown = RecordedRun({}, {}, {}, None, None, frozenset())
    assert departures(unknown) == []
    assert {c.here for c in compare_with_paper(unknown)} == {NOT_RECORDED}


def test_adapter_settings_are_for_lora_alone() -> None:
    labels = [c.label for c in compare_with_paper(PAPER_RUN) if c.method == "full"]
    assert not [label for label in labels if label.startswith("LoRA")]


def test_the_table_marks_and_counts_departures() -> None:
    table = recipe_table(compare_with_paper(replace(PAPER_RUN, num_examples=1000)))
    row = next(row for row in table.rows if row.cells[0].text == "Training examples")
    assert [cell.text for cell in row.cells[1:]] == ["706,713", "≠ 1,000", "706,713", "≠ 1,000"]
    assert row.cells[2].strong
    assert "in 1 of " in table.note
