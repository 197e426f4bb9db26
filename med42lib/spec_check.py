"""What a spec's sections say of one another, and what of it would do nothing: checked before anything works.

    run, plan, compile, check ─► check_spec   ─► every problem at once, or the spec and a warning for what may be meant
    run, check                ─► check_inputs ─► all inputs that are missing

`check` is the first task of a pipeline (`commands/check.py`). What needs the data themselves, such as how many chunks
there are, is checked by the stages when they start.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter

from med42lib.assemble.config import SOURCES, AssembleConfig, SourceConfig
from med42lib.benchmarks.config import BenchmarkConfig, BenchmarksConfig
from med42lib.core.environment import in_pod
from med42lib.core.errors import ConfigError, DataError, Problem, StoreError
from med42lib.core.log import log
from med42lib.core.names import did_you_mean
from med42lib.decontaminate.config import DecontaminateConfig
from med42lib.evaluate.config import BenchmarkScoring, EvaluateConfig
from med42lib.formats.models import BASE
from med42lib.formats.shards import MOST_TASKS, num_tasks
from med42lib.pack.config import PackConfig
from med42lib.package_model.config import PackageModelConfig
from med42lib.readers.layout_config import OF_FORMAT
from med42lib.report.config import ReportConfig
from med42lib.spec import Inputs, ReadSpec, RunSpec, read_spec
from med42lib.store.address import names_missing_package, open_store
from med42lib.store.artifacts import Source
from med42lib.store.base import HUB_SCHEME, PACKAGE_SCHEME
from med42lib.train.config import TrainConfig
from med42lib.train.fit import fit_problems

_PLACEHOLDER = "{{$"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
METHODS: tuple[str, ...] = get_args(TrainConfig.model_fields["method"].annotation)


def load_checked(path: Path, overrides: Sequence[str] = (), *, processes: int = 1) -> RunSpec:
    """Read a spec, apply overrides, and check it; what looks like a mistake and may be none is a warning in the log.

    Args:
        path: The spec's file.
        overrides: As of `load_spec`.
        processes: Training processes, over all machines; 1 where another machine will train and they are not known.

    Raises:
        ConfigError: If anything is wrong: all problems at once, each with its path.
    """
    return check_spec(read_spec(path, overrides), processes=processes)


def check_spec(read: ReadSpec, *, processes: int, more: Iterable[Problem] = ()) -> RunSpec:
    """Check a spec that was read, as `load_checked` does; `more` are problems that were found elsewhere."""
    problems = [*read.problems, *find_problems(read.sections, processes=processes), *more]
    if read.spec is None or problems:
        raise ConfigError(read.title, problems)
    for doubt in find_doubts(read.spec):
        log("spec").warning("%s", doubt)
    return read.spec


def check_inputs(spec: RunSpec) -> None:
    """Make sure that the inputs are there, without reading data.

    Those that cannot be seen from here are left out.

    Raises:
        DataError: If any is not there, of which all are named.
        StoreError, AccessError, StoreUnavailable: If a bucket cannot be reached.
    """
    missing: dict[str, str] = {}
    for name, address in spec.inputs.model_dump().items():
        try:
            if can_be_seen(address):
                Source(address).sizes()
        except DataError as error:
            missing[name] = f"inputs.{name}: {error}{_hub_instead(address)}"
    if missing:
        raise DataError("\n  ".join([f"not all inputs are there: {', '.join(missing)}", *missing.values()]))


def _hub_instead(address: str) -> str:
    """Say how a hub's repository is written, behind an address that has the form of its name."""
    return f"; on a model hub it is {HUB_SCHEME}{address}@<revision>" if _HUB_NAME.fullmatch(address) else ""


def can_be_seen(address: str) -> bool:
    """Say whether an input can be looked for from here.

    A hub is not asked: only fetch_model may need a token. Nor is, in a pod, a Python package that its image lacks: each
    stage's image has packages of its own.
    """
    return not address.startswith(HUB_SCHEME) and not (in_pod() and names_missing_package(address))


def find_problems(sections: Mapping[str, Any], *, processes: int) -> Iterator[Problem]:
    """List what cannot be meant: names of no model, numbers that do not fit, settings without effect.

    A check names as its parameters what it looks at, and is left out if one of these sections has problems itself.
    """
    yield from _replaced_by_kubeflow(TypeAdapter(Any).dump_python(sections, mode="json", by_alias=True), "")
    facts = {**sections, "processes": processes}
    for check in CHECKS:
        wanted = inspect.signature(check).parameters
        if wanted.keys() <= facts.keys():
            yield from check(**{name: facts[name] for name in wanted})


