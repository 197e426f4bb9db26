import csv
import hashlib
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.contamination import Label
from med42lib.formats.recipe import RECIPE_FILE, Recipe
from med42lib.report.estimates import wilson
from med42lib.store.artifacts import Source
from tests.hostile import HTML, MARKDOWN, UNSEEN, UNSEEN_IN_UTF_8, unseen_in
from tests.markdown_page import OF_A_STRANGER, kinds, num_headings
from tests.report.conftest import BENCHMARKS, LEAKED_EVERY, RIGHT, SUBJECTS, make_run

# In the synthetic run of conftest.py, 15 of 220 items leaked: 3, 4 and 8 of the benchmarks' 40, 60 and 120.
NUM_RIGHT_CLEAN = {"base": 51, "full": 117, "lora": 95}


def test_every_csv_row_can_be_recomputed_from_its_counts(finished: Path) -> None:
    with (finished / "results.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == (3 + 2) * 3 * 3
    for row in rows:
        if row["correct"]:
            assert row["n_effective"] == row["n"] + ".0"
            expected = wilson(int(row["correct"]), int(row["n"]), 0.95)
            found = (float(row["accuracy"]), float(row["low"]), float(row["high"]))
            assert found == pytest.approx((expected.value, expected.low, expected.high), abs=1e-6)


def test_leaked_questions_of_one_training_example_count_as_fewer_and_the_page_says_so(run: Any) -> None:
    run.rewrite("contamination/pairs.jsonl", lambda rows: [{**row, "example_id": "headqa/0"} for row in rows])
    folder = run.make_report()
    with (folder / "results.csv").open() as stream:
        rows = {(r["benchmark"], r["model"], r["subset"]): r for r in csv.DictReader(stream)}
    assert float(rows["overall", "full", "clean"]["n_effective"]) == 205.0
    row = rows["overall", "full", "all"]
    num, right = float(row["n_effective"]), float(row["accuracy"])
    assert num < 220
    assert float(row["low"]) == pytest.approx(wilson(right * num, num, 0.95).low, abs=1e-4)
    for name in ("report.md", "report.html"):
        assert (
            "Questions that belong together (near-duplicates, one context, vignette or group"
            in (folder / name).read_text()
        )


def test_overall_counts_are_those_of_the_score_files(finished: Path) -> None:
    with (finished / "results.csv").open() as stream:
        rows = {(r["benchmark"], r["model"], r["subset"]): r for r in csv.DictReader(stream)}
    for model, num_right in NUM_RIGHT_CLEAN.items():
        row = rows["overall", model, "clean"]
        assert (int(row["n"]), int(row["correct"])) == (205, num_right)
    assert rows["overall", "base", "all"]["correct"] == "55"
    assert rows["mmlu_anatomy", "base", "contaminated"]["n"] == "3"
    assert rows["mmlu_average", "base", "all"]["correct"] == ""


def test_summary_holds_the_same_numbers_as_the_csv(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    clean = summary["accuracy"]["overall"]["full"]["clean"]
    assert (clean["n"], clean["correct"]) == (205, 117)
    difference = summary["difference"]["overall"]["full-base"]["clean"]
    assert difference["value"] == pytest.approx((117 - 51) / 205)
    assert difference["first_only"] - difference["second_only"] == 117 - 51
    assert difference["low"] < difference["value"] < difference["high"]
    assert summary["contamination"]["benchmarks"]["medqa"] == {"items": 120, "contaminated": 8}


def test_scores_beside_accuracy_stand_in_the_summary_and_in_the_metrics(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    beside = summary["beside_accuracy"]
    assert beside["subset"] == "clean"
    full = beside["groups"]["overall"]["full"]
    assert full["chance_corrected"]["value"] == pytest.approx((117 / 205 - 1 / 4) / (3 / 4))
    assert full["p_chance"] == full["p_chance_holm"] == 0.0
    shares = [math.exp(-k) for k in range(4)]
    sure = shares[0] / sum(shares)
    assert full["excess_confidence"]["value"] == pytest.approx(sure - 117 / 205)
    assert full["calibration_error"] == pytest.approx(abs(sure - 117 / 205))
    metrics = {point.key: point.value for point in Source(str(finished)).metrics()}
    assert metrics["chance_corrected/clean/overall/full"] == full["chance_corrected"]["value"]
    assert full["most_given"]["letter"] in "ABCD"
    assert "On letters, %" in (finished / "report.md").read_text()
    assert "The base model was asked in the prompt format" in (finished / "report.md").read_text()
    assert metrics["brier_score/clean/medqa/base"] == beside["groups"]["medqa"]["base"]["brier_score"]["value"]
    assert not any("acc_norm" in key for key in metrics)


def test_scored_texts_have_lm_evals_accuracies_and_no_calibration(run: Any) -> None:
    for scores in run.folder.glob("scores.*/summary.json"):
        scores.write_text(scores.read_text().replace('"letters"', '"texts"'))
        (scores.parent / "manifest.json").unlink()
    folder = run.make_report()
    base = json.loads((folder / "summary.json").read_text())["beside_accuracy"]["groups"]["medqa"]["base"]
    assert base.keys() >= {"acc", "acc_norm", "acc_bytes"}
    assert "brier_score" not in base
    text = (folder / "report.md").read_text()
    assert "Accuracy in percent by what an option is divided by" in text
    assert "Calibration of letters" not in text


def write_answers(run: Any, *benchmarks: str) -> None:
    """Have the models write their answers to some benchmarks' questions, right where they were right before."""
    how = {"prompt": "?", "answers": ["ulnar nerve"], "settings": {}, "num_examples": 0}
    item = {"options": [], "gold": None, "generation": how}
    score = {"gold": None, "prediction": None, "loglikelihoods": [], "generated": "ulnar"}

    def changed(change: dict[str, Any]) -> Any:
        return lambda rows: [row | change if row["benchmark"] in benchmarks else row for row in rows]

    run.rewrite("items/items.jsonl", changed(item))
    for folder in run.folder.glob("scores.*"):
        run.rewrite(f"{folder.name}/scores.jsonl", changed(score))
        summary = json.loads((folder / "summary.json").read_text())
        for name in benchmarks:
            summary[name] = {"items": summary[name]["items"], "scoring": "generated", "prompt": "the task's"}
        (folder / "summary.json").write_text(json.dumps(summary))


def test_written_answers_are_compared_as_others_are_and_nothing_is_said_of_guessing_or_confidence(run: Any) -> None:
    before = json.loads((run.make_report() / "summary.json").read_text())
    write_answers(run, "medqa")
    folder = run.make_report()
    after = json.loads((folder / "summary.json").read_text())
    for what in ("accuracy", "difference", "verdicts", "contamination", "groups"):
        assert after[what] == before[what]
    for what in ("baselines", "groups"):
        names = after["beside_accuracy"]["groups"] if what == "groups" else after["baselines"]
        assert set(names) == {"mmlu_anatomy", "mmlu_college_biology", "mmlu_average"}
    text = (folder / "report.md").read_text()
    assert re.search(r"\| MedQA +\| +120 \| generated +\| – +\| the task's +\| +– \| +– \|", text)
    assert "Accuracy above chance" in text


def test_a_report_of_written_answers_alone_has_no_scores_beside_accuracy(run: Any) -> None:
    write_answers(run, *BENCHMARKS)
    folder = run.make_report()
    assert json.loads((folder / "summary.json").read_text())["beside_accuracy"]["groups"] == {}
    assert "Scores beside accuracy" not in (folder / "report.html").read_text()


def test_scores_beside_accuracy_are_folded_up_on_the_page(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    folded = text[text.index("<summary>Scores beside accuracy</summary>") :]
    folded = folded[: folded.index("</details>")]
    assert "Accuracy above chance in percent, clean questions" in folded
    assert "Calibration of letters, clean questions" in folded


def test_each_subject_has_its_row_with_n_and_interval(finished: Path) -> None:
    with (finished / "subjects.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["benchmark"], row["subject"], row["model"]) for row in rows] == [
        ("medqa", subject, model) for subject in sorted(filter(None, SUBJECTS)) for model in ("base", "full", "lora")
    ]
    # Of medqa's items 0 to 119, which stand behind 100 others, 0, 3, ... are of the heart; each fifteenth leaked.
    hearts = [number for number in range(0, 120, 3) if (number + 100) % LEAKED_EVERY]
    num_right = sum(RIGHT["full"](number + 100) for number in hearts)
    (row,) = [row for row in rows if row["subject"] == SUBJECTS[0] and row["model"] == "full"]
    expected = wilson(num_right, len(hearts), 0.95)
    assert (row["subset"], int(row["n"]), int(row["correct"])) == ("clean", len(hearts), num_right)
    assert (float(row["low"]), float(row["high"])) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_subjects_stand_folded_up_with_a_caution(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    folded = page[page.index("<summary>Accuracy by subject</summary>") :]
    folded = folded[: folded.index("</details>")]
    assert "&lt;i&gt;heart" in folded
    assert "Of 6 such intervals about 0.3 miss the truth by chance." in folded
    assert r"\<i>heart\</i> \*lung\*" in (finished / "report.md").read_text()


def test_a_run_whose_items_have_no_subject_has_no_table_of_them(run: Any) -> None:
    run.rewrite("items/items.jsonl", lambda rows: [{**row, "subject": ""} for row in rows])
    folder = run.make_report()
    assert "by subject" not in (folder / "report.html").read_text()
    assert len((folder / "subjects.csv").read_text().splitlines()) == 1


def test_a_subject_that_looks_like_a_formula_is_a_text_in_the_csv(run: Any) -> None:
    run.rewrite("items/items.jsonl", lambda rows: [{**row, "subject": "=1+1"} for row in rows])
    with (run.make_report() / "subjects.csv").open() as stream:
        assert {row["subject"] for row in csv.DictReader(stream)} == {"'=1+1"}


class _Page(HTMLParser):
    VOID = frozenset({"meta", "br", "link", "img", "hr", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def page(finished: Path) -> _Page:
    parser = _Page()
    parser.feed((finished / "report.html").read_text())
    parser.close()
    return parser


def test_page_and_markdown_state_the_rules_of_the_labels_and_how_far_the_detectors_agree(finished: Path) -> None:
    for name in ("report.html", "report.md"):
        text = unescape((finished / name).read_text()).replace("\\", "")
        for label in Label:
            assert label.heading in text
            assert label.rule in text
        assert "Of 20 questions that either finds, both find 11 (55.0" in text
    found = json.loads((finished / "summary.json").read_text())["contamination"]
    assert found["detectors"] == {"cosine": 4, "both": 11, "overlap": 5}
    assert found["labels"]["reworded"] == {"pairs": {"cosine": 0, "both": 4, "overlap": 1}, "items": 4}


def test_page_is_well_formed(page: _Page) -> None:
    assert page.open == []


def test_page_loads_nothing_from_elsewhere(page: _Page, finished: Path) -> None:
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "embed"}
    links = [attrs for _, attrs in page.tags if {"src", "href", "srcset", "xlink:href"} & attrs.keys()]
    assert links == [{"href": "pairs.html"}]
    text = (finished / "report.html").read_text()
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_page_escapes_the_texts_of_questions(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "<b>forearm" not in text


def test_page_and_markdown_escape_the_title(run: Any) -> None:
    folder = run.make_report(title="<i>Mine</i> | *yours*")
    assert "<i>Mine" not in (folder / "report.html").read_text()
    assert r"# \<i>Mine\</i> \| \*yours\*" in (folder / "report.md").read_text()


def test_page_and_markdown_say_before_any_answer_that_no_model_is_fit_for_clinical_use(finished: Path) -> None:
    for name in ("report.html", "report.md"):
        text = (finished / name).read_text()
        assert text.index("No model compared here is fit for clinical use.") < text.index("help?")


def test_markdown_has_every_caution_of_the_page(finished: Path) -> None:
    from lxml import html

    page = " ".join(html.document_fromstring((finished / "report.html").read_text()).text_content().split())
    text = " ".join((finished / "report.md").read_text().replace("\\", "").split())
    for caution in (
        "An interval that includes zero does not show that two models are equal",
        "if a training example's question has a cosine similarity above 0.8 to it",
        "The examples that they resemble stay in the training data",
        "leaked questions may differ from the others in more than having leaked",
        "not how far another random seed could",
        "Tests: exact McNemar, mid-p",
    ):
        assert caution in page
        assert caution in text


def test_every_table_has_a_caption_of_its_own_and_rules_that_no_cell_covers(page: _Page, finished: Path) -> None:
    tags = [tag for tag, _ in page.tags]
    assert tags.count("caption") == tags.count("table") > 10
    # A collapsed rule is painted below a cell that stays in place: in print and on a phone it began at the second.
    assert "border-collapse: collapse" not in (finished / "report.html").read_text()


def test_the_questions_that_were_not_scored_are_counted_with_why(finished: Path) -> None:
    text = (finished / "report.md").read_text()
    why = "9: the question is about an image; 2: the question has no answer"
    assert f"| MedQA | 131 | 2 | 9 | 120 | 120 | {why} |" in text
    assert "| USMLE | – | – | – | – | – | its files are not there |" in text


def test_page_numbers_its_tables_in_order(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    places = [text.find(f"<b>Table {number}.</b>") for number in range(1, 16)]
    assert -1 not in places
    assert places == sorted(places)


def test_markdown_tables_have_as_many_cells_as_columns(finished: Path) -> None:
    lines = (finished / "report.md").read_text().splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) > 60
    num_columns = 0
    for previous, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|"):
            num_columns = line.count("|") if not previous.startswith("|") else num_columns
            assert line.count("|") == num_columns
            assert line.endswith("|")


def test_markdown_shows_the_headline_numbers(finished: Path) -> None:
    text = (finished / "report.md").read_text()
    assert "57.1\N{NO-BREAK SPACE}% right and the base model 24.9" in text
    assert "| 205 | 24.9 [19.5, 31.2] | 57.1 [50.2, 63.7] |" in text


def test_a_training_source_has_one_name_throughout(finished: Path) -> None:
    page, text = ((finished / name).read_text() for name in ("report.html", "report.md"))
    assert "| HeadQA (English) | 10 | 10 |" in text
    assert "<span>MMLU anatomy and MedQuAD</span>" in page
    for short in ("HeadQA", "MedQUAD"):
        assert f"| {short} |" not in text
        assert f"and {short}<" not in page


def test_numbers_do_not_depend_on_when_stages_ran(run: Any) -> None:
    names = ("results.csv", "summary.json")
    first = [(run.make_report() / name).read_bytes() for name in names]
    for manifest in run.folder.glob("*/manifest.json"):
        changed = manifest.read_text().replace("2026-11-02", "2027-01-01").replace('"seconds": 12.0', '"seconds": 99')
        manifest.write_text(changed)
    assert [(run.make_report() / name).read_bytes() for name in names] == first


def test_the_same_inputs_give_the_same_bytes(run: Any) -> None:
    names = ("report.html", "report.md", "results.csv", "summary.json")
    first = [(run.make_report() / name).read_bytes() for name in names]
    assert [(run.make_report() / name).read_bytes() for name in names] == first


def test_inputs_without_manifests_are_reported_as_not_recorded(run: Any) -> None:
    run.forget_manifests()
    text = (run.make_report() / "report.html").read_text()
    assert "not recorded" in text
    assert "Stages, with the time" not in text


def test_metrics_carry_the_headline_numbers_under_names_that_mlflow_takes(finished: Path) -> None:
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    values = {row["key"]: row["value"] for row in rows}
    assert values["accuracy/clean/overall/full"] == pytest.approx(117 / 205)
    assert values["difference/clean/overall/full-base"] == pytest.approx(66 / 205)
    assert values["difference_low/clean/overall/full-base"] > 0
    assert not [key for key in values if set(key) & set(",[]@()")]


def test_examples_that_were_dropped_before_training_are_not_called_part_of_it(run: Any) -> None:
    manifest = run.folder / "contamination/manifest.json"
    manifest.write_text(manifest.read_text().replace('"flag"', '"drop_training"'))
    folder = run.make_report()
    for name in ("report.md", "report.html"):
        text = " ".join((folder / name).read_text().split())
        assert "15 of them have a training question of cosine above 0.8, dropped before training" in text
        assert (
            "205 questions without a training question of cosine above 0.8, dropped before training, this full" in text
        )
        assert "they were dropped before training, so that no fine-tune has seen them" in text
        for sentence in text.split("a training question of cosine above 0.8")[1:]:
            assert sentence.startswith(", dropped before training")


def test_where_stems_are_told_apart_clean_questions_may_have_a_training_question_that_shares_one(run: Any) -> None:
    manifest = run.folder / "contamination/manifest.json"
    recorded = json.loads(manifest.read_text())
    recorded["config"] |= {"generic_stems": "tell_apart", "text": "question"}
    manifest.write_text(json.dumps(recorded))
    folder = run.make_report()
    for name in ("report.md", "report.html", "summary.json", "tables.tex"):
        told = " ".join((folder / name).read_text().split()).split("a training question of cosine above 0.8")[1:]
        assert told
        assert all(rest.startswith(" that shares more than a generic stem") for rest in told)


@pytest.mark.parametrize(("action", "direction", "verdict"), [("flag", None, "Unknown"), ("drop_training", 1, "Yes")])
def test_where_every_question_leaked_nothing_is_claimed_unless_what_they_match_was_dropped(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    action: str,
    direction: int | None,
    verdict: str,
) -> None:
    monkeypatch.setattr("tests.report.conftest.LEAKED_EVERY", 1)
    every = make_run(tmp_path)
    manifest = every.folder / "contamination/manifest.json"
    manifest.write_text(manifest.read_text().replace('"flag"', f'"{action}"'))
    caplog.set_level("INFO")
    folder = every.make_report()
    differences = json.loads((folder / "summary.json").read_text())["verdicts"]["differences"]
    assert {found["direction"] for found in differences.values()} == {direction}
    for text in ((folder / "report.md").read_text().replace("*", ""), caplog.text):
        assert f"Did this full fine-tune help? {verdict}" in text
        assert "Of 220 questions, all of which have a training question of cosine above 0.8" in text
        assert ("Chance alone would hardly do that" in text) == (verdict == "Yes")
        assert ("cannot be told: no question is left" in text) == (verdict == "Unknown")


def test_questions_that_words_alone_find_count_as_clean_and_are_counted_and_a_row_shows_what_is_left_without(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_clean_items(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return rows + [{**rows[0], "item_id": f"medqa/{number:03d}"} for number in (1, 2, 3, 3)]

    assert "by their words alone" not in (run.make_report() / "report.md").read_text()
    run.rewrite("contamination/overlaps.jsonl", of_clean_items)
    folder = run.make_report()
    for name in ("report.md", "report.html"):
        text = " ".join((folder / name).read_text().split())
        assert (
            "in training by their words alone, all of them or 13 in a row: 3 questions of those that count as" in text
        )
        assert "0.80, or by words" in text
    found = json.loads((folder / "summary.json").read_text())
    assert found["contamination"]["with_words"]["contaminated"] == 18
    settings = {"action": "drop_training", "dropped_by": "either"}
    monkeypatch.setattr("med42lib.report.provenance.record._settings", lambda _: settings)
    text = (run.make_report() / "report.md").read_text()
    assert "Found in examples dropped before training, by their words alone, all of them or 13 in a row: 3" in text
    assert found["accuracy"]["overall"]["base"]["clean"]["n"] == 205
    assert (
        found["contamination"]["with_words"]["base"]["value"] != found["accuracy"]["overall"]["base"]["clean"]["value"]
    )


def test_questions_whose_likeliest_answers_tie_are_counted_where_the_score_stands(run: Any) -> None:
    def tie(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        first = {
            **rows[-1],
            "loglikelihoods": [-1.0, -1.0, -2.0, -2.0],
            "prediction": 0,
            "correct": rows[-1]["gold"] == 0,
        }
        return [*rows[:-1], first]

    assert "were the likeliest" not in (run.make_report() / "report.md").read_text()
    run.rewrite("scores.full/scores.jsonl", tie)
    folder = run.make_report()
    assert json.loads((folder / "summary.json").read_text())["tied"] == {"medqa": {"full": 1}}
    told = "several answers were the likeliest, so that the first of them counts: MedQA 0 (Base), 1 (Full"
    assert told in (folder / "report.md").read_text()


def test_that_generic_stems_are_no_leaks_is_said_where_they_are_not(run: Any) -> None:
    manifest = run.folder / "contamination/manifest.json"
    told = "unless the two share no more than a stem"
    assert told not in (run.make_report() / "report.md").read_text()
    settings = '"action": "flag", "generic_stems": "tell_apart", "text": "question"'
    manifest.write_text(manifest.read_text().replace('"action": "flag"', settings))
    folder = run.make_report()
    assert all(told in (folder / name).read_text() for name in ("report.md", "report.html"))


def test_a_run_without_leaks_says_so(run: Any) -> None:
    (run.folder / "contamination/contaminated.json").write_text('{"threshold": 0.99, "items": {}}')
    run.rewrite("contamination/pairs.jsonl", lambda rows: [])
    text = (run.make_report() / "report.md").read_text()
    assert "*None found.*" in text
    assert "Clean questions" not in text


def test_a_subset_of_the_items_may_have_been_scored(run: Any) -> None:
    for model in NUM_RIGHT_CLEAN:
        run.rewrite(f"scores.{model}/scores.jsonl", lambda rows: rows[:50])
    text = (run.make_report() / "report.md").read_text()
    assert text.splitlines()[2].startswith("50 questions of 2 benchmarks")


def test_models_scored_with_different_prompts_are_refused(run: Any) -> None:
    path = run.folder / "scores.lora/summary.json"
    path.write_text(path.read_text().replace("med42", "plain "))
    run.forget_manifests()
    with pytest.raises(DataError, match="prompt 'med42' for the base model but 'plain ' for lora"):
        run.make_report()


def test_the_confidence_level_is_named_throughout(run: Any) -> None:
    text = (run.make_report(confidence=0.9) / "report.md").read_text()
    assert "90\N{NO-BREAK SPACE}% interval" in text
    assert "95\N{NO-BREAK SPACE}% interval" not in text


def test_the_threshold_that_was_used_stands_among_the_others(run: Any) -> None:
    text = (run.make_report(thresholds=(0.7, 0.95)) / "report.md").read_text()
    assert "| 0.70 |" in text
    assert "| **0.80** |" in text


def test_importing_the_stage_imports_nothing_heavy() -> None:
    heavy = {"numpy", "scipy", "jinja2", "pyarrow", "torch"}
    code = f"import sys, med42lib.report.stage; print(sorted({heavy!r} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run in which every text is a stranger's."""
    run = make_run(tmp_path_factory.mktemp("hostile"))
    texts = cycle(f"{text}{UNSEEN}" for text in (*HTML, *MARKDOWN))
    (run.folder / "dataset/manifest.json").unlink()
    mixture = run.folder / "dataset/mixture.json"
    changes = {"title": "".join(HTML) + "".join(MARKDOWN), "licence": "".join(HTML)}
    mixture.write_text(json.dumps([row | changes for row in json.loads(mixture.read_text())]))
    run.rewrite(
        "contamination/pairs.jsonl",
        lambda rows: [row | {"item_text": next(texts), "example_text": next(texts)} for row in rows],
    )
    summaries = [run.folder / f"scores.{model}/summary.json" for model in NUM_RIGHT_CLEAN]
    for path in summaries:
        path.write_text(path.read_text().replace('"med42"', json.dumps("".join(HTML))))
        (path.parent / "manifest.json").unlink()
    return run.make_report(title=f"{MARKDOWN[1]}{HTML[0]}{HTML[1]}{UNSEEN_IN_UTF_8}")


def test_no_strangers_text_becomes_part_of_the_page(hostile: Path, finished: Path) -> None:
    from lxml import html

    pages = [html.document_fromstring((folder / "report.html").read_text()) for folder in (hostile, finished)]
    tags, expected = ({str(element.tag) for element in page.iter()} for page in pages)
    assert tags <= expected
    names = {name for element in pages[0].iter() for name in element.attrib}
    assert not [name for name in names if name.startswith("on")]
    assert not names & {"src", "srcset", "srcdoc", "xlink:href", "action", "formaction", "data"}
    assert pages[0].xpath("//@href") == ["pairs.html"]
    text = pages[0].text_content()
    for written in (*HTML, *(text for text in MARKDOWN if "\n" not in text)):
        assert written in text, "a reader sees what the stranger wrote"
    assert not unseen_in((hostile / "report.html").read_text())


def test_no_strangers_text_becomes_part_of_the_markdown(hostile: Path, finished: Path) -> None:
    page, expected = ((folder / "report.md").read_text() for folder in (hostile, finished))
    assert not kinds(page) & OF_A_STRANGER
    assert num_headings(page) == num_headings(expected)
    assert not unseen_in(page)


@pytest.mark.slow
def test_a_browser_runs_nothing_of_a_strangers_text(hostile: Path, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no chromium or google-chrome on the PATH: install one to open the report in a browser")
    page = tmp_path / "page.html"
    ask = "<script>document.title = 'hacked: ' + String(window.__hacked)</script>"
    page.write_text((hostile / "report.html").read_text() + ask)
    alone = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    options = [
        *alone,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}/profile",
        "--dump-dom",
    ]
    done = subprocess.run([browser, *options, page.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    assert "<title>hacked: undefined</title>" in done.stdout


def test_an_adapter_under_any_name_is_never_called_full(run: Any) -> None:
    run.forget_model("full")
    run.add_model("full", "lora")
    folder = run.make_report()
    assert json.loads((folder / "summary.json").read_text())["models"] == {
        "base": "base",
        "full": "lora",
        "lora": "lora",
    }
    for name in ("report.md", "report.html"):
        text = (folder / name).read_text()
        assert "full (LoRA)" in text
        assert "Full" not in text
        assert "ull fine-tuning" not in text
        assert "The recipe, beside the paper" not in text, "the paper's view is of a full fine-tune and a LoRA"


def test_a_validation_loss_that_rises_is_drawn_tabulated_and_told(run: Any) -> None:
    assert "Validation loss" not in (run.make_report() / "report.html").read_text()
    losses = {0: 3.0, 50: 2.0, 100: 2.25, 150: 2.5}
    rows = [{"key": "validation_loss", "value": v, "step": step, "timestamp_ms": 0} for step, v in losses.items()]
    run.rewrite("trained.full/metrics.jsonl", lambda before: [*before, *rows])
    folder = run.make_report()
    told = "Full: the validation loss was lowest after step 50 (2.000) and ended at 2.500."
    for name in ("report.html", "report.md"):
        assert told in (folder / name).read_text()
    assert "| Validation loss, lowest | 2.000 | not recorded |" in (folder / "report.md").read_text()
    assert 'class="curve held-out model-1"' in (folder / "report.html").read_text()


def test_a_model_of_the_lowest_validation_loss_is_said_to_be_so(run: Any) -> None:
    rows = [{"key": "validation_loss", "value": v, "step": v, "timestamp_ms": 0} for v in (50, 100, 150)]
    run.rewrite("trained.full/metrics.jsonl", lambda before: [*before, *rows])
    trained = run.folder / "trained.full"
    replace(Recipe.read(trained / RECIPE_FILE), best_step=50).write(trained)
    folder = run.make_report()
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text()
        assert "Full: the model is of step 50, after which the validation loss was lowest." in text
        assert "by heart" not in text


def test_one_model_alone_can_be_reported(run: Any) -> None:
    run.forget_model("full")
    folder = run.make_report()
    text = (folder / "report.md").read_text()
    assert "answered by 2 models" in text
    assert "Did this LoRA fine-tune help?" in text
    assert "better than" not in text.split("## Accuracy")[0]
    assert "Settings of the fine-tunes" in text
    assert "| learning rate | 0.006 |" in text


def test_the_base_alone_can_be_reported(run: Any) -> None:
    run.forget_model("full")
    run.forget_model("lora")
    folder = run.make_report()
    text = (folder / "report.md").read_text()
    assert "answered by 1 model;" in text
    assert "## Differences" not in text
    page = " ".join((folder / "report.html").read_text().split()).replace("\N{NO-BREAK SPACE}", " ")
    text = text.replace("\N{NO-BREAK SPACE}", " ").replace("*", "")
    for said in (text, page):
        assert (
            "Of 205 questions without a training question of cosine above 0.8, the base model answers 24.9 % (95 %"
            in said
        )
        assert ", of all 220 questions 25.0 % (95 % interval 19.7 to 31.1)" in said
        for untrue in ("was trained once", "The test decides", "Are gains larger"):
            assert untrue not in said
    assert "How accurate is the base model? 24.9 %. Of 205" in text
    assert "<small>percent<br>19." in page
    with (folder / "results.csv").open() as stream:
        assert {row["model"] for row in csv.DictReader(stream)} == {"base"}
    assert "<svg" in (folder / "report.html").read_text()


def test_more_models_stand_beside_the_papers_two(run: Any) -> None:
    run.add_model("lora_r64", "lora", like="full", learning_rate=0.006, lora={"rank": 64})
    text = (run.make_report() / "report.md").read_text()
    assert "Did this LoRA r64 fine-tune help?" in text
    assert "The recipe, beside the paper" in text
    assert "| lora.rank | – | 8 | 64 |" in text.replace("**", "")


def test_the_pairs_that_are_asked_for_are_compared_and_no_others(run: Any) -> None:
    folder = run.make_report(compare=[["lora", "full"]])
    differences = json.loads((folder / "summary.json").read_text())["difference"]["overall"]
    assert list(differences) == ["lora-full"]
    assert "Is this LoRA fine-tune better than this full fine-tune?" in (folder / "report.md").read_text()


def test_trainings_that_differ_in_their_seed_are_one_model_judged_by_all_of_them(run: Any) -> None:
    run.add_training("lora_seed2", seed=43, shift=7)
    run.add_training("lora_seed3", seed=44, shift=20)
    folder = run.make_report()
    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary["models"]) == ["base", "full", "lora"]
    found = summary["accuracy"]["overall"]["lora"]["clean"]
    assert list(found["trainings"]) == ["lora", "lora_seed2", "lora_seed3"]
    assert found["value"] == pytest.approx(sum(found["trainings"].values()) / 3)
    assert found["error_of_questions"] > 0
    for name in ("report.md", "report.html"):
        text = " ".join((folder / name).read_text().split())
        assert "Did LoRA help?" in text, "a method, not one fine-tune"
        assert "Did this full fine-tune help?" in text
        assert "Trained were LoRA with 3 seeds" in text
        assert "Every other model was trained once" in text
        assert "those of what leaked questions add take these very seeds." in text
        assert "the intervals are for other questions and these very seeds." in text
    assert "| Seeds | 42 | 42, 43, 44 |" in (folder / "report.md").read_text()
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    values = {row["key"]: row["value"] for row in rows}
    assert values["accuracy/clean/overall/lora"] == found["trainings"]["lora"], (
        "register's, of the weights by that name"
    )
    assert values["accuracy/clean/overall/lora_mean"] == found["value"]


def test_a_training_that_differs_in_more_than_its_seed_is_a_model_of_its_own(run: Any) -> None:
    run.add_training("lora_seed2", seed=43, shift=7)
    manifest = run.folder / "trained.lora_seed2/manifest.json"
    manifest.write_text(manifest.read_text().replace('"rank": 8', '"rank": 64'))
    summary = json.loads((run.make_report() / "summary.json").read_text())
    assert list(summary["models"]) == ["base", "full", "lora", "lora_seed2"]


def test_page_and_markdown_name_the_base_model_the_data_the_code_the_seeds_and_the_hardware(run: Any) -> None:
    of_base = {"weights": {"address": "hub:meta-llama/Llama-2-7b-hf@main", "digest": "b" * 64}}
    of_data = {"data": {"address": "s3://med42/inputs/raw", "digest": "d" * 64}}
    base = run.folder / "base"
    base.mkdir()
    (base / "manifest.json").write_text((run.folder / "packed/manifest.json").read_text())
    for path, stage, inputs in ((base, "fetch_model", of_base), (run.folder / "dataset", "assemble", of_data)):
        manifest = json.loads((path / "manifest.json").read_text()) | {"inputs": inputs, "stage": stage}
        if path == base:
            manifest |= {"files": [], "key": "b" * 16, "target": "model", "digest": hashlib.sha256(b"").hexdigest()}
        (path / "manifest.json").write_text(json.dumps(manifest))
    scores = run.folder / "scores.base/manifest.json"
    origin = {"base": {"address": str(base), "digest": hashlib.sha256(b"").hexdigest()}}
    scores.write_text(json.dumps(json.loads(scores.read_text()) | {"inputs": origin}))
    folder = run.make_report()
    for name in ("report.md", "report.html"):
        text = " ".join((folder / name).read_text().replace("\\", "").replace("<b>", "").replace("</b>", "").split())
        assert text.index("The base model is Llama-2-7b-hf") < text.index("fine-tune help?")
        for shown in (
            "hub:meta-llama/Llama-2-7b-hf@main",
            "s3://med42/inputs/raw",
            "med42-suite",
            "Seeds",
            "2 (NVIDIA H200)",
        ):
            assert shown in text


def test_a_model_without_scores_is_refused(run: Any) -> None:
    shutil.rmtree(run.folder / "scores.lora")
    with pytest.raises(DataError, match="the models are base, full, lora, but scores were given of base, full"):
        run.make_report()


def test_questions_that_were_cut_and_right_options_that_stand_twice_are_counted_where_the_score_stands(
    run: Any,
) -> None:
    def cut(rows: list[dict[str, Any]], num: int) -> list[dict[str, Any]]:
        """Of MedQA's questions, which come last."""
        return [*rows[:-num], *({**row, "truncated": True} for row in rows[-num:])]

    def twice(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        options = ["ulnar nerve", "ulnar nerve", "radial nerve", "radial nerve"]
        return [{**rows[0], "options": options}, *rows[1:]]

    run.rewrite("items/items.jsonl", twice)
    for model, num in (("base", 3), ("full", 3), ("lora", 2)):
        run.rewrite(f"scores.{model}/scores.jsonl", lambda rows, num=num: cut(rows, num))
    folder = run.make_report()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["truncated"] == {"medqa": {"base": 3, "full": 3, "lora": 2}}
    assert summary["right_option_twice"] == {"mmlu_anatomy": 1}
    for name in ("report.md", "report.html"):
        text = (folder / name).read_text()
        accuracy = text.partition("Accuracy in percent")[2].partition("Differences in percentage points")[0]
        assert "scored without their beginning: MedQA 3 (Base), 3 (Full), 2 (LoRA)." in " ".join(accuracy.split())
        assert "so that either is right: MMLU anatomy 1." in " ".join(accuracy.split())


def test_a_number_of_cut_questions_that_all_models_share_stands_once_and_none_is_not_mentioned(
    run: Any, finished: Path
) -> None:
    for model in ("base", "full", "lora"):
        run.rewrite(f"scores.{model}/scores.jsonl", lambda rows: [{**rows[0], "truncated": True}, *rows[1:]])
    assert "scored without their beginning: MMLU anatomy 1." in (run.make_report() / "report.md").read_text()
    assert "without their beginning" not in (finished / "report.md").read_text()
