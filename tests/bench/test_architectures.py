"""The table of architectures says what the code does: some rows of it, one of each kind, are tried again."""

import pytest

from tests.bench.architectures import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, TABLE, VERSION, look_at

LINES = TABLE.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("model_type", ["llama", "mixtral", "deepseek_v3", "falcon", "mamba", "bert"])
def test_a_row_of_the_table_is_what_the_checks_find(model_type: str) -> None:
    assert str(look_at(model_type)) in LINES


def test_every_architecture_that_transformers_can_train_has_a_row() -> None:
    if VERSION not in TABLE.read_text(encoding="utf-8"):
        pytest.skip(f"the table was made with another version than {VERSION}")
    named = {line.split("`")[1] for line in LINES if line.startswith("| `")}
    assert named == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
