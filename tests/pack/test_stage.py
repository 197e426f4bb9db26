import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from med42lib.core.errors import ConfigError, DataError
from med42lib.formats.packed import PackedDataset
from med42lib.formats.prompt import render
from med42lib.formats.records import Example, Exchange, Origin
from med42lib.pack.stage import _fetch_tokenizer
from med42lib.pack.tokenise import SampleTokenizer, load_tokenizer
from med42lib.store.artifacts import Source
from med42lib.store.manifest import METRICS_FILE, describe_folder, files_digest

RunPack = Callable[..., Path]
BEST_FIT = {"policy": "best_fit", "chunk_length": 256, "too_long": "drop"}
CONCATENATE = {"policy": "concatenate", "chunk_length": 64}


def metrics(folder: Path) -> dict[str, float]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {row["key"]: row["value"] for row in rows}


def responses(example: Example) -> str:
    return "".join(f" {exchange.assistant}</s>" for exchange in example.exchanges)


@pytest.mark.parametrize("settings", [BEST_FIT, CONCATENATE], ids=lambda settings: settings["policy"])
def test_numbers_in_info_are_those_of_the_chunks(
    run_pack: RunPack, examples: list[Example], settings: dict[str, Any]
) -> None:
    folder = run_pack(examples, **settings)
    dataset = PackedDataset(folder)
    info, chunks = dataset.info, list(dataset)
    assert info.num_examples == len(examples)
    assert info.num_chunks == len(chunks) > 3
    assert info.num_tokens == sum(chunk.num_tokens for chunk in chunks)
    assert info.num_response_tokens == sum(int((chunk.labels_L != -100).sum()) for chunk in chunks)
    found = metrics(folder)
    assert found.pop("tokens_per_second") > 0
    assert found == {
        "examples": info.num_examples,
        "chunks": info.num_chunks,
        "tokens": info.num_tokens,
        "response_tokens": info.num_response_tokens,
        "packing_efficiency": info.efficiency,
        "dropped": 0,
        "truncated": 0,
    }


def test_labels_of_each_sample_spell_its_responses(
    run_pack: RunPack, examples: list[Example], load: Callable[[Path], Any], model_folder: Path
) -> None:
    peer = load(model_folder)
    dataset = PackedDataset(run_pack(examples, **BEST_FIT))
    learnt = {}
    for number, chunk in enumerate(dataset):
        for sample in dataset.samples(number):
            labels = chunk.labels_L[sample.start : sample.stop]
            assert labels[0] == -100
            learnt[sample.example_id] = peer.decode(labels[labels != -100])
        assert (chunk.labels_L[chunk.num_tokens :] == -100).all()
    assert {name: text.strip() for name, text in learnt.items()} == {e.id: responses(e).strip() for e in examples}


def test_a_label_is_the_token_at_its_own_slot(run_pack: RunPack, examples: list[Example]) -> None:
    for chunk in PackedDataset(run_pack(examples, **BEST_FIT)):
        learnt = chunk.labels_L != -100
        assert (chunk.labels_L[learnt] == chunk.input_ids_L[learnt]).all()


