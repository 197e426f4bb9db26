"""One trainer of `bench_step.py`, in a process of its own: trains and prints a line of JSON.

    python tests/bench/step_program.py plain settings.json
    torchrun --standalone tests/bench/step_program.py med42 settings.json

All of them get the same model, the same chunks in the same order, and the same learning rates and AdamW.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

import torch  # noqa: E402
from torch import distributed  # noqa: E402
from torch.optim.lr_scheduler import LambdaLR  # noqa: E402

from med42lib.formats.packed import PackedDataset  # noqa: E402
from med42lib.train.batches import steps  # noqa: E402
from med42lib.train.config import ResolvedConfig  # noqa: E402
from med42lib.train.loss import make_batch, response_loss  # noqa: E402
from med42lib.train.model import load_model, parameter_groups  # noqa: E402
from med42lib.train.schedule import Schedule  # noqa: E402


@dataclass(frozen=True)
class Training:
    """What a trainer is given."""

    model: Path
    packed: Path
    config: ResolvedConfig
    num_steps: int

    @classmethod
    def read(cls, path: Path) -> Training:
        values = json.loads(path.read_text(encoding="utf-8"))
        config = ResolvedConfig.model_validate(values["config"])
        return cls(Path(values["model"]), Path(values["packed"]), config, values["num_steps"])

    @property
    def data(self) -> PackedDataset:
        return PackedDataset(self.packed)

    @property
    def schedule(self) -> Schedule:
        config = self.config
        return Schedule(config.learning_rate, config.warmup_steps, self.num_steps, config.min_lr_ratio)

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def chunk_numbers(self) -> Iterator[int]:
        """Give the chunks in the order in which one process trains on them."""
        for step in steps(len(self.data), self.config):
            yield from step.tolist()

    def new_model(self) -> Any:
        return load_model(self.model, self.config).to(self.device)

    def new_optimizer(self, model: Any) -> torch.optim.Optimizer:
        config = self.config
        return torch.optim.AdamW(
            parameter_groups(model, config.weight_decay),
            lr=config.learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.adam_epsilon,
            fused=True,
        )


@dataclass
class Outcome:
    """What a trainer did: loss of every step, seconds after the first, and the most memory that it took."""

    losses: list[float]
    seconds: list[float]
    cpu_seconds: list[float]
    peak_bytes: int = 0


class Watch:
    """Notes the time after every step."""

    def __init__(self) -> None:
        self.outcome = Outcome([], [], [])
        self._last: tuple[float, float] | None = None

    def step_done(self, loss: float | None = None) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter(), time.process_time()
        if self._last is not None:
            self.outcome.seconds.append(now[0] - self._last[0])
            self.outcome.cpu_seconds.append(now[1] - self._last[1])
        self._last = now
        if loss is not None:
            self.outcome.losses.append(loss)

    def report(self) -> None:
        """Print the outcome; memory is that of this process, on the GPU if there is one."""
        if torch.cuda.is_available():
            self.outcome.peak_bytes = torch.cuda.max_memory_allocated()
        else:
            self.outcome.peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(asdict(self.outcome)), flush=True)


def med42(training: Training) -> None:
    """Train as the worker does, without a store and its checkpoints."""
    from med42lib.train.loop import train_steps
    from med42lib.train.worker import deepspeed_engine as worker

    waiting = worker.join_processes(training.config)
    engine = worker.make_engine(training.config, training.model)
    data, watch = training.data, Watch()
    for result in train_steps(engine, data, steps(len(data), training.config), training.schedule, training.config):
        watch.step_done(result.loss)
    if distributed.get_rank() == 0:
        watch.report()
    worker.leave_processes(waiting)


def plain(training: Training) -> None:
    """Train in a loop of torch alone, with the same logits; 16-bit weights have a float32 copy, as with DeepSpeed."""
    model, data, watch = training.new_model(), training.data, Watch()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    halves = training.config.precision != "float32"
    copies = [torch.nn.Parameter(weight.detach().float()) for weight in weights] if halves else weights
    optimizer = training.new_optimizer(model)
    if halves:
        of = dict(zip(weights, copies, strict=True))
        for group in optimizer.param_groups:
            group["params"] = [of[weight] for weight in group["params"]]
    size = training.config.micro_batch_size
    for number, step in enumerate(steps(len(data), training.config)):
        batches = [make_batch(data, row.tolist(), training.device) for row in step.reshape(-1, size)]
        num_terms = sum(batch.num_response_tokens for batch in batches)
        total = torch.zeros((), device=training.device)
        for batch in batches:
            loss = response_loss(model, batch) / num_terms
            loss.backward()
            total += loss.detach()
        if halves:
            for weight, copy in zip(weights, copies, strict=True):
                copy.grad, weight.grad = weight.grad.float(), None
        torch.nn.utils.clip_grad_norm_(copies, training.config.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = training.schedule.rate(number)
        optimizer.step()
        optimizer.zero_grad()
        if halves:
            with torch.no_grad():
                torch._foreach_copy_(weights, copies)
        watch.step_done(total.item())
    watch.report()


def trainer(training: Training) -> None:
    """Train with transformers' Trainer."""
    from transformers import Trainer, TrainingArguments

    rows = [
        {"input_ids": chunk.input_ids_L, "labels": chunk.labels_L, "position_ids": chunk.position_ids_L}
        for chunk in map(training.data.__getitem__, training.chunk_numbers())
    ]
    arguments = TrainingArguments(**_arguments(training))
    _run(training, lambda model, **more: _in_order(Trainer)(model, arguments, train_dataset=rows, **more))


