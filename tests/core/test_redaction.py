import json
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med42lib.core.redaction import redact, redacted_lines
from tests.conftest import REPOSITORY

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEhunter2\nhunter2==\n-----END RSA PRIVATE KEY-----"
ACCESS_KEY = "AKIAABCDEFGHIJKLMNOP"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("token hf_abcdefghijkl here", "token *** here"),
        (f"key {ACCESS_KEY}", "key ***"),
        ("http://user:hunter2@mlflow:5000/x", "http://***@mlflow:5000/x"),
        ("https://user:p@hunter2/w@host/x", "https://***@host/x"),
        ("https://me@corp.org:hunter2@host:8080/x", "https://***@host:8080/x"),
        ("https://hunter2@github.com/x", "https://***@github.com/x"),
        ("postgresql+psycopg2://u:hunter2@db/mlflow", "postgresql+psycopg2://***@db/mlflow"),
        (f"s3://{ACCESS_KEY}:wJal/hunter2+K@bucket/x", "s3://***@bucket/x"),
        (f"{ACCESS_KEY}:wJal/hunter2+K@bucket/x", "***@bucket/x"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("authorization: Basic aHVudGVyMg==", "authorization: Basic ***"),
        ("{'Authorization': 'Basic aHVudGVyMg=='}", "{'Authorization': 'Basic ***'}"),
        ("sent Bearer hunter2-hunter2", "sent Bearer ***"),
        ("sent Basic bWVkNDI6aHVudGVyMg==", "sent Basic ***"),
        (f"Authorization: AWS {ACCESS_KEY}:hunter2+/=", "Authorization: ***"),
        ('Authorization: Digest username="me", response="hunter2"', "Authorization: ***"),
        ("('Authorization', 'Negotiate hunter2')", "('Authorization', '***"),
        ("Set-Cookie: session=hunter2; Path=/", "Set-Cookie: ***"),
        ("{'Cookie': 'a=1; session=hunter2', 'n': 1}", "{'Cookie': '***', 'n': 1}"),
        ("<SecretAccessKey>hunter2</SecretAccessKey> x", "<SecretAccessKey>*** x"),
        ("[('password', 'hunter2'), ('n', 1)]", "[('password', '***'), ('n', 1)]"),
        ('token = "hunter2"', 'token = "***"'),
        ("DB_PASS=hunter2 MYSQL_PWD=hunter2", "DB_PASS=*** MYSQL_PWD=***"),
        ("read eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmVk_by-me", "read ***"),
        ("ghp_0123456789abcdefghij and github_pat_0123456789abcdef", "*** and ***"),
        ("aws_secret_access_key=hunter2/def", "aws_secret_access_key=***"),
        ("AWS_SECRET_ACCESS_KEY: hunter2", "AWS_SECRET_ACCESS_KEY: ***"),
        ("MLFLOW_TRACKING_PASSWORD=hunter2 x", "MLFLOW_TRACKING_PASSWORD=*** x"),
        ("HF_TOKEN=hunter2 CI_JOB_TOKEN=hunter2", "HF_TOKEN=*** CI_JOB_TOKEN=***"),
        ("APP_SECRET_THING=hunter2", "APP_SECRET_THING=***"),
        ("https://h/?a=1&token=hunter2&b=2", "https://h/?a=1&token=***&b=2"),
        ("https://h/?access_token=hunter2&api_key=hunter2", "https://h/?access_token=***&api_key=***"),
        (
            f"https://b/x?X-Amz-Credential={ACCESS_KEY}%2F2026&X-Amz-Security-Token=hunter2&X-Amz-Signature=hunter2&n=1",
            "https://b/x?X-Amz-Credential=***&X-Amz-Security-Token=***&X-Amz-Signature=***&n=1",
        ),
        ('{"password": "hunter2 \\" hunter2", "user": "me"}', '{"password": "***", "user": "me"}'),
        ("{'token': 'hunter2', 'n': 1}", "{'token': '***', 'n': 1}"),
        (json.dumps(json.dumps({"api_key": "hunter2", "n": 1})), '"{\\"api_key\\": \\"***\\", \\"n\\": 1}"'),
        ('"password": "hunter2, cut of', '"password": "***'),
        (f"before {KEY} after", "before *** after"),
        (repr(KEY), "'***'"),
        (KEY[:50], "***"),
    ],
)
def test_a_secret_is_taken_out_and_nothing_else(text: str, kept: str) -> None:
    assert redact(text) == kept
    assert redact(kept) == kept


