import logging

import pytest

from med42lib.core.log import log, redact, set_up_logging


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("token hf_abcdefghijkl here", "token *** here"),
        ("key AKIAABCDEFGHIJKLMNOP", "key ***"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("http://user:secret@mlflow:5000/x", "http://***@mlflow:5000/x"),
        ("aws_secret_access_key=abc/def", "aws_secret_access_key=***"),
        ("http://mlflow:5000/x and s3://bucket/half", "http://mlflow:5000/x and s3://bucket/half"),
    ],
)
def test_secrets_are_taken_out_and_nothing_else(text: str, kept: str) -> None:
    assert redact(text) == kept


def test_a_line_is_headed_by_its_stage(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    log("train").info("step %d with %s", 3, "hf_abcdefghijkl")
    assert capsys.readouterr().err == "[train] step 3 with ***\n"
    logging.getLogger("med42").handlers = []
