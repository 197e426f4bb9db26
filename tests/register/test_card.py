"""The card is the hub's format, says what the report says, and is short enough for MLflow."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard as HubCard

from med42lib.formats.recipe import Recipe
from med42lib.register.card import MOST_CHARACTERS_OF_NOTE, ModelCard, description, model_card
from med42lib.register.config import RegisterConfig
from med42lib.register.results import Results
from med42lib.register.run import FinishedRun
from med42lib.store.artifacts import Target
from tests.mixture_table_rows import paper_rows
from tests.register.conftest import BASE_HUB
from tests.register.conftest import FinishedRun as Made
from tests.report.conftest import make_run

CONFIG = RegisterConfig(
    experiment="x", model_name="tiny_med", description="Made on a *Tuesday*.", licence="cc-by-nc-4.0"
)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the report stage itself writes of made-up scores."""
    return make_run(tmp_path_factory.mktemp("reported")).make_report()


@pytest.fixture
def run(reported: Path, finished_run: Made, tmp_path: Path) -> FinishedRun:
    """The finished run, with the report of the report stage and the paper's mixture in place of its own."""
    rows = [row | {"hub": f"some/{row['source']}@{40 * '1'}"} for row in paper_rows(medquad={"sampled": 0})]

    def write_dataset(out: Target) -> None:
        out.path("mixture.json").write_text(json.dumps(rows))

    def write_report(out: Target) -> None:
        for path in reported.iterdir():
            out.path(path.name).write_bytes(path.read_bytes())

    finished_run.publish("mixture", "assemble", write_dataset, target="dataset")
    inputs = {"dataset": "mixture", "items": "items", "contamination": "contamination", "packed": "packed"}
    finished_run.publish("real_report", "report", write_report, inputs=inputs, target="report")
    return traced(finished_run, "lora", tmp_path)


def traced(made: Made, candidate: str, cache: Path) -> FinishedRun:
    report = made.source("real_report" if "real_report" in made.addresses else "report")
    return FinishedRun.of(made.trained(), made.package(candidate), report, cache=cache)


def test_the_hub_reads_base_licence_data_and_results_off_the_card(run: FinishedRun) -> None:
    data = HubCard(model_card(CONFIG, run).text).data
    assert data.base_model == BASE_HUB.partition("@")[0]
    assert data.license == "cc-by-nc-4.0"
    assert "some/medqa" in data.datasets
    assert "some/medquad" not in data.datasets, "nothing was taken of it"
    assert "not-for-clinical-use" in data.tags
    found = {(r.dataset_type, r.metric_name.partition(",")[0]): r.metric_value for r in data.eval_results}
    summary = json.loads(run.report.path("summary.json").read_text())
    for (benchmark, _), value in found.items():
        assert value in [round(summary["accuracy"][benchmark]["lora"][s]["value"], 6) for s in ("all", "clean")]
    assert {benchmark for benchmark, _ in found} == {"medqa", "mmlu_anatomy", "mmlu_college_biology"}
    assert len(found) == 6


@pytest.mark.parametrize(
    ("licence", "stated"),
    [
        ("apache-2.0", ("apache-2.0", None)),
        ("CC-BY-4.0", ("cc-by-4.0", None)),
        ("Ours, for research: no copies", ("other", "ours-for-research-no-copies")),
        ("", ("other", "not-stated")),
    ],
)
def test_a_licence_is_written_as_the_hub_takes_it(
    licence: str, stated: tuple[str, str | None], run: FinishedRun
) -> None:
    data = HubCard(model_card(CONFIG.model_copy(update={"licence": licence}), run).text).data
    assert (data.license, data.license_name) == stated


def test_the_warning_comes_first_and_then_the_note(run: FinishedRun) -> None:
    text = HubCard(model_card(CONFIG, run).text).text
    title, warning, note = [part for part in text.split("\n\n") if part][:3]
    assert title.strip() == r"# tiny\_med"
    assert warning.startswith("**Not for clinical decisions.**")
    assert note == "Made on a *Tuesday*."


def test_every_accuracy_and_difference_is_the_reports_with_its_interval(run: FinishedRun) -> None:
    text = model_card(CONFIG, run).text
    summary = json.loads(run.report.path("summary.json").read_text())
    for model in ("base", "lora"):
        figure = summary["accuracy"]["medqa"][model]["clean"]
        cell = f"{100 * figure['value']:.1f} ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})"
        assert cell in text
    gain = summary["difference"]["overall"]["lora-base"]["clean"]
    assert f"| +{100 * gain['value']:.1f} (+{100 * gain['low']:.1f} to +{100 * gain['high']:.1f}) |" in text
    assert "**Better than the base.** Questions without a training question of cosine above 0.8: +" in text


def test_a_difference_where_every_question_leaked_is_no_claim(run: FinishedRun) -> None:
    found = Results.of(run)
    summary = json.loads(json.dumps(found.summary))
    summary["verdicts"]["subset"] = "all"
    summary["verdicts"]["differences"]["lora-base"]["direction"] = None
    found = replace(found, summary=summary)
    assert next(found.sentences()).startswith(
        "**Not known to be better than the base:** every question has a training question of cosine above 0.8. All"
    )
    assert list(found.power()) == []


@pytest.mark.parametrize(
    ("smallest", "told"),
    [(None, "cannot show any difference from the base"), (0.2, "of less than 20.0 points may not have shown")],
)
def test_where_no_difference_is_shown_the_card_says_what_could_have_been(
    smallest: float | None, told: str, run: FinishedRun
) -> None:
    verdict = run.summary["verdicts"]["differences"]["lora-base"]
    assert told not in model_card(CONFIG, run).text
    verdict.update(direction=0, smallest_shown=smallest)
    assert told in model_card(CONFIG, run).text


