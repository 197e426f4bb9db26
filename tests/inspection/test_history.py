import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from med42lib.commands.main import main
from med42lib.core.errors import DataError
from med42lib.formats.prompt import render
from med42lib.store.artifacts import Source
from med42lib.store.manifest import Input, Manifest, describe_file, describe_folder
from tests.inspection.conftest import DataRun

Inspect = Callable[..., Any]
LENGTH = "chunk_length=400"


def spoken(tokens: list[dict[str, Any]], *, loss: bool) -> str:
    return "".join(token["text"] for token in tokens if token["loss"] is loss)


@pytest.fixture
def wide(decontaminated: Callable[..., DataRun]) -> DataRun:
    """A whole run in which every row fits into a chunk."""
    made = decontaminated()
    made.pack(LENGTH)
    return made


@pytest.mark.parametrize("source", ["headqa", "medquad", "medical_flashcards"])
def test_a_row_is_followed_from_its_publishers_record_to_its_tokens(
    wide: DataRun, inspect: Inspect, source: str
) -> None:
    example = wide.example(source)
    told = inspect("--store", wide.store, "--id", example.id)
    assert told["run"] == wide.outputs["packed"]
    assert told["notes"] == []
    raw, file = told["raw"], wide.data / example.origin.file
    assert (raw["file"], raw["number"], raw["note"]) == (example.origin.file, example.origin.line, "")
    assert raw["sha256"] == describe_file(file, "").sha256
    assert example.question in raw["record"].values()
    assert told["assemble"]["example"]["exchanges"][0]["assistant"] == example.exchanges[0].assistant
    assert told["assemble"]["share"]["attribution"]
    [piece] = told["pack"]["pieces"]
    rendered = render(example.system, example.exchanges)
    [(start, end)] = rendered.responses
    assert spoken(piece["tokens"], loss=False) == f"<s>{rendered.text[:start]}"
    assert spoken(piece["tokens"], loss=True) == f"{rendered.text[start:end]}</s>"
    assert [token["slot"] for token in piece["tokens"]] == list(range(piece["start"], piece["stop"]))


def test_pairs_with_evaluation_items_are_those_of_this_row(wide: DataRun, inspect: Inspect) -> None:
    leak = inspect("--store", wide.store, "--id", wide.leaked.id)["decontaminate"]
    assert [(pair["item_id"], pair["cosine"], pair["item_text"]) for pair in leak["pairs"]] == [
        ("exam/leak", 1.0, wide.leaked.question)
    ]
    nearest = {"item_id": "exam/leak", "benchmark": "exam", "example_id": wide.leaked.id, "cosine": 1.0}
    assert leak["nearest"][0] == {**nearest, "stem_only": False}
    assert (leak["num_items"], leak["kept"]) == (2, True)
    other = inspect("--store", wide.store, "--id", wide.example("medquad").id)["decontaminate"]
    assert other["pairs"] == []


def test_a_row_that_decontaminate_dropped_is_found_and_said_to_be_left_out(
    decontaminated: Callable[..., DataRun], inspect: Inspect
) -> None:
    run = decontaminated("action=drop_training")
    run.pack(LENGTH)
    told = inspect("--store", run.store, "--id", run.leaked.id)
    assert told["decontaminate"]["kept"] is False
    assert told["pack"]["pieces"] == []
    assert told["pack"]["rule"] == "not packed: decontaminate left it out"


def test_a_row_that_was_too_long_is_named_with_the_rule_that_dropped_it(
    decontaminated: Callable[..., DataRun], inspect: Inspect
) -> None:
    run = decontaminated()
    short = min(run.examples(), key=lambda example: len(render(example.system, example.exchanges).text))
    long = max(run.examples(), key=lambda example: len(render(example.system, example.exchanges).text))
    run.pack("chunk_length=400")
    [piece] = inspect("--store", run.store, "--id", short.id)["pack"]["pieces"]
    num_tokens = piece["stop"] - piece["start"]
    run.pack(f"chunk_length={num_tokens}")
    told = inspect(run.outputs["packed"], "--id", long.id)["pack"]
    assert told["pieces"] == []
    assert told["rule"].startswith("dropped: longer than chunk_length (")
    assert told["rule"].endswith(f"tokens, chunk_length {num_tokens:,})")
    whole = inspect(run.outputs["packed"], "--id", short.id)["pack"]
    assert (len(whole["pieces"]), whole["rule"]) == (1, "")


def test_a_truncated_row_is_told_from_one_that_just_fits(
    decontaminated: Callable[..., DataRun], inspect: Inspect
) -> None:
    run = decontaminated()
    example = run.example("medquad")
    run.pack(LENGTH)
    [piece] = inspect(run.outputs["packed"], "--id", example.id)["pack"]["pieces"]
    num_tokens = piece["stop"] - piece["start"]
    run.pack("too_long=truncate", f"chunk_length={num_tokens}")
    assert inspect(run.outputs["packed"], "--id", example.id)["pack"]["rule"] == ""
    run.pack("too_long=truncate", f"chunk_length={num_tokens - 1}")
    told = inspect(run.outputs["packed"], "--id", example.id)["pack"]
    assert told["rule"] == f"cut to its first {num_tokens - 1} tokens, a chunk (too_long: truncate)"
    assert told["pieces"][0]["tokens"][-1]["text"] != "</s>"


