import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, pre_tokenizers, processors

from med42lib.core.errors import DataError
from med42lib.formats.prompt import Rendered, as_text, render
from med42lib.formats.records import Exchange
from med42lib.pack.tokenise import SampleTokenizer, TokenisedSample, load_tokenizer

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40)
TWO_EXCHANGES = render(
    "Be brief.", [Exchange("What is asthma?", "A disease."), Exchange("Of what?", "Of the lungs 👍🏽.")]
)


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> SampleTokenizer:
    return load_tokenizer(model_folder / "model")


@pytest.fixture(scope="module")
def peer(model_folder: Path, load: Callable[[Path], Any]) -> Any:
    return load(model_folder)


def one(tokenizer: SampleTokenizer, conversation: Rendered) -> TokenisedSample:
    (sample,) = tokenizer.encode([conversation])
    return sample


def edited(folder: Path, source: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy a tokenizer, with one of its JSON files changed."""
    for file in (source / "model").iterdir():
        values = json.loads(file.read_text())
        if file.name == name:
            change(values)
        (folder / file.name).write_text(json.dumps(values))
    return folder


def test_the_whole_text_is_tokenised_at_once_and_ends_with_eos(tokenizer: SampleTokenizer, peer: Any) -> None:
    sample = one(tokenizer, TWO_EXCHANGES)
    assert sample.ids_T.tolist() == [*peer(TWO_EXCHANGES.text).input_ids, peer.eos_token_id]


def test_loss_is_on_the_responses_and_eos_and_on_nothing_else(tokenizer: SampleTokenizer, peer: Any) -> None:
    sample = one(tokenizer, TWO_EXCHANGES)
    assert peer.decode(sample.ids_T[sample.response_T]).strip() == "A disease. Of the lungs 👍🏽.</s>"
    prompts = "<s><|system|>: Be brief.\n<|prompter|>: What is asthma?\n<|assistant|>:"
    assert peer.decode(sample.ids_T[~sample.response_T]).replace("<s> ", "<s>") == (
        f"{prompts}\n<|prompter|>: Of what?\n<|assistant|>:"
    )


def test_the_space_before_a_response_is_learnt_with_it(tokenizer: SampleTokenizer, peer: Any) -> None:
    sample = one(tokenizer, render("", [Exchange("What prevents scurvy?", "Vitamin C")]))
    first = int(sample.response_T.argmax())
    assert peer.convert_ids_to_tokens(int(sample.ids_T[first]))[0] in "Ġ▁"
    assert peer.decode(sample.ids_T[:first]).endswith("<|assistant|>:")


def test_a_prompt_alone_has_the_same_tokens_as_in_its_sample(tokenizer: SampleTokenizer, peer: Any) -> None:
    prompt = "<|prompter|>: Which vitamin prevents scurvy?\n<|assistant|>:"
    sample = one(tokenizer, render("", [Exchange("Which vitamin prevents scurvy?", "Vitamin C")]))
    assert sample.ids_T[~sample.response_T].tolist() == peer(prompt).input_ids


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(ANY_TEXT, ANY_TEXT)
def test_responses_of_any_characters_are_marked_exactly(
    tokenizer: SampleTokenizer, peer: Any, prompter: str, assistant: str
) -> None:
    sample = one(tokenizer, render("", [Exchange(prompter, assistant), Exchange("x", "y")]))
    colon = sample.ids_T[[sample.response_T.argmax() - 1]]
    assert peer.decode(colon).endswith(":")
    found = peer.decode([*colon, *sample.ids_T[sample.response_T]])
    said = as_text(assistant)
    assert found == f"{peer.decode(colon)}{'' if said.startswith(' ') else ' '}{said} y</s>"


def test_offsets_that_leave_out_spaces_do_not_move_the_seam(
    byte_model_folder: Path, load: Callable[[Path], Any]
) -> None:
    trimming = load(byte_model_folder)
    backend: Tokenizer = trimming.backend_tokenizer
    backend.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), backend.post_processor])
    sample = one(SampleTokenizer(trimming), render("", [Exchange("x  ", "  wide   and open  "), Exchange("y", "z ")]))
    assert trimming.decode(sample.ids_T[sample.response_T]) == "  wide   and open   z </s>"


def test_a_regular_expression_that_gives_up_at_a_text_is_told_of_the_tokenizer(
    byte_model_folder: Path, load: Callable[[Path], Any]
) -> None:
    stuck = load(byte_model_folder)
    stuck.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(Q+)+$"), behavior="isolated")
    with pytest.raises(DataError, match=r"the tokenizer in \S+ cannot be applied to a text \(.*retry-limit"):
        SampleTokenizer(stuck).encode([render("", [Exchange("Q" * 40 + "!", "A")])])


def test_a_tokenizer_that_ends_texts_itself_gets_no_second_eos(
    byte_model_folder: Path, load: Callable[[Path], Any]
) -> None:
    ending = load(byte_model_folder)
    ending.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    sample = one(SampleTokenizer(ending), TWO_EXCHANGES)
    assert sample.ids_T.tolist().count(2) == 1
    assert sample.response_T[-1]


def test_truncation_left_in_a_tokenizer_file_is_not_applied(tmp_path: Path, byte_model_folder: Path) -> None:
    folder = edited(
        tmp_path,
        byte_model_folder,
        "tokenizer.json",
        lambda values: values.update(
            truncation={"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
        ),
    )
    whole = one(load_tokenizer(byte_model_folder / "model"), TWO_EXCHANGES)
    assert len(one(load_tokenizer(folder), TWO_EXCHANGES)) == len(whole) > 5


def test_padding_uses_eos_where_there_is_no_pad_token(byte_model_folder: Path, load: Callable[[Path], Any]) -> None:
    peer = load(byte_model_folder)
    assert SampleTokenizer(peer).pad_token_id == 2
    peer.pad_token = "<unk>"
    assert SampleTokenizer(peer).pad_token_id == 0


def test_a_tokenizer_without_eos_is_refused(tmp_path: Path, byte_model_folder: Path) -> None:
    folder = edited(tmp_path, byte_model_folder, "tokenizer_config.json", lambda values: values.pop("eos_token"))
    with pytest.raises(DataError, match=r"no end-of-text token.*set eos_token"):
        load_tokenizer(folder)


@pytest.mark.parametrize("content", ["", '{"model": {"type"', "[]", '{"model": 3}'])
def test_a_broken_tokenizer_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match=r"tokenizer\.json is .*fetch the model again"):
        load_tokenizer(tmp_path)


def test_a_missing_tokenizer_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tokenizer\.json is missing"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_that_makes_too_many_tokens_of_a_text_is_refused(tmp_path: Path, byte_model_folder: Path) -> None:
    growing = {"type": "Replace", "pattern": {"String": "Q"}, "content": "qz" * 30}
    folder = edited(tmp_path, byte_model_folder, "tokenizer.json", lambda values: values.update(normalizer=growing))
    tokenizer = load_tokenizer(folder)
    with pytest.raises(DataError, match=r"makes [\d,]+ tokens of [\d,]+ bytes of text, expected at most 16 of each"):
        tokenizer.encode([render("", [Exchange("Q" * 1000, "A")])])
