"""What is fuzzed: every source in both layouts, every benchmark family, and the core readers, on one file each.

`run` reads one file's content and raises nothing if all is well: the content gave records and rejects, or was refused
with an error of ours. Anything else is a finding.
"""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa

from med42lib.assemble.config import SOURCES, SourceConfig
from med42lib.assemble.conversations.columns import batches, examples
from med42lib.assemble.conversations.explanations import told_explanation
from med42lib.assemble.conversations.markup import html_to_text
from med42lib.assemble.own.source import source_of
from med42lib.assemble.source import LayoutName, ReadOptions, load_source
from med42lib.benchmarks.config import BenchmarkConfig
from med42lib.benchmarks.family import Absent, load_family
from med42lib.benchmarks.items import as_items
from med42lib.benchmarks.own import family_of
from med42lib.core.errors import Med42Error
from med42lib.formats.dataset import example_of
from med42lib.formats.records import BenchmarkItem
from med42lib.formats.rejects import BadRecord, Reject
from med42lib.readers.cleaning import clean
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.hf_layout import table_rows
from med42lib.readers.own.fields import Format
from med42lib.readers.parsers import csv_records, csv_rows, each, json_document, json_lines, xml_root
from med42lib.store.artifacts import Source
from med42lib.store.manifest import FileEntry
from tests.assemble import good_rows
from tests.assemble.good_rows import GOOD, csv_table, read_path
from tests.assemble.own_rows import CHOICE, GOOD_OWN

TABLE_SUFFIXES = (".jsonl", ".json", ".parquet")
OPTIONS = ("one", "Vitamin C", "option A", "-", "answer")


class Finding(AssertionError):
    """A record that no reader may give."""


@dataclass(frozen=True)
class Target:
    """One reader on one file; `seed` is a small valid content of it, and `beside` what else it needs."""

    name: str
    file: str
    seed: bytes
    read: Callable[[DataFolder, str], Iterable[Any]]
    beside: Mapping[str, str] = field(default_factory=dict)

    @property
    def file_names(self) -> tuple[str, ...]:
        """The names that the file may have: a table may be of any kind."""
        if not self.file.endswith(".jsonl"):
            return (self.file,)
        return tuple(self.file.removesuffix(".jsonl") + suffix for suffix in TABLE_SUFFIXES)


def run(target: Target, folder: Path, content: bytes, kind: int = 0) -> int:
    """Read one content; returns how many records and rejects it gave, or -1 if it was refused as a whole."""
    name = target.file_names[kind % len(target.file_names)]
    files = {name: content, **{other: text.encode() for other, text in target.beside.items()}}
    entries = []
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        entries.append(FileEntry(path, len(data), ""))
    data_folder = DataFolder(Source(str(folder), files=tuple(entries)))
    count = 0
    try:
        for result in target.read(data_folder, name):
            count += 1
            _check(result)
    except Med42Error as error:
        _check_text("the error's message", str(error))
        if not str(error).strip():
            raise Finding("an error without a message") from error
        return -1
    return count


def _check(result: Any) -> None:
    if isinstance(result, Reject):
        line = json.dumps(asdict(result), ensure_ascii=False)
        _check_text("the reject", line)
        if not result.reason or result.line < 1 or len(line) > 10_000:
            raise Finding(f"a reject that says nothing, or too much: {line[:500]}")
    elif isinstance(result, BenchmarkItem):
        _check_item(result)


def _check_item(item: BenchmarkItem) -> None:
    _check_text("the item", item.to_json())
    if not 0 <= item.gold < len(item.options):
        raise Finding(f"gold {item.gold} is outside {item.options}")
    if not all(clean(text) for text in (item.question, *item.options)):
        raise Finding(f"a blank text in {item}")


