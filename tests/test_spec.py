from pathlib import Path

import pytest
import yaml

from med42lib.core.errors import ConfigError
from med42lib.spec import RunSpec, load_spec
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "pipelines/specs/demo.yaml"


def problems_of(path: Path, *overrides: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_spec(path, overrides)
    return {problem.where: problem.what for problem in caught.value.problems}


@pytest.mark.parametrize("path", sorted((REPOSITORY / "pipelines/specs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_spec_that_is_shipped_is_sound(path: Path) -> None:
    assert load_spec(path).name == path.stem


def test_an_override_changes_one_field_and_is_typed() -> None:
    changed = load_spec(DEMO, ["train.full.learning_rate=1e-3", "train.lora.max_steps=null", "report.title='A: B'"])
    assert changed.train.full.learning_rate == 0.001
    assert changed.train.lora.max_steps is None
    assert changed.report.title == "A: B"
    assert changed.train.lora.learning_rate == load_spec(DEMO).train.lora.learning_rate


def test_all_problems_are_listed_at_once_each_with_its_path() -> None:
    found = problems_of(DEMO, "train.full.lerning_rate=1", "pack.chunk_length=x", "nothing=1", "inputs.encoder=")
    assert set(found) == {"train.full.lerning_rate", "pack.chunk_length", "nothing", "inputs.encoder"}


def test_a_missing_section_is_required(tmp_path: Path) -> None:
    values = yaml.safe_load(DEMO.read_text())
    del values["pack"]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(values))
    assert problems_of(tmp_path / "spec.yaml") == {"pack": "is required and was not given"}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("pack", "not of the form section.field=value"),
        ("pack.chunk_length=[", "is not YAML"),
        ("name.first=x", "'name' is not a section"),
    ],
)
def test_an_override_that_cannot_be_read_is_named(override: str, said: str) -> None:
    assert said in problems_of(DEMO, override)[override]


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "is not YAML"), ("", "holds no sections"), ("- 1", "no sections"), ("a: 1\na: 2", "'a' stands twice")],
)
def test_a_file_that_is_no_spec_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    [what] = problems_of(tmp_path / "spec.yaml").values()
    assert said in what


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    [(where, what)] = problems_of(tmp_path / "none.yaml").items()
    assert where.endswith("none.yaml")
    assert "No such file" in what


def test_every_setting_is_documented() -> None:
    undocumented = [
        f"{definition['title']}.{name}"
        for definition in RunSpec.model_json_schema()["$defs"].values()
        for name, field in definition.get("properties", {}).items()
        if not field.get("description")
    ]
    assert undocumented == []
