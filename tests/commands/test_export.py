from pathlib import Path

import pyarrow.parquet as pq
import pytest

from med42lib.commands.main import main
from med42lib.core.errors import ConfigError, DataError
from med42lib.formats.dataset import write_examples
from med42lib.formats.records import Example, Exchange, Origin


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    write_examples(folder, [Example("s", "CC0", "", (Exchange("Fever?", "Yes."),), "Fever?", Origin("1", "f", 1))])
    return folder


def test_a_data_set_is_written_as_messages(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "messages.parquet"
    assert main(["export", str(dataset), str(path)]) == 0
    assert "1 conversations written" in capsys.readouterr().out
    [row] = pq.read_table(path).to_pylist()
    assert (row["licence"], [message["role"] for message in row["messages"]]) == ("CC0", ["user", "assistant"])


def test_what_is_no_data_set_is_bad_data_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text("a,b")
    assert main(["export", str(tmp_path), str(tmp_path / "messages.parquet")]) == DataError.exit_code
    assert "examples.parquet" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_a_folder_that_is_not_there_is_a_wrong_setting(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(dataset), str(tmp_path / "no" / "messages.parquet")]) == ConfigError.exit_code
    assert "its folder does not exist" in capsys.readouterr().err