def trl(training: Training) -> None:
    """Train with TRL's SFTTrainer: chunks without their padding, samples apart, as its own packing leaves them."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    data, rows = training.data, []
    for number in training.chunk_numbers():
        chunk, samples = data[number], data.samples(number)
        rows.append(
            {
                "input_ids": chunk.input_ids_L[: chunk.num_tokens].tolist(),
                "labels": chunk.labels_L[: chunk.num_tokens].tolist(),
                "seq_lengths": [sample.stop - sample.start for sample in samples],
            }
        )
    arguments = SFTConfig(
        **_arguments(training),
        packing=True,
        max_length=data.info.chunk_length,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    tokenizer = AutoTokenizer.from_pretrained(training.model)
    dataset = Dataset.from_list(rows)
    _run(
        training,
        lambda model, **more: _in_order(SFTTrainer)(
            model, arguments, train_dataset=dataset, processing_class=tokenizer, **more
        ),
    )


def _arguments(training: Training) -> dict[str, Any]:
    config = training.config
    return {
        "output_dir": str(training.packed.parent / "trainer"),
        "max_steps": training.num_steps,
        "per_device_train_batch_size": config.micro_batch_size,
        "gradient_accumulation_steps": config.global_batch_size // config.micro_batch_size,
        "max_grad_norm": config.max_grad_norm,
        "gradient_checkpointing": config.gradient_checkpointing,
        "bf16": False,  # the weights are of that format themselves
        "use_cpu": training.device.type == "cpu",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _in_order(kind: Any) -> Any:
    class InOrder(kind):  # type: ignore[misc]
        def _get_train_sampler(self, *_: object) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    return InOrder


def _run(training: Training, new_trainer: Callable[..., Any]) -> None:
    from transformers import TrainerCallback

    watch = Watch()

    class Note(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: object, **__: object) -> None:
            watch.step_done()

        def on_log(self, _: object, __: object, ___: object, logs: dict[str, Any], **____: object) -> None:
            if "loss" in logs:
                watch.outcome.losses.append(float(logs["loss"]))

    model = training.new_model()
    optimizer, peak = training.new_optimizer(model), training.config.learning_rate
    rates = LambdaLR(optimizer, lambda step: training.schedule.rate(min(step, training.num_steps - 1)) / peak)
    new_trainer(model, optimizers=(optimizer, rates), callbacks=[Note()]).train()
    watch.report()


TRAINERS = {"med42": med42, "plain": plain, "trainer": trainer, "trl": trl}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    TRAINERS[sys.argv[1]](Training.read(Path(sys.argv[2])))
