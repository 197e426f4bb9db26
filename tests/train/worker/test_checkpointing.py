"""Saving and going on with a real DeepSpeed engine, in one process."""

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import distributed

from med42lib.core.errors import AccessError, DataError, NoSpaceError, StoreUnavailable, TrainingProcessError
from med42lib.store import artifacts
from med42lib.store.address import open_store
from med42lib.store.artifacts import Target
from med42lib.store.checkpoints import Checkpoint, Checkpoints
from med42lib.store.manifest import METRICS_FILE, FileEntry, describe_folder
from med42lib.train.config import LoraConfig
from med42lib.train.job import Failure, TrainingJob
from med42lib.train.loop import Totals
from med42lib.train.worker.checkpointing import Checkpointing
from med42lib.train.worker.fragments import LAYOUT_FILE, Extent, TrainedState, write_layout
from tests.processes import wait_for
from tests.store.test_artifacts import Remote
from tests.train.conftest import FULL, job_of, output_of, read_metric, train_alone
from tests.train.worker.stand_in_engine import StandInEngine

VARIANTS: dict[str, dict[str, object]] = {
    "zero 1": {"zero_stage": 1},
    "zero 1, float16": {"zero_stage": 1, "precision": "float16"},
    "zero 2": {"zero_stage": 2},
    "zero 3": {"zero_stage": 3, "precision": "bfloat16"},
    "lora zero 1": {"method": "lora", "zero_stage": 1},
    "lora zero 3": {"method": "lora", "lora": LoraConfig(dropout=0.5)},
}
# Asks the processor, as DeepSpeed does.
_HAS_FLOAT16 = torch.ops.mkldnn._is_mkldnn_fp16_supported()
RUNNABLE = [name for name in VARIANTS if _HAS_FLOAT16 or "float16" not in name]
NAMES = [
    pytest.param(name, marks=pytest.mark.skipif(name not in RUNNABLE, reason="this processor has no float16"))
    for name in VARIANTS
]
OTHER_STAGES = {"zero 2": 3, "lora zero 3": 1}
"""The stage of ZeRO under which a third attempt goes on; a stage is in the key, so this is a test of the format."""


def checkpoints_of(job: TrainingJob) -> list[Path]:
    """List the folders of the checkpoints of a job in a local store, the oldest first."""
    return sorted(Path(job.checkpoints.address).glob("0*"))


