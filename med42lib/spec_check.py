"""What a spec's sections say of one another, and what of it would do nothing: checked before anything works.

    run, plan, compile ─► load_checked ─► every problem at once, or the spec and a warning for what may be meant
    run                ─► check_inputs ─► all inputs that are missing; chunks longer than the base model's context
    plan               ─► check_base ───► the latter alone

What needs the data themselves, such as how many chunks there are, is checked by the stages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import get_args

from med42lib.assemble.config import SOURCES_WITH
from med42lib.core.errors import ConfigError, DataError, Problem
from med42lib.core.log import log
from med42lib.core.spelling import did_you_mean
from med42lib.evaluate.config import BenchmarkScoring
from med42lib.formats.model_config import CONFIG_FILE, read_config
from med42lib.formats.models import BASE
from med42lib.formats.prompt import DEFAULT_SYSTEM
from med42lib.pack.limits import check_context
from med42lib.spec import RunSpec, load_spec
from med42lib.store.artifacts import Source
from med42lib.store.base import HUB_SCHEME
from med42lib.train.config import TrainConfig
from med42lib.train.fit import fit_problems

_ADVICE = "name a folder with a whole model as inputs.base_model"
METHODS: tuple[str, ...] = get_args(TrainConfig.model_fields["method"].annotation)


def load_checked(path: Path, overrides: Sequence[str] = (), *, processes: int = 1) -> RunSpec:
    """Read a spec, apply overrides, and check it; what looks like a mistake and may be none is a warning in the log.

    Args:
        path: The spec's file.
        overrides: As of `load_spec`.
        processes: Training processes; 1 where another machine will train and they are not known.

    Raises:
        ConfigError: If anything is wrong: all problems at once, each with its path.
    """
    spec = load_spec(path, overrides)
    if problems := list(find_problems(spec, processes=processes)):
        raise ConfigError(f"{path}" + (" with --set" if overrides else ""), problems)
    for doubt in find_doubts(spec):
        log("spec").warning("%s", doubt)
    return spec


def check_inputs(spec: RunSpec, cache: Path) -> None:
    """Make sure that the inputs are there and chunks fit the base model's context, without reading data.

    A hub is not asked: only fetch_model may need a token.

    Args:
        spec: Names the inputs.
        cache: As of `check_base`.

    Raises:
        DataError: If any is not there; all that are missing are named.
        ConfigError: If chunks are longer than the base model's context.
        StoreError, AccessError, StoreUnavailable: If a bucket cannot be reached.
    """
    missing = []
    for name, address in spec.inputs.model_dump().items():
        try:
            if not address.startswith(HUB_SCHEME):
                Source(address).sizes()
        except DataError as error:
            missing.append(f"inputs.{name}: {error}")
    if missing:
        raise DataError("\n  ".join(["not all inputs are there", *missing]))
    if not spec.inputs.base_model.startswith(HUB_SCHEME):
        check_base(spec, cache)


def check_base(spec: RunSpec, cache: Path) -> Path | None:
    """Make sure that chunks fit the base model's context.

    Args:
        spec: Says how long chunks are, and where the base model is.
        cache: A folder for the config.json of a remote one; nothing else is fetched.

    Returns:
        The path of the model's config.json; None if it has none because its format is another.

    Raises:
        ConfigError: If they do not.
        DataError: If config.json is missing or broken, or no later stage would take it.
    """
    if spec.fetch_model.format != "huggingface":
        return None
    path = Source(spec.inputs.base_model, cache=cache).reach(CONFIG_FILE)
    check_context(read_config(path.parent, _ADVICE), spec.inputs.base_model, chunk_length=spec.pack.chunk_length)
    return path


def find_problems(spec: RunSpec, *, processes: int) -> Iterator[Problem]:
    """List what cannot be meant: names of no model, numbers that do not fit, settings without effect."""
    for name, settings in spec.train.items():
        yield from _name_problems(name, settings)
        yield from _training_problems(name, settings, processes)
    for first, second in combinations(spec.train, 2):
        if spec.train[first] == spec.train[second]:
            yield Problem(
                f"train.{second}", f"has the very settings of train.{first}; change one, its seed for instance"
            )
    yield from _model_problems(spec)
    yield from _scoring_problems(spec)


def find_doubts(spec: RunSpec) -> Iterator[Problem]:
    """List where models are scored in another form than they were taught in, which can be meant."""
    evaluate = spec.evaluate
    if not spec.train:
        return
    if evaluate.prompt != "med42":
        yield Problem("evaluate.prompt", f"is {evaluate.prompt}, but the fine-tunes are taught in the prompt med42")
    elif evaluate.system != DEFAULT_SYSTEM:
        yield Problem("evaluate.system", f"is {evaluate.system!r}, but the training data say {DEFAULT_SYSTEM!r}")
    taught = _taught(spec)
    for where, scoring in _scorings(spec):
        if taught and scoring.scoring not in taught:
            what = f"is {scoring.scoring}, but assemble's multiple_choice teaches {' and '.join(sorted(taught))}"
            yield Problem(f"{where}.scoring", what)


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


def _model_problems(spec: RunSpec) -> Iterator[Problem]:
    models = [BASE, *spec.train]
    for place, pair in enumerate(spec.report.compare):
        for name in pair:
            if name not in models:
                yield Problem(f"report.compare.{place}", _unknown(name, models))
        if pair[0] == pair[1]:
            yield Problem(f"report.compare.{place}", f"compares {pair[0]!r} with itself")
    if spec.package_model.candidate not in models:
        yield Problem("package_model.candidate", _unknown(spec.package_model.candidate, models))


def _scoring_problems(spec: RunSpec) -> Iterator[Problem]:
    evaluate = spec.evaluate
    if evaluate.prompt == "plain" and "system" in evaluate.model_fields_set:
        yield Problem("evaluate.system", "does nothing with prompt plain, which has no system text; remove it")
    for where, scoring in [("evaluate", evaluate), *_own_scorings(spec)]:
        if scoring.scoring == "letters" and "normalise" in scoring.model_fields_set:
            yield Problem(f"{where}.normalise", "does nothing with scoring letters, one byte each; remove it")
    families = spec.benchmarks.include
    for name in evaluate.benchmarks:
        if not any(name == family or name.startswith(f"{family}_") for family in families):
            hint = _hint(name, list(families))
            problem = f"is no benchmark of benchmarks.include, which has {', '.join(families)}{hint}"
            yield Problem(f"evaluate.benchmarks.{name}", problem)


def _own_scorings(spec: RunSpec) -> list[tuple[str, BenchmarkScoring]]:
    return [(f"evaluate.benchmarks.{name}", scoring) for name, scoring in spec.evaluate.benchmarks.items()]


def _scorings(spec: RunSpec) -> list[tuple[str, BenchmarkScoring]]:
    """List the ways of scoring that are used: benchmarks' own, and the common one if a benchmark has none."""
    common = set(spec.benchmarks.include) - set(spec.evaluate.benchmarks)
    return [*([("evaluate", spec.evaluate)] if common else []), *_own_scorings(spec)]


def _taught(spec: RunSpec) -> set[str]:
    """Say in which ways assemble writes questions with options; empty if no source has any."""
    return {
        settings.multiple_choice or spec.assemble.multiple_choice
        for name, settings in spec.assemble.sources.items()
        if name in SOURCES_WITH["multiple_choice"]
    }


def _unknown(name: str, models: Sequence[str]) -> str:
    return f"{name!r} is no model of train; there are {', '.join(models)}{_hint(name, models)}"


def _hint(name: str, names: Sequence[str]) -> str:
    hint = did_you_mean(name, names)
    return f"; {hint}" if hint else ""
