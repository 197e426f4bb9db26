import pytest

from med42lib.core.config import parse_config
from med42lib.core.errors import ConfigError
from med42lib.pack.config import PackConfig

GOOD = {"policy": "best_fit", "chunk_length": 4096, "too_long": "drop", "seed": 1}


def problems(**changes: object) -> list[str]:
    values = {key: value for key, value in {**GOOD, **changes}.items() if value != "missing"}
    with pytest.raises(ConfigError) as caught:
        parse_config(PackConfig, values, title="settings of pack", prefix="pack")
    return [str(problem) for problem in caught.value.problems]


def test_both_policies_are_accepted() -> None:
    assert PackConfig.model_validate(GOOD).too_long == "drop"
    assert PackConfig(policy="concatenate", chunk_length=4096, seed=1).too_long is None


@pytest.mark.parametrize("name", ["policy", "chunk_length", "seed"])
def test_what_the_user_must_decide_has_no_default(name: str) -> None:
    assert problems(**{name: "missing"})[0] == f"pack.{name}: is required and was not given"


def test_best_fit_must_say_what_happens_to_long_samples() -> None:
    assert problems(too_long="missing")[0].startswith("pack.too_long: must be drop or truncate with policy best_fit")


def test_concatenate_takes_no_setting_that_it_would_ignore() -> None:
    assert problems(policy="concatenate")[0].startswith("pack.too_long: does not apply to policy concatenate")


def test_all_problems_are_listed_at_once() -> None:
    found = problems(policy="bestfit", chunk_length=1, seed=-1, chunklength=4096)
    assert [problem.split(":")[0] for problem in found] == [
        "pack.policy",
        "pack.chunk_length",
        "pack.seed",
        "pack.chunklength",
    ]
