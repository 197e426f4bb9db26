r"""The one literal prompt format, used for training and for evaluation alike.

The paper (section "Training Dataset") names the keywords `<|system|>`, `<|prompter|>` and `<|assistant|>`; the
punctuation is that of the released model's card. The keywords are plain text: no token is added to the
vocabulary, because a LoRA run would leave its embedding untrained.

A conversation is written as

    <|system|>: You are ...
    <|prompter|>: What is ...?
    <|assistant|>: It is ...

Each answer ends with the tokenizer's end token, so that a model stops after every turn; `render` writes those between
turns, and `pack` the last. What is said is text: where it holds a keyword or one of the tokenizer's control tokens, a
space goes behind its first character (`< |assistant|>:`, `< /s>`), in training, in benchmarks and in the chat template
that is shipped with the model.

A benchmark question ends at `<|assistant|>:`, so that the answer, with its leading space, follows just as
it does in training. A served model's answer begins with that space, and comes back so in the next turn; so an answer
that has one gets no other. A sample's tokens are those of the whole text tokenised at once; a token belongs to the
response if its first character does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from string import ascii_uppercase
from typing import Literal

from med42lib.formats.records import BenchmarkItem, Exchange

MultipleChoice = Literal["letters", "texts"]
"""How options are taught and scored: shown with letters, of which one is the answer, or hidden, the text is it."""

KEYWORDS = ("<|system|>", "<|prompter|>", "<|assistant|>")
DEFAULT_SYSTEM = "You are a helpful medical assistant."


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as one text, and the character spans `[start, end)` of its responses."""

    text: str
    responses: tuple[tuple[int, int], ...]


@cache
def reserved(control_tokens: tuple[str, ...]) -> tuple[str, ...]:
    """List what no text may hold, the longest first: a shorter one may be part of it."""
    return tuple(sorted({*KEYWORDS, *control_tokens}, key=lambda token: (-len(token), token)))


def as_text(text: str, control_tokens: tuple[str, ...] = ()) -> str:
    """Break what would be read as a keyword of the format or as a control token: `</s>` becomes `< /s>`."""
    for token in reserved(control_tokens):
        if token in text:
            text = text.replace(token, f"{token[:1]} {token[1:]}")
    return text


def render(
    system: str, exchanges: Sequence[Exchange], *, control_tokens: tuple[str, ...] = (), end_of_answer: str = ""
) -> Rendered:
    r"""Write a conversation in the prompt format.

    Without a system text the first line is left out. A response's span starts at the space before its first word,
    which is written where the answer does not bring its own: `<|assistant|>:` belongs to the prompt, ` It is ...` to
    the response. The newline between two exchanges is prompt.

    Args:
        system: The system text, or none.
        exchanges: What was asked and answered.
        control_tokens: The tokenizer's, which the texts must not hold.
        end_of_answer: Written behind every answer but the last, as part of it.
    """
    parts: list[str] = [f"<|system|>: {as_text(system, control_tokens)}\n"] if system else []
    responses: list[tuple[int, int]] = []
    length = len(parts[0]) if parts else 0
    for number, exchange in enumerate(exchanges):
        asked, answered = as_text(exchange.prompter, control_tokens), as_text(exchange.assistant, control_tokens)
        prompt = ("\n" if number else "") + f"<|prompter|>: {asked}\n<|assistant|>:"
        space = "" if answered.startswith(" ") else " "
        response = f"{space}{answered}" + (end_of_answer if number < len(exchanges) - 1 else "")
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
    return "\n".join([*([context] if context else []), question, lettered_options(options)])


def question_and_options(item: BenchmarkItem) -> str:
    """Write an evaluation item as training sources write theirs: with its lettered options, if it has any."""
    if not item.options:
        return open_question(item.question, context=item.context)
    return multiple_choice(item.question, item.options, context=item.context)


def lettered_options(options: Sequence[str]) -> str:
    """Write options one a line, each behind its letter."""
    return "\n".join([f"{ascii_uppercase[position]}. {option}" for position, option in enumerate(options)])


def open_question(question: str, *, context: str = "") -> str:
    """Write a question without its options, as option-text-scored benchmarks show it."""
    return f"{context}\n{question}" if context else question
