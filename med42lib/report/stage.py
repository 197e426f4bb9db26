"""The report stage: the models' scores in, one page and its numbers out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from med42lib.core.errors import DataError
from med42lib.core.log import log
from med42lib.formats.models import BASE
from med42lib.formats.report import PAIRS_PAGE_FILE, REPORT_SUMMARY_FILE
from med42lib.report.config import ReportConfig
from med42lib.store.artifacts import Source, Sources, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from med42lib.report.pages.view import Evidence, View
    from med42lib.report.results.headline import Answer


def report(
    config: ReportConfig,
    *,
    dataset: Source,
    items: Source,
    contamination: Source,
    packed: Source,
    trained: Sources,
    scores: Sources,
    report: Target,
) -> None:
    """Compare the fine-tunes, any number of them, with their base model, with and without contaminated questions.

    Writes `report.html` and `pairs.html` (self-contained pages), `report.md`, `results.csv`, `subjects.csv` and
    `summary.json`; all but `report.html` and `report.md` do not depend on when or where the stages ran. For a paper
    there are `tables.tex`, and the figures `accuracy` and `loss` as SVG and PDF. Weights are not fetched.

    Args:
        config: What to compare and to show.
        dataset: Output of `assemble`.
        items: Output of `benchmarks`.
        contamination: Output of `decontaminate`.
        packed: Output of `pack`.
        trained: Outputs of `train` by the models' names; a model is called after its name and its recorded method.
        scores: Outputs of `evaluate`: of `base`, and of each of these models under the same name.
        report: Gets the files.

    Raises:
        ConfigError: If a pair to compare names an unknown model.
        DataError: If a model has no scores, the score files do not hold the same items, or a file is broken or names
            an unknown item.
    """
    from med42lib.report.pages.export import metric_values, write_csv, write_subjects, write_summary
    from med42lib.report.pages.view import make_view

    sources = {"dataset": dataset, "items": items, "contamination": contamination, "packed": packed}
    evidence = _read_evidence(config, sources, trained, scores)
    view = make_view(config, evidence)
    for name, text in _documents(config, view, contamination):
        report.path(name).write_text(text, encoding="utf-8")
    _write_figures(view, report)
    report.rows = write_csv(report.path("results.csv"), evidence.results)
    write_subjects(report.path("subjects.csv"), evidence)
    write_summary(report.path(REPORT_SUMMARY_FILE), evidence, confidence=config.confidence)
    for name, value in metric_values(evidence.results, evidence.measures):
        report.metric(name, value)
    _summarise(view.findings, view.num_scored)


def _documents(config: ReportConfig, view: View, contamination: Source) -> Iterator[tuple[str, str]]:
    """Write what people read, by the files' names."""
    from med42lib.report.pages.latex import latex_tables
    from med42lib.report.pages.pairs import render_pairs
    from med42lib.report.pages.render import render_html, render_markdown
    from med42lib.report.results.contamination import read_browsed

    yield "report.html", render_html(view)
    yield "report.md", render_markdown(view)
    browsed = read_browsed(contamination, most=config.num_browsed_pairs)
    yield PAIRS_PAGE_FILE, render_pairs(config.title, browsed, source_title=view.evidence.provenance.source_title)
    yield "tables.tex", latex_tables(view.tables)


def _write_figures(view: View, report: Target) -> None:
    from med42lib.report.pages.pdf import pdf_of
    from med42lib.report.pages.render import render_figures

    for name, svg in render_figures(view):
        report.path(f"{name}.svg").write_text(svg, encoding="utf-8")
        report.path(f"{name}.pdf").write_bytes(pdf_of(svg))


def _read_evidence(config: ReportConfig, sources: Mapping[str, Source], trained: Sources, scores: Sources) -> Evidence:
    from dataclasses import replace

    from med42lib.formats.records import ITEMS_FILE, read_items
    from med42lib.formats.scores import SCORES_FILE
    from med42lib.report.pages.recipe import RecordedRun, compare_with_paper, has_papers_models
    from med42lib.report.pages.view import Evidence
    from med42lib.report.provenance.models import make_models, pairs_to_compare
    from med42lib.report.provenance.record import read_provenance
    from med42lib.report.results.baselines import make_baselines
    from med42lib.report.results.cautions import make_cautions
    from med42lib.report.results.clusters import cluster
    from med42lib.report.results.contamination import read_contamination, sweep_thresholds, with_words
    from med42lib.report.results.measures import measure
    from med42lib.report.results.scores import join_answers
    from med42lib.report.results.subjects import score_subjects
    from med42lib.report.results.table import analyse

    items = {item.id: item for item in read_items(sources["items"].path(ITEMS_FILE).parent)}
    contamination = read_contamination(sources["contamination"], num_shown=config.num_pairs)
    _check_models(trained, scores)
    provenance = read_provenance(sources, trained, scores)
    models = make_models(provenance.training.items())
    score_files = {name: scores[name].path(SCORES_FILE) for name in (BASE, *provenance.training)}
    answers = join_answers(score_files, items, contamination.cosines)
    scored = [items[item_id] for item_id in answers.item_ids]
    trainings = {model.name: model.trainings or (model.name,) for model in models}
    answers = replace(answers, group=cluster(scored, contamination.matched), trainings=trainings)
    pairs = pairs_to_compare(config.compare, models)
    dropped = provenance.dropped_training
    results = analyse(answers, models, pairs, config.confidence, sources=provenance.sources, dropped=dropped)
    baselines = make_baselines(answers, items, results.groups, results.main_subset)
    scoring = {name: str(summary.get("scoring")) for name, summary in provenance.scoring.items()}
    thresholds = {*config.thresholds, contamination.threshold}
    return Evidence(
        results=results,
        contamination=contamination,
        thresholds=sweep_thresholds(answers, contamination.nearest, thresholds, config.confidence),
        with_words=with_words(answers, contamination, config.confidence),
        baselines=baselines,
        measures=measure(answers, scored, results, baselines=baselines, scoring=scoring, confidence=config.confidence),
        subjects=score_subjects(answers, scored, results, config.confidence),
        cautions=make_cautions(answers, items, provenance.scoring),
        provenance=provenance,
        recipe=compare_with_paper(RecordedRun.from_provenance(provenance)) if has_papers_models(models) else (),
    )


def _check_models(trained: Sources, scores: Sources) -> None:
    expected = {BASE, *trained}
    if expected != scores.keys():
        raise DataError(
            f"the models are {', '.join(sorted(expected))}, but scores were given of {', '.join(sorted(scores))}; give "
            "report the scores of the base and of each fine-tune, under the same names"
        )


def _summarise(findings: tuple[Answer, ...], num_scored: int) -> None:
    lines = log("report")
    for finding in findings:
        lines.info("%s %s: %s", finding.question, finding.verdict, finding.sentence)
    lines.info("%s scored questions; open report.html in a browser", f"{num_scored:,}")
