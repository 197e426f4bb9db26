"""The stage as a whole: real torchrun, real DeepSpeed, on a tiny model."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from med42lib.core.errors import ConfigError, DataError, DivergedError
from med42lib.core.stop_signal import StopSignal
from med42lib.engine.context import StageContext
from med42lib.formats.model_folder import copy_tokenizer, write_mlmodel
from med42lib.formats.packed import INFO_FILE, TOKENS_FILE, PackedDataset
from med42lib.store.artifacts import Source, Target
from med42lib.store.identity import HASHES_FOLDER
from med42lib.store.manifest import METRICS_FILE, Input, describe_folder
from med42lib.train.batches import BLANK, steps
from med42lib.train.config import TrainConfig
from med42lib.train.fit import count_steps
from med42lib.train.job import TrainingJob
from med42lib.train.model import load_model
from med42lib.train.schedule import Schedule
from med42lib.train.stage import check_fit, hub_origin, train
from med42lib.train.worker.step_metrics import gpu_name
from tests.processes import gone, wait_for
from tests.store.outputs import filled, manifest_of, published
from tests.train.conftest import FULL, VARIANTS, read_metric, write_packed

LORA = FULL.model_copy(update={"method": "lora"})
KILLED = """
import sys
from pathlib import Path
from med42lib.core.stop_signal import StopSignal
from med42lib.engine.context import StageContext
from med42lib.store.artifacts import Source, Target
from med42lib.train.config import TrainConfig
from med42lib.train.stage import train
packed, model, folder, config = sys.argv[1:]
config = TrainConfig.model_validate_json(config)
context = StageContext.in_folder(Path(folder), "train")
train(config, packed=Source(packed), model=Source(model), trained=Target(Path(folder, "trained")), context=context)
"""


@pytest.mark.parametrize(
    ("address", "format_", "origin"),
    [
        (f"hub:some/model@{40 * '0'}", "huggingface", f"some/model@{40 * '0'}"),
        (f"hub:some/model@{40 * '0'}", "gguf", None),
        ("s3://bucket/model", "huggingface", None),
    ],
)
def test_a_base_is_called_by_the_repository_that_it_is_a_copy_of(
    tmp_path: Path, address: str, format_: str, origin: str | None
) -> None:
    folder = filled(tmp_path / "files", {"model/config.json": "{}"})
    made = manifest_of(folder, stage="fetch_model", target="model", weights=Input("digest", address))
    published_at = published(str(tmp_path / "store"), folder, replace(made, config={"format": format_}))
    assert hub_origin(Source(published_at)) == origin
    assert hub_origin(Source(str(folder))) is None


@pytest.fixture(scope="module")
def runs(base_model: Path, packed_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Train on the tiny model, on two CPU processes; a name stands for one training."""
    done: dict[str, Path] = {}

    def run(name: str, config: TrainConfig = FULL) -> Path:
        if name not in done:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MED42_PROCESSES_PER_NODE", "2")
                patch.setenv("CUDA_VISIBLE_DEVICES", "")
                done[name] = run_stage(config, packed_data, base_model, tmp_path_factory.mktemp(name))
        return done[name]

    return run


def run_stage(config: TrainConfig, packed: Path, model: Path, folder: Path) -> Path:
    """Run the stage on a store in a folder; returns where the output was put, all of which the stage counts."""
    context, trained = StageContext.in_folder(folder, "train"), Target(folder / "trained")
    trained.folder.mkdir()
    train(config, packed=Source(str(packed)), model=Source(str(model)), trained=trained, context=context)
    output = Path(context.upload.address) / "trained"
    assert trained.files() == describe_folder(output, {METRICS_FILE})
    return output


