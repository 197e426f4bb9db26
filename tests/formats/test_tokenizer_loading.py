import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from med42lib.core.errors import DataError
from med42lib.core.json_file import read_json
from med42lib.formats.chat_template import save_tokenizer
from med42lib.formats.tokenizer_loading import check_num_tokens, load_fast_tokenizer
from tests.json_files import edit
from tests.tiny_tokenizer import BEGIN, byte_level


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    PreTrainedTokenizerFast(tokenizer_object=byte_level(["fever"]), eos_token="</s>").save_pretrained(tmp_path)
    return tmp_path


def test_a_sound_tokenizer_is_loaded(folder: Path) -> None:
    assert load_fast_tokenizer(folder, "fetch it again")("fever")["input_ids"]


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])
def test_a_broken_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_text('{"a": ' + "9" * 5000 + "}")
    with pytest.raises(DataError, match=rf"{name} is broken \(.*; fetch it again".replace(".", r"\.", 1)):
        load_fast_tokenizer(folder, "fetch it again")


def test_a_tokenizer_that_fills_the_memory_is_refused_before_it_reads_a_text(folder: Path) -> None:
    grow = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 50_000}
    edit(folder / "tokenizer.json", normalizer={"type": "Sequence", "normalizers": [grow, grow]})
    with pytest.raises(DataError, match="can make a text 5,000,000,000 times as long"):
        load_fast_tokenizer(folder, "fetch it again")


def test_a_tokenizer_that_would_be_loaded_in_the_others_place_is_refused(folder: Path) -> None:
    (folder / "tokenizer.4.0.0.json").write_text((folder / "tokenizer.json").read_text())
    grow = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 20}
    edit(folder / "tokenizer.4.0.0.json", normalizer=grow)
    edit(folder / "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json"])
    with pytest.raises(DataError, match=r"tokenizer_config\.json says fast_tokenizer_files: \['tokenizer\.4\.0\.0"):
        load_fast_tokenizer(folder, "fetch it again")


