"""A training that is killed, stopped or hindered, and run again: real torchrun and DeepSpeed, a folder and S3."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from med42lib.store.address import open_store
from med42lib.store.checkpoints import Checkpoints
from tests.processes import wait_for
from tests.s3_server import S3Server
from tests.train.attempts import Attempts, finished, kill
from tests.train.conftest import FULL, read_metric
from tests.unsteady_store import UnsteadyWay, unsteady_way

LONG = FULL.model_copy(update={"global_batch_size": 6, "epochs": 60})  # for one, two or three processes
NUM_STEPS = 120


@pytest.fixture(scope="module")
def reference(base_model: Path, packed_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[float]]:
    """The digest and the losses of a training that nothing happens to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    attempts = Attempts(packed_data, base_model, str(folder / "store"), folder, LONG)
    return attempts.finish()[0], losses_of(attempts)


@pytest.fixture
def undisturbed(reference: tuple[str, list[float]]) -> str:
    """The digest of what a training puts that nothing happens to."""
    return reference[0]


def losses_of(attempts: Attempts) -> list[float]:
    """Read the losses of an attempt in a folder that got through."""
    [metrics] = Path(attempts.store).glob("train/k/*/trained/metrics.jsonl")
    return read_metric(metrics.parent, "loss")


@pytest.fixture(params=["folder", "s3"])
def attempts(request: pytest.FixtureRequest, base_model: Path, packed_data: Path, tmp_path: Path) -> Iterator[Attempts]:
    """Attempts at one training, on a store of their own."""
    in_folder = request.param == "folder"
    store = str(tmp_path / "store") if in_folder else f"s3://{request.getfixturevalue('bucket')}/runs"
    found = Attempts(packed_data, base_model, store, tmp_path, LONG)
    yield found
    for attempt in found.started:
        kill(attempt)


in_a_folder = pytest.mark.parametrize("attempts", ["folder"], indirect=True)
on_s3 = pytest.mark.parametrize("attempts", ["s3"], indirect=True)


