import pytest

from med42lib.core.errors import EnvironmentProblem
from med42lib.train.config import TrainConfig
from med42lib.train.worker.deepspeed_engine import check_precision, deepspeed_config


def test_deepspeed_is_told_the_global_batch_and_its_parts(config: TrainConfig) -> None:
    changed = {"global_batch_size": 24, "micro_batch_size": 3, "max_grad_norm": 0.3}
    settings = deepspeed_config(config.model_copy(update=changed), 2)
    assert settings["train_batch_size"] == 24
    assert settings["train_micro_batch_size_per_gpu"] == 3
    assert settings["gradient_accumulation_steps"] == 4
    assert settings["gradient_clipping"] == 0.3


def test_a_format_the_hardware_lacks_is_refused() -> None:
    check_precision("float16", {"float32", "float16"})
    with pytest.raises(EnvironmentProblem, match="'bfloat16', but this machine has only float16, float32"):
        check_precision("bfloat16", {"float32", "float16"})
