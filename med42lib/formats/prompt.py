r"""The one literal prompt format, used for training and for evaluation alike.

The paper (section "Training Dataset") names the keywords `<|system|>`, `<|prompter|>` and `<|assistant|>`; the
punctuation is that of the released model's card. The keywords are plain text: no token is added to the
vocabulary, because a LoRA run would leave its embedding untrained.

A conversation is written as

    <|system|>: You are ...
    <|prompter|>: What is ...?
    <|assistant|>: It is ...

and a benchmark question ends at `<|assistant|>:`, so that the answer, with its leading space, follows just as
it does in training. A sample's tokens are those of the whole text tokenised at once; a token belongs to the
response if its first character does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Literal

from med42lib.formats.records import Exchange

MultipleChoice = Literal["letters", "texts"]
"""How options are taught and scored: shown with letters, of which one is the answer, or hidden, the text is it."""

DEFAULT_SYSTEM = "You are a helpful medical assistant."


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as one text, and the character spans `[start, end)` of its responses."""

    text: str
    responses: tuple[tuple[int, int], ...]


def render(system: str, exchanges: Sequence[Exchange]) -> Rendered:
    r"""Write a conversation in the prompt format.

    Without a system text the first line is left out. A response's span starts at the space before its first
    character: `<|assistant|>:` belongs to the prompt, ` It is ...` to the response. The newline between two
    exchanges is prompt.
    """
    parts: list[str] = [f"<|system|>: {system}\n"] if system else []
    responses: list[tuple[int, int]] = []
    length = len(parts[0]) if parts else 0
    for number, exchange in enumerate(exchanges):
        prompt = ("\n" if number else "") + f"<|prompter|>: {exchange.prompter}\n<|assistant|>:"
        response = f" {exchange.assistant}"
        start = length + len(prompt)
        length = start + len(response)
        parts += [prompt, response]
        responses.append((start, length))
    return Rendered("".join(parts), tuple(responses))


def render_question(system: str, prompter: str) -> str:
    """Write a request in the prompt format, up to where the model's answer starts."""
    return render(system, [Exchange(prompter, "")]).text.removesuffix(" ")


def multiple_choice(question: str, options: Sequence[str], *, context: str = "") -> str:
    """Write a question with lettered options, as training sources and letter-scored benchmarks both show it."""
    lettered = [f"{ascii_uppercase[position]}. {option}" for position, option in enumerate(options)]
    return "\n".join([*([context] if context else []), question, *lettered])


def open_question(question: str, *, context: str = "") -> str:
    """Write a question without its options, as option-text-scored benchmarks show it."""
    return f"{context}\n{question}" if context else question
