"""The model card of the registered model, filled from the run: for who downloads it, and for MLflow's registry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from med42lib import __version__
from med42lib.core.markdown import Markdown, escape_markdown, markdown_code, markdown_table
from med42lib.formats.model_card import write_card
from med42lib.formats.models import BASE
from med42lib.formats.report import LEAKED_SHARE, OVERALL
from med42lib.formats.written import display_name, percent
from med42lib.register.config import RegisterConfig
from med42lib.register.results import Results
from med42lib.register.run import NOT_STATED, FinishedRun

MOST_CHARACTERS_OF_NOTE = 5000
"""Of a model version's description: the column's length in MLflow's databases."""

_WARNING = """**Not for clinical decisions.** This model was made for research. It was not tried on patients or in care,
its answers can be wrong and sound right, and no figure below says that it is safe to use."""
_MEASURED = """What was measured is which of the given options of examination questions is the likeliest. Free answers,
advice, safety, bias and privacy were not measured."""
_HIDDEN_LEAKS = """A leak in other words may not have been found, and nobody looked for what the base model had read
before."""
_ONE_SEED = """It was trained once. With another seed it would be another model: part of a difference can be luck."""
_HOW_TO_ASK = """Its chat template is the format that it was taught: ask it with messages of the roles system, user and
assistant."""
_CUT = "The rest of this card lies beside the model, in its README.md."
_METHODS = {"full": "full fine-tune", "lora": "LoRA fine-tune", "qlora": "QLoRA fine-tune"}


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The text in sections, what a reader must know first; metadata and results as the hub has them."""

    metadata: Mapping[str, Any]
    results: list[dict[str, Any]]
    sections: tuple[str, ...]

    @property
    def text(self) -> str:
        """Write the whole file."""
        return write_card(self.metadata, "\n\n".join(self.sections), results=self.results)

    @property
    def note(self) -> str:
        """Write as many of the sections, whole, as MLflow's description has room for."""
        for number in range(len(self.sections), 0, -1):
            left_out = [_CUT] if number < len(self.sections) else []
            note = "\n\n".join([*self.sections[:number], *left_out])
            if len(note) <= MOST_CHARACTERS_OF_NOTE:
                return note
        return _CUT


def model_card(config: RegisterConfig, run: FinishedRun) -> ModelCard:
    """Write the card of a run's candidate."""
    results = Results.of(run)
    tables = map(results.table, results.subsets)
    sections = (
        f"# {escape_markdown(config.model_name)}\n\n{_WARNING}",
        *([config.description] if config.description else []),
        _introduction(run),
        _section("Results", *results.sentences()),
        *tables,
        _section("Contamination", *_contamination(run, results)),
        _section("Limits", "\n".join(f"- {limit}" for limit in _limits(run, results))),
        _section("Licence", _licence(config, run)),
        _section("Training data", *_training_data(run)),
        _section("Recipe", *_recipe(run)),
    )
    return ModelCard(_metadata(config, run), results.for_hub(), sections)


def description(config: RegisterConfig, run: FinishedRun) -> str:
    """Say of the whole run what it made of what, and what the report claims of the candidate."""
    results = Results.of(run)
    models = ", ".join(f"`{name}`" for name in run.trained) or "no model"
    total = sum(row["sampled"] for row in run.mixture)
    scored = run.summary["accuracy"][OVERALL][BASE]["all"]["n"]
    facts = (
        f"Trained {models} from {markdown_code(run.base.name)} on {total:,} conversations of {len(run.mixture)} "
        f"sources. Of {scored:,} scored questions {percent(run.metrics[LEAKED_SHARE])} % have {results.close_match}. "
        f"The candidate is `{run.candidate}`."
    )
    return "\n\n".join([*filter(None, [config.description]), facts, *results.sentences(), _WARNING])


def _section(title: str, *paragraphs: str) -> str:
    return "\n\n".join([f"## {title}", *paragraphs])


def _metadata(config: RegisterConfig, run: FinishedRun) -> dict[str, Any]:
    return {
        **_licence_for_hub(config.licence),
        "base_model": run.base.hub and run.base.hub.partition("@")[0],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["medical", "med42-suite", "not-for-clinical-use"],
        "datasets": sorted({row["hub"].partition("@")[0] for row in run.mixture if row.get("hub")}) or None,
        "metrics": ["accuracy"],
        "model_name": config.model_name,
    }