@pytest.mark.parametrize("settings", [BEST_FIT, CONCATENATE], ids=lambda settings: settings["policy"])
def test_the_same_input_gives_the_same_files(
    run_pack_bytes: RunPack, examples: list[Example], settings: dict[str, Any]
) -> None:
    one, same, other = (run_pack_bytes(examples, **settings, seed=seed) for seed in (1, 1, 2))
    digests = [files_digest(describe_folder(folder, {METRICS_FILE})) for folder in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("system", ["You answer as the ward's pharmacist.", ""])
def test_the_system_text_of_most_samples_is_told(
    run_pack_bytes: RunPack, make_example: Callable[..., Example], system: str
) -> None:
    made = [make_example(n, ("Hi", "Ho")) for n in range(3)]
    said = [made[0], *(replace(example, system=system) for example in made[1:])]
    assert PackedDataset(run_pack_bytes(said, **BEST_FIT)).info.system == system


def test_what_is_too_long_is_counted_and_what_is_dropped_is_listed(
    run_pack_bytes: RunPack, make_example: Callable[..., Example]
) -> None:
    made = [make_example(n, ("Hi", "breath " * (60 if n < 3 else 1))) for n in range(8)]
    dropped = run_pack_bytes(made, policy="best_fit", chunk_length=48, too_long="drop")
    truncated = run_pack_bytes(made, policy="best_fit", chunk_length=48, too_long="truncate")
    assert (metrics(dropped)["dropped"], metrics(dropped)["truncated"]) == (3, 0)
    assert (metrics(truncated)["dropped"], metrics(truncated)["truncated"]) == (0, 3)
    lines = [json.loads(line) for line in (dropped / "rejects.jsonl").read_text().splitlines()]
    assert [line["line"] for line in lines] == [1, 2, 3]
    assert (truncated / "rejects.jsonl").read_text() == ""


def test_no_examples_is_an_error(run_pack_bytes: RunPack) -> None:
    with pytest.raises(DataError, match="training examples: its files hold no records"):
        run_pack_bytes([], **BEST_FIT)


def test_dropping_every_example_is_an_error(run_pack_bytes: RunPack, examples: list[Example]) -> None:
    with pytest.raises(DataError, match=r"longer than chunk_length, first at examples\.parquet:1"):
        run_pack_bytes(examples, policy="best_fit", chunk_length=8, too_long="drop")


def test_chunks_longer_than_the_models_context_are_refused(
    tmp_path: Path, byte_model_folder: Path, pack_with: Callable[..., Path], examples: list[Example]
) -> None:
    shutil.copytree(byte_model_folder / "model", tmp_path / "model" / "model")
    (tmp_path / "model" / "model" / "config.json").write_text('{"max_position_embeddings": 128, "vocab_size": 400}')
    with pytest.raises(ConfigError, match=r"pack\.chunk_length: must be at most 128"):
        pack_with(tmp_path / "model", examples, **BEST_FIT)


def test_weights_are_not_fetched(tmp_path: Path, byte_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(byte_model_folder / "model", tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"heavy")
    (tmp_path / "model" / "vocab.txt").write_text("a")
    fetched: list[str] = []
    path = Source.path

    def recording(source: Source, name: str = "") -> Path:
        fetched.append(name)
        return path(source, name)

    monkeypatch.setattr(Source, "path", recording)
    assert _fetch_tokenizer(Source(str(tmp_path))) == tmp_path / "model"
    assert set(fetched) == {"model/tokenizer.json", "model/tokenizer_config.json", "model/vocab.txt"}


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"has no 'model/tokenizer\.json'; it has model/config\.json"):
        _fetch_tokenizer(Source(str(tmp_path)))


def test_real_samples_pack_almost_without_gaps(run_pack_bytes: RunPack, real_data: Path) -> None:
    rows = json.loads((real_data / "raw" / "medalpaca" / "medical_meadow_small.json").read_text())[:400]
    made = [
        Example("medalpaca", "CC", "", (Exchange(row["input"], row["output"]),), row["input"], Origin(str(n), "f", n))
        for n, row in enumerate(rows)
        if row["input"] and row["output"]
    ]
    info = PackedDataset(run_pack_bytes(made, policy="best_fit", chunk_length=4096, too_long="truncate")).info
    assert info.efficiency > 0.95
    assert info.num_examples == len(made)
    assert np.dtype(info.token_dtype) == np.uint16


@pytest.mark.parametrize("settings", [BEST_FIT, CONCATENATE], ids=lambda settings: settings["policy"])
def test_what_is_held_out_is_in_chunks_of_its_own_and_everything_is_in_one_or_the_other(
    run_pack: RunPack, examples: list[Example], settings: dict[str, Any]
) -> None:
    data = PackedDataset(run_pack(examples, **settings, validation_share=0.3))
    training, validation = (
        {sample.example_id for number in numbers for sample in data.samples(number)}
        for numbers in (range(len(data)), data.validation_chunks)
    )
    assert training | validation == {example.id for example in examples}
    assert training & validation == set()
    assert 2 <= len(validation) == data.info.num_validation_examples <= 10
    for numbers, expected in (
        (range(len(data)), data.info.num_response_tokens),
        (data.validation_chunks, data.info.num_validation_response_tokens),
    ):
        assert sum(int((data[number].labels_L != -100).sum()) for number in numbers) == expected
    assert data.info.num_tokens == sum(chunk.num_tokens for chunk in data)


def held_out(folder: Path) -> set[str]:
    data = PackedDataset(folder)
    return {sample.example_id for number in data.validation_chunks for sample in data.samples(number)}


def test_all_rows_of_a_group_stay_on_one_side_whatever_they_ask(
    run_pack_bytes: RunPack, make_example: Callable[..., Example]
) -> None:
    """Two patients may well be asked the same; then the patient decides, not the question."""
    of_20 = [replace(make_example(n, (f"What of {n % 7}?", f"Rest {n}.")), group=f"p{n % 20}") for n in range(80)]
    chosen = held_out(run_pack_bytes(of_20, **BEST_FIT, validation_share=0.25))
    groups = {example.group for example in of_20 if example.id in chosen}
    assert 0 < len(groups) < 20
    assert chosen == {example.id for example in of_20 if example.group in groups}


def test_the_same_question_stays_on_one_side_however_it_is_written(
    run_pack_bytes: RunPack, make_example: Callable[..., Example]
) -> None:
    asked = [make_example(n, (f"What helps against the {n}th cough?", f"Rest {n}.")) for n in range(40)]
    again = [make_example(100 + n, (f"what HELPS against the {n}th cough", f"Honey {n}.")) for n in range(40)]
    chosen = held_out(run_pack_bytes([*asked, *again], **BEST_FIT, validation_share=0.25))
    assert 0 < len(chosen) < 80
    assert [example.id in chosen for example in asked] == [example.id in chosen for example in again]


def test_which_are_held_out_depends_on_no_seed_and_more_of_them_include_the_fewer(
    run_pack_bytes: RunPack, examples: list[Example]
) -> None:
    few, same, more = (
        held_out(run_pack_bytes(examples, **BEST_FIT, seed=seed, validation_share=share))
        for seed, share in ((1, 0.2), (2, 0.2), (1, 0.5))
    )
    assert few == same < more


def test_a_share_that_leaves_nothing_to_train_on_is_refused(run_pack_bytes: RunPack, examples: list[Example]) -> None:
    with pytest.raises(DataError, match=r"validation_share = 0\.9999 holds out all 3 examples; lower it"):
        run_pack_bytes(examples[:3], **BEST_FIT, validation_share=0.9999)


def tokens_of(example: Example, tokenizer: SampleTokenizer) -> list[int]:
    reserved = {"control_tokens": tokenizer.control_tokens, "end_of_answer": tokenizer.end_of_answer}
    [sample] = tokenizer.encode([render(example.system, example.exchanges, **reserved)])
    return sample.ids_T.tolist()


def tokens_packed(folder: Path) -> dict[str, list[int]]:
    """Put the pieces of each example together, those held out too; what is doubled makes it longer."""
    data = PackedDataset(folder)
    pieces: defaultdict[str, list[tuple[int, list[int]]]] = defaultdict(list)
    for number in (*range(len(data)), *data.validation_chunks):
        ids_L = data[number].input_ids_L
        for piece in data.samples(number):
            pieces[piece.example_id].append((piece.offset, ids_L[piece.start : piece.stop].tolist()))
    return {name: [i for _, ids in sorted(parts) for i in ids] for name, parts in pieces.items()}


@pytest.mark.parametrize("settings", [BEST_FIT, CONCATENATE], ids=lambda settings: settings["policy"])
@pytest.mark.parametrize("validation_share", [0.0, 0.3])
def test_of_no_source_an_example_or_a_token_is_lost_or_doubled(
    run_pack: RunPack,
    examples: list[Example],
    model_folder: Path,
    settings: dict[str, Any],
    validation_share: float,
) -> None:
    """Two sources hold the same conversations, which are told apart by the beginning of their ids."""
    made = [replace(example, source=source) for source in ("chats", "exams") for example in examples]
    tokenizer = load_tokenizer(model_folder / "model")
    packed = tokens_packed(run_pack(made, **settings, validation_share=validation_share))
    assert packed == {example.id: tokens_of(example, tokenizer) for example in made}
