"""Conversations to tokens, with the tokens of the responses marked.

Shape key:
    T: tokens of one sample
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from med42lib.core.errors import DataError
from med42lib.core.library_errors import library_errors
from med42lib.formats.prompt import Rendered
from med42lib.formats.tokenizer_loading import check_num_tokens, control_tokens, load_fast_tokenizer


@dataclass(frozen=True, slots=True)
class TokenisedSample:
    """A sample's token ids, and True where the token belongs to a response."""

    ids_T: NDArray[np.int64]
    response_T: NDArray[np.bool_]

    def __len__(self) -> int:
        """Count the tokens."""
        return len(self.ids_T)

    def cut(self, num_tokens: int) -> TokenisedSample:
        """Keep the first tokens."""
        return TokenisedSample(self.ids_T[:num_tokens], self.response_T[:num_tokens])


class SampleTokenizer:
    """A model's tokenizer, applied as training needs it.

    A sample's whole text is tokenised at once, as lm-eval does with a question and its answer, so that training and
    evaluation agree on the tokens where the two meet. A token belongs to the response if its first character does.
    Each of its answers ends with the tokenizer's end-of-text token, which is response too: the model learns to stop
    after every turn.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Wrap a fast `transformers` tokenizer that has an end-of-text token."""
        self._name: str = tokenizer.name_or_path
        self._backend = tokenizer.backend_tokenizer
        # A tokenizer.json may carry its last caller's settings, and would cut samples silently
        self._backend.no_truncation()
        self._backend.no_padding()
        self.control_tokens: tuple[str, ...] = control_tokens(tokenizer)
        self.end_of_answer: str = tokenizer.eos_token
        self.eos_token_id: int = tokenizer.eos_token_id
        self.pad_token_id: int = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self.vocabulary_size: int = 1 + max(tokenizer.get_vocab().values())

    def encode(self, conversations: Sequence[Rendered]) -> list[TokenisedSample]:
        """Tokenise conversations on all cores.

        Raises:
            DataError: If the tokenizer fails at a text, or makes more tokens of it than any sane one does.
        """
        texts = [conversation.text for conversation in conversations]
        with library_errors(f"the tokenizer in {self._name}", "use another base model", use="applied to a text"):
            encodings = self._backend.encode_batch(texts)
        return [self._sample(*pair) for pair in zip(encodings, conversations, strict=True)]

    def _sample(self, encoding: Any, conversation: Rendered) -> TokenisedSample:
        ids = encoding.ids
        check_num_tokens(len(ids), conversation.text, self._name)
        special_T = np.array(encoding.special_tokens_mask, np.bool_)
        ends_itself = bool(ids) and bool(special_T[-1]) and ids[-1] == self.eos_token_id
        response_T = ~special_T & _starts_in(encoding.offsets, conversation.responses)
        if ends_itself:
            response_T[-1] = True
        else:
            ids, response_T = [*ids, self.eos_token_id], np.append(response_T, True)
        return TokenisedSample(np.array(ids, np.int64), response_T)


def load_tokenizer(folder: Path) -> SampleTokenizer:
    """Load the tokenizer of a Hugging Face model folder.

    Raises:
        DataError: If the folder has no usable tokenizer, or the tokenizer has no end-of-text token.
        EnvironmentProblem: If the tokenizer needs a library that is not installed.
    """
    tokenizer = load_fast_tokenizer(folder, "fetch the model again")
    if tokenizer.eos_token_id is None:
        raise DataError(
            f"the tokenizer in {folder} has no end-of-text token, so no model could learn to stop; set eos_token in "
            "its tokenizer_config.json"
        )
    return SampleTokenizer(tokenizer)


def _starts_in(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Say of each token whether its first character lies in one of the spans `[start, end)`.

    A token's first character is taken to be the one after the token before it: GPT-2's offsets, for one, leave out
    the space that a token begins with.
    """
    starts_T, ends_T = np.fromiter(chain.from_iterable(offsets), np.int64, 2 * len(offsets)).reshape(-1, 2).T
    starts_T[1:] = np.minimum(starts_T[1:], ends_T[:-1])
    inside_T = np.zeros(len(offsets), np.bool_)
    for start, end in spans:
        inside_T |= (starts_T >= start) & (starts_T < end)
    return inside_T