def find_doubts(spec: RunSpec) -> Iterator[Problem]:
    """List what can be meant, but may be a mistake."""
    yield from _scored_otherwise(spec)
    yield from _licences_that_are_not_allowed(spec)


def _licences_that_are_not_allowed(spec: RunSpec) -> Iterator[Problem]:
    """List sources for which no model can become the candidate; the base's licence is not always known here."""
    for name, settings in spec.assemble.sources.items():
        licence = settings.licence or ("" if settings.format else SOURCES.load(name).facts.licence)
        if not spec.register_.gate.allows(licence):
            what = f"does not name {licence!r}, which assemble.sources.{name} has: no model will become the candidate"
            yield Problem("register.gate.allowed_licences", what)
    if (own := spec.fetch_model.licence) and not spec.register_.gate.allows(own):
        what = f"does not name {own!r}, which fetch_model.licence says: no model will become the candidate"
        yield Problem("register.gate.allowed_licences", what)


def _scored_otherwise(spec: RunSpec) -> Iterator[Problem]:
    """List where models are scored in another form than they were taught in."""
    evaluate = spec.evaluate
    if not spec.train:
        return
    if evaluate.prompt != "med42":
        yield Problem("evaluate.prompt", f"is {evaluate.prompt}, but the fine-tunes are taught in the prompt med42")
    taught = _taught(spec)
    for where, scoring in _scorings(spec):
        if taught and scoring.scoring not in taught:
            what = f"is {scoring.scoring}, but assemble's multiple_choice teaches {' and '.join(sorted(taught))}"
            yield Problem(f"{where}.scoring", what)


def _replaced_by_kubeflow(value: object, where: str) -> Iterator[Problem]:
    """List the texts that would not reach a stage as they are written: Kubeflow's tasks get them as parameters."""
    if isinstance(value, str) and _PLACEHOLDER in value:
        yield Problem(
            where, f"holds {_PLACEHOLDER}, which Kubeflow replaces by something else; write it in another way"
        )
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        yield from _replaced_by_kubeflow(inner, f"{where}.{name}".removeprefix("."))


def _addresses(inputs: Inputs) -> Iterator[Problem]:
    """List addresses that are none, wherever the run is; whether something lies there is for `check_inputs` to see."""
    for name, address in inputs.model_dump().items():
        try:
            if not address.startswith(PACKAGE_SCHEME):
                open_store(address)
        except (DataError, StoreError) as error:
            yield Problem(f"inputs.{name}", str(error))


def _trainings(train: Mapping[str, TrainConfig], processes: int) -> Iterator[Problem]:
    for name, settings in train.items():
        yield from _name_problems(name, settings)
        yield from _training_problems(name, settings, processes)


def _validation_without_effect(train: Mapping[str, TrainConfig], pack: PackConfig) -> Iterator[Problem]:
    for name, settings in train.items():
        for setting in ("validation_steps", "load_best_model_at_end"):
            if getattr(settings, setting) and not pack.validation_share:
                what = "does nothing, since pack.validation_share is 0; remove it, or hold out a share, such as 0.01"
                yield Problem(f"train.{name}.{setting}", what)


def _same_trainings(train: Mapping[str, TrainConfig]) -> Iterator[Problem]:
    for first, second in combinations(train, 2):
        if train[first] == train[second]:
            yield Problem(
                f"train.{second}", f"has the very settings of train.{first}; change one, its seed for instance"
            )


def _name_problems(name: str, settings: TrainConfig) -> Iterator[Problem]:
    first_word = name.partition("_")[0]
    if name == BASE:
        yield Problem(f"train.{name}", "is what the model that all start from is called; choose another name")
    elif first_word in METHODS and first_word != settings.method:
        what = f"is {settings.method}, but the model is called {name}; name it after its method, or after none"
        yield Problem(f"train.{name}.method", what)


def _training_problems(name: str, settings: TrainConfig, processes: int) -> Iterator[Problem]:
    found = fit_problems(settings, processes=processes, num_steps=settings.max_steps)
    yield from (Problem(f"train.{name}.{problem.where}", problem.what) for problem in found)
    if settings.method == "full" and "lora" in settings.model_fields_set:
        yield Problem(f"train.{name}.lora", "does nothing with method full; remove it, or set method to lora")


def _compared_models(models: Sequence[str], report: ReportConfig) -> Iterator[Problem]:
    for place, pair in enumerate(report.compare):
        for name in pair:
            if name not in models:
                yield Problem(f"report.compare.{place}", _unknown(name, models))
        if pair[0] == pair[1]:
            yield Problem(f"report.compare.{place}", f"compares {pair[0]!r} with itself")


