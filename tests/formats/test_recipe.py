import json
from dataclasses import asdict
from pathlib import Path

import pytest

from med42lib.core.errors import DataError
from med42lib.formats.recipe import RECIPE_FILE, Recipe

RECIPE = Recipe("lora", 150, 120, 180_000, 63_000, 98_304, 2_140_000, 2, 1, 4.0, 0.6)


def test_a_recipe_is_read_back(tmp_path: Path) -> None:
    RECIPE.write(tmp_path)
    assert Recipe.read(tmp_path / RECIPE_FILE) == RECIPE
    assert Recipe.from_json((tmp_path / RECIPE_FILE).read_bytes()) == RECIPE


@pytest.mark.parametrize("values", [{"method": "lora"}, {**asdict(RECIPE), "seconds": 3}])
def test_a_recipe_of_other_fields_is_refused(tmp_path: Path, values: dict[str, object]) -> None:
    (tmp_path / RECIPE_FILE).write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"recipe\.json is not a recipe of this version .*; run train again"):
        Recipe.read(tmp_path / RECIPE_FILE)
