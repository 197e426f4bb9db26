"""Everything the report shows, in one object that the templates read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from med42lib.formats.contamination import Pair
from med42lib.formats.models import BASE
from med42lib.formats.report import OVERALL
from med42lib.formats.validation import find_rise
from med42lib.report.config import ReportConfig
from med42lib.report.formatting import close_match
from med42lib.report.pages.figures import (
    NARROW_PIXELS,
    WIDE_PIXELS,
    ForestPlot,
    LossPlot,
    forest_plot,
    loss_plot,
)
from med42lib.report.pages.measure_tables import measure_tables
from med42lib.report.pages.paper_mixture import paper_mixture_table
from med42lib.report.pages.provenance_tables import (
    origin_table,
    packing_table,
    question_table,
    scoring_table,
    settings_table,
    source_counts_table,
    stage_table,
    training_table,
    version_table,
)
from med42lib.report.pages.recipe import METHODS, SettingComparison, recipe_table
from med42lib.report.pages.reproduction import reproduction_table
from med42lib.report.pages.result_tables import (
    accuracy_table,
    contamination_table,
    difference_table,
    label_table,
    leaked_table,
    source_table,
    threshold_table,
    trainings_table,
)
from med42lib.report.pages.subject_table import subject_table
from med42lib.report.pages.tables import Table
from med42lib.report.provenance.models import Model
from med42lib.report.provenance.record import Provenance, TrainingRecord
from med42lib.report.results.baselines import Baseline
from med42lib.report.results.cautions import Cautions
from med42lib.report.results.contamination import Contamination, ThresholdRow
from med42lib.report.results.headline import Answer, make_answers, remarks
from med42lib.report.results.measures import Measures
from med42lib.report.results.overlap import Segment, shared_segments
from med42lib.report.results.subjects import SubjectScores
from med42lib.report.results.table import Results, is_trained_on


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was computed, before it is laid out."""

    results: Results
    contamination: Contamination
    thresholds: tuple[ThresholdRow, ...]
    with_words: ThresholdRow | None
    baselines: Mapping[str, Baseline]
    measures: Measures
    subjects: tuple[SubjectScores, ...]
    cautions: Cautions
    provenance: Provenance
    recipe: tuple[SettingComparison, ...]

    @property
    def close_match(self) -> str:
        """Say what leaked questions have."""
        made = self.provenance
        return close_match(self.contamination.threshold, stems_apart=made.stems_apart, dropped=made.dropped_training)


@dataclass(frozen=True, slots=True)
class ShownPair:
    """A contaminated pair with the words that its texts share marked, and its training source's title."""

    pair: Pair
    source: str
    item: tuple[Segment, ...]
    example: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the templates show. Tables are numbered in the order in which they stand here."""

    title: str
    confidence: float
    evidence: Evidence
    findings: tuple[Answer, ...]
    tables: Mapping[str, Table]
    forests: tuple[ForestPlot, ForestPlot]
    losses: tuple[LossPlot | None, LossPlot | None]
    curve_notes: tuple[str, ...]
    pairs: tuple[ShownPair, ...]

    @property
    def num_scored(self) -> int:
        """Count the scored questions."""
        return self.evidence.results.accuracies[OVERALL, BASE, "all"].n

    @property
    def num_clean(self) -> int:
        """Count the scored questions that are not contaminated."""
        return self.evidence.results.accuracies[OVERALL, BASE, "clean"].n

    @property
    def num_benchmarks(self) -> int:
        """Count the benchmarks."""
        return sum(not group.is_summary for group in self.evidence.results.groups)

    @property
    def subjects(self) -> str:
        """Name the models in a sentence: "The base model, full fine-tuning and LoRA"."""
        *others, last = [model.subject for model in self.evidence.results.models]
        text = f"{', '.join(others)} and {last}" if others else last
        return text[:1].upper() + text[1:]

    @property
    def remarks(self) -> tuple[str, ...]:
        """Say what the answers rest on, and what they cannot show."""
        evidence = self.evidence
        return remarks(
            evidence.results,
            confidence=self.confidence,
            dropped=self.dropped,
            dropped_by_words=evidence.provenance.dropped_by_words,
            num_by_words=self.num_clean - evidence.with_words.num_clean if evidence.with_words else 0,
            num_of_sources=self._num_of_sources,
            in_taught_format=any(how.get("prompt") == "med42" for how in evidence.provenance.scoring.values()),
        )

    @property
    def _num_of_sources(self) -> int:
        """Count the questions of the answers that are of benchmarks of which another split is trained on."""
        results, sources = self.evidence.results, self.evidence.provenance.sources
        names = [group.key for group in results.groups if not group.is_summary and is_trained_on(group.key, sources)]
        return sum(results.accuracies[name, BASE, results.main_subset].n for name in names)

    @property
    def dropped(self) -> bool:
        """Say whether the examples that leaked questions match were dropped before training."""
        return self.evidence.provenance.dropped_training

    def number(self, table: str) -> int:
        """Give a table's number, from 1."""
        return list(self.tables).index(table) + 1