def damage(checkpoint: Path) -> None:
    """Change one byte of the largest file."""
    path = max(checkpoint.iterdir(), key=lambda file: file.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def trained(base_model: Path, packed_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The outputs of two attempts at each variant: one undisturbed, the other from the first one's fourth step on.

    The first saves after every step. Its newest checkpoint, of the fifth, is damaged before the second begins. Of the
    `OTHER_STAGES` there is a third attempt, from the second one's fifth step on.
    """
    folder = tmp_path_factory.mktemp("resumed")
    jobs: dict[str, list[TrainingJob]] = {}
    for name in RUNNABLE:
        config = FULL.model_copy(update={"checkpoint_minutes": 0, **VARIANTS[name]})
        jobs[name] = [job_of(config, packed_data, base_model, folder / "store", key=name) for _ in range(2)]
        if name in OTHER_STAGES:
            other = config.model_copy(update={"zero_stage": OTHER_STAGES[name]})
            jobs[name].append(job_of(other, packed_data, base_model, folder / "store", key=name))
        for job in jobs[name]:
            job.write()
    train_alone([attempts[0] for attempts in jobs.values()], folder)
    for first, *_ in jobs.values():
        fourth, fifth = checkpoints_of(first)
        assert (fourth.name[:8], fifth.name[:8]) == ("00000004", "00000005")
        damage(fifth)
    train_alone([attempt for _, *later in jobs.values() for attempt in later], folder)
    return {name: [output_of(job) for job in attempts] for name, attempts in jobs.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_training_that_goes_on_writes_the_same_bytes_as_an_undisturbed_one(
    trained: dict[str, list[Path]], name: str
) -> None:
    first, second = (describe_folder(output, {METRICS_FILE}) for output in trained[name][:2])
    assert [entry for entry in first if not entry.note] == [entry for entry in second if not entry.note]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_has_each_steps_metrics_once_and_went_on_from_the_checkpoint_before_the_damaged_one(
    trained: dict[str, list[Path]], name: str
) -> None:
    undisturbed, resumed, *_ = trained[name]
    assert read_metric(resumed, "loss") == read_metric(undisturbed, "loss")
    speeds = [read_metric(output, "tokens_per_second") for output in (undisturbed, resumed)]
    assert [one == other for one, other in zip(*speeds, strict=True)] == [True, True, True, True, False, False]


@pytest.mark.slow
def test_a_checkpoint_holds_three_tensors_of_each_trained_parameter_and_nothing_that_could_run(
    trained: dict[str, list[Path]],
) -> None:
    for name in RUNNABLE:
        checkpoint = next((trained[name][0].parents[1] / "checkpoints").glob("0*"))
        files = {"rank-00000.safetensors", "fragments.json", "metrics.jsonl", "manifest.json"}
        assert {path.name for path in checkpoint.iterdir()} == files
        with safe_open(checkpoint / "rank-00000.safetensors", "pt") as tensors:
            parts = Counter(key.partition("/")[0] for key in tensors.keys())  # noqa: SIM118 (no mapping)
            assert set(parts) == {"weight", "exp_avg", "exp_avg_sq"}
            assert len(set(parts.values())) == 1
            if "lora" in name:
                assert all("lora_" in key for key in tensors.keys())  # noqa: SIM118


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER_STAGES)
def test_another_stage_of_zero_goes_on_from_what_one_saved(trained: dict[str, list[Path]], name: str) -> None:
    undisturbed, _, other = trained[name]
    before, after = read_metric(undisturbed, "loss"), read_metric(other, "loss")
    assert after[:5] == before[:5]
    assert after[5] == pytest.approx(before[5], rel=1e-6)
    [weights] = {path.relative_to(undisturbed) for path in undisturbed.rglob("*model.safetensors")}
    was, found = load_file(undisturbed / weights), load_file(other / weights)
    assert all(torch.allclose(found[key], was[key], rtol=1e-4, atol=1e-6) for key in was)


@pytest.fixture
def _one_process() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


class SlowCheckpoints(Checkpoints):
    """Checkpoints in a store that takes nothing until it is told to."""

    def __init__(self, store: Path) -> None:
        super().__init__(open_store(str(store)), "train/k", "a")
        self.opened = threading.Event()

    def put(self, step: int, name: str, path: Path) -> FileEntry:
        assert self.opened.wait(60)
        return super().put(step, name, path)


def an_engine(value: float = 1.0) -> StandInEngine:
    return StandInEngine({"matrix": torch.full((3, 5), value), "vector": torch.full((4,), value)})


def checkpointing(
    store: Path | Checkpoints, folder: Path, *, minutes: float = 0, engine: StandInEngine | None = None
) -> Checkpointing:
    target = Target(folder / "out")
    target.folder.mkdir(parents=True, exist_ok=True)
    target.metric("loss", 1.0, step=1)
    checkpoints = store if isinstance(store, Checkpoints) else Checkpoints(open_store(str(store)), "train/k", "a")
    timeout = timedelta(minutes=1)
    return Checkpointing(engine or an_engine(), checkpoints, target, folder, minutes=minutes, timeout=timeout)


@pytest.mark.usefixtures("_one_process")
def test_training_goes_on_while_what_it_was_is_stored(tmp_path: Path) -> None:
    store, engine = SlowCheckpoints(tmp_path / "store"), an_engine()
    saving = checkpointing(store, tmp_path, engine=engine)
    saving.save(Totals(num_steps=1))
    engine.step()
    Target(tmp_path / "out").metric("loss", 0.5, step=2)
    assert store.newest() is None
    store.opened.set()
    assert saving.finish()
    resumed = an_engine(7.0)
    again = checkpointing(tmp_path / "store", tmp_path / "out", engine=resumed)
    assert again.resume().num_steps == 1
    assert torch.equal(resumed.module["matrix"], torch.ones(3, 5))
    assert read_metric(tmp_path / "out/out", "loss") == [1.0]
    assert not (tmp_path / "saved").exists()


@pytest.mark.usefixtures("_one_process")
def test_one_that_is_due_while_another_is_stored_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SlowCheckpoints(tmp_path / "store")
    saving = checkpointing(store, tmp_path, minutes=1)
    saving.save(Totals(num_steps=5))
    now = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert not saving.due()
    assert not saving.due()
    assert caplog.text.count("the one after step 5 is not stored yet: this one is left out") == 1
    store.opened.set()
    assert saving.finish()
    now += 61
    assert saving.due()


@pytest.mark.usefixtures("_one_process")
def test_one_that_is_asked_for_at_once_is_stored_once_and_counted_as_time_of_the_training(tmp_path: Path) -> None:
    store = SlowCheckpoints(tmp_path / "store")
    saving = checkpointing(store, tmp_path)
    threading.Timer(0.2, store.opened.set).start()
    assert saving.save_now(Totals(num_steps=3))
    assert saving.save_now(Totals(num_steps=3))
    assert [checkpoint.step for checkpoint in store.complete()] == [3]
    assert 0.1 < saving.seconds_saving < 30


@pytest.mark.usefixtures("_one_process")
def test_a_store_that_takes_no_checkpoint_does_not_end_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "store").write_text("a file, where a folder should be")
    with caplog.at_level("INFO"):
        assert not checkpointing(tmp_path / "store", tmp_path).save_now(Totals(num_steps=3))
    assert "could not save a checkpoint after step 3: cannot write" in caplog.text
    assert not (tmp_path / "saved").exists()


@pytest.mark.usefixtures("_one_process")
def test_the_time_that_a_killed_attempt_waited_for_its_saving_counts_too(tmp_path: Path) -> None:
    killed = checkpointing(tmp_path / "store", tmp_path)
    killed.seconds_saving = 100.0
    assert killed.save_now(Totals(num_steps=3))
    again = checkpointing(tmp_path / "store", tmp_path / "out")
    again.resume()
    assert 100.0 < again.seconds_saving <= killed.seconds_saving


@pytest.mark.usefixtures("_one_process")
def test_a_checkpoint_that_does_not_say_how_long_saving_took_can_be_gone_on_from(tmp_path: Path) -> None:
    assert checkpointing(tmp_path / "store", tmp_path).save_now(Totals(num_steps=3))
    [manifest] = (tmp_path / "store").rglob("manifest.json")
    values = json.loads(manifest.read_text())
    del values["config"]["seconds_saving"]
    manifest.write_text(json.dumps(values))
    again = checkpointing(tmp_path / "store", tmp_path / "out")
    assert (again.resume().num_steps, again.seconds_saving) == (3, 0.0)


def put_by_three(store: Path, step: int, folder: Path) -> None:
    """Save the state after a step of a training of three processes."""
    checkpoints, layout, files = Checkpoints(open_store(str(store)), "train/k", "a"), {}, []
    parameters = {"matrix": torch.ones(3, 5), "vector": torch.ones(4)}
    for rank in range(3):
        engine = StandInEngine({n: p.clone() for n, p in parameters.items()}, rank=rank, num_processes=3)
        for _ in range(step):
            engine.step()
        state, name = TrainedState(engine), f"rank-{rank:05}.safetensors"
        save_file(state.copy(), folder / name)
        files.append(checkpoints.put(step, name, folder / name))
        layout[name], numbers = state.extents, state.numbers()
    write_layout(layout, folder / LAYOUT_FILE)
    (folder / METRICS_FILE).touch()
    files += [checkpoints.put(step, name, folder / name) for name in (LAYOUT_FILE, METRICS_FILE)]
    checkpoints.seal(step, files, {"totals": asdict(Totals(num_steps=step)), "numbers": numbers})


@pytest.mark.usefixtures("_one_process")
def test_of_the_files_that_a_process_reads_one_at_a_time_is_on_its_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_by_three(tmp_path / "store", 2, tmp_path)
    monkeypatch.setattr(artifacts, "open_store", lambda address: Remote(address, Path(address)))
    there, read = [], TrainedState.read

    def counted(state: TrainedState, path: Path, extents: Mapping[str, Extent]) -> None:
        there.append([file.name for file in path.parent.glob("rank-*")])
        read(state, path, extents)

    monkeypatch.setattr(TrainedState, "read", counted)
    assert checkpointing(tmp_path / "store", tmp_path / "out").resume().num_steps == 2
    assert there == [[f"rank-{rank:05}.safetensors"] for rank in range(3)]


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize("older", [True, False], ids=["with an older one", "alone"])
def test_a_checkpoint_that_is_found_damaged_halfway_leaves_nothing_of_itself(tmp_path: Path, older: bool) -> None:
    expected = an_engine()
    if older:
        put_by_three(tmp_path / "store", 1, tmp_path)
        checkpointing(tmp_path / "store", tmp_path / "expected", engine=expected).resume()
    put_by_three(tmp_path / "store", 2, tmp_path)
    [damaged] = (tmp_path / "store").rglob("00000002-a/rank-00002.safetensors")
    damaged.write_bytes(bytes(damaged.stat().st_size))
    engine = an_engine()
    assert checkpointing(tmp_path / "store", tmp_path / "out", engine=engine).resume().num_steps == int(older)
    for each in (expected, engine):
        each.step()
    was, found = TrainedState(expected), TrainedState(engine)
    assert was.numbers() == found.numbers()
    copies = found.copy()
    assert all(torch.equal(copy, copies[name]) for name, copy in was.copy().items())


class VanishingCheckpoints(Checkpoints):
    """Checkpoints of which another attempt, that has gone further, removes files as soon as they are listed."""

    def __init__(self, store: str, names: str) -> None:
        super().__init__(open_store(store), "train/k", "a")
        self._names = names

    def complete(self) -> Iterator[Checkpoint]:
        found = list(super().complete())
        for name in self._store.files():
            if fnmatch(name, self._names):
                self._store.delete(name)
        return iter(found)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize("names", ["*", "*.safetensors"])
def test_a_checkpoint_that_another_attempt_removed_meanwhile_has_processes_start_again(
    names: str, bucket: str, tmp_path: Path
) -> None:
    store = VanishingCheckpoints(f"s3://{bucket}/x", names)
    assert checkpointing(store, tmp_path).save_now(Totals(num_steps=3))
    with pytest.raises(TrainingProcessError, match="00000003-a was removed: another attempt went further") as raised:
        checkpointing(store, tmp_path / "out").resume()
    assert not Failure.of(raised.value, where=tmp_path).is_permanent


class FullCheckpoints(Checkpoints):
    """Checkpoints in a store that has no space left behind a process's first file from a step on."""

    def __init__(self, store: Path, *, from_step: int) -> None:
        super().__init__(open_store(str(store)), "train/k", "a")
        self._from_step = from_step

    def put(self, step: int, name: str, path: Path) -> FileEntry:
        if step >= self._from_step and name == METRICS_FILE:
            raise NoSpaceError("no space left")
        return super().put(step, name, path)


@pytest.mark.usefixtures("_one_process")
def test_what_a_full_store_took_of_a_checkpoint_is_removed_again(tmp_path: Path) -> None:
    store = FullCheckpoints(tmp_path / "store", from_step=3)
    saving = checkpointing(store, tmp_path)
    assert [saving.save_now(Totals(num_steps=step)) for step in range(1, 5)] == [True, True, False, False]
    assert sorted(path.name for path in Path(store.address).iterdir()) == ["00000001-a", "00000002-a"]


class RefusingCheckpoints(Checkpoints):
    """Checkpoints in a store that refuses those of some steps."""

    def __init__(self, store: Path, refusals: dict[int, Exception]) -> None:
        super().__init__(open_store(str(store)), "train/k", "a")
        self._refusals = refusals

    def put(self, step: int, name: str, path: Path) -> FileEntry:
        if step in self._refusals:
            raise self._refusals[step]
        return super().put(step, name, path)


def saved(saving: Checkpointing, step: int, *, best_step: int | None = None) -> None:
    """Save in passing, and wait until the store has answered."""
    saving.save(Totals(num_steps=step), best_step)
    saving.finish()


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize("kind", [AccessError, NoSpaceError])
def test_a_store_that_refuses_two_in_a_row_for_good_ends_the_training_with_what_to_do(
    tmp_path: Path, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    refusals: dict[int, Exception] = {step: kind("the credentials expired") for step in (2, 4, 5)}
    saving = checkpointing(RefusingCheckpoints(tmp_path / "store", refusals), tmp_path, minutes=30)
    for step in range(1, 6):
        assert not saving.due()
        saved(saving, step)
    assert saving.due(), "at once, not in half an hour"
    with pytest.raises(
        kind, match=r"refused the last 2 .* expired\. Training ended; .*last good one is of step 3\. Renew"
    ):
        saving.save(Totals(num_steps=6))
    assert "after step 4: the credentials expired; the last good one is of step 3" in caplog.text
    assert not saving.save_now(Totals(num_steps=5)), "who is asked to stop, or has finished, is not ended by it"
    assert saving.save_now(Totals(num_steps=6))


@pytest.mark.usefixtures("_one_process")
def test_a_store_that_is_away_or_a_full_disk_here_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = dict.fromkeys((1, 2, 3), StoreUnavailable("away"))
    saving = checkpointing(RefusingCheckpoints(tmp_path / "store", {**away}), tmp_path)
    for step in (1, 2, 3):
        saved(saving, step)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    for step in (4, 5, 6):
        saved(saving, step)
    monkeypatch.undo()
    assert saving.save_now(Totals(num_steps=7))


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize("kind", [StoreUnavailable, NoSpaceError])
def test_a_best_step_that_could_not_be_saved_ends_the_training_before_anything_newer_is(
    tmp_path: Path, kind: type[Exception]
) -> None:
    saving = checkpointing(RefusingCheckpoints(tmp_path / "store", {2: kind("no answer")}), tmp_path, minutes=30)
    saved(saving, 1)
    assert not saving.due()
    saving.save(Totals(num_steps=2), 2)
    wait_for(saving.due, seconds=30)
    for save in (saving.save, saving.save_now):
        with pytest.raises(
            kind, match=r"after step 2, which load_best_.*: no answer\. .* last good one is of step 1\."
        ):
            save(Totals(num_steps=3), 2)
    assert checkpointing(tmp_path / "store", tmp_path / "out").resume().num_steps == 1, "to make step 2 again"


@pytest.mark.usefixtures("_one_process")
def test_it_ends_with_the_best_steps_model_and_all_metrics_or_with_an_error(tmp_path: Path) -> None:
    engine = an_engine()
    saving = checkpointing(tmp_path / "store", tmp_path, engine=engine)
    for step in range(1, 5):
        saved(saving, step, best_step=1)
        engine.step()
        Target(tmp_path / "out").metric("loss", 0.5, step=step + 1)
    saving.go_back(1)
    assert torch.equal(engine.module["matrix"], torch.ones(3, 5))
    assert len(read_metric(tmp_path / "out", "loss")) == 5
    damage(next((tmp_path / "store").rglob("00000001-a")))
    with pytest.raises(
        DataError, match=r"loss is that of step 1, whose checkpoint in .* is gone or damaged; run again"
    ):
        saving.go_back(1)


@pytest.mark.usefixtures("_one_process")
def test_only_stored_checkpoints_are_among_the_metrics(tmp_path: Path) -> None:
    refusals: dict[int, Exception] = {2: StoreUnavailable("away")}
    saving = checkpointing(RefusingCheckpoints(tmp_path / "store", refusals), tmp_path, minutes=30)
    for step in (1, 2, 3):
        saved(saving, step)
    assert not saving.due()
    assert read_metric(tmp_path / "out", "checkpoint_step") == [1, 3]
    assert len(read_metric(tmp_path / "out", "checkpoint_seconds")) == 2


@pytest.mark.usefixtures("_one_process")
def test_a_checkpoint_is_among_the_metrics_when_it_is_stored_and_not_only_at_the_next(tmp_path: Path) -> None:
    saving = checkpointing(tmp_path / "store", tmp_path, minutes=30)
    saving.save(Totals(num_steps=1))
    wait_for(lambda: not saving.due() and read_metric(tmp_path / "out", "checkpoint_step") == [1], seconds=30)


@pytest.mark.usefixtures("_one_process")
def test_what_hinders_the_sealing_is_told_to_all_before_it_ends_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    saving = checkpointing(tmp_path / "store", tmp_path)
    monkeypatch.setattr(Checkpoints, "seal", lambda *_: 1 / 0)
    saving.save(Totals(num_steps=3))
    with pytest.raises(ZeroDivisionError):
        saving.finish()
    assert "could not save a checkpoint after step 3: division by zero" in caplog.text


@pytest.mark.usefixtures("_one_process")
def test_what_is_no_refusal_ends_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saving = checkpointing(tmp_path / "store", tmp_path)
    monkeypatch.setattr(Checkpoints, "put", lambda *_: 1 / 0)
    saving.save(Totals(num_steps=3))
    with pytest.raises(ZeroDivisionError):
        saving.finish()


@pytest.mark.usefixtures("_one_process")
def test_it_is_time_to_save_when_the_minutes_have_passed(tmp_path: Path) -> None:
    assert checkpointing(tmp_path / "store", tmp_path, minutes=0).due()
    assert not checkpointing(tmp_path / "store", tmp_path, minutes=30).due()
