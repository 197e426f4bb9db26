import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from med42lib.commands.main import main
from med42lib.core.errors import ConfigError, DataError
from med42lib.formats.contamination import Label, Pair


@pytest.fixture
def contamination(tmp_path: Path) -> Path:
    """An output of decontaminate with one flagged pair, and none that words alone found."""
    folder = tmp_path / "contamination"
    folder.mkdir()
    pair = Pair("exam/1", "exam", "cards/2", "cards", 0.9, "Why?", "Why so?", label=Label.REWORDED.value)
    (folder / "pairs.jsonl").write_text(json.dumps(asdict(pair)) + "\n")
    for name in ("overlaps.jsonl", "stems.jsonl"):
        (folder / name).write_text("")
    return folder


def test_a_sample_is_drawn_filled_in_and_read_back(
    contamination: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sample.csv"
    assert main(["review", "draw", str(contamination), str(file), "--pairs", "5"]) == 0
    assert "1 pairs written" in capsys.readouterr().out

    heading, row = file.read_text(encoding="utf-8-sig").splitlines()
    file.write_text(f"{heading}\nleak{row}\n")
    assert main(["review", "score", str(contamination), str(file)]) == 0
    assert "Rewording" in capsys.readouterr().out


def test_a_sample_that_is_there_is_never_overwritten(
    contamination: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sample.csv"
    file.write_text("hours of work")
    assert main(["review", "draw", str(contamination), str(file)]) == ConfigError.exit_code
    assert "is there already" in capsys.readouterr().err
    assert file.read_text() == "hours of work"


def test_a_sample_without_verdicts_is_bad_data(
    contamination: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sample.csv"
    assert main(["review", "draw", str(contamination), str(file)]) == 0
    assert main(["review", "score", str(contamination), str(file)]) == DataError.exit_code
    assert "no verdict is filled in" in capsys.readouterr().err


def test_a_whole_store_is_refused_with_the_outputs_that_may_be_meant(
    contamination: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    for place, finished in (
        ("run/decontaminate/k/1/contamination", True),
        ("run/decontaminate/k/2/contamination", False),
    ):
        shutil.copytree(contamination, store / place)
        if finished:
            (store / place / "manifest.json").write_text("{}")
    (store / ".agreed/run").mkdir(parents=True)
    (store / ".agreed/run/1").write_text("")
    assert main(["review", "draw", str(store), str(tmp_path / "sample.csv")]) == DataError.exit_code
    said = capsys.readouterr().err
    assert f"{store}/run/decontaminate/k/1/contamination" in said
    assert "k/2" not in said
    assert ".agreed" not in said


def test_a_folder_without_outputs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("")
    assert main(["review", "score", str(tmp_path), str(tmp_path / "sample.csv")]) == DataError.exit_code
    assert "is no output `contamination` of decontaminate, and none lies there" in capsys.readouterr().err


@pytest.mark.parametrize("confidence", ["0.4", "1", "high"])
def test_a_confidence_that_is_none_is_refused(contamination: Path, confidence: str) -> None:
    with pytest.raises(SystemExit):
        main(["review", "score", str(contamination), "sample.csv", "--confidence", confidence])


def test_there_is_nothing_to_judge_where_nothing_was_found(
    contamination: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (contamination / "pairs.jsonl").write_text("")
    file = tmp_path / "sample.csv"
    assert main(["review", "draw", str(contamination), str(file)]) == DataError.exit_code
    assert "holds no pairs" in capsys.readouterr().err
    assert not file.exists()


def test_a_quote_that_was_never_closed_is_bad_data(
    contamination: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sample.csv"
    assert main(["review", "draw", str(contamination), str(file)]) == 0
    heading, row = file.read_text(encoding="utf-8-sig").splitlines()
    file.write_text(f'{heading}\n"leak{row}\n' + 10_000 * f"{row}\n")
    assert main(["review", "score", str(contamination), str(file)]) == DataError.exit_code
    assert "sample.csv:2 begins a row that cannot be read" in capsys.readouterr().err
