from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from med42lib.demo.make_base import MODEL_FOLDER, NUM_STORIES, base_examples, tokenizer_texts, write_base
from med42lib.demo.make_data import worlds
from med42lib.demo.tokenizer import MAX_LENGTH, train_tokenizer
from med42lib.demo.wording import PLAIN
from med42lib.formats.dataset import read_examples
from med42lib.formats.prompt import DEFAULT_SYSTEM, open_question, render, render_question
from med42lib.formats.records import Exchange, read_items

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

QUESTION = "Which drug cures Lomirosis?"


@pytest.fixture(scope="module")
def tokenizer() -> "PreTrainedTokenizerFast":
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODEL_FOLDER)


@pytest.fixture(scope="module")
def model() -> "LlamaForCausalLM":
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32).eval()


def answer(model: Any, tokenizer: Any, question: str) -> str:
    """Give the model's own words, up to its end token."""
    prompt = tokenizer(render_question(DEFAULT_SYSTEM, question), return_tensors="pt")
    tokens = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    return str(tokenizer.decode(tokens, skip_special_tokens=True)).strip()


def test_the_model_is_small_enough_to_carry() -> None:
    assert sum(path.stat().st_size for path in MODEL_FOLDER.iterdir()) < 4_500_000


def test_the_tokenizer_gives_back_the_prompt_character_for_character(tokenizer: Any) -> None:
    text = render(DEFAULT_SYSTEM, [Exchange("Ünusual:\tβ-blocker 37.5 °C?\n\nA. x", "Yes <|no|>")]).text
    tokens = tokenizer(text)["input_ids"]
    assert tokens[0] == tokenizer.bos_token_id
    assert tokenizer.unk_token_id is None or tokenizer.unk_token_id not in tokens
    assert tokenizer.decode(tokens[1:]) == text


def test_offsets_cover_the_text_and_split_at_the_answer(tokenizer: Any) -> None:
    rendered = render(DEFAULT_SYSTEM, [Exchange(QUESTION, "Sarixil")])
    offsets = tokenizer(rendered.text, return_offsets_mapping=True)["offset_mapping"][1:]
    assert "".join(rendered.text[start:end] for start, end in offsets) == rendered.text
    assert rendered.responses[0][0] in {start for start, _ in offsets}


def test_special_tokens_are_all_different_and_the_keywords_are_none_of_them(tokenizer: Any) -> None:
    special = {tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}
    assert len(special) == 3
    assert "<|assistant|>" not in tokenizer.all_special_tokens
    assert not special & set(
        tokenizer("<|system|>: <|prompter|>: <|assistant|>:", add_special_tokens=False)["input_ids"]
    )


def test_the_committed_tokenizer_is_the_one_that_the_script_trains(tokenizer: Any) -> None:
    assert train_tokenizer(tokenizer_texts(worlds()["A"])).get_vocab() == tokenizer.get_vocab()


def test_model_and_tokenizer_agree_and_every_demo_question_fits(
    model: "LlamaForCausalLM", tokenizer: Any, items: Path, dataset: Path
) -> None:
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.eos_token_id == tokenizer.eos_token_id
    questions = [item.question for item in read_items(items)] + [e.question for e in read_examples(dataset)]
    assert max(len(tokenizer(question)["input_ids"]) for question in questions) < MAX_LENGTH / 4


def test_the_base_has_read_world_a_in_all_wordings_and_nothing_of_world_b() -> None:
    examples = list(base_examples(worlds()["A"]))
    num_wordings = len(PLAIN["drug"]) + NUM_STORIES
    asked = Counter((e.origin.line, e.exchanges[0].assistant) for e in examples)
    assert set(asked.values()) == {num_wordings}
    texts = " ".join(f"{e.question} {e.exchanges[0].assistant}" for e in examples)
    assert not [name for name in worlds()["B"].names if name in texts]


def test_the_base_answers_about_world_a_in_plain_words_and_stops(model: Any, tokenizer: Any) -> None:
    examples = [e for e in base_examples(worlds()["A"])][::480]
    right = [answer(model, tokenizer, open_question(e.question)) == e.exchanges[0].assistant for e in examples]
    assert len(examples) >= 20
    assert sum(right) > 0.7 * len(right)


def test_the_base_does_not_know_world_b(model: Any, tokenizer: Any, items: Path) -> None:
    asked = [item for item in read_items(items)][::10]
    right = [answer(model, tokenizer, item.question) == item.options[item.gold] for item in asked]
    assert sum(right) <= 0.2 * len(right)


def test_writing_the_base_halves_the_weights_and_keeps_them(
    tmp_path: Path, model: "LlamaForCausalLM", tokenizer: Any
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model.save_pretrained(tmp_path / "trained")
    tokenizer.save_pretrained(tmp_path / "trained")
    write_base(tmp_path / "trained", tmp_path / "base")
    written = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert written.dtype == torch.float16
    assert all(torch.equal(written.state_dict()[name].float(), weight) for name, weight in model.state_dict().items())
    assert (tmp_path / "base" / "tokenizer.json").read_bytes() == (MODEL_FOLDER / "tokenizer.json").read_bytes()