def _licence_for_hub(licence: str) -> dict[str, str]:
    """Write a licence as the hub does: by its identifier, or as `other` with a name of such characters."""
    identifier = "-".join(re.findall(r"[a-z0-9.]+", licence.lower()))
    if licence and identifier == licence.lower():
        return {"license": identifier}
    return {"license": "other", "license_name": identifier or "not-stated"}


def _introduction(run: FinishedRun) -> str:
    base = f"{markdown_code(run.base.name)} (content `sha256:{run.base.digest[:12]}`)"
    recorded = f"by Med42 Suite {__version__}. In MLflow the run `{run.lineage.digest}` has all that it was made from."
    if not run.is_fine_tune:
        return f"The base model as it is: {base}, registered {recorded}"
    method = _METHODS.get(run.recipe.method if run.recipe else "", "fine-tune")
    return f"`{run.candidate}`, a {method} of {base}, made {recorded} {_HOW_TO_ASK}"


def _contamination(run: FinishedRun, results: Results) -> Iterator[str]:
    found = run.summary["contamination"]
    settings = run.settings()
    stayed = ", and what matched stayed in the training data" * (settings.get("decontaminate.action") == "flag")
    dropped_by_words = settings.get("decontaminate.dropped_by") == "either"
    yield (
        f"A close match is {results.close_match}: {percent(run.metrics[LEAKED_SHARE])} % of the scored questions have "
        f"one{stayed}.{_of_stems(found)}{_by_words(found, dropped=dropped_by_words)}"
    )
    counts = found["benchmarks"].items()
    rows = ((display_name(b), f"{n['items']:,}", f"{n['contaminated']:,}") for b, n in counts)
    yield markdown_table("lrr", ("Benchmark", "Questions", "With a close match"), rows)
    yield from results.gain_on_leaks()


def _of_stems(found: Mapping[str, Any]) -> str:
    number = found["items_of_stem_only"]
    return (
        f" {number:,} more of the benchmarks' questions share no more with a training example than a stem such as "
        '"Which of the following is true?", or a question that items ask of several contexts.'
    ) * bool(number)


def _by_words(found: Mapping[str, Any], *, dropped: bool) -> str:
    number = found["detectors"]["overlap"]
    where = "examples dropped before training," if dropped else "the training data"
    return (
        f" Found in {where} by their words alone, all of them or 13 in a row: {number:,} more of the benchmarks' "
        "questions. They count as having no close match, since the cosine decides."
    ) * bool(number)


def _limits(run: FinishedRun, results: Results) -> Iterator[str]:
    yield _MEASURED
    yield _HIDDEN_LEAKS
    if run.is_fine_tune and not results.trainings:
        yield _ONE_SEED
    yield from results.power()


def _licence(config: RegisterConfig, run: FinishedRun) -> str:
    own = escape_markdown(config.licence or "not stated by who registered it")
    base = escape_markdown(run.base.licence or NOT_STATED)
    return (
        f"Of this model: {own}. Of the base model: {base}. Of the training data: each source has its own, in the table "
        "of the training data. All of them bind who uses the model."
    )


def _training_data(run: FinishedRun) -> Iterator[str]:
    total = sum(row["sampled"] for row in run.mixture)
    if not total:
        yield "Not recorded: the data set was not there any more when this card was written."
        return
    yield f"{total:,} conversations."
    shares = ((row, f"{row['sampled']:,}", f"{percent(row['sampled'] / total)} %") for row in run.mixture)
    rows = ((row["title"], count, share, row["licence"] or NOT_STATED) for row, count, share in shares)
    yield markdown_table("lrrl", ("Source", "Examples", "Share", "Licence"), rows)


def _recipe(run: FinishedRun) -> Iterator[str]:
    if run.recipe is not None:
        yield (
            f"{run.recipe.num_steps:,} steps over {run.recipe.num_tokens:,} tokens; "
            f"{run.recipe.trainable_parameters:,} of {run.recipe.total_parameters:,} parameters were trained."
        )
        if run.recipe.best_step is not None:
            yield f"The model is of step {run.recipe.best_step:,}, after which the validation loss was lowest."
    others = tuple(f"train.{name}." for name in run.trained if name != run.candidate)
    settings = ((name, value) for name, value in run.settings().items() if not name.startswith(others))
    rows = ((Markdown(markdown_code(name)), Markdown(markdown_code(str(value)))) for name, value in settings)
    yield markdown_table("ll", ("Setting of the specification", "Value"), rows)
