import stat
from pathlib import Path

import pytest

from med42lib.tracking.address import check_answers
from med42lib.tracking.connection import Connection
from med42lib.tracking.live import Server
from tests.register.conftest import answering


def test_a_fresh_database_leaves_the_folder_that_it_is_made_in_as_it_was(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".venv").mkdir(parents=True)
    (home / ".venv/.lock").touch()  # as uv leaves it
    home.chmod(0o775)
    Connection(f"sqlite:///{home}/mlflow.db")
    assert (home / "mlflow.db").stat().st_size > 0
    assert (home / ".venv/.lock").exists()
    assert stat.S_IMODE(home.stat().st_mode) == 0o775


USER = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "hunter2"}
TOKEN = {"MLFLOW_TRACKING_TOKEN": "planted-token"}


@pytest.mark.parametrize("user", ["", "you:p%40ss@", "you@"], ids=["no user", "a user", "a user without password"])
@pytest.mark.parametrize(
    "given",
    [{}, USER, TOKEN, USER | TOKEN, {"MLFLOW_TRACKING_USERNAME": "me"} | TOKEN, TOKEN | {"NETRC": "netrc"}],
    ids=lambda given: " ".join(given),
)
def test_all_of_us_log_in_as_mlflows_own_client_does(
    user: str, given: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("netrc").write_text("machine 127.0.0.1 login they password planted")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    seen: list[str | None] = []
    with answering(200, b'{"experiment": {}, "run": {"info": {"lifecycle_stage": "deleted"}}}', seen=seen) as server:
        address = server.replace("://", f"://{user}")
        Connection(address).client.get_experiment("1")
        Server(address).run("1")
        check_answers(address)
    of_mlflow, of_live_metrics, of_the_check = seen
    assert of_live_metrics == of_the_check == of_mlflow