def test_card_and_description_say_of_leaked_questions_what_the_report_says(run: FinishedRun) -> None:
    have = "a training question of cosine above 0.8 that shares more than a generic stem"
    run.summary["contamination"].update(close_match=have, items_of_stem_only=12)
    card = model_card(CONFIG, run)
    assert f"### Questions without {have}\n" in card.text
    assert f"A close match is {have}: 6.8 % of the scored questions have one" in card.text
    assert "12 more of the benchmarks' questions share no more with a training example than a stem such as" in card.text
    assert {result["metric_name"].partition(",")[0] for result in card.results} == {
        f"Questions without {have}",
        "All questions",
    }
    assert f"% have {have}. The candidate is" in description(CONFIG, run)
    run.summary["contamination"]["items_of_stem_only"] = 0
    assert "a stem such as" not in model_card(CONFIG, run).text


def test_questions_that_words_alone_find_are_told_where_they_count_as_clean(
    run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "by their words alone, all of them or 13 in a row: 5 more of the benchmarks' questions" in (
        model_card(CONFIG, run).text
    )
    dropped = {"decontaminate.action": "drop_training", "decontaminate.dropped_by": "either"}
    with monkeypatch.context() as patched:
        patched.setattr(FinishedRun, "settings", lambda _: dropped)
        assert "Found in examples dropped before training, by their words alone, all" in model_card(CONFIG, run).text
    run.summary["contamination"]["detectors"]["overlap"] = 0
    assert "by their words" not in model_card(CONFIG, run).text


def test_a_gain_on_leaked_questions_says_of_how_many(run: FinishedRun) -> None:
    summary = json.loads(run.report.path("summary.json").read_text())
    leaked = summary["accuracy"]["overall"]["base"]["contaminated"]["n"]
    assert f"({leaked}, of benchmarks that have other questions too)" in model_card(CONFIG, run).text


def test_sources_stand_with_share_and_licence_and_settings_with_their_paths(run: FinishedRun) -> None:
    text = model_card(CONFIG, run).text
    total = sum(row["sampled"] for row in run.mixture)
    assert f"| MedMCQA | 180,462 | {100 * 180_462 / total:.1f} % | " in text
    assert "MedQuAD" not in text, "nothing was taken of it"
    assert "| `train.lora.method` | `lora` |" in text
    assert "train.full" not in text
    assert f"| `base_model` | `{BASE_HUB}` |" in text


def test_what_a_description_of_mlflow_has_no_room_for_is_left_out_by_sections(run: FinishedRun) -> None:
    card = model_card(CONFIG, run)
    assert len(card.text) > MOST_CHARACTERS_OF_NOTE >= len(card.note)
    assert card.note.startswith("# tiny")
    assert "## Results" in card.note
    assert card.note.endswith("The rest of this card lies beside the model, in its README.md.")
    short = ModelCard(card.metadata, card.results, card.sections[:3])
    assert short.note in card.text


def test_a_base_that_is_registered_is_compared_with_nothing_and_was_taught_nothing(
    run: FinishedRun, finished_run: Made, tmp_path: Path
) -> None:
    assert "Its chat template is the format that it was taught" in model_card(CONFIG, run).text
    text = model_card(CONFIG, traced(finished_run, "base", tmp_path / "base")).text
    assert "taught" not in text
    assert "made by" not in text
    assert "The base model as it is" in text
    assert "This model |" not in text
    assert "trained once" not in text


def test_a_training_of_several_seeds_is_told_from_their_mean(run: FinishedRun) -> None:
    trainings = {"trainings": {"lora": 0.5, "lora_seed2": 0.75}}
    for subset in ("all", "clean"):
        run.summary["accuracy"]["overall"]["lora"][subset].update(trainings)
    own = {"accuracy/clean/overall/lora_seed2": 0.75, "accuracy/clean/medqa/lora_seed2": 0.7}
    of_seed = FinishedRun(run.lineage, "lora_seed2", run.model, run.package, run.report, run.trained)
    of_seed.__dict__.update(summary=run.summary, metrics={**run.metrics, **own})
    card = model_card(CONFIG, of_seed)
    assert "the mean of 2 trainings that differ by their seed" in card.text
    assert "`lora_seed2`, which answers 75.0 % right" in card.text
    assert [result["metric_value"] for result in card.results] == [0.7]
    assert "interval" not in card.results[0]["metric_name"]


def test_a_data_set_that_was_cleared_away_is_told(finished_run: Made, tmp_path: Path) -> None:
    finished_run.package("lora")
    shutil.rmtree(finished_run.addresses["dataset"])
    assert "Not recorded: the data set was not there" in model_card(CONFIG, traced(finished_run, "lora", tmp_path)).text


def test_steps_and_parameters_are_those_that_training_recorded(finished_run: Made, tmp_path: Path) -> None:
    run = traced(finished_run, "lora", tmp_path)
    recipe = Recipe("lora", 150, 120, 180_000, 63_000, 98_304, 2_140_000, 2, 1, 4.0, 0.6)
    run.__dict__["recipe"] = recipe
    text = model_card(CONFIG, run).text
    assert "a LoRA fine-tune of" in text
    assert "150 steps over 180,000 tokens; 98,304 of 2,140,000 parameters were trained." in text
    assert "after which" not in text
    run.__dict__["recipe"] = replace(recipe, best_step=60)
    assert "The model is of step 60, after which the validation loss was lowest." in model_card(CONFIG, run).text
