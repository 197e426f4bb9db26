"""Questions as evaluation items, with ids that stay the same wherever and whenever they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from med42lib.benchmarks.family import OpenQuestion
from med42lib.core.hashing import content_hash
from med42lib.formats.records import BenchmarkItem, Origin
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.parsers import Record, each
from med42lib.readers.publishers.question import Question, check_can_be_asked


def as_items(
    benchmark: str, questions: Iterable[Record[Question | OpenQuestion] | Reject]
) -> Iterator[BenchmarkItem | Reject]:
    """Name every question that can be asked and make it an item.

    The publisher's id, or the user's, where there is one, becomes `headqa/<id>`; one that comes twice is refused, since
    nobody could say which of the two a score belongs to. Elsewhere the id is a hash of question, context and options,
    or of the prompt of a question without options, `medqa/<hash>`; an exact repeat gets `-2`, `-3`, ... after it.
    """
    seen: Counter[str] = Counter()
    for record in each(questions, _askable):
        if isinstance(record, Reject):
            yield record
            continue
        publisher_id = "" if isinstance(record.value, OpenQuestion) else record.value.publisher_id
        name = publisher_id or _content(record.value)
        seen[name] += 1
        if seen[name] > 1 and publisher_id:
            yield BadRecord(_stands_twice(record.value), name).at(record.file, record.line, record.value)
        else:
            yield _item(benchmark, name if seen[name] == 1 else f"{name}-{seen[name]}", record)


def _stands_twice(question: Question | OpenQuestion) -> str:
    if isinstance(question, Question) and question.own:
        return "the id stands twice; `ignore` its field, or name one that differs, `fields: {id: …}`"
    return "the publisher's id stands twice"


def _askable(question: Question | OpenQuestion) -> Question | OpenQuestion:
    if isinstance(question, Question):
        check_can_be_asked(question)
    return question


def _content(question: Question | OpenQuestion) -> str:
    if isinstance(question, OpenQuestion):
        return content_hash(question.generation.prompt)
    said = question.asked.prompt if question.asked else question.text
    return content_hash(said, question.context, *question.options)


def asked_elsewhere(items: Iterable[BenchmarkItem]) -> Counter[str]:
    """Count, for each benchmark, its items that another benchmark asks too.

    The same question is one with the same words and the same options, in any order; case and white space do not count.
    """
    benchmarks_asking: dict[str, set[str]] = {}
    named = [(item.benchmark, _meaning(item)) for item in items]
    for benchmark, meaning in named:
        benchmarks_asking.setdefault(meaning, set()).add(benchmark)
    return Counter(benchmark for benchmark, meaning in named if len(benchmarks_asking[meaning]) > 1)


def _meaning(item: BenchmarkItem) -> str:
    question, context, *options = (" ".join(t.casefold().split()) for t in (item.question, item.context, *item.options))
    return content_hash(question, context, *sorted(options))


def _item(benchmark: str, name: str, record: Record[Question | OpenQuestion]) -> BenchmarkItem:
    question = record.value
    if isinstance(question, OpenQuestion):
        return BenchmarkItem(
            id=f"{benchmark}/{name}",
            benchmark=benchmark,
            question=question.text,
            context="",
            options=(),
            gold=None,
            origin=Origin("", record.file, record.line),
            subject=question.subject,
            generation=question.generation,
        )
    return BenchmarkItem(
        id=f"{benchmark}/{name}",
        benchmark=benchmark,
        question=question.text,
        context=question.context,
        options=question.options,
        gold=question.gold,
        origin=Origin(question.publisher_id, record.file, record.line),
        subject=question.subject,
        asked=question.asked,
        group=question.group,
    )