def test_the_pieces_of_a_row_that_a_chunk_cut_make_up_its_text(
    decontaminated: Callable[..., DataRun], inspect: Inspect
) -> None:
    run = decontaminated()
    run.pack("policy=concatenate", "too_long=null", "chunk_length=32")
    example = run.example("headqa")
    pieces = inspect("--store", run.store, "--id", example.id)["pack"]["pieces"]
    assert len(pieces) > 1
    assert pieces[1]["offset"] == pieces[0]["stop"] - pieces[0]["start"]
    text = "".join(token["text"] for piece in pieces for token in piece["tokens"])
    assert text == f"<s>{render(example.system, example.exchanges).text}</s>"
    assert not any(piece["tokens"][0]["loss"] for piece in pieces if piece["start"] == 0)


def test_what_is_no_longer_there_is_said_and_the_rest_is_shown(run: DataRun, inspect: Inspect) -> None:
    example = run.example("headqa")
    shutil.rmtree(run.data / "headqa")
    shutil.rmtree(run.outputs["contamination"])
    told = inspect("--store", run.store, "--id", example.id)
    assert told["raw"]["record"] is None
    assert told["raw"]["note"].startswith("cannot be read any more: ")
    assert told["decontaminate"] is None
    assert "what decontaminate found cannot be read any more" in told["notes"][-1]
    shutil.rmtree(run.outputs["dataset"])
    told = inspect("--store", run.store, "--id", example.id)
    assert "'dataset' of decontaminate" in told["notes"][0]
    assert told["assemble"]["stage"] == "decontaminate"
    assert told["raw"]["note"].startswith("the output of assemble")


def test_from_a_report_the_findings_are_those_beside_the_training_data(
    run: DataRun, inspect: Inspect, tmp_path: Path
) -> None:
    """A report reads `contamination`, so the walk from it meets that output of decontaminate before `training`."""
    report = tmp_path / "report"
    report.mkdir()
    (report / "report.md").write_text("# Report")
    edges = {edge: Source(run.outputs[edge]) for edge in ("contamination", "packed")}
    inputs = {edge: Input(source.digest, source.address) for edge, source in edges.items()}
    moment = "2026-01-01T00:00:00+00:00"
    manifest = Manifest("report", "report", "k", {}, inputs, describe_folder(report), None, moment, 1.0)
    (report / "manifest.json").write_text(manifest.to_json())
    told = inspect(str(report), "--id", run.leaked.id)
    assert told["notes"] == []
    assert [pair["item_id"] for pair in told["decontaminate"]["pairs"]] == ["exam/leak"]


PANICS = {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AA=="}}


@pytest.mark.parametrize("content", ["", '{"model": {"type": "BPE"', "[]", '{"model": {}}', json.dumps(PANICS)])
def test_with_a_broken_tokenizer_tokens_are_shown_by_number(
    run: DataRun, inspect: Inspect, tmp_path: Path, content: str
) -> None:
    run.model = Path(shutil.copytree(run.model, tmp_path / "copied"))
    run.pack(LENGTH)
    (run.model / "model/tokenizer.json").write_text(content)
    told = inspect(run.outputs["packed"], "--id", run.example("headqa").id)["pack"]
    assert "tokens are shown by their numbers" in told["note"]
    assert "tokenizer.json cannot be loaded" in told["note"]
    assert {token["text"] for token in told["pieces"][0]["tokens"]} == {None}


def same_size(path: Path) -> None:
    """Overwrite a file's beginning, keeping its size: the manifest still fits."""
    content = path.read_bytes()
    path.write_bytes(b"{" + b" " * (len(content) - 2) + b"\n")


def test_broken_findings_are_noted_and_the_rest_is_shown(run: DataRun, inspect: Inspect) -> None:
    same_size(Path(run.outputs["contamination"], "nearest.jsonl"))
    told = inspect("--store", run.store, "--id", run.leaked.id)
    assert told["decontaminate"] is None
    assert "what decontaminate found cannot be read any more: " in told["notes"][-1]
    assert "nearest.jsonl differs from its manifest" in told["notes"][-1]


def test_a_broken_mixture_file_is_named(run: DataRun, capsys: pytest.CaptureFixture[str]) -> None:
    same_size(Path(run.outputs["dataset"], "mixture.json"))
    assert main(["inspect", "dataset", "--store", run.store, "--id", run.leaked.id]) == DataError.exit_code
    assert "mixture.json differs from its manifest" in capsys.readouterr().err


def test_without_the_tokenizer_tokens_are_shown_by_number(run: DataRun, inspect: Inspect, tmp_path: Path) -> None:
    run.model = Path(shutil.copytree(run.model, tmp_path / "moved"))
    run.pack(LENGTH)
    shutil.rmtree(run.model)
    told = inspect(run.outputs["packed"], "--id", run.example("headqa").id)["pack"]
    assert "tokens are shown by their numbers" in told["note"]
    assert {token["text"] for token in told["pieces"][0]["tokens"]} == {None}


def test_a_file_that_was_changed_since_is_told_apart(run: DataRun, inspect: Inspect) -> None:
    example = run.example("headqa")
    with (run.data / example.origin.file).open("a") as file:
        file.write("\n")
    raw = inspect("--store", run.store, "--id", example.id)["raw"]
    assert raw["note"].startswith("the file was changed since: its sha256 is now ")
    assert example.question in raw["record"].values()