def _candidate(models: Sequence[str], package_model: PackageModelConfig) -> Iterator[Problem]:
    if package_model.candidate not in models:
        yield Problem("package_model.candidate", _unknown(package_model.candidate, models))


def _scorings_without_effect(evaluate: EvaluateConfig) -> Iterator[Problem]:
    if evaluate.prompt == "plain" and "system" in evaluate.model_fields_set:
        yield Problem("evaluate.system", "does nothing with prompt plain, which has no system text; remove it")
    for where, scoring in [("evaluate", evaluate), *_own_scorings(evaluate)]:
        if scoring.scoring == "letters" and "normalise" in scoring.model_fields_set:
            yield Problem(f"{where}.normalise", "does nothing with scoring letters, one byte each; remove it")


def _too_many_shards(
    models: Sequence[str], decontaminate: DecontaminateConfig, evaluate: EvaluateConfig
) -> Iterator[Problem]:
    """List what makes more tasks than Kubeflow can keep of a run."""
    tasks = num_tasks(models=len(models), decontaminate=decontaminate.shards, evaluate=evaluate.shards)
    if evaluate.shards > 1 and tasks > MOST_TASKS:
        what = f"makes a run of {tasks} tasks with {len(models)} models; Kubeflow can keep {MOST_TASKS}"
        yield Problem("evaluate.shards", what)


def _scored_families(evaluate: EvaluateConfig, benchmarks: BenchmarksConfig) -> Iterator[Problem]:
    families = benchmarks.include
    for name in evaluate.benchmarks:
        if name in families and families[name].format == "lm_eval":
            problem = "does nothing: a task of lm-eval says itself how it is scored; remove it"
            yield Problem(f"evaluate.benchmarks.{name}", problem)
        elif not any(name == family or name.startswith(f"{family}_") for family in families):
            hint = _hint(name, list(families))
            problem = f"is no benchmark of benchmarks.include, which has {', '.join(families)}{hint}"
            yield Problem(f"evaluate.benchmarks.{name}", problem)


def _trained_on_what_is_asked(
    inputs: Inputs, benchmarks: BenchmarksConfig, assemble: AssembleConfig
) -> Iterator[Problem]:
    """List benchmarks whose very files are trained on, as far as their settings tell."""
    places = {_place(settings, inputs.training_data): name for name, settings in assemble.sources.items()}
    for name, settings in benchmarks.include.items():
        source = places.get(_place(settings, inputs.benchmark_data))
        if source is not None and settings.format is not None:
            what = f"is what assemble.sources.{source} trains on, so that its scores say nothing; name other questions"
            yield Problem(f"benchmarks.include.{name}", what)


def _place(settings: SourceConfig | BenchmarkConfig, folder: str) -> tuple[str, str | None]:
    return (settings.hub or folder, settings.path)


def _own_scorings(evaluate: EvaluateConfig) -> list[tuple[str, BenchmarkScoring]]:
    return [(f"evaluate.benchmarks.{name}", scoring) for name, scoring in evaluate.benchmarks.items()]


def _scorings(spec: RunSpec) -> list[tuple[str, BenchmarkScoring]]:
    """List the ways of scoring that are used: benchmarks' own, and the common one if a benchmark has none."""
    settled = {name for name, settings in spec.benchmarks.include.items() if settings.format == "lm_eval"}
    common = set(spec.benchmarks.include) - set(spec.evaluate.benchmarks) - settled
    return [*([("evaluate", spec.evaluate)] if common else []), *_own_scorings(spec.evaluate)]


def _taught(spec: RunSpec) -> set[str]:
    """Say in which ways assemble writes questions with options; empty if no source has any."""
    return {
        settings.multiple_choice or spec.assemble.multiple_choice
        for name, settings in spec.assemble.sources.items()
        if "multiple_choice" in (OF_FORMAT.get(settings.format, ()) if settings.format else SOURCES.load(name).settings)
    }


def _unknown(name: str, models: Sequence[str]) -> str:
    return f"{name!r} is no model of train; there are {', '.join(models)}{_hint(name, models)}"


def _hint(name: str, names: Sequence[str]) -> str:
    hint = did_you_mean(name, names)
    return f"; {hint}" if hint else ""


CHECKS = (
    _addresses,
    _trainings,
    _validation_without_effect,
    _same_trainings,
    _compared_models,
    _candidate,
    _scorings_without_effect,
    _scored_families,
    _too_many_shards,
    _trained_on_what_is_asked,
)
