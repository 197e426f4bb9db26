import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from med42lib.core.errors import DataError
from med42lib.formats.tokenizer_growth import check_growth

PATH = Path("tokenizer.json")


def rules(**parts: object) -> dict[str, Any]:
    """The file of a tokenizer with these parts, as the library writes it."""
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    return content


def charsmap(*replacements: str) -> dict[str, str]:
    """A SentencePiece table with an empty trie."""
    texts = b"".join(text.encode() + b"\0" for text in replacements)
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(struct.pack("<I", 0) + texts).decode()}


LIKE_LLAMA_2 = rules(normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]))
LIKE_GPT_2 = rules(pre_tokenizer=pre_tokenizers.ByteLevel(), post_processor=processors.ByteLevel())
LIKE_BERT = rules(
    normalizer=normalizers.BertNormalizer(),
    pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
    post_processor=processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    ),
)
LIKE_T5 = {
    **rules(pre_tokenizer=pre_tokenizers.Metaspace()),
    "normalizer": {
        "type": "Sequence",
        "normalizers": [
            charsmap("صلى الله عليه وسلم", "a"),
            rules(normalizer=normalizers.Replace(Regex(" {2,}"), "▁"))["normalizer"],
        ],
    },
}


@pytest.mark.parametrize(
    "tokenizer", [LIKE_LLAMA_2, LIKE_GPT_2, LIKE_BERT, LIKE_T5], ids=["llama", "gpt2", "bert", "t5"]
)
def test_the_rules_of_published_models_pass(tokenizer: dict[str, Any]) -> None:
    check_growth(PATH, tokenizer, "fetch it again")


GROWING = {
    "two-replacements": rules(
        normalizer=normalizers.Sequence([normalizers.Replace("e", "e" * 100), normalizers.Replace("e", "e" * 100)])
    ),
    "nested": rules(
        normalizer=normalizers.Sequence([normalizers.Sequence([normalizers.Replace("e", "a" * 12)]) for _ in range(2)])
    ),
    "pattern": rules(normalizer=normalizers.Replace(Regex(""), "x" * 1000)),
    "prepended": rules(normalizer=normalizers.Prepend("x" * 100_000)),
    "doubling": rules(normalizer=normalizers.Sequence([normalizers.Replace("a", "aa") for _ in range(30)])),
    "bytes": rules(pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.ByteLevel() for _ in range(20)])),
    "bytes-of-bytes": rules(normalizer=normalizers.Sequence([normalizers.ByteLevel() for _ in range(20)])),
    "copies": rules(
        post_processor=processors.TemplateProcessing(single=["$A"] * 1000, pair="$A $B", special_tokens=[])
    ),
    "table": {**rules(), "normalizer": charsmap("x" * 1000)},
}


@pytest.mark.parametrize("tokenizer", GROWING.values(), ids=GROWING)
def test_rules_that_could_fill_the_memory_are_refused(tokenizer: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"tokenizer\.json can make a text [\d,]+ times as long, expected at most 128"):
        check_growth(PATH, tokenizer, "fetch it again")


def test_a_long_mark_for_each_unknown_word_is_refused() -> None:
    tokenizer = rules()
    tokenizer["model"]["unk_token"] = "x" * 1000
    with pytest.raises(DataError, match=r"the unk_token in tokenizer\.json has 1,000 characters"):
        check_growth(PATH, tokenizer, "fetch it again")


@pytest.mark.parametrize("part", [5, [], "x", {"normalizers": 5}, {"type": "Replace"}, {"type": 7}, charsmap()])
def test_nonsense_is_left_to_the_library(part: object) -> None:
    check_growth(PATH, {"model": 5, "normalizer": part}, "fetch it again")