def _check_text(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Finding(f"{what} is not valid Unicode: {text[:200]!r}") from error


def _source_target(name: str, layout_name: LayoutName) -> Target:
    good = GOOD[name, layout_name]
    source = load_source(name)
    layout = source.layout(layout_name)
    read_options = ReadOptions("letters", include=good.include)

    def read(folder: DataFolder, file: str) -> Iterable[Any]:
        for record in layout.read(folder, read_path(name, layout_name, file), read_options):
            yield record
            if not isinstance(record, Reject):
                for row in chain(*(examples(batch, source, None).to_pylist() for batch in batches([record]))):
                    _check_example(example_of(row))

    text = good.write([good.row, {**good.row, good.question: f"{good.row[good.question]} Or not?"}])
    return Target(f"{name}-{layout_name}", good.name, text.encode(), read, good.beside)


def _own_target(shape: Format, suffix: str) -> Target:
    """Fuzz a shape of the user's own rows, of which no two write their answers differently."""
    config = SourceConfig(format=shape, path="own", target="all", licence="ours", group="group")
    layout = source_of("own", config).publisher

    def read(folder: DataFolder, file: str) -> Iterable[Any]:
        for record in layout.read(folder, file, ReadOptions("letters")):
            yield record
            if not isinstance(record, Reject):
                for batch in batches([record]):
                    for row in examples(batch, source_of("own", config), None).to_pylist():
                        _check_example(example_of(row))

    good = next(iter(GOOD_OWN[shape].values()))
    rows = [{**good, "group": number, "id": f"n{number}", "system": "You help."} for number in range(2)]
    seeds = {"jsonl": good_rows.json_lines(rows).encode(), "csv": _own_csv(rows), "arrow": _arrow(rows)}
    return Target(f"own-{shape}-{suffix}", f"own.{suffix}", seeds[suffix], read)


def _own_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    cells = [{key: v if isinstance(v, str) else json.dumps(v) for key, v in row.items()} for row in rows]
    return csv_table(cells).encode()


def _arrow(rows: Sequence[Mapping[str, Any]]) -> bytes:
    table, stream = pa.Table.from_pylist(list(rows)), io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as batches_of_rows:
        batches_of_rows.write_table(table)
    return stream.getvalue()


def _check_example(example: Any) -> None:
    for exchange in example.exchanges:
        if not exchange.prompter or not exchange.assistant:
            raise Finding(f"a blank side in {exchange}")
    if not example.exchanges or not example.question:
        raise Finding(f"nothing is asked: {example}")
    _check_text("the example", json.dumps(asdict(example), ensure_ascii=False))
    _check_text("the example's id", example.id)


def _family_target(family: str, layout: LayoutName, file: str, path: str, seed: str, **beside: str) -> Target:
    others = {name.replace("__", "/").replace("_json", ".json"): text for name, text in beside.items()}

    def read(folder: DataFolder, name: str) -> Iterable[Any]:
        config = BenchmarkConfig(path=path or name, layout=layout)
        for benchmark, questions in load_family(family).read(folder, config).items():
            if not isinstance(questions, Absent):
                yield from as_items(benchmark, questions)

    return Target(f"benchmark-{family}-{layout}-{file.rpartition('/')[2]}", file, seed.encode(), read, others)


def _own_family_target() -> Target:
    config = BenchmarkConfig(format="multiple_choice", path="own.jsonl", licence="ours")

    def read(folder: DataFolder, name: str) -> Iterable[Any]:
        settings = config.model_copy(update={"path": name})
        for benchmark, questions in family_of("own", settings).read(folder, settings).items():
            if not isinstance(questions, Absent):
                yield from as_items(benchmark, questions)

    return Target("benchmark-own", "own.jsonl", good_rows.json_lines([CHOICE]).encode(), read)


def _seed(name: str, layout: str) -> str:
    good = GOOD[name, layout]
    return good.write([good.row])


def _family_targets() -> list[Target]:
    step = '[{"no": 1, "question": "Which?", "options": {"A": "one", "B": "two", "C": "3", "D": "4"}, "answer": "B"}]'
    usmle = '{"question": "Which?", "options": {"A": "one", "B": "two", "C": "3", "D": "4"}, "answer": "B"}\n'
    solutions, images = '{"1": "B"}', '{"step1": [3]}'
    parts = {"u__sample_exam__step1_json": step, "u__sample_exam__question_with_images_json": images}
    return [
        _family_target("headqa", "publisher", "headqa.json", "", _seed("headqa", "publisher")),
        _family_target("headqa", "huggingface", "h/test.jsonl", "h", _seed("headqa", "huggingface")),
        _family_target("medmcqa", "publisher", "dev.json", "", _seed("medmcqa", "publisher")),
        _family_target("medmcqa", "huggingface", "h/validation.jsonl", "h", _seed("medmcqa", "huggingface")),
        _family_target("medqa", "publisher", "test.json", "", _seed("medqa", "publisher")),
        _family_target("medqa", "huggingface", "h/test.jsonl", "h", _seed("medqa", "huggingface")),
        _family_target("mmlu", "publisher", "m/anatomy_test.csv", "m", _seed("mmlu", "publisher")),
        _family_target("mmlu", "huggingface", "m/anatomy/test.jsonl", "m", _seed("mmlu", "huggingface")),
        _family_target("pubmedqa", "publisher", "p/test_set.json", "", _seed("pubmedqa", "publisher")),
        _family_target(
            "pubmedqa",
            "publisher",
            "test_ground_truth.json",
            "x.json",
            '{"100": "no"}',
            x_json=_seed("pubmedqa", "publisher"),
        ),
        _family_target(
            "pubmedqa",
            "huggingface",
            "h/train.jsonl",
            "h",
            _seed("pubmedqa", "huggingface"),
            h__test_ground_truth_json='{"7": "yes"}',
        ),
        _family_target("usmle", "publisher", "u/sample_exam/x.jsonl", "u", usmle),
        _family_target(
            "usmle",
            "publisher",
            "u/sample_exam/step1.json",
            "u",
            step,
            u__sample_exam__question_with_images_json=images,
        ),
        _family_target("usmle", "publisher", "u/sample_exam/step1_solutions.json", "u", solutions, **parts),
        _family_target(
            "usmle",
            "publisher",
            "u/sample_exam/question_with_images.json",
            "u",
            images,
            u__sample_exam__step1_json=step,
        ),
    ]


def _core_target(name: str, file: str, seed: str, read: Callable[[DataFile], Any]) -> Target:
    return Target(name, file, seed.encode(), lambda folder, path: read(folder.file(path)))


def _xml(file: DataFile) -> list[Reject]:
    try:
        return [*map(str, xml_root(file).itertext())][:0]
    except BadRecord as error:
        return [error.at(file.name, 1, file.read())]


def _html(file: DataFile) -> list[Reject]:
    text = file.text()
    written = html_to_text(text)
    _check_text("the text", written)
    if len(written) > 100 * len(text) + 100:
        raise Finding(f"{len(text)} characters of HTML became {len(written)}")
    return []


def _clean(file: DataFile) -> list[Reject]:
    text = clean(file.text())
    if clean(text) != text:
        raise Finding(f"cleaning is not idempotent: {text!r}")
    if any(unicodedata.category(c) == "Cc" and c not in "\t\n" for c in text):
        raise Finding(f"control characters in {text!r}")
    return []


def _explanation(file: DataFile) -> list[Reject]:
    text = file.text()
    for gold in range(len(OPTIONS)):
        for letters_shown in (True, False):
            told_explanation(text, OPTIONS, gold, letters_shown=letters_shown)
    return []


def _core_targets() -> list[Target]:
    html = "<p>a<sup>-3</sup><ol start=2><li>b<pre><code>c\n`d`</code></pre></ol><table><tr><td>e<td>f</table>"
    explanation = "Ans. is 'b' i.e., Vitamin C. Option A is wrong; so the correct answer is (b), e.g. one"
    return [
        _core_target("csv_rows", "x.csv", 'a,"b, ""c"" d",e\r\n1,"2\n3",4\n', csv_rows),
        _core_target("csv_records", "x.csv", 'a,b\n1,"2, x"\n', lambda file: csv_records(file, ["a"])),
        _core_target(
            "json_lines", "x.txt", '{"a": [1, "é"]}\n\n7\n', lambda file: each(json_lines(file), lambda row: row)
        ),
        _core_target("json_document", "x.json", '{"a": [1, {"b": null}]}', lambda file: [json_document(file)]),
        _core_target("xml", "x.xml", '<?xml version="1.0"?><a b="c">d &amp; <e/></a>', _xml),
        Target(
            "table", "t/train.jsonl", b'{"a": 1, "b": {"c": ["d"]}}\n', lambda folder, name: table_rows(folder, name)
        ),
        _core_target("html", "x.html", html, _html),
        _core_target("clean", "x.txt", "a\r\nb\u200bc\u0301\u2028 d\t", _clean),
        _core_target("explanation", "x.txt", explanation, _explanation),
    ]


def targets() -> list[Target]:
    """List all targets."""
    layouts: tuple[LayoutName, ...] = ("publisher", "huggingface")
    sources = [_source_target(name, layout) for name in SOURCES.names() for layout in layouts]
    own = [_own_target(shape, suffix) for shape in get_args(Format) for suffix in ("jsonl", "csv", "arrow")]
    return [*sources, *own, _own_family_target(), *_family_targets(), *_core_targets()]
