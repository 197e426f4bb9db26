"""The raw record is found in the publishers' own documents, which nest their records each in its own way."""

import random
from pathlib import Path

import pytest

from med42lib.assemble.source import ReadOptions, load_source
from med42lib.inspection.documents import words_of
from med42lib.inspection.raw import raw_text
from med42lib.readers.files import DataFile, DataFolder
from med42lib.readers.parsers import Record
from med42lib.store.artifacts import Source


@pytest.mark.parametrize(
    ("name", "num_tried", "beginning"),
    [
        ("headqa", 5, '{\n "qid": '),
        ("pubmedqa", 5, '{\n "QUESTION": '),
        ("medquad", 200, "<QAPair "),
        ("mediqa", 10, "<Answer "),
    ],
)
def test_the_record_is_found_in_real_documents(real_data: Path, name: str, num_tried: int, beginning: str) -> None:
    layout = load_source(name).publisher
    raw = real_data / "raw"
    read = layout.read(DataFolder(Source(str(raw))), layout.path, ReadOptions("letters"))
    records = [record for record in read if isinstance(record, Record)]
    for record in random.Random(42).sample(records, num_tried):
        answer = record.value.exchanges[0].assistant
        words = words_of(record.value.question, record.value.exchanges[0].prompter, answer)
        found = raw_text(DataFile(record.file, raw / record.file), record.line, words)
        assert found is not None
        assert found.startswith(beginning)
        asked = words_of(answer if name == "mediqa" else record.value.question)  # its questions stand above the answers
        assert len(asked & words_of(found)) > 0.9 * len(asked)
