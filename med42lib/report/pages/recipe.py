"""Where this run departs from the paper, worked out from the settings that its manifests recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from med42lib.formats.mixture_table import TOTAL_PAPER
from med42lib.formats.run_settings import setting_at
from med42lib.report.formatting import setting
from med42lib.report.pages.tables import Cell, Column, Table, TableRow
from med42lib.report.provenance.models import FULL, LORA, Model
from med42lib.report.provenance.record import Provenance
from med42lib.report.results.paper import (
    BASE_MODELS,
    DECONTAMINATE_SETTINGS,
    LINEAR_LAYERS,
    NOT_STATED,
    PACK_SETTINGS,
    TRAIN_SETTINGS,
    PaperSetting,
    base_by_size,
)

NOT_RECORDED = "not recorded"
METHODS = (FULL, LORA)
"""The two models that the paper compares; those of these names are set beside it."""
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What was recorded of this run; empty or None where it was not.

    `train` holds the settings of each method, `adapted_layers` the names in the adapter's own configuration.
    """

    train: Mapping[str, Mapping[str, object]]
    pack: Mapping[str, object]
    decontaminate: Mapping[str, object]
    num_examples: int | None
    num_parameters: int | None
    adapted_layers: frozenset[str]

    @classmethod
    def from_provenance(cls, provenance: Provenance) -> RecordedRun:
        """Take from the provenance what the paper's recipe speaks of."""
        recipe = provenance.training[FULL].recipe
        return cls(
            train={method: provenance.training[method].settings for method in METHODS},
            pack=provenance.pack_settings,
            decontaminate=provenance.decontaminate_settings,
            num_examples=provenance.packing.num_examples - provenance.packing.num_dropped,
            num_parameters=recipe.base_parameters if recipe else None,
            adapted_layers=provenance.training[LORA].adapted_layers,
        )


def _as_it_works(decontaminate: Mapping[str, object]) -> Mapping[str, object]:
    """Give decontamination's settings; with `text: request` no stems are told apart, whatever another one says."""
    if decontaminate.get("text") != "request":
        return decontaminate
    return {**decontaminate, "generic_stems": "count_as_leaks"}


@dataclass(frozen=True, slots=True)
class SettingComparison:
    """One setting of one method: what the paper says, what this run did, and whether they differ."""

    label: str
    method: str
    paper: str
    here: str
    departs: bool


def has_papers_models(models: Iterable[Model]) -> bool:
    """Say whether the paper's two fine-tunes are among the models: `full` and `lora`, trained as they are called."""
    return {(method, method) for method in METHODS} <= {(model.name, model.method) for model in models}


def compare_with_paper(ran: RecordedRun) -> tuple[SettingComparison, ...]:
    """Compare every setting, for both methods, in the paper's order."""
    compared = [c for method in METHODS for c in _compared_data(ran, method)]
    decontaminate = _as_it_works(ran.decontaminate)
    compared += [_compared(s, method, decontaminate) for s in DECONTAMINATE_SETTINGS for method in METHODS]
    compared += [_compared(s, method, ran.pack) for s in PACK_SETTINGS for method in METHODS]
    compared += [_compared(s, method, ran.train.get(method, {})) for s in TRAIN_SETTINGS for method in METHODS]
    compared += _compared_layers(ran)
    return tuple(c for c in compared if c.paper)


def recipe_table(comparisons: tuple[SettingComparison, ...]) -> Table:
    """Tabulate the comparison, one line a setting; what departs is bold and marked with ≠."""
    labels = list(dict.fromkeys(c.label for c in comparisons))
    found = {(c.label, c.method): c for c in comparisons}
    groups = {"full": "Full", "lora": "LoRA"}
    columns = [Column("Setting", numeric=False)]
    columns += [Column(title, groups[method]) for method in METHODS for title in ("Paper", "This run")]
    rows = [
        TableRow((Cell(label), *(cell for method in METHODS for cell in _cells(found.get((label, method))))))
        for label in labels
    ]
    num_departures = len({c.label for c in comparisons if c.departs})
    return Table(
        caption="The recipe, beside the paper's",
        columns=tuple(columns),
        rows=tuple(rows),
        note=f"Bold, with ≠: this run departs from the paper, in {num_departures} of {len(labels)} settings.",
    )


def _cells(comparison: SettingComparison | None) -> tuple[Cell, Cell]:
    if comparison is None:
        return Cell(setting(None)), Cell(setting(None))
    here = f"≠ {comparison.here}" if comparison.departs else comparison.here
    return Cell(comparison.paper), Cell(here, strong=comparison.departs)


def _compared_data(ran: RecordedRun, method: str) -> list[SettingComparison]:
    base = base_by_size(ran.num_parameters) if ran.num_parameters else None
    known = ran.num_parameters in BASE_MODELS
    return [
        _comparison("Base model", method, "Llama-2 7B, 70B", base, equal=known),
        _exact_comparison("Training examples", method, TOTAL_PAPER, ran.num_examples),
    ]


def _compared_layers(ran: RecordedRun) -> list[SettingComparison]:
    names = ", ".join(sorted(name.removesuffix("_proj") for name in ran.adapted_layers))
    equal = ran.adapted_layers == LINEAR_LAYERS
    here = "every linear layer" if equal else names
    return [_comparison("LoRA layers", "lora", "every linear layer", here or None, equal=equal)]


def _compared(paper_setting: PaperSetting, method: str, settings: Mapping[str, object]) -> SettingComparison:
    expected = paper_setting.full if method == "full" else paper_setting.lora
    if expected is None:
        return SettingComparison(paper_setting.label, method, "", "", departs=False)
    return _exact_comparison(paper_setting.label, method, expected, _nested_setting(settings, paper_setting.path))


def _nested_setting(settings: Mapping[str, object], path: str) -> object:
    """Find a nested setting; the string "none" for one that was recorded as null, None for one that was not."""
    value = setting_at(settings, path, _ABSENT)
    if value is _ABSENT:
        return None
    return "none" if value is None else value


def _exact_comparison(label: str, method: str, paper: object, here: object) -> SettingComparison:
    return _comparison(label, method, setting(paper), None if here is None else setting(here), equal=paper == here)


def _comparison(label: str, method: str, paper: str, here: str | None, *, equal: bool) -> SettingComparison:
    departs = here is not None and paper != NOT_STATED and not equal
    return SettingComparison(label, method, paper, here or NOT_RECORDED, departs)