def damage(store: str, name: str, folder: Path) -> None:
    """Change one byte of a file in a store."""
    content = bytearray(open_store(store).read(name) or b"")
    content[len(content) // 2] ^= 1
    (folder / "damaged").write_bytes(content)
    open_store(store).put(name, folder / "damaged")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn"])
def test_a_killed_training_goes_on_before_a_damaged_checkpoint_and_gives_what_an_undisturbed_one_gives(
    attempts: Attempts, undisturbed: str, method: str
) -> None:
    killed = attempts.start(checkpoint_minutes=0, method=method)
    wait_for(lambda: len(list(attempts.checkpoints.complete())) >= 2, seconds=120)
    killed.kill()
    assert "keeps the samples of a chunk apart" in killed.communicate()[1]
    newest, before = list(attempts.checkpoints.complete())[:2]
    name = f"{newest.address.removeprefix(f'{attempts.store}/')}/rank-00001.safetensors"
    damage(attempts.store, name, attempts.folder)
    digest, said = attempts.finish()
    assert digest == undisturbed
    assert f"goes on after step {before.step}, from {before.address}, which 2 processes saved" in said
    assert f"a checkpoint cannot be used: {attempts.store}/{name} differs from its manifest" in said
    assert "keeps the samples of a chunk apart" not in said


@pytest.mark.slow
@on_s3
def test_a_training_whose_agent_and_then_whose_worker_is_killed_gives_what_an_undisturbed_one_gives(
    attempts: Attempts, undisturbed: str
) -> None:
    step = 0
    for victim in ("agent", "worker"):
        attempt = attempts.start(checkpoint_minutes=0)
        wait_for(attempts.saved_after(step), seconds=120)
        [agent] = psutil.Process(attempt.pid).children()
        (agent if victim == "agent" else agent.children()[-1]).kill()
        _, said = attempt.communicate(timeout=60)
        assert attempt.returncode == 1, said
        assert "TrainingProcessError: a training process died" in said
        newest = attempts.checkpoints.newest()
        assert newest is not None
        step = newest.step
    digest, said = attempts.finish()
    assert f"goes on after step {step}," in said
    assert digest == undisturbed


@pytest.mark.slow
@in_a_folder
def test_a_training_goes_on_with_any_number_of_processes_and_differs_by_rounding_alone(
    attempts: Attempts, reference: tuple[str, list[float]]
) -> None:
    step = 0
    for processes in (2, 3, 1):
        killed = attempts.start(processes=processes, checkpoint_minutes=0)
        wait_for(attempts.saved_after(step), seconds=120)
        kill(killed)
        newest = attempts.checkpoints.newest()
        assert newest is not None
        step = newest.step
    _, said = attempts.finish()
    assert f"goes on after step {step}, from {newest.address}, which 1 processes saved" in said
    assert losses_of(attempts) == pytest.approx(reference[1], rel=1e-4, abs=1e-5)


@pytest.fixture
def way(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[UnsteadyWay]:
    """A way to the store that may be slow, or away."""
    with unsteady_way(s3.endpoint) as found:
        yield found


@pytest.mark.slow
@on_s3
def test_a_store_that_is_away_for_a_while_costs_a_training_nothing(
    attempts: Attempts, undisturbed: str, way: UnsteadyWay
) -> None:
    attempts.environment["AWS_ENDPOINT_URL"] = way.endpoint
    attempt = attempts.start(checkpoint_minutes=0)
    wait_for(attempts.saved_after(0), seconds=120)
    away(way)
    newest = attempts.checkpoints.newest()
    assert newest is not None
    wait_for(attempts.saved_after(newest.step), seconds=60)
    kill(attempt)
    way.go_away()
    again = attempts.start()
    time.sleep(3)
    way.come_back()
    digest, said = finished(again)
    assert digest == undisturbed
    assert "goes on after step" in said


def away(way: UnsteadyWay) -> None:
    way.go_away()
    time.sleep(2)
    way.come_back()


@pytest.mark.slow
@on_s3
def test_a_training_that_is_asked_to_stop_saves_once_more_to_a_slow_store_and_goes_on_there(
    attempts: Attempts, undisturbed: str, way: UnsteadyWay
) -> None:
    attempts.environment |= {"AWS_ENDPOINT_URL": way.endpoint, "MED42_SCRATCH": str(attempts.folder)}
    stopped = attempts.start()
    wait_for(lambda: bool(list(attempts.folder.glob("med42-*/*/out/metrics.jsonl"))), seconds=120)
    way.bytes_per_second, passed = 200_000, way.bytes_passed
    stopped.terminate()
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 143
    told = re.search(rf"asked to stop: it did after step (\d+) of {NUM_STEPS}, and saved its state", said)
    assert told, said
    assert "Traceback" not in said
    assert way.bytes_passed - passed > 200_000, "it took a second at least"
    way.bytes_per_second = 0
    digest, said = attempts.finish()
    assert digest == undisturbed
    assert f"goes on after step {told[1]}," in said


@pytest.mark.slow
@on_s3
def test_a_disk_without_space_for_a_checkpoint_costs_the_checkpoints_alone(attempts: Attempts) -> None:
    small_disk = ("unshare", "--user", "--map-root-user", "--mount")
    if subprocess.run([*small_disk, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no file system of one's own")
    folder = attempts.model / "model"
    output = sum(path.stat().st_size for path in folder.iterdir())  # a process's state is three times its weights
    disk = attempts.folder / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size={2 * output} tmpfs {disk} && exec "$@"'
    attempts.environment |= {"MED42_SCRATCH": str(disk), "TMPDIR": str(attempts.folder)}
    within = (*small_disk, "sh", "-c", mount, "sh")
    attempts.config = FULL
    _, said = attempts.finish(within=within, processes=1, checkpoint_minutes=0)
    for step in range(1, 6):
        assert re.search(rf"could not save a checkpoint after step {step}: no space left for [\d,]+ bytes in", said)
    assert "saved a checkpoint" not in said


@pytest.mark.slow
@in_a_folder
def test_a_training_that_broke_down_from_the_same_step_again_and_again_ends_with_a_code_of_its_own(
    attempts: Attempts,
) -> None:
    for number in range(6):
        Checkpoints(open_store(attempts.store), "train/k", f"{number}").count_starts(0)
    attempt = attempts.start()
    _, said = attempt.communicate(timeout=120)
    assert attempt.returncode != 0
    assert "NoProgressError: training has now started 7 times from step 0" in said
