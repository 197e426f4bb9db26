r"""What a task of lm-eval says of answers that the model writes, checked: what it writes, and what of that is right.

    output_type: generate_until
    generation_kwargs: {until: ["\n"], max_gen_toks: 32, do_sample: false}
    filter_list: [{name: letter, filter: [{function: regex, regex_pattern: "([A-D])"}, {function: take_first}]}]
    metric_list: [{metric: exact_match, ignore_case: true}]

lm-eval itself generates, filters and compares in `evaluate`, with these settings as they are. Refused here is what it
would end in an error with, what draws at random, and what does not say of each item whether it is right.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from med42lib.formats.rejects import BadRecord

GENERATED = "generate_until"
METRIC = "exact_match"

_METRIC_FLAGS = ("ignore_case", "ignore_punctuation", "ignore_numbers")
_METRIC_SETTINGS = frozenset(("metric", "aggregation", "higher_is_better", "regexes_to_ignore", *_METRIC_FLAGS))
_GENERATION_SETTINGS = frozenset(("until", "max_gen_toks", "do_sample", "temperature"))
_FILTER_SETTINGS: Mapping[str, frozenset[str]] = {
    "lowercase": frozenset(),
    "regex": frozenset(("regex_pattern", "group_select", "fallback")),
    "remove_whitespace": frozenset(),
    "take_first": frozenset(),
    "uppercase": frozenset(),
}
"""lm-eval's filters that make one text of one text, with their settings."""


def is_generated(task: Mapping[str, Any]) -> bool:
    """Say whether the model writes its answers; that is lm-eval's default."""
    return str(task.get("output_type", GENERATED)) == GENERATED


