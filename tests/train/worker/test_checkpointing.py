"""Saving and going on with a real DeepSpeed engine, in one process."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from torch import distributed

from med42lib.store.address import open_store
from med42lib.store.artifacts import Target
from med42lib.store.checkpoints import Checkpoints
from med42lib.store.manifest import METRICS_FILE, describe_folder
from med42lib.train.config import LoraConfig
from med42lib.train.job import TrainingJob
from med42lib.train.loop import Totals
from med42lib.train.worker.checkpointing import Checkpointing
from tests.train.conftest import FULL, job_of, output_of, read_metric, train_alone

VARIANTS: dict[str, dict[str, object]] = {
    "zero 1": {"zero_stage": 1, "precision": "float16"},
    "zero 2": {"zero_stage": 2},
    "zero 3": {"zero_stage": 3, "precision": "bfloat16"},
    "lora zero 1": {"method": "lora", "zero_stage": 1},
    "lora zero 3": {"method": "lora", "lora": LoraConfig(dropout=0.5)},
}


def checkpoints_of(job: TrainingJob) -> list[Path]:
    """List the folders of the checkpoints of a job in a local store, the oldest first."""
    return sorted(Path(job.checkpoints.address).iterdir())


def damage(checkpoint: Path) -> None:
    """Change one byte of the largest file."""
    path = max(checkpoint.iterdir(), key=lambda file: file.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def trained(base_model: Path, packed_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The outputs of two attempts at each variant: one undisturbed, the other from the first one's fourth step on.

    The first saves after every step. Its newest checkpoint, of the fifth, is damaged before the second begins.
    """
    folder = tmp_path_factory.mktemp("resumed")
    jobs: dict[str, list[TrainingJob]] = {}
    for name, settings in VARIANTS.items():
        config = FULL.model_copy(update={"checkpoint_minutes": 0, **settings})
        jobs[name] = [job_of(config, packed_data, base_model, folder / "store", key=name) for _ in range(2)]
        for job in jobs[name]:
            job.write()
    train_alone([first for first, _ in jobs.values()], folder)
    for first, _ in jobs.values():
        fourth, fifth = checkpoints_of(first)
        assert (fourth.name[:8], fifth.name[:8]) == ("00000004", "00000005")
        damage(fifth)
    train_alone([second for _, second in jobs.values()], folder)
    return {name: [output_of(job) for job in both] for name, both in jobs.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_a_training_that_goes_on_writes_the_same_bytes_as_an_undisturbed_one(
    trained: dict[str, list[Path]], name: str
) -> None:
    first, second = (describe_folder(output, {METRICS_FILE}) for output in trained[name])
    assert [entry for entry in first if not entry.note] == [entry for entry in second if not entry.note]


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_it_has_each_steps_metrics_once_and_went_on_from_the_checkpoint_before_the_damaged_one(
    trained: dict[str, list[Path]], name: str
) -> None:
    undisturbed, resumed = trained[name]
    assert read_metric(resumed, "loss") == read_metric(undisturbed, "loss")
    speeds = [read_metric(output, "tokens_per_second") for output in trained[name]]
    assert [one == other for one, other in zip(*speeds, strict=True)] == [True, True, True, True, False, False]


@pytest.mark.slow
def test_a_checkpoint_of_an_adapter_holds_no_weight_of_the_base(trained: dict[str, list[Path]]) -> None:
    import torch

    for name in ("lora zero 1", "lora zero 3"):
        checkpoint = next((trained[name][0].parents[1] / "checkpoints").iterdir())
        [path] = checkpoint.glob("*model_states.pt")
        assert all("lora_" in weight for weight in torch.load(path, weights_only=True)["module"])


FORGED = """
import sys
import torch
from med42lib.train.worker.checkpointing import _numbers_alone
from med42lib.train.worker.training import import_deepspeed
import_deepspeed("cpu")
class Code:
    def __reduce__(self):
        return print, ("the file's own code runs",)
torch.save({"optimizer_state_dict": Code()}, sys.argv[1])
with _numbers_alone():
    torch.load(sys.argv[1], weights_only=False)
"""


@pytest.mark.slow
def test_a_forged_checkpoint_runs_no_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORGED, str(tmp_path / "state.pt")], capture_output=True, text=True, check=False
    )
    assert "code runs" not in done.stdout
    assert "UnpicklingError: Weights only load failed" in done.stderr


OLDER_PYTHON = """
import sys
import torch
from med42lib.train.worker.checkpointing import _numbers_alone, _save_enums_by_value
from med42lib.train.worker.training import import_deepspeed
import_deepspeed("cpu")
from deepspeed.runtime.zero.config import ZeroStageEnum
ZeroStageEnum.__reduce_ex__ = lambda stage, protocol: (getattr, (type(stage), stage.name))
_save_enums_by_value()
torch.save({"zero_stage": ZeroStageEnum.weights}, sys.argv[1])
with _numbers_alone():
    print(torch.load(sys.argv[1], weights_only=False))
"""


@pytest.mark.slow
def test_what_python_before_3_11_4_saves_can_be_loaded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OLDER_PYTHON, str(tmp_path / "state.pt")], capture_output=True, text=True, check=False
    )
    assert "'zero_stage': <ZeroStageEnum.weights: 3>" in done.stdout, done.stderr


class StandIn:
    """A DeepSpeed engine that saves one small file."""

    def save_checkpoint(self, folder: str, *, tag: str, save_latest: bool, exclude_frozen_parameters: bool) -> None:
        path = Path(folder, tag)
        path.mkdir(parents=True)
        (path / "zero_pp_rank_0_mp_rank_00_optim_states.pt").write_text("state")
        (path / "zero_to_fp32.py").write_text("a script")


@pytest.fixture
def _one_process() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def checkpointing(store: Path, folder: Path, *, minutes: float = 0) -> Checkpointing:
    target = Target(folder / "out")
    target.folder.mkdir(exist_ok=True)
    target.metric("loss", 1.0, step=1)
    checkpoints = Checkpoints(open_store(str(store)), "train/k", "a")
    return Checkpointing(StandIn(), checkpoints, target, folder, minutes=minutes, timeout=timedelta(minutes=1))


@pytest.mark.usefixtures("_one_process")
def test_what_is_saved_are_the_states_and_the_metrics_and_no_script(tmp_path: Path) -> None:
    assert checkpointing(tmp_path / "store", tmp_path).save(Totals(num_steps=1))
    names = {path.name for path in tmp_path.glob("store/train/k/checkpoints/00000001-a/*")}
    assert names == {"manifest.json", "metrics.jsonl", "zero_pp_rank_0_mp_rank_00_optim_states.pt"}
    assert not (tmp_path / "saved").exists()


@pytest.mark.usefixtures("_one_process")
def test_a_store_that_takes_no_checkpoint_does_not_end_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "store").write_text("a file, where a folder should be")
    with caplog.at_level("INFO"):
        assert not checkpointing(tmp_path / "store", tmp_path).save(Totals(num_steps=3))
    assert "could not save a checkpoint after step 3: cannot write" in caplog.text
    assert not (tmp_path / "saved").exists()


@pytest.mark.usefixtures("_one_process")
def test_it_is_time_to_save_when_the_minutes_have_passed(tmp_path: Path) -> None:
    assert checkpointing(tmp_path / "store", tmp_path, minutes=0).due()
    assert not checkpointing(tmp_path / "store", tmp_path, minutes=30).due()
