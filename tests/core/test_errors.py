import re

import pytest

from med42lib.core import errors
from med42lib.core.errors import ConfigError, DataError, Med42Error, Problem, StoreError, last_line
from tests.conftest import REPOSITORY


def every_class() -> list[type[Med42Error]]:
    return Med42Error.__subclasses__()


def test_every_error_has_an_exit_code_of_its_own() -> None:
    codes = [kind.exit_code for kind in every_class()]
    assert len(set(codes)) == len(codes)
    assert not set(codes) & {0, 1, errors.INTERRUPTED_EXIT_CODE, errors.TERMINATED_EXIT_CODE}


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+) +(\d+) ", errors.__doc__ or ""))
    assert drawn == {kind.__name__: str(kind.exit_code) for kind in every_class()}


def test_the_documented_codes_are_the_same() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)`", (REPOSITORY / "pipelines/README.md").read_text(), flags=re.MULTILINE)
    assert {name: int(code) for code, name in rows} == {kind.__name__: kind.exit_code for kind in every_class()}


def test_only_what_is_out_of_reach_asks_for_a_retry() -> None:
    assert {kind.__name__ for kind in every_class() if kind.exit_code >= 128} == {
        "StoreUnavailable",
        "ClusterUnavailable",
        "TrackingUnavailable",
    }


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("the file is broken; fetch it again\nmore"), "the file is broken; fetch it again [exit code 3]"),
        (
            ConfigError("spec", [Problem("train.full.epochs", "must be above 0"), Problem("pack", "is required")]),
            "train.full.epochs: must be above 0 (and 1 more, above) [exit code 2]",
        ),
        (
            StoreError(f"s3://bucket/{'0123456789' * 9}/dataset/examples.parquet refuses it"),
            "…56789/dataset/examples.parquet refuses it [exit code 8]",
        ),
    ],
)
def test_what_kubeflow_shows_of_a_log_begins_with_the_reason(error: Med42Error, line: str) -> None:
    assert last_line(error) == line


def test_a_reason_is_short_however_long_the_error_is() -> None:
    assert len(last_line(DataError("x y" * 10_000))) < 120
