import pytest

from med42lib.core.errors import ConfigError, DataError, EnvironmentProblem
from med42lib.core.library_errors import library_errors


class PanicException(BaseException):
    """Like that of libraries in Rust."""


@pytest.mark.parametrize("error", [Exception("odd"), TypeError("odd"), RecursionError("odd"), PanicException("odd")])
def test_whatever_a_library_raises_is_told_of_the_file(error: BaseException) -> None:
    with (
        pytest.raises(DataError, match=r"^x\.json cannot be loaded \(odd\); fetch it again$"),
        library_errors("x.json", "fetch it again"),
    ):
        raise error


def test_an_error_without_words_is_named() -> None:
    with pytest.raises(DataError, match="MemoryError"), library_errors("x.json", "fetch it again"):
        raise MemoryError


def test_a_missing_library_is_not_the_files_fault() -> None:
    with (
        pytest.raises(EnvironmentProblem, match=r"x\.json needs a library that is missing: mamba"),
        library_errors("x.json", ""),
    ):
        raise ImportError("mamba")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), ConfigError("wrong", [])])
def test_signals_and_our_own_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)), library_errors("x.json", ""):
        raise error
