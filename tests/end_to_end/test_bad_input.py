"""What a user sees when something is wrong: one screen, what and where and what to do, and the published exit code."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.end_to_end.conftest import MED42, SMOKE, Run

pytestmark = pytest.mark.slow

DATA = REPOSITORY / "med42lib/demo/data/training"
HEADQA = "headqa/HEAD_EN/train_HEAD_EN.json"
SCREEN_LINES = 30


def error_of(run: Run) -> str:
    _, _, message = run.output.rpartition("error: ")
    assert message, run.output
    assert "Traceback" not in run.output
    assert len(message.splitlines()) <= SCREEN_LINES
    return message


def test_every_problem_of_a_spec_is_listed_at_once(med42_run: Callable[..., Run], home: Path) -> None:
    run = med42_run(
        home / "store",
        "train.full.lerning_rate=1",
        "pack.chunk_length=many",
        "assemble.sources.medpub.target=all",
        "train.lora.epochs=0",
    )
    assert run.exit_code == 2
    message = error_of(run)
    for part in ("train.full.lerning_rate", "pack.chunk_length", "medpub", "train.lora.epochs", "given: 0", "headqa"):
        assert part in message
    assert not (home / "store").exists()


def test_a_spec_that_is_not_there(med42_run: Callable[..., Run], home: Path) -> None:
    run = med42_run(home / "store", spec=home / "none.yaml")
    assert run.exit_code == 2
    assert "none.yaml" in error_of(run)


def test_a_data_folder_that_is_not_there(med42_run: Callable[..., Run], home: Path) -> None:
    run = med42_run(home / "store", f"inputs.training_data={home}/nothing")
    assert run.exit_code == 3
    assert "nothing does not exist" in error_of(run)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.unlink(), "train_HEAD_EN.json"),
        (lambda path: path.write_bytes(path.read_bytes()[:2000]), "train_HEAD_EN.json"),
        (lambda path: path.write_bytes(bytes(range(256)) * 40), "train_HEAD_EN.json"),
        (lambda path: path.write_text(path.read_text(), encoding="utf-16"), "UTF-8"),
    ],
    ids=["missing", "truncated", "binary", "utf-16"],
)
def test_a_damaged_file_is_named(
    damage: Callable[[Path], None], expected: str, med42_run: Callable[..., Run], home: Path
) -> None:
    shutil.copytree(DATA, home / "data")
    damage(home / "data" / HEADQA)
    run = med42_run(home / "store", f"inputs.training_data={home}/data")
    assert run.exit_code == 3
    assert expected in error_of(run)


def test_a_stage_goes_on_once_the_data_are_repaired(home: Path) -> None:
    shutil.copytree(DATA, home / "data")
    (home / "data" / HEADQA).unlink()
    command = [*MED42, "stage", "assemble", "--spec", str(SMOKE), "--store", "store", f"--input=data={home}/data"]
    assert subprocess.run(command, check=False).returncode == 3
    assert not list(home.glob("store/assemble/*"))
    shutil.copy(DATA / HEADQA, home / "data" / HEADQA)
    assert subprocess.run(command, check=False).returncode == 0
    assert len(list(home.glob("store/assemble/*/*/dataset/manifest.json"))) == 1


def test_a_bucket_that_does_not_exist(med42_run: Callable[..., Run], s3: object) -> None:
    run = med42_run("s3://no-such-bucket/runs")
    assert run.exit_code == 8
    assert "no-such-bucket" in error_of(run)


def test_wrong_credentials(med42_run: Callable[..., Run], bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-and-secret")
    run = med42_run(f"s3://{bucket}/runs")
    assert run.exit_code == 7
    assert "rejected the credentials" in error_of(run)
    assert "wrong-and-secret" not in run.output


def test_a_local_store_with_an_mlflow_server(
    med42_run: Callable[..., Run], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run = med42_run(home / "store")
    assert run.exit_code == 10
    assert "s3://" in error_of(run)
    assert not list(home.glob("store/*/*")), "nothing was computed before saying so"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_disk_that_fills_up_is_named_and_leaves_nothing_half_written(
    med42_run: Callable[..., Run], home: Path
) -> None:
    (home / "small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(home / "small")]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        (home / "small/other").write_bytes(b"x" * 2_500_000)
        full = med42_run(home / "small/store")
        assert full.exit_code == 9
        assert "no space left while writing" in error_of(full)
        seals = (home / "small/store").glob("*/*/sealed-*.json")
        sealed = [seal.parent / json.loads(seal.read_text())["attempt"] for seal in seals]
        whole = [(output / "manifest.json").exists() for attempt in sealed for output in attempt.iterdir()]
        assert all(whole), "nothing half-written counts"
        (home / "small/other").unlink()
        stage = [*MED42, "stage", "fetch_model", "--spec", str(SMOKE), "--store", str(home / "small/store")]
        command = [*stage, "--input", "weights=package:med42lib/demo/model"]
        assert subprocess.run(command, check=False).returncode == 0
    finally:
        subprocess.run(["umount", str(home / "small")], check=True)