@pytest.mark.parametrize(
    "text",
    [
        "http://mlflow:5000/x and s3://bucket/half",
        "http://mlflow:5000/owner/name@0123456789",
        "hub:datasets/owner/name@0123456789abcdef0123456789abcdef01234567",
        "mail me@example.org: fine",
        "sqlite:////home/user/mlflow.db",
        "[pack] 3,000 tokens, max_tokens=512, tokens_per_second=3.5, tokens: 7, pad_token=<pad>, eos_token_id=2",
        "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        "the secret: a token of love, and a signature of disease; passwords are not kept",
        "the packages hf_transfer and hf_tokenizer, image_token=7, new_token=8",
        "PWD=/home/me OLDPWD=/home pass=3 cookie: a biscuit",
        "Basic information, Basic McDonald criteria, Basic JavaScript, Basic XML",
        "Basic information about the bearer of bad news",
        "naïve café “quoted” – €5 \N{NO-BREAK SPACE}%".encode("cp1252").decode("cp1252"),
        "https://doi.org/10.1000/abc?page=2&sort=date#part",
    ],
)
def test_an_ordinary_line_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


WORD = st.text("abcdefghijklmnopqrstuvwxyzäöüß0123456789-_.", min_size=1, max_size=20).filter(
    lambda word: not any(name in word for name in ("hf_", "token", "secret", "sig", "pass", "key"))
)
ORDINARY = st.one_of(
    WORD,
    st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    st.lists(WORD, min_size=1).map(lambda words: "s3://" + "/".join(words)),
    st.lists(WORD, min_size=1).map(lambda words: "/" + "/".join(words)),
    st.tuples(WORD, st.integers()).map(lambda pair: f"{pair[0]}={pair[1]:,}"),
    st.tuples(WORD, WORD).map(lambda pair: f"{pair[0]}: {pair[1]},"),
    st.binary(max_size=20).map(lambda value: value.decode("cp1252", "ignore")),
)


@given(st.lists(ORDINARY))
def test_ordinary_words_stay_as_they_are(words: list[str]) -> None:
    text = " ".join(words)
    assert redact(text) == text


def test_prose_and_code_without_secrets_stay_as_they_are() -> None:
    for path in (REPOSITORY / "med42lib").glob("*/*.py"):
        text = path.read_text(encoding="utf-8")
        assert redact(text) == text


@pytest.mark.parametrize(
    "part",
    [
        *("x", " ", "a b\n", "://", "://a:", "@", "://a:@", f"{ACCESS_KEY}:", 'password="', "password=", "secret"),
        *("_", "\\", 'token="\\', "-----BEGIN PRIVATE KEY-----", "hf_", "Bearer ", "authorization:", "password  ", "'"),
    ],
)
def test_a_long_line_takes_no_longer_than_it_must(part: str) -> None:
    started = time.process_time()
    redact(part * (2**18 // len(part)))
    assert time.process_time() - started < 3


def test_a_line_of_a_megabyte_is_redacted() -> None:
    line = "x" * 2**19 + " HF_TOKEN=hunter2 " + "y" * 2**19
    assert redact(line) == line.replace("hunter2", "***")


def blocks(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_stream_is_redacted_wherever_it_is_cut(size: int) -> None:
    text = f"first\nhttp://user:hunter2@host/ x\r 10%\r 20%\r\nkey {KEY} after\nHF_TOKEN=hunter2"
    assert "".join(redacted_lines(blocks(text, size))) == redact(text)


def test_a_line_is_passed_on_as_soon_as_it_is_whole() -> None:
    taken: list[str] = []

    def source() -> Iterator[str]:
        yield "one\ntw"
        taken.append("asked for more")
        yield "o\n"

    lines = redacted_lines(source())
    assert next(lines) == "one\n"
    assert taken == []
    assert list(lines) == ["two\n"]


def test_an_endless_line_is_not_held() -> None:
    passed = redacted_lines("x" * 1000 for _ in range(10**9))
    assert len(next(passed)) < 10**5


@pytest.mark.parametrize("word", ["a: b", "://", "-----BEGIN PRIVATE KEY-----\n"])
def test_a_stream_takes_no_longer_than_it_must(word: str) -> None:
    started = time.process_time()
    assert sum(map(len, redacted_lines(blocks(word * (2**18 // len(word)), 1 << 12))))
    assert time.process_time() - started < 3
