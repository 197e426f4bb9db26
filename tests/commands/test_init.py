from __future__ import annotations

import json
from pathlib import Path

import pytest

from med42lib.commands.main import main
from med42lib.core.errors import ConfigError, DataError
from med42lib.spec_check import load_checked
from tests.assemble.own_rows import CHOICE, GOOD_OWN
from tests.data_files import write_data


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of conversations and a test set, in the working folder."""
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "Ward 7/chat.jsonl", [GOOD_OWN["conversations"]["trl"]] * 5)
    write_data(tmp_path / "Ward 7/exam.jsonl", [CHOICE] * 3)
    return tmp_path / "Ward 7"


def test_the_spec_that_is_written_is_whole_and_nothing_is_wrong_with_it(
    ward: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "Ward 7"]) == 0
    said = capsys.readouterr().out
    assert "trains on  chat (chat.jsonl)" in said
    assert "asks       exam (exam.jsonl)" in said
    assert "starts at  package:med42lib/demo/model, the demo's toy" in said
    assert "wrote      ward_7.yaml" in said
    spec = load_checked(Path("ward_7.yaml"), processes=2)
    assert (spec.name, spec.inputs.training_data, spec.pack.chunk_length) == ("ward_7", "Ward 7", 128)
    assert (spec.assemble.sources["chat"].format, spec.benchmarks.include["exam"].path) == (
        "conversations",
        "exam.jsonl",
    )
    assert capsys.readouterr().err == ""
    text = Path("ward_7.yaml").read_text()
    assert "# base model package:med42lib/demo/model: reads 512 tokens" in text
    assert "# chat.jsonl: 5 of 5 rows are conversations, of the fields messages" in text


def test_data_in_the_folder_that_one_works_in_are_run_with_a_store_outside_it(
    ward: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "Ward 7"]) == 0
    assert "--store" not in capsys.readouterr().out
    monkeypatch.chdir(ward)
    assert main(["init", ".", "--spec", "ward.yaml"]) == 0
    assert "med42 run ward.yaml, outside the data: --store FOLDER" in capsys.readouterr().out


def test_a_file_that_is_there_is_never_overwritten(ward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("ward_7.yaml").write_text("mine")
    assert main(["init", "Ward 7"]) == ConfigError.exit_code
    assert "ward_7.yaml: is there already; name another, --spec FILE" in capsys.readouterr().err
    assert Path("ward_7.yaml").read_text() == "mine"
    assert main(["init", "Ward 7", "--spec", "My Ward.yaml"]) == 0
    assert "med42 plan 'My Ward.yaml' and med42 run 'My Ward.yaml'" in capsys.readouterr().out
    assert load_checked(Path("My Ward.yaml"), processes=2).name == "my_ward"


@pytest.mark.parametrize("context", ["max_position_embeddings", "n_positions"])
def test_the_base_model_that_is_named_decides_the_length_of_chunks(
    ward: Path, tmp_path: Path, context: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], context: 96}
    write_data(tmp_path / "base/config.json", json.dumps(config))
    assert main(["init", "Ward 7", "--base-model", "base", "--spec", "a.yaml"]) == 0
    spec = load_checked(Path("a.yaml"), processes=2)
    assert (spec.inputs.base_model, spec.pack.chunk_length) == ("base", 96)
    assert "starts at  base\n" in capsys.readouterr().out
    assert main(["init", "Ward 7", "--base-model", "gone", "--spec", "b.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "starts at  gone, which could not be read, so that chunk_length is a guess: gone has no file config" in shown
    assert "# base model gone: could not be looked at: chunk_length is a guess" in Path("b.yaml").read_text()


def test_a_base_that_reads_across_samples_gets_another_packing(ward: Path, tmp_path: Path) -> None:
    config = {"model_type": "opt", "architectures": ["OPTForCausalLM"], "max_position_embeddings": 96}
    write_data(tmp_path / "base/config.json", json.dumps(config))
    assert main(["init", "Ward 7", "--base-model", "base", "--spec", "a.yaml"]) == 0
    assert load_checked(Path("a.yaml"), processes=2).pack.policy == "concatenate"


def test_what_could_not_be_told_is_said_and_stands_in_the_spec(ward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(ward / "exam.jsonl", [{**CHOICE, "answer": 1}])
    assert main(["init", "Ward 7"]) == 0
    assert "not told   whose the data are: `licence` of each; how exam writes its answers" in capsys.readouterr().out
    assert "# answers: number_from_0    # COULD NOT BE TOLD" in Path("ward_7.yaml").read_text()


def test_every_file_that_is_called_a_test_set_is_kept_out_of_training_and_told(
    ward: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(ward / "questions.jsonl", [CHOICE] * 6)
    write_data(ward / "more.jsonl", [CHOICE] * 2)
    for name in ("exam_open", "test_open"):
        write_data(ward / f"{name}.jsonl", [GOOD_OWN["conversations"]["trl"]])
    assert main(["init", "Ward 7"]) == 0
    said = capsys.readouterr().out
    assert "trains on  chat (chat.jsonl), more (more.jsonl)\n" in said
    assert "asks       exam (exam.jsonl), questions (questions.jsonl)\n" in said
    assert "exam_open.jsonl is not trained on, since it is called a test set" in said
    assert "test_open.jsonl is not trained on, since it is called a test set" in said
    assert "more.jsonl is trained on, since it is not called a test set: its questions are not asked" in said


def test_a_folder_without_a_test_set_gets_no_spec(ward: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (ward / "exam.jsonl").unlink()
    assert main(["init", "Ward 7"]) == DataError.exit_code
    assert "no file has questions with options, and a run needs a test set" in capsys.readouterr().err
    assert not Path("ward_7.yaml").exists()