def make_view(config: ReportConfig, evidence: Evidence) -> View:
    """Lay out tables, figures and sentences."""
    chances = {key: baseline.chance for key, baseline in evidence.baselines.items()}
    training = evidence.provenance.training
    records = {model: training[model.name] for model in evidence.results.models if model.name in training}
    losses = {model: record.losses for model, record in records.items()}
    validation = {model: record.validation_losses for model, record in records.items()}
    wide, narrow = (
        (
            forest_plot(evidence.results, chances, subset=evidence.results.main_subset, width=width),
            loss_plot(losses, width=width, validation=validation),
        )
        for width in (WIDE_PIXELS, NARROW_PIXELS)
    )
    return View(
        title=config.title,
        confidence=config.confidence,
        evidence=evidence,
        findings=make_answers(
            evidence.results,
            close_match=evidence.close_match,
            confidence=config.confidence,
            equivalence_points=config.equivalence_points,
        ),
        tables={**_result_tables(config, evidence), **_provenance_tables(evidence)},
        forests=(wide[0], narrow[0]),
        losses=(wide[1], narrow[1]),
        curve_notes=tuple(_curve_notes(records)),
        pairs=tuple(_shown(pair, evidence.provenance) for pair in evidence.contamination.shown),
    )


def _curve_notes(records: Mapping[Model, TrainingRecord]) -> Iterator[str]:
    """Say which models are of the step of the lowest loss on held-out examples, and of which others it rose."""
    for model, record in records.items():
        if record.recipe and (step := record.recipe.best_step):
            yield f"{model.title}: the model is of step {step:,}, after which the validation loss was lowest."
        elif rise := find_rise(record.validation_losses):
            low = f"lowest after step {rise.lowest_step:,} ({rise.lowest:.3f})"
            yield (
                f"{model.title}: the validation loss was {low} and ended at {rise.newest:.3f}. The model may have "
                "begun to learn its training data by heart; accuracy need not have fallen. Fewer epochs may be better."
            )


def _result_tables(config: ReportConfig, evidence: Evidence) -> dict[str, Table]:
    results, contamination = evidence.results, evidence.contamination
    any_leaked = results.accuracies[OVERALL, BASE, "contaminated"].n > 0
    subsets = ("all", "clean") if results.main_subset == "clean" else ("all",)
    tables = {
        "accuracy": accuracy_table(results, evidence.cautions, confidence=config.confidence, subsets=subsets),
    }
    if any(model.has_seeds for model in results.models):
        tables["trainings"] = trainings_table(results, confidence=config.confidence)
    tables |= measure_tables(results, evidence.measures, evidence.baselines, confidence=config.confidence)
    if evidence.subjects:
        tables["subjects"] = subject_table(results, evidence.subjects, confidence=config.confidence)
    if results.comparisons:
        tables["difference"] = difference_table(results, confidence=config.confidence, subset=results.main_subset)
    if results.comparisons and len(subsets) > 1:
        tables["difference_all"] = difference_table(results, confidence=config.confidence, subset="all")
    tables["contamination"] = contamination_table(
        results, contamination, close_match=evidence.close_match, confidence=config.confidence
    )
    if any_leaked:
        tables["leaked"] = leaked_table(results, confidence=config.confidence)
    if any(share.pairs.total for share in contamination.labels):
        tables["labels"] = label_table(contamination)
    if contamination.sources:
        tables["sources"] = source_table(contamination, evidence.provenance)
    if evidence.thresholds:
        rows = [*evidence.thresholds, *filter(None, [evidence.with_words])]
        tables["thresholds"] = threshold_table(
            results, rows, used=contamination.threshold, confidence=config.confidence
        )
    return tables


def _provenance_tables(evidence: Evidence) -> dict[str, Table]:
    provenance = evidence.provenance
    tuned = [model for model in evidence.results.models if model.name in provenance.training]
    tables = {"origins": origin_table(provenance)}
    if (beside := reproduction_table(evidence.results.models, evidence.results.accuracies, provenance)) is not None:
        tables["table_1"] = beside
    if evidence.recipe:
        tables["recipe"] = recipe_table(evidence.recipe)
    if {model.name for model in tuned} - (set(METHODS) if evidence.recipe else set()):
        tables["settings"] = settings_table(tuned, provenance.training)
    if tuned:
        tables["training"] = training_table(tuned, provenance.training)
    if provenance.mixture:
        tables["mixture"] = source_counts_table(provenance)
        if (mixture := paper_mixture_table(provenance)) is not None:
            tables["table_a1"] = mixture
    tables["packing"] = packing_table(provenance.packing)
    if provenance.questions:
        tables["questions"] = question_table(provenance)
    tables["scoring"] = scoring_table(provenance, evidence.baselines)
    if provenance.stages:
        tables["stages"] = stage_table(provenance.stages)
    if provenance.versions:
        tables["versions"] = version_table(provenance.versions)
    return tables


def _shown(pair: Pair, provenance: Provenance) -> ShownPair:
    item, example = pair.item_text, pair.example_text
    source = provenance.source_title(pair.source)
    return ShownPair(pair, source, shared_segments(item, example), shared_segments(example, item))