def plain_training(base_model: Path, packed_data: Path, config: TrainConfig) -> tuple[Any, list[float]]:
    """The same recipe in a few lines of PyTorch: one process, no DeepSpeed, nothing of the stage's own loop."""
    import torch
    from torch.nn import functional

    model = load_model(base_model / "model", config)
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay}]
    groups += [{"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0}]
    betas = (config.adam_beta1, config.adam_beta2)
    optimizer = torch.optim.AdamW(groups, betas=betas, eps=config.adam_epsilon)
    data = PackedDataset(packed_data)
    schedule = Schedule(config.learning_rate, config.warmup_steps, count_steps(len(data), config), 0.1)
    losses = []
    for number, step in enumerate(steps(len(data), config)):
        chunks = [data[chunk] for chunk in step if chunk != BLANK]
        ids, labels, positions = (
            torch.tensor([getattr(chunk, name).tolist() for chunk in chunks])
            for name in ("input_ids_L", "labels_L", "position_ids_L")
        )
        logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits
        loss = functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(number)
        optimizer.step()
        losses.append(float(loss.detach()))
    return model, losses


def assert_same_logits(one: Any, other: Any, packed_data: Path) -> None:
    import torch

    ids = torch.from_numpy(PackedDataset(packed_data)[3].input_ids_L)[None]
    with torch.no_grad():
        assert float((one(ids).logits - other(ids).logits).abs().max()) < 1e-3


@pytest.mark.slow
def test_two_processes_with_zero_3_do_what_plain_pytorch_does(
    runs: Callable[..., Path], base_model: Path, packed_data: Path
) -> None:
    from transformers import AutoModelForCausalLM

    trained = runs("full")
    expected, losses = plain_training(base_model, packed_data, FULL)
    assert read_metric(trained, "loss") == pytest.approx(losses, rel=1e-4)
    assert losses[-1] < losses[0] - 0.1
    assert_same_logits(AutoModelForCausalLM.from_pretrained(trained / "model"), expected, packed_data)


@pytest.mark.slow
def test_an_adapter_trained_so_is_the_one_that_plain_pytorch_trains(
    runs: Callable[..., Path], base_model: Path, packed_data: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    trained = runs("lora", LORA)
    expected, losses = plain_training(base_model, packed_data, LORA)
    assert read_metric(trained, "loss") == pytest.approx(losses, rel=1e-4)
    assert losses[-1] < losses[0] - 0.05
    base = AutoModelForCausalLM.from_pretrained(base_model / "model")
    assert_same_logits(PeftModel.from_pretrained(base, trained / "peft"), expected, packed_data)


@pytest.mark.slow
def test_the_optimisers_settings_reach_it(
    single_process_losses: dict[str, list[float]], base_model: Path, packed_data: Path
) -> None:
    config = FULL.model_copy(update=VARIANTS["optimiser"])
    expected = plain_training(base_model, packed_data, config)[1]
    assert single_process_losses["optimiser"] == pytest.approx(expected, rel=1e-5)
    for name in VARIANTS["optimiser"]:
        without = config.model_copy(update={name: getattr(FULL, name)})
        losses = plain_training(base_model, packed_data, without)[1]
        assert losses != pytest.approx(expected, rel=1e-5), f"{name} changes these losses"


@pytest.mark.slow
def test_one_process_gives_the_same_losses_as_two(
    runs: Callable[..., Path], single_process_losses: dict[str, list[float]]
) -> None:
    assert read_metric(runs("full"), "loss") == pytest.approx(single_process_losses["plain"], rel=1e-4)
    assert read_metric(runs("lora", LORA), "loss") == pytest.approx(single_process_losses["lora"], rel=1e-4)


@pytest.mark.slow
def test_a_second_training_gives_the_same_bytes(runs: Callable[..., Path]) -> None:
    first, second = runs("lora", LORA), runs("lora_again", LORA)
    files = {path.relative_to(first) for path in first.rglob("*") if path.is_file()}
    assert {path.relative_to(second) for path in second.rglob("*") if path.is_file()} == files
    differing = [f for f in files if (first / f).read_bytes() != (second / f).read_bytes()]
    assert [f.name for f in differing] == ["metrics.jsonl"]


@pytest.mark.slow
def test_the_hashes_of_what_a_training_has_read_are_kept(runs: Callable[..., Path]) -> None:
    store = runs("full").parents[3]
    known = [json.loads(path.read_text()).keys() for path in (store / HASHES_FOLDER).iterdir()]
    assert any("model/model.safetensors" in names for names in known)
    assert any(TOKENS_FILE in names for names in known)


@pytest.mark.slow
def test_a_trained_folder_names_no_place_on_this_machine(
    runs: Callable[..., Path], base_model: Path, packed_data: Path
) -> None:
    for trained in (runs("full"), runs("lora", LORA)):
        for path in trained.rglob("*.*"):
            content = path.read_bytes()
            assert not any(str(place).encode() in content for place in (trained, base_model, packed_data)), path


@pytest.mark.slow
def test_what_was_trained_is_recorded(runs: Callable[..., Path], packed_data: Path) -> None:
    info = PackedDataset(packed_data).info
    full, lora = (json.loads((runs(*run) / "recipe.json").read_text()) for run in (("full", FULL), ("lora", LORA)))
    assert full["num_steps"] == lora["num_steps"] == 6
    assert full["num_tokens"] == 2 * info.num_tokens
    assert full["num_response_tokens"] == 2 * info.num_response_tokens
    assert full["trainable_parameters"] == full["total_parameters"]
    assert lora["total_parameters"] == full["total_parameters"] + lora["trainable_parameters"]
    assert (full["world_size"], full["zero_stage"]) == (2, 3)
    assert full["device"] == (gpu_name() or "CPU")
    for key, count in {
        "loss": 6,
        "learning_rate": 6,
        "grad_norm": 6,
        "tokens_per_second": 6,
        "train_seconds": 1,
    }.items():
        assert len(read_metric(runs("full"), key)) == count


@pytest.mark.slow
def test_mlflow_loads_a_trained_model_and_it_writes(runs: Callable[..., Path]) -> None:
    import mlflow.transformers

    generator = mlflow.transformers.load_model(str(runs("full")))
    assert generator("w5 w6 w7", max_new_tokens=4)[0]["generated_text"].startswith("w5 w6 w7")


@pytest.mark.slow
def test_mlflow_loads_an_adapter_on_top_of_its_base(
    runs: Callable[..., Path], base_model: Path, tmp_path: Path
) -> None:
    import mlflow.transformers

    shutil.copytree(base_model / "model", tmp_path / "model")
    shutil.copytree(runs("lora", LORA) / "peft", tmp_path / "peft")
    copy_tokenizer(base_model / "model", tmp_path / "components" / "tokenizer")
    write_mlmodel(tmp_path, adapter=True)
    generator = mlflow.transformers.load_model(str(tmp_path))
    assert type(generator.model).__name__ == "PeftModelForCausalLM"
    assert generator("w5 w6 w7", max_new_tokens=4)[0]["generated_text"].startswith("w5 w6 w7")


@pytest.mark.slow
def test_diverged_training_says_so_and_at_which_step(runs: Callable[..., Path]) -> None:
    with pytest.raises(DivergedError, match="at step 2"):
        runs("diverged", FULL.model_copy(update={"learning_rate": 1e30}))


@pytest.mark.slow
@pytest.mark.usefixtures("two_processes")
def test_two_processes_with_zero_3_refuse_a_base_that_lacks_a_weight(
    lacking_model: Path, packed_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"1 weights are missing.*q_proj"):
        run_stage(FULL, packed_data, lacking_model, tmp_path)


@pytest.mark.slow
def test_no_training_process_outlives_a_killed_stage(base_model: Path, packed_data: Path, tmp_path: Path) -> None:
    endless = FULL.model_copy(update={"epochs": 100_000}).model_dump_json()
    (tmp_path / "trained").mkdir()
    command = [sys.executable, "-c", KILLED, str(packed_data), str(base_model), str(tmp_path), endless]
    environment = {**os.environ, "MED42_PROCESSES_PER_NODE": "2", "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as stage:
        while not list(tmp_path.glob("store/.scratch-*/*/out/metrics.jsonl")):
            assert stage.poll() is None
            time.sleep(0.1)
        family = [process.pid for process in psutil.Process(stage.pid).children(recursive=True)]
        assert len(family) == 4, "torchrun, two training processes, and what Python starts to tidy up after them"
        stage.kill()
    wait_for(lambda: all(map(gone, family)), seconds=1)


def test_settings_that_do_not_fit_are_all_listed() -> None:
    unfit = FULL.model_copy(update={"global_batch_size": 6, "micro_batch_size": 2, "warmup_steps": 100})
    with pytest.raises(ConfigError) as caught:
        check_fit(unfit, num_chunks=9, processes=2, section="train.lora")
    assert str(caught.value).startswith("settings of train.lora, for 9 chunks\n")
    assert [problem.where for problem in caught.value.problems] == ["global_batch_size", "warmup_steps"]
    assert "multiple of 4" in str(caught.value)
    assert "less than the 4 steps" in str(caught.value)


def test_settings_that_fit_pass() -> None:
    check_fit(FULL, num_chunks=9, processes=2, section="train")


class Diverging:
    """A launcher of a training that diverges."""

    num_processes = 1

    def run(self, _job: TrainingJob, _stopping: StopSignal) -> TrainingJob:
        raise DivergedError("training diverged at step 9")


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        ((), "There is no checkpoint of before"),
        ((3, 7), "The last checkpoint of before is that of step 7: {place}/00000007-"),
    ],
)
def test_a_divergence_names_the_last_checkpoint(
    packed_data: Path,
    base_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    saved: tuple[int, ...],
    told: str,
) -> None:
    monkeypatch.setattr("med42lib.train.stage.open_launcher", Diverging)
    checkpoints = StageContext.in_folder(tmp_path, "train").checkpoints
    for step in saved:
        checkpoints.seal(step, [], {})
    with pytest.raises(DivergedError) as caught:
        run_stage(FULL, packed_data, base_model, tmp_path)
    assert str(caught.value).startswith(f"training diverged at step 9. {told.format(place=checkpoints.address)}")


def test_processes_are_told_by_which_code_their_output_is_named(
    packed_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("med42lib.train.stage.open_launcher", Diverging)
    context = replace(StageContext.in_folder(tmp_path, "train"), code={"python": "3.11"})
    filled(tmp_path / "model", {"config.json": "{}"})
    packed, model = Source(str(packed_data)), Source(str(tmp_path / "model"))
    with pytest.raises(DivergedError):
        train(FULL, packed=packed, model=model, trained=Target(tmp_path / "out"), context=context)
    assert TrainingJob.of_attempt(context.upload.address).code == {"python": "3.11"}


class Stopped:
    """A launcher of a training that is asked to stop when it has begun."""

    num_processes = 2

    def run(self, job: TrainingJob, _stopping: StopSignal) -> TrainingJob:
        job.checkpoints.count_starts(0)
        raise SystemExit(143)


def test_a_training_that_is_stopped_each_time_before_its_first_checkpoint_has_not_broken_down(
    packed_data: Path, base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("med42lib.train.stage.open_launcher", Stopped)
    packed, model, trained = Source(str(packed_data)), Source(str(base_model)), Target(tmp_path / "trained")
    for _ in range(7):
        with pytest.raises(SystemExit):
            train(FULL, packed=packed, model=model, trained=trained, context=StageContext.in_folder(tmp_path, "train"))
    assert StageContext.in_folder(tmp_path, "train").checkpoints.count_starts(0) == 1


def test_data_without_a_token_to_learn_are_refused_before_a_process_starts(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    write_packed(tmp_path / "packed", num_chunks=2)
    info = tmp_path / "packed" / INFO_FILE
    info.write_text(json.dumps({**json.loads(info.read_text()), "num_response_tokens": 0}))
    with pytest.raises(DataError, match=r"none of the 44 tokens in .*/packed belongs to a response"):
        run_stage(FULL, tmp_path / "packed", tmp_path / "no_model", tmp_path)


def test_a_model_is_not_chosen_by_a_loss_that_nothing_held_out_has(tmp_path: Path, packed_data: Path) -> None:
    best = FULL.model_copy(update={"load_best_model_at_end": True})
    with pytest.raises(
        DataError, match=r"goes by the loss on held-out responses, and .*packed.* holds out none; raise"
    ):
        run_stage(best, packed_data, tmp_path / "no_model", tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("two_processes")
def test_a_base_that_reads_one_sample_into_the_next_is_refused_before_training(
    base_model: Path, packed_data: Path, tmp_path: Path
) -> None:
    from transformers import OPTConfig, OPTForCausalLM

    sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 48, "num_hidden_layers": 1}
    opt = OPTConfig(**sizes, num_attention_heads=4, vocab_size=64, max_position_embeddings=64)
    shutil.copytree(base_model, tmp_path / "opt")
    (tmp_path / "opt/model/generation_config.json").unlink()
    OPTForCausalLM(opt).save_pretrained(tmp_path / "opt/model")
    with pytest.raises(DataError, match="OPTForCausalLM reads one sample of a chunk into the next"):
        run_stage(FULL, packed_data, tmp_path / "opt", tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("two_processes")
def test_a_full_fine_tune_of_a_multimodal_base_keeps_its_vision_tower_to_the_bit(
    base_model: Path, packed_data: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = sizes | {"num_key_value_heads": 1, "head_dim": 16, "vocab_size": 64, "max_position_embeddings": 64}
    gemma = Gemma3Config(text_config=text, vision_config=sizes | {"image_size": 28, "patch_size": 14})
    shutil.copytree(base_model, tmp_path / "gemma")
    (tmp_path / "gemma/model/generation_config.json").unlink()
    torch.manual_seed(0)
    Gemma3ForConditionalGeneration(gemma).save_pretrained(tmp_path / "gemma/model")
    trained = run_stage(FULL, packed_data, tmp_path / "gemma", tmp_path)
    before, after = (load_file(place / "model/model.safetensors") for place in (tmp_path / "gemma", trained))
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert before.keys() == after.keys()
    assert changed
    assert all(name.startswith("language_model") for name in changed)
    recipe = json.loads((trained / "recipe.json").read_text())
    numbers = sum(weight.numel() for name, weight in before.items() if name.startswith("language_model"))
    assert recipe["trainable_parameters"] == numbers < recipe["total_parameters"]
