"""How a GGUF file's tokenizer cuts a text into words, which the file says by a name alone: `tokenizer.ggml.pre`.

llama.cpp knows what each name means (`src/llama-vocab.cpp`). transformers knows some of them, not all of what they
mean, and takes GPT-2's rules for the others. Here are those whose rules are known from a tokenizer.json that models
were published with. A name that is not here is refused: other words are other tokens than the model was trained on.

    name         published with     rules
    gpt-2        GPT-2, Phi-2       GPT-2's expression
    smollm       SmolLM, SmolLM2    every digit apart, then GPT-2's expression; so have StarCoder and Granite (`refact`)
    llama-bpe    Llama 3            up to three digits together; a word that is a token is not merged from parts
    qwen2        Qwen2, 2.5 and 3   every digit apart; a text is put into Unicode's form C first
    tekken       Mistral NeMo       capitals begin a word; a word that is a token is not merged from parts

Only byte-level vocabularies have such a name; SentencePiece's (`tokenizer.ggml.model: llama`) hold all they need.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from med42lib.core.errors import DataError

_BYTE_LEVEL = "gpt2"
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class _Rules:
    """Rules of one name; without an expression of its own, GPT-2's counts."""

    expression: str | None = None
    digits_apart: bool = False
    form_c: bool = False
    whole_words: bool = False
    """True means that a word which is a token is not merged from its parts."""


_GPT2, _DIGITS_APART = _Rules(), _Rules(digits_apart=True)
_LLAMA_BPE = _Rules(_LLAMA_3, whole_words=True)
_RULES = {
    "gpt-2": _GPT2,
    "phi-2": _GPT2,
    "smollm": _DIGITS_APART,
    "starcoder": _DIGITS_APART,
    "refact": _DIGITS_APART,
    "llama-bpe": _LLAMA_BPE,
    "llama3": _LLAMA_BPE,
    "llama-v3": _LLAMA_BPE,
    "qwen2": _Rules(_QWEN2, form_c=True),
    "tekken": _Rules(_TEKKEN, whole_words=True),
}


def follow_rules(tokenizer: Any, metadata: dict[str, Any], file: Path) -> None:
    """Give a tokenizer that transformers made of a GGUF file the rules that the file names.

    Args:
        tokenizer: A `PreTrainedTokenizerFast`, which is changed.
        metadata: The file's.
        file: For the message.

    Raises:
        DataError: If it names none, or one that is not known here.
    """
    if metadata.get("tokenizer.ggml.model") != _BYTE_LEVEL:
        return
    name = metadata.get("tokenizer.ggml.pre")
    if name not in _RULES:
        known = ", ".join(_RULES)
        raise DataError(
            f"{file} says tokenizer.ggml.pre: {name!r}, and how that cuts a text into words is not known here (known: "
            f"{known}); use the model's own weights and tokenizer.json, with format: huggingface"
        )
    _apply(_RULES[name], tokenizer.backend_tokenizer)


def _apply(rules: _Rules, backend: Any) -> None:
    from tokenizers import Regex, normalizers, pre_tokenizers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=rules.expression is None)
    steps: list[Any] = [byte_level]
    if rules.digits_apart:
        steps.insert(0, pre_tokenizers.Digits(individual_digits=True))
    if rules.expression is not None:
        steps.insert(0, pre_tokenizers.Split(Regex(rules.expression), "isolated"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps)
    backend.normalizer = normalizers.NFC() if rules.form_c else None
    backend.model.ignore_merges = rules.whole_words
