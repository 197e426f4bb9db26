"""Saving and going on with a real DeepSpeed engine, in one process."""

from pathlib import Path

import pytest

from med42lib.store.manifest import METRICS_FILE, describe_folder
from med42lib.train.config import LoraConfig
from med42lib.train.job import TrainingJob
from tests.train.conftest import FULL, job_of, output_of, read_metric, train_alone

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("name", VARIANTS)
def test_a_training_that_goes_on_writes_the_same_bytes_as_an_undisturbed_one(
    trained: dict[str, list[Path]], name: str
) -> None:
    first, second = (describe_folder(output, {METRICS_FILE}) for output in trained[name])
    assert [entry for entry in first if not entry.note] == [entry for entry in second if not entry.note]


@pytest.mark.parametrize("name", VARIANTS)
def test_it_has_each_steps_metrics_once_and_went_on_from_the_checkpoint_before_the_damaged_one(
    trained: dict[str, list[Path]], name: str
) -> None:
    undisturbed, resumed = trained[name]
    assert read_metric(resumed, "loss") == read_metric(undisturbed, "loss")
    speeds = [read_metric(output, "tokens_per_second") for output in trained[name]]
    assert [one == other for one, other in zip(*speeds, strict=True)] == [True, True, True, True, False, False]


def test_a_checkpoint_of_an_adapter_holds_no_weight_of_the_base(trained: dict[str, list[Path]]) -> None:
    import torch

    for name in ("lora zero 1", "lora zero 3"):
        checkpoint = next((trained[name][0].parents[1] / "checkpoints").iterdir())
        [path] = checkpoint.glob("*model_states.pt")
        assert all("lora_" in weight for weight in torch.load(path, weights_only=True)["module"])
