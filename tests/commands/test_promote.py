"""The champion is named by this command alone, on a SQLite file and on a real server."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from med42lib.commands.main import main
from med42lib.core.errors import TrackingError
from tests.mlflow_server import MLflowServer
from tests.register.conftest import database, empty_database, mlflow_home, mlflow_server

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["database", "empty_database", "mlflow_home", "mlflow_server"]

MODEL = "tiny med"
GATES = {"1": "passed", "2": "its gain over the base is -1.0 points", "3": "passed", "4": None}


def register_versions(client: "MlflowClient") -> "MlflowClient":
    """Four versions, of which 3 is the candidate, 2 failed its gate, and 4 was registered by hand."""
    client.create_registered_model(MODEL)
    for number, gate in GATES.items():
        tags = {"med42.gate": gate} if gate else {}
        made = client.create_model_version(MODEL, "s3://b/model", tags=tags, await_creation_for=0)
        assert str(made.version) == number
    client.set_registered_model_alias(MODEL, "candidate", "3")
    return client


@pytest.fixture
def client(database: Path) -> "MlflowClient":
    from mlflow import MlflowClient

    return register_versions(MlflowClient(f"sqlite:///{database}"))


def champion(client: "MlflowClient") -> str | None:
    found = client.get_registered_model(MODEL).aliases.get("champion")
    return None if found is None else str(found)


def test_the_candidate_becomes_the_champion_and_what_it_replaces_is_said(
    client: "MlflowClient", capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["promote", MODEL]) == 0
    assert capsys.readouterr().out == "version 3 of tiny med is the champion now, the first\n"
    assert main(["promote", MODEL, "--version", "1"]) == 0
    assert capsys.readouterr().out == "version 1 of tiny med is the champion now, in place of version 3\n"
    assert main(["promote", MODEL, "--version", "1"]) == 0
    assert capsys.readouterr().out == "version 1 of tiny med was the champion already\n"
    assert champion(client) == "1"
    assert "med42.promoted" not in client.get_model_version(MODEL, "1").tags


@pytest.mark.parametrize(
    ("number", "objection"),
    [("2", "it did not pass: its gain over the base is -1.0 points"), ("4", "it has no tag med42.gate")],
)
@pytest.mark.parametrize("reason", [[], ["--reason", "  "]])
def test_a_version_that_did_not_pass_a_gate_is_refused_without_a_reason(
    number: str, objection: str, reason: list[str], client: "MlflowClient", capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["promote", MODEL, "--version", number, *reason]) == 2
    said = capsys.readouterr().err
    assert f"version {number} of tiny med" in said
    assert objection in said
    assert "give --reason" in said
    assert champion(client) is None


def test_a_written_reason_makes_it_the_champion_and_is_kept(
    client: "MlflowClient", capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["promote", MODEL, "--version", "2", "--reason", "for the reading study"]) == 0
    assert "though it did not pass: its gain" in capsys.readouterr().out
    kept = client.get_model_version(MODEL, "2").tags["med42.promoted"]
    assert kept == "for the reading study (gate: it did not pass: its gain over the base is -1.0 points)"
    assert champion(client) == "2"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([MODEL, "--version", "9"], "tiny med: has no version 9 in this MLflow"),
        ([MODEL, "--version", "latest"], "tiny med: has no version latest in this MLflow"),
        (["another"], "another: has no version with the alias candidate"),
        (["it's"], "it's: has no version with the alias candidate"),
    ],
)
def test_what_is_not_registered_is_named(
    arguments: list[str], said: str, client: "MlflowClient", capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["promote", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_no_empty_database_is_left_where_nothing_was_registered(
    mlflow_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["promote", MODEL]) == 10
    assert "nothing is registered at" in capsys.readouterr().err
    assert not mlflow_home.exists()


@pytest.mark.slow
def test_a_server_keeps_alias_and_reason(
    mlflow_server: MLflowServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.address)
    client = register_versions(MlflowClient(mlflow_server.address))
    assert main(["promote", MODEL]) == 0
    assert main(["promote", MODEL, "--version", "2"]) == 2
    assert main(["promote", MODEL, "--version", "9"]) == 2
    assert champion(client) == "3"
    assert main(["promote", MODEL, "--version", "2", "--reason", "for a study"]) == 0
    assert "in place of version 3" in capsys.readouterr().out
    assert champion(client) == "2"
    assert client.get_model_version(MODEL, "2").tags["med42.promoted"].startswith("for a study")


def test_a_file_that_is_no_database_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to be taken for one by its size")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    assert main(["promote", MODEL]) == TrackingError.exit_code
    assert "notes.txt is not a SQLite database" in capsys.readouterr().err
