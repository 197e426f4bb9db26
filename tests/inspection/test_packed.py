import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from med42lib.inspection.packed import texts_of
from tests.tiny_tokenizer import byte_level

BYTES = {f"<0x{number:02X}>": number + 1 for number in range(256)}


def sentence_piece() -> Tokenizer:
    """Like Llama-2's, but so small that most characters are written byte by byte."""
    tokenizer = Tokenizer(
        models.BPE({"<unk>": 0, **BYTES, "▁": 257, "a": 258}, [], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("▁"), behavior="merged_with_next")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


TOKENIZERS = {"byte_level": byte_level(["a b"]), "sentence_piece": sentence_piece()}


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_character_of_several_tokens_stands_with_the_last(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    texts = texts_of(tokenizer, tokenizer.encode("a é").ids)
    assert texts[-2:] == ["", "é"]
    assert "".join(texts) == "a é"


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(text=st.text("a é好👍🏽\n\t​", max_size=30), data=st.data())
@settings(deadline=None)
def test_the_texts_make_up_the_whole_even_where_a_chunk_cut_a_character(
    kind: str, text: str, data: st.DataObject
) -> None:
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode(text).ids
    cut = data.draw(st.integers(0, len(ids)))
    whole, beginning, end = (texts_of(tokenizer, piece) for piece in (ids, ids[:cut], ids[cut:]))
    assert (len(whole), len(beginning), len(end)) == (len(ids), cut, len(ids) - cut)
    assert "".join(whole) == text
    assert text.startswith("".join(beginning).rstrip("\ufffd"))
    assert text.endswith("".join(end).lstrip("\ufffd"))


def test_no_tokens_have_no_texts(tokenizer: Tokenizer) -> None:
    assert texts_of(tokenizer, []) == []
