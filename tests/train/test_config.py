import pytest

from med42lib.core.config import parse_config
from med42lib.core.errors import ConfigError
from med42lib.train.config import TrainConfig

REQUIRED = {
    "method": "lora",
    "learning_rate": 1e-4,
    "warmup_steps": 100,
    "epochs": 8,
    "global_batch_size": 128,
    "seed": 1,
}


def test_what_is_not_set_is_the_papers() -> None:
    config = TrainConfig.model_validate(REQUIRED)
    assert (config.adam_beta1, config.adam_beta2) == (0.9, 0.95)
    assert (config.weight_decay, config.max_grad_norm) == (0.1, 1.0)
    assert config.min_lr_ratio == 0.1
    assert (config.lora.rank, config.lora.alpha) == (8, 16)


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_what_a_user_must_decide_has_no_default(name: str) -> None:
    given = {key: value for key, value in REQUIRED.items() if key != name}
    with pytest.raises(ConfigError, match=rf"train\.{name}: is required"):
        parse_config(TrainConfig, given, title="spec", prefix="train")


def test_a_base_in_four_bits_cannot_be_split() -> None:
    with pytest.raises(ConfigError, match=r"train\.zero_stage: must be 1, 2 or auto with method qlora"):
        parse_config(TrainConfig, {**REQUIRED, "method": "qlora", "zero_stage": 3}, title="spec", prefix="train")
    assert TrainConfig.model_validate({**REQUIRED, "zero_stage": 3}).has_adapter


def test_how_often_it_is_validated_is_in_the_key_where_the_best_model_is_taken() -> None:
    often, last = {"validation_steps": 10}, {**REQUIRED, "load_best_model_at_end": False}
    keys = [TrainConfig.model_validate(values).key_json() for values in (last, {**last, **often})]
    assert keys[0] == keys[1]
    best = {**REQUIRED, "load_best_model_at_end": True}
    keys += [TrainConfig.model_validate(values).key_json() for values in (best, {**best, **often})]
    assert len(set(keys)) == 3


def test_every_setting_is_documented() -> None:
    fields = TrainConfig.model_fields.items()
    assert [name for name, field in fields if not field.description] == []


def test_settings_survive_being_written_and_read() -> None:
    config = TrainConfig.model_validate(REQUIRED)
    assert TrainConfig.model_validate(config.model_dump(mode="json")) == config