def handed_to_lm_eval(task: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings by which lm-eval generates and judges: of several filters the first, of metrics `METRIC`."""
    found: dict[str, Any] = {"metric_list": [entry for entry in _metrics(task) if entry.get("metric") == METRIC]}
    found["fewshot_delimiter"] = str(
        task.get("fewshot_delimiter", "\n\n")
    )  # where an answer ends, if `until` is absent
    if task.get("generation_kwargs"):
        found["generation_kwargs"] = task["generation_kwargs"]
    if task.get("filter_list"):
        found["filter_list"] = task["filter_list"][:1]
    return found


def left_out(task: Mapping[str, Any]) -> Iterator[str]:
    """Name what the task asks lm-eval to compute besides."""
    for entry in _metrics(task):
        if entry.get("metric") != METRIC:
            yield f"the metric {entry.get('metric')!r} is not computed; it is not right or wrong"
    for other in (task.get("filter_list") or [])[1:]:
        name = other.get("name") if isinstance(other, dict) else other
        yield f"the filter {name!r} is not applied; the first one decides"


def problems_of_generation(task: Mapping[str, Any]) -> Iterator[str]:
    """Say why answers could not be generated and judged as the task says."""
    if task.get("doc_to_choice") is not None:
        yield "doc_to_choice is for output_type multiple_choice: write the answer's text in doc_to_target"
    if task.get("repeats", 1) != 1:
        yield f"repeats {task['repeats']}: an answer that is not drawn is the same every time; leave it out"
    yield from _problems_of_metrics(task)
    kwargs = task.get("generation_kwargs") or {}
    yield from _problems_of_kwargs(kwargs) if isinstance(kwargs, dict) else ["generation_kwargs is no mapping"]
    filters = task.get("filter_list") or []
    if isinstance(filters, list):
        yield from (problem for first in filters[:1] for problem in _problems_of_filter(first))
    else:
        yield "filter_list is no list"


def right_answers(target: object, *, is_rendered: bool) -> tuple[str, ...]:
    """Give the texts of which any is right, as lm-eval takes them from what `doc_to_target` gives.

    Args:
        target: A text, a whole number or a list of texts.
        is_rendered: Whether a template wrote it: a list is then read from its text.

    Raises:
        BadRecord: If there is none, or one is blank or something else, of which lm-eval may make another text.
    """
    if is_rendered and isinstance(target, str) and (target[:1], target[-1:]) == ("[", "]"):
        target = _list_or_text(target)
    if isinstance(target, int) and not isinstance(target, bool):
        target = str(target)
    answers = target if isinstance(target, list) else [target]
    if not answers or not all(isinstance(answer, str) and answer.strip() for answer in answers):
        raise BadRecord("doc_to_target gives no text, whole number or list of texts", repr(target))
    return tuple(answers)


def _list_or_text(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def metric_entries(task: Mapping[str, Any], *default: str) -> list[dict[str, Any]]:
    """Give what a task lists as its metrics, or lm-eval's `default` ones; what is none is passed over."""
    listed = task.get("metric_list") or [{"metric": name} for name in default]
    entries = listed if isinstance(listed, list) else [listed]
    return [entry for entry in entries if isinstance(entry, dict)]


def _metrics(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    return metric_entries(task, METRIC)


def _problems_of_metrics(task: Mapping[str, Any]) -> Iterator[str]:
    found = [entry for entry in _metrics(task) if entry.get("metric") == METRIC]
    if len(found) != 1:
        names = ", ".join(str(entry.get("metric")) for entry in _metrics(task))
        yield f"metric_list has {names}: {METRIC}, once, says of a written answer whether it is right"
        return
    (entry,) = found
    for name, value in entry.items():
        if value and name not in _METRIC_SETTINGS:
            yield f"metric_list.{METRIC}.{name} is not supported: leave it out"
    for name in _METRIC_FLAGS:
        if not isinstance(entry.get(name, False), bool):
            yield f"metric_list.{METRIC}.{name} {entry[name]!r} is neither true nor false"
    if entry.get("aggregation", "mean") != "mean":
        yield f"metric_list.{METRIC}.aggregation {entry['aggregation']}: only the mean is reported"
    regexes = entry.get("regexes_to_ignore") or []
    if not isinstance(regexes, list) or not all(map(_is_regex, regexes)):
        yield f"metric_list.{METRIC}.regexes_to_ignore is no list of regular expressions"


def _problems_of_kwargs(kwargs: Mapping[str, Any]) -> Iterator[str]:
    for name in kwargs:
        if name not in _GENERATION_SETTINGS:
            yield f"generation_kwargs.{name} is not supported: leave it out"
    if kwargs.get("do_sample", False) is not False or kwargs.get("temperature", 0) != 0:
        yield (
            "generation_kwargs draws answers at random (do_sample, temperature), so that no two runs would agree: set "
            "do_sample: false and temperature: 0"
        )
    until = kwargs.get("until", [])
    if not all(isinstance(text, str) and text for text in (until if isinstance(until, list) else [until])):
        yield f"generation_kwargs.until {until!r} is neither a text nor a list of texts"
    most = kwargs.get("max_gen_toks", 1)
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        yield f"generation_kwargs.max_gen_toks {most!r} is no whole number from 1"


def _problems_of_filter(pipeline: object) -> Iterator[str]:
    steps = pipeline.get("filter") if isinstance(pipeline, dict) else None
    if not isinstance(pipeline, dict) or not isinstance(pipeline.get("name"), str) or not isinstance(steps, list):
        yield f"filter_list has {pipeline!r}, which is no name with a list of functions"
        return
    names = [str(step.get("function")) if isinstance(step, dict) else str(step) for step in steps]
    if names[-1:] != ["take_first"] or names.count("take_first") > 1:
        yield f"filter_list.{pipeline['name']} must end with take_first, the text to compare, and have it once"
    for name, step in zip(names, steps, strict=True):
        if not isinstance(step, dict) or name not in _FILTER_SETTINGS:
            yield f"filter_list.{pipeline['name']}: {name} is not supported; there are {', '.join(_FILTER_SETTINGS)}"
        else:
            yield from _problems_of_step(step, _FILTER_SETTINGS[name], f"filter_list.{pipeline['name']}.{name}")


def _problems_of_step(step: Mapping[str, Any], known: frozenset[str], where: str) -> Iterator[str]:
    for name in step:
        if name != "function" and name not in known:
            yield f"{where}.{name} is no setting of this filter: leave it out"
    if not _is_regex(step.get("regex_pattern", "")):
        yield f"{where}.regex_pattern {step['regex_pattern']!r} is no regular expression"
    if step.get("group_select", 0) not in (0, -1):
        yield f"{where}.group_select must be 0 or -1: only the first and the last match are always there"
    if not isinstance(step.get("fallback", ""), str):
        yield f"{where}.fallback {step['fallback']!r} is no text"


def _is_regex(value: object) -> bool:
    try:
        re.compile(value if isinstance(value, str) else b"")
    except re.error:
        return False
    return isinstance(value, str)
