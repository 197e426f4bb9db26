import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.recipe import RECIPE_FILE, Recipe

RECIPE = Recipe("lora", 150, 120, 180_000, 63_000, 98_304, 2_140_000, 2, 1, 4.0, 0.6)


def test_a_recipe_is_read_back(tmp_path: Path) -> None:
    RECIPE.write(tmp_path)
    assert Recipe.read(tmp_path / RECIPE_FILE) == RECIPE
    assert Recipe.from_json((tmp_path / RECIPE_FILE).read_bytes()) == RECIPE


def test_only_a_recipe_of_a_best_step_names_one(tmp_path: Path) -> None:
    RECIPE.write(tmp_path)
    assert "best_step" not in (tmp_path / RECIPE_FILE).read_text()
    best = replace(RECIPE, best_step=60)
    best.write(tmp_path)
    assert Recipe.read(tmp_path / RECIPE_FILE) == best


@pytest.mark.parametrize(
    ("method", "trained", "in_all"),
    [
        ("full", 68_976_648_192, 68_976_648_192),
        # LoRA of rank 8 on every linear layer of Llama-2 70B.
        ("lora", 103_546_880, 69_080_195_072),
        ("qlora", 103_546_880, 69_080_195_072),
    ],
)
def test_an_adapter_is_no_part_of_the_base(method: str, trained: int, in_all: int) -> None:
    recipe = replace(RECIPE, method=method, trainable_parameters=trained, total_parameters=in_all)
    assert recipe.base_parameters == 68_976_648_192


@pytest.mark.parametrize("values", [{"method": "lora"}, {**asdict(RECIPE), "seconds": 3}])
def test_a_recipe_of_other_fields_is_refused(tmp_path: Path, values: dict[str, object]) -> None:
    (tmp_path / RECIPE_FILE).write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"recipe\.json is not a recipe of this version .*; run train again"):
        Recipe.read(tmp_path / RECIPE_FILE)