def test_a_tokenizer_that_puts_thousands_of_tokens_around_a_text_is_refused(folder: Path) -> None:
    single = [{"SpecialToken": {"id": "</s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    special = {"</s>": {"id": "</s>", "ids": [2] * 20_000, "tokens": ["</s>"] * 20_000}}
    edit(
        folder / "tokenizer.json",
        post_processor={"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special},
    )
    with pytest.raises(DataError, match=r"makes 2\d,\d{3} tokens of [\d,]+ bytes of text, expected at most 16 of each"):
        load_fast_tokenizer(folder, "fetch it again")


def test_padding_left_in_a_tokenizer_file_costs_no_memory(folder: Path) -> None:
    padding = {"strategy": {"Fixed": 10**12}, "direction": "Right", "pad_to_multiple_of": None}
    edit(folder / "tokenizer.json", padding={**padding, "pad_id": 0, "pad_type_id": 0, "pad_token": "</s>"})
    assert len(load_fast_tokenizer(folder, "fetch it again")("fever")["input_ids"]) < 10


def split_at(pattern: str) -> dict[str, object]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def test_a_tokenizer_whose_regular_expression_never_ends_is_refused_soon(folder: Path) -> None:
    edit(folder / "tokenizer.json", pre_tokenizer=split_at(r"(?:.|..){0,18}(?<=\x00)"))
    with pytest.raises(DataError, match=r"takes \d\.\d\d s for 128 characters of text, expected less than 0\.25 s"):
        load_fast_tokenizer(folder, "fetch it again")


@pytest.mark.parametrize(
    "pattern",
    [
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re)?|\s+(?!\S)|\s+",
        r"\d{1,3}(?=(?:\d{3})*\b)",
    ],
    ids=["GPT-2", "Llama 3", "GPT-4o", "OLMo 2"],
)
def test_the_regular_expressions_of_published_tokenizers_are_taken(folder: Path, pattern: str) -> None:
    edit(folder / "tokenizer.json", pre_tokenizer=split_at(pattern))
    assert load_fast_tokenizer(folder, "fetch it again")


def test_more_tokens_than_a_text_can_have_are_refused() -> None:
    check_num_tokens(16 * 1000, "x" * 1000, "here")
    with pytest.raises(DataError, match="the tokenizer in here makes 17,000 tokens of 1,000 bytes"):
        check_num_tokens(17_000, "x" * 1000, "here")


DIGITS_APART = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    ],
}
SPLIT_LIKE_LLAMA_3 = {
    "type": "Sequence",
    "pretokenizers": [
        split_at(r"\p{N}{1,3}|[^\r\n\p{L}\p{N}]?\p{L}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+"),
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    ],
}
TEXT = "In 2024, 12345678 mg... \n\nof naïve  发热?\n"


@pytest.mark.parametrize("model_type", ["llama", "olmo2", "granite", None])
@pytest.mark.parametrize("rules", [DIGITS_APART, SPLIT_LIKE_LLAMA_3], ids=["SmolLM2", "Llama 3"])
@pytest.mark.parametrize("tokenizer_class", ["GPT2Tokenizer", "Qwen2Tokenizer", "PreTrainedTokenizerFast"])
def test_tokens_are_those_of_the_bases_own_file_and_mlflows_those_of_training(
    tmp_path: Path, tokenizer_class: str, rules: dict[str, object], model_type: str | None
) -> None:
    base = tmp_path / "base"
    numbers = byte_level(["2024 12 123 1234 12345678 ... \n\n of 12345678"] * 3)
    PreTrainedTokenizerFast(tokenizer_object=numbers, eos_token="</s>").save_pretrained(base)
    edit(base / "tokenizer.json", pre_tokenizer=rules)
    edit(base / "tokenizer_config.json", tokenizer_class=tokenizer_class)
    if model_type is not None:
        (base / "config.json").write_text(f'{{"model_type": "{model_type}"}}')
    expected = Tokenizer.from_file(str(base / "tokenizer.json")).encode(TEXT).ids
    assert load_fast_tokenizer(base, "fetch it again")(TEXT)["input_ids"] == expected
    save_tokenizer(base, tmp_path / "components")
    assert AutoTokenizer.from_pretrained(tmp_path / "components")(TEXT)["input_ids"] == expected


AROUND = {
    "no rule": None,
    "a rule that puts nothing": {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": False,
        "use_regex": True,
    },
    "a rule that puts it": json.loads(BEGIN.__getstate__()),
}


@pytest.mark.parametrize("rule", AROUND)
def test_a_begin_token_that_the_settings_ask_for_is_put_once_in_training_and_in_copies(
    folder: Path, tmp_path: Path, rule: str
) -> None:
    """transformers 5 passes over the entry, by which DeepSeek's tokenizers say so."""
    edit(folder / "tokenizer.json", post_processor=AROUND[rule])
    edit(folder / "tokenizer_config.json", bos_token="<s>", add_bos_token=True, tokenizer_class="LlamaTokenizerFast")
    words = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXT, add_special_tokens=False).ids
    assert load_fast_tokenizer(folder, "fetch it again")(TEXT)["input_ids"] == [1, *words]
    save_tokenizer(folder, tmp_path / "copy")
    copy = AutoTokenizer.from_pretrained(tmp_path / "copy")
    assert copy(TEXT)["input_ids"] == [1, *words]
    assert copy.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False).startswith("<s><|system|>")
    assert Tokenizer.from_file(str(tmp_path / "copy/tokenizer.json")).encode(TEXT).ids == [1, *words]


@pytest.mark.parametrize("settings", [{"bos_token": "<s>"}, {"add_bos_token": True}, {"add_eos_token": True}])
def test_nothing_else_is_put_around_a_text(folder: Path, settings: dict[str, object]) -> None:
    """An end token would stand behind questions too; `pack` puts it behind answers."""
    edit(folder / "tokenizer_config.json", **settings)
    words = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(TEXT, add_special_tokens=False).ids
    assert load_fast_tokenizer(folder, "fetch it again")(TEXT)["input_ids"] == words


def test_a_copy_says_what_models_are_given_and_leaves_it_to_no_class_that_adds_token_types(
    folder: Path, tmp_path: Path
) -> None:
    """transformers 4 has `token_type_ids` by default for the class that is named, which causal models refuse."""
    save_tokenizer(folder, tmp_path / "copy")
    settings = read_json(tmp_path / "copy/tokenizer_config.json", "")
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert settings["model_input_names"] == ["input_ids", "attention_mask"]


def test_a_tokenizer_that_cannot_be_made_to_follow_its_file_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(folder / "tokenizer.json", pre_tokenizer=DIGITS_APART)
    other = AutoTokenizer.from_pretrained(folder)
    other.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    for name in (AutoTokenizer, PreTrainedTokenizerFast):
        monkeypatch.setattr(name, "from_pretrained", lambda *_, **__: other)
    with pytest.raises(DataError, match=r"makes other tokens of .* than its tokenizer\.json says"):
        load_fast_tokenizer(folder, "fetch it again")
