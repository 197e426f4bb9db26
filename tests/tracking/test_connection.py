import stat
from pathlib import Path

from med42lib.tracking.connection import Connection


def test_a_fresh_database_leaves_the_folder_that_it_is_made_in_as_it_was(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".venv").mkdir(parents=True)
    (home / ".venv/.lock").touch()  # as uv leaves it
    home.chmod(0o775)
    Connection(f"sqlite:///{home}/mlflow.db")
    assert (home / "mlflow.db").stat().st_size > 0
    assert (home / ".venv/.lock").exists()
    assert stat.S_IMODE(home.stat().st_mode) == 0o775
