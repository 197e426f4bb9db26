from pathlib import Path

import pyarrow.parquet as pq
import pytest

from med42lib.formats import messages as module
from med42lib.formats.dataset import write_examples
from med42lib.formats.messages import messages, write_messages
from med42lib.formats.records import Example, Exchange, Origin


def example(number: int, system: str = "Be kind.") -> Example:
    exchanges = (Exchange(f"Fever {number}?", "Yes."), Exchange("And then?", "Rest."))
    return Example("s", "CC0", system, exchanges, f"Fever {number}?", Origin(str(number), "f.csv", number))


SPOKEN = [("user", "Fever 1?"), ("assistant", "Yes."), ("user", "And then?"), ("assistant", "Rest.")]


@pytest.mark.parametrize(("system", "before"), [("Be kind.", [("system", "Be kind.")]), ("", [])])
def test_a_conversation_is_its_turns_in_order_after_the_system_text_if_any(
    system: str, before: list[tuple[str, str]]
) -> None:
    assert [(m["role"], m["content"]) for m in messages(example(1, system))] == before + SPOKEN


def test_every_row_is_written_in_its_order_with_its_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_GROUP", 2)
    examples = [example(number) for number in range(5)]
    write_examples(tmp_path, examples)
    assert write_messages(tmp_path, tmp_path / "messages.parquet") == 5
    assert pq.read_table(tmp_path / "messages.parquet").to_pylist() == [
        {"id": e.id, "source": "s", "licence": "CC0", "messages": messages(e)} for e in examples
    ]


def test_a_file_that_was_there_stays_whole_until_the_new_one_is(tmp_path: Path) -> None:
    (tmp_path / "examples.parquet").write_bytes(b"PAR1 cut")
    path = tmp_path / "messages.parquet"
    path.write_text("earlier")
    with pytest.raises(ValueError, match="Parquet"):
        write_messages(tmp_path, path)
    assert path.read_text() == "earlier"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["examples.parquet", "messages.parquet"]
