import time
from email.utils import formatdate
from pathlib import Path

import pytest

from med42lib.doctor.finding import Finding, Level
from med42lib.doctor.services import check_mlflow, check_store
from med42lib.store.backends.local import LocalStore
from tests.doctor.scripted_server import Scripted

EXPERIMENTS = "/api/2.0/mlflow/experiments/search"
S3 = "s3://bucket/runs"


def of_level(found: list[Finding], level: Level) -> str:
    return "\n".join(finding.text for finding in found if finding.level == level)


def test_a_real_store_is_found_well_and_left_as_it_was(bucket: str) -> None:
    from med42lib.store.address import open_store

    found = list(check_store(f"s3://{bucket}/runs"))
    assert {finding.level for finding in found} == {Level.OK}
    assert "takes a file only once" in of_level(found, Level.OK)
    assert "gives back the bytes that it got" in of_level(found, Level.OK)
    assert "clock is" in of_level(found, Level.OK)
    assert list(open_store(f"s3://{bucket}/runs").files()) == [".check/conditional-put"]


def test_a_bucket_that_is_not_there_is_a_problem_and_the_clock_is_looked_at_all_the_same(bucket: str) -> None:
    found = list(check_store("s3://no-such-bucket/runs"))
    assert "create the bucket first" in of_level(found, Level.PROBLEM)
    assert "clock is" in of_level(found, Level.OK)


def test_a_store_that_gives_back_other_bytes_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalStore, "read", lambda self, name: b"other bytes")
    found = list(check_store(str(tmp_path / "store")))
    assert "gives back other bytes than it got" in of_level(found, Level.PROBLEM)


def test_a_store_whose_name_nobody_knows_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid:9000")
    first = next(iter(check_store(S3)))
    assert first.level == Level.PROBLEM
    assert "the name store.invalid is not known to DNS" in first.text


def test_the_server_that_is_looked_at_is_the_one_that_a_run_would_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://store.invalid:9000\n")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert "the name store.invalid is not known to DNS" in next(iter(check_store(S3))).text


def test_an_environment_without_a_possible_server_is_one_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "store:9000")
    [found] = check_store(S3)
    assert found.level == Level.PROBLEM
    assert "correct AWS_ENDPOINT_URL" in found.text


@pytest.mark.parametrize("proxy", ["http://proxy.invalid:3128", "proxy.invalid:3128"])
def test_behind_a_proxy_it_is_the_proxy_whose_name_has_to_be_known(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://store.invalid")
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "")
    assert "the name proxy.invalid is not known to DNS" in next(iter(check_store(S3))).text
    monkeypatch.setenv("NO_PROXY", ".invalid")
    assert "the name store.invalid is not known to DNS" in next(iter(check_store(S3))).text


@pytest.mark.parametrize(
    ("seconds", "level"), [(-1000, Level.PROBLEM), (1000, Level.PROBLEM), (60, Level.WARNING), (0, Level.OK)]
)
def test_a_clock_that_is_off_is_told_by_how_much(
    seconds: int, level: Level, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", scripted.address)
    scripted.headers["Date"] = formatdate(time.time() - seconds, usegmt=True)
    checks = check_store(S3)
    next(checks)
    clock = next(checks)
    assert clock.level == level
    assert ("start a time service" in clock.text) == (level != Level.OK)


def test_the_clock_of_a_server_that_is_away_is_not_said_to_be_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    checks = check_store(S3)
    next(checks)
    assert next(checks).level == Level.UNKNOWN


def test_mlflow_that_lets_us_in_is_well(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.answers[EXPERIMENTS] = (200, {"experiments": []})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", scripted.address)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "planted-token")
    found = list(check_mlflow(S3))
    assert {finding.level for finding in found} == {Level.OK}
    assert scripted.seen[-1][1] == "Bearer planted-token"
    assert "planted-token" not in "".join(map(str, found))


def test_mlflow_that_answers_something_else_is_not_said_to_let_us_in(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.answers[EXPERIMENTS] = (429, "later")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", scripted.address)
    assert "whether it lets MLflow's client in is not known" in of_level(list(check_mlflow(S3)), Level.UNKNOWN)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, "who are you", "rejected the credentials; set MLFLOW_TRACKING_TOKEN"),
        (403, "Invalid Host header", "--allowed-hosts"),
        (404, "no such page", "is not an MLflow server"),
    ],
)
def test_mlflow_that_refuses_us_is_a_problem_with_what_to_do(
    status: int, body: str, expected: str, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.answers[EXPERIMENTS] = (status, body)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", scripted.address)
    assert expected in of_level(list(check_mlflow(S3)), Level.PROBLEM)


def test_a_password_in_mlflows_address_is_used_and_never_shown(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.answers[EXPERIMENTS] = (200, {})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", scripted.address.replace("://", "://me:hunter2@"))
    assert "hunter2" not in "".join(map(str, check_mlflow(S3)))
    assert scripted.seen[-1][1] == "Basic bWU6aHVudGVyMg=="
