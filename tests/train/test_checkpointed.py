from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from med42lib.commands.main import main
from med42lib.core.errors import DataError
from med42lib.formats.packed import PackedDataset
from med42lib.store import artifacts
from med42lib.store.artifacts import Source
from med42lib.train.batches import steps
from med42lib.train.checkpointed import _take_over
from med42lib.train.job import TrainingJob
from med42lib.train.loss import make_batch, response_loss
from med42lib.train.worker.fragments import LAYOUT_FILE, PARTS, read_layout, tensor_name, write_layout
from tests.store.test_artifacts import Remote
from tests.train.conftest import FULL, job_of, output_of, read_metric, train_alone

RANKS = ("rank-00000.safetensors", "rank-00001.safetensors")
VARIANTS: dict[str, dict[str, object]] = {
    "full": {"zero_stage": 3},
    "lora": {"method": "lora", "zero_stage": 1},
}


@pytest.fixture(scope="module")
def jobs(base_model: Path, packed_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainingJob]:
    """Trainings of six steps that left the checkpoints after their fourth and fifth."""
    folder, base = tmp_path_factory.mktemp("checkpointed"), f"sha256:{Source(str(base_model)).digest}"
    made = {}
    for name, settings in VARIANTS.items():
        config = FULL.model_copy(update={"checkpoint_minutes": 0, **settings})
        made[name] = replace(job_of(config, packed_data, base_model, folder / "store", key=name), base_name=base)
        made[name].write()
    train_alone(list(made.values()), folder)
    return made


def checkpoint_of(job: TrainingJob, step: int) -> Path:
    return Path(job.checkpoints.address) / f"{step:08}-{job.attempt}"


def export(job: TrainingJob, step: int, folder: Path, *options: str) -> int:
    return main(["export", str(checkpoint_of(job, step)), str(folder), *options])


def put_in_halves(job: TrainingJob, step: int, folder: Path, *, of: int, lost: int = 0) -> None:
    """Save a checkpoint again as two processes would have, each with a half of every parameter."""
    whole = checkpoint_of(job, of)
    tensors, ((_, extents),) = load_file(whole / RANKS[0]), read_layout(whole / LAYOUT_FILE).items()
    halves = {RANKS[0]: {n: (0, end // 2) for n, (_, end) in extents.items()}}
    halves[RANKS[1]] = {n: (end // 2 + lost, end) for n, (_, end) in extents.items()}
    for file, half in halves.items():
        pieces = {tensor_name(n, part): tensors[tensor_name(n, part)] for n in half for part in PARTS}
        cut = {key: piece[slice(*half[key.partition("/")[2]])].contiguous() for key, piece in pieces.items()}
        save_file(cut, folder / file)
    write_layout(halves, folder / LAYOUT_FILE)
    files = [job.checkpoints.put(step, path.name, path) for path in sorted(folder.iterdir())]
    job.checkpoints.seal(step, files, {})


@pytest.mark.parametrize("from_bucket", [True, False])
def test_a_file_that_was_fetched_goes_when_it_is_read_and_a_users_own_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_bucket: bool
) -> None:
    if from_bucket:
        monkeypatch.setattr(artifacts, "open_store", lambda address: Remote(address, Path(address)))
    (tmp_path / "checkpoint").mkdir()
    for number, file in enumerate(RANKS):
        save_file({"weight/weight": torch.full((2,), float(number))}, tmp_path / "checkpoint" / file)
    layout = {RANKS[0]: {"weight": (0, 2)}, RANKS[1]: {"weight": (2, 4)}}
    write_layout(layout, tmp_path / "checkpoint" / LAYOUT_FILE)
    model = torch.nn.Linear(2, 2, bias=False)
    _take_over(model, Source(str(tmp_path / "checkpoint"), cache=tmp_path / "fetched"))
    assert model.weight.tolist() == [[0.0, 0.0], [1.0, 1.0]]
    assert all((tmp_path / "checkpoint" / file).exists() for file in RANKS)
    assert [path.name for path in tmp_path.glob("fetched/*")] == ([LAYOUT_FILE] if from_bucket else [])


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_the_model_of_a_checkpoint_has_the_loss_that_the_next_step_began_with(
    jobs: dict[str, TrainingJob], packed_data: Path, tmp_path: Path, name: str
) -> None:
    job, data = jobs[name], PackedDataset(packed_data)
    assert export(job, 5, tmp_path / "model") == 0
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    batch = make_batch(data, list(steps(len(data), job.config))[5].tolist(), torch.device("cpu"))
    with torch.no_grad():
        loss = float(response_loss(model, batch)) / batch.num_response_tokens
    assert loss == pytest.approx(read_metric(output_of(job), "loss")[5], rel=1e-5)


@pytest.mark.slow
def test_it_is_the_same_whatever_processes_saved_it(jobs: dict[str, TrainingJob], tmp_path: Path) -> None:
    (tmp_path / "halves").mkdir()
    put_in_halves(jobs["full"], 6, tmp_path / "halves", of=5)
    for step in (5, 6):
        assert export(jobs["full"], step, tmp_path / str(step)) == 0
    assert (tmp_path / "5/model.safetensors").read_bytes() == (tmp_path / "6/model.safetensors").read_bytes()


@pytest.mark.slow
def test_what_is_not_whole_or_has_another_base_is_refused_and_nothing_is_left(
    jobs: dict[str, TrainingJob], base_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = jobs["lora"]
    for name in ("pieces", "unfinished"):
        (tmp_path / name).mkdir()
    put_in_halves(job, 7, tmp_path / "pieces", of=5, lost=1)
    checkpoint_of(job, 8).mkdir()
    (checkpoint_of(job, 8) / LAYOUT_FILE).write_text("{}")
    assert export(job, 7, tmp_path / "model") == DataError.exit_code
    assert "does not hold all of" in capsys.readouterr().err
    assert export(job, 8, tmp_path / "model") == DataError.exit_code
    assert "was never finished" in capsys.readouterr().err
    assert export(job, 5, tmp_path / "model", "--base", str(output_of(jobs["full"]))) == DataError.exit_code
    assert "but the checkpoint's training began from sha256:" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
