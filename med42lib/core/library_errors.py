"""Files that a stranger wrote, read by libraries that raise anything for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from med42lib.core.errors import DataError, EnvironmentProblem, Med42Error

_PANIC = "PanicException"
"""What a library in Rust raises where it did not expect a file's content; no `Exception`, and not importable."""


@contextmanager
def library_errors(what: object, advice: str, *, use: str = "loaded") -> Iterator[None]:
    """Turn whatever a library raises over a file into an error that names the file.

    transformers and safetensors meet a forged value at any depth, with any error; tokenizers raises a bare
    `Exception`. Only for calls that do nothing but read that file, or use it as it says itself.

    Args:
        what: The file or folder, or a sentence's beginning about it: "the tokenizer in /models/x".
        advice: What to do, as the end of a sentence: "fetch the model again".
        use: What is done with the file, for the message.

    Raises:
        DataError: If the library cannot use the file.
        EnvironmentProblem: If the library lacks another one.
    """
    try:
        yield
    except Med42Error:
        raise
    except ImportError as error:
        raise EnvironmentProblem(f"{what} needs a library that is missing: {error}") from error
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        raise DataError(f"{what} cannot be {use} ({_first_lines(error)}); {advice}") from error


def _first_lines(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text if len(text) <= 500 else f"{text[:500]} ..."
