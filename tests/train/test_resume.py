"""A training that is killed, or asked to stop, and run again: real torchrun, two processes, a folder and S3."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from med42lib.core.errors import EnvironmentProblem
from med42lib.store.address import open_store
from med42lib.store.checkpoints import Checkpoints
from med42lib.train.stage import check_processes
from tests.conftest import REPOSITORY
from tests.processes import wait_for
from tests.train.conftest import FULL

LONG = FULL.model_copy(update={"epochs": 60})
NUM_STEPS = 180
PROGRAM = """
import sys
from pathlib import Path
from med42lib.core.log import set_up_logging
from med42lib.engine.context import StageContext
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source, Target
from med42lib.store.cache import StageCache
from med42lib.store.manifest import files_digest
from med42lib.store.publish import Upload
from med42lib.train.config import TrainConfig
from med42lib.train.stage import train
packed, model, store, scratch, config = sys.argv[1:]
set_up_logging()
context = StageContext("k", store, Upload(open_store(store), "train/k"), StageCache(store, "train", Path(scratch)))
trained = Target(Path(scratch, "trained"))
config = TrainConfig.model_validate_json(config)
train(config, packed=Source(packed), model=Source(model), trained=trained, context=context)
print(files_digest(trained.files()))
"""


@dataclass
class Attempts:
    """Runs attempts at one training, each in a process of its own."""

    packed: Path
    model: Path
    store: str
    folder: Path
    processes: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(open_store(self.store), "train/k", "")

    def start(self, **settings: object) -> "subprocess.Popen[str]":
        config = LONG.model_copy(update=settings).model_dump_json()
        own = {"MED42_PROCESSES_PER_NODE": "2", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(REPOSITORY)}
        command = [
            sys.executable,
            "-c",
            PROGRAM,
            str(self.packed),
            str(self.model),
            self.store,
            str(self.folder),
            config,
        ]
        process = subprocess.Popen(
            command, env={**os.environ, **own}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.processes.append(process)
        return process

    def finish(self) -> tuple[str, str]:
        """Run an attempt to its end; returns its output's digest and what it said."""
        process = self.start()
        digest, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        return digest, said


@pytest.fixture(scope="module")
def undisturbed(base_model: Path, packed_data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of what a training puts that nothing happens to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return Attempts(packed_data, base_model, str(folder / "store"), folder).finish()[0]


@pytest.fixture(params=["folder", "s3"])
def attempts(request: pytest.FixtureRequest, base_model: Path, packed_data: Path, tmp_path: Path) -> Attempts:
    """Attempts at one training, on a store of their own."""
    in_folder = request.param == "folder"
    store = str(tmp_path / "store") if in_folder else f"s3://{request.getfixturevalue('bucket')}/runs"
    return Attempts(packed_data, base_model, store, tmp_path)


def damage(store: str, name: str, folder: Path) -> None:
    """Change one byte of a file in a store."""
    content = bytearray(open_store(store).read(name) or b"")
    content[len(content) // 2] ^= 1
    (folder / "damaged").write_bytes(content)
    open_store(store).put(name, folder / "damaged")


@pytest.mark.slow
def test_a_killed_training_goes_on_before_a_damaged_checkpoint_and_gives_what_an_undisturbed_one_gives(
    attempts: Attempts, undisturbed: str
) -> None:
    killed = attempts.start(checkpoint_minutes=0)
    wait_for(lambda: len(list(attempts.checkpoints.complete())) >= 2, seconds=120)
    killed.kill()
    killed.communicate()
    newest, before = list(attempts.checkpoints.complete())[:2]
    name = f"{newest.address.removeprefix(f'{attempts.store}/')}/zero_pp_rank_1_mp_rank_00_optim_states.pt"
    damage(attempts.store, name, attempts.folder)
    digest, said = attempts.finish()
    assert digest == undisturbed
    assert f"goes on after step {before.step}, from {before.address}" in said
    assert f"a checkpoint cannot be used: {attempts.store}/{name} differs from its manifest" in said


@pytest.mark.slow
@pytest.mark.parametrize("attempts", ["folder"], indirect=True)
def test_a_training_that_is_asked_to_stop_saves_once_more_and_goes_on_there(
    attempts: Attempts, undisturbed: str
) -> None:
    stopped = attempts.start()
    wait_for(lambda: bool(list(attempts.folder.glob("store/.scratch-*/*/out/metrics.jsonl"))), seconds=120)
    stopped.terminate()
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 143
    told = re.search(rf"asked to stop: it did after step (\d+) of {NUM_STEPS}, and saved its state", said)
    assert told, said
    assert "Traceback" not in said
    digest, said = attempts.finish()
    assert digest == undisturbed
    assert f"goes on after step {told[1]}," in said


def test_a_checkpoint_of_another_number_of_processes_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    checkpoints = Checkpoints(open_store(str(tmp_path)), "train/k", "a")
    check_processes(checkpoints, 2)
    checkpoints.seal(7, [], {"num_processes": 4})
    check_processes(checkpoints, 4)
    with pytest.raises(EnvironmentProblem, match=r"saved by 4 training processes, but there are 2 now; .*or delete"):
        check_processes(checkpoints, 2)
