import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from med42lib.catalogue import STAGES
from med42lib.core.errors import ConfigError
from med42lib.engine.stage import Stage
from med42lib.spec import RunSpec, load_spec, read_spec
from tests.conftest import REPOSITORY
from tests.hostile import unseen_in

DEMO = REPOSITORY / "pipelines/specs/demo.yaml"


def problems_of(path: Path, *overrides: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_spec(path, overrides)
    return {problem.where: problem.what for problem in caught.value.problems}


@pytest.mark.parametrize("path", sorted((REPOSITORY / "pipelines/specs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_spec_that_is_shipped_is_sound(path: Path) -> None:
    assert load_spec(path).name == path.stem


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_stage_finds_its_settings_in_the_sections_of_a_spec_under_its_name(stage: Stage) -> None:
    spec = load_spec(DEMO, ["decontaminate.shards=2", "evaluate.shards=2"])
    section = spec.sections()[stage.name]
    parts = list(section.values()) if stage.in_parts else [section]
    assert all(stage.config_class.model_validate(part) for part in parts)
    assert parts


def test_an_override_changes_one_field_and_is_typed() -> None:
    changed = load_spec(DEMO, ["train.full.learning_rate=1e-3", "train.lora.max_steps=null", "report.title='A: B'"])
    assert changed.train["full"].learning_rate == 0.001
    assert changed.train["lora"].max_steps is None
    assert changed.report.title == "A: B"
    assert changed.train["lora"].learning_rate == load_spec(DEMO).train["lora"].learning_rate


def test_a_model_with_seeds_is_trained_as_often_each_time_with_the_next_seed() -> None:
    spec = load_spec(DEMO, ["train.lora.seeds=3", "train.lora.seed=7"])
    assert list(spec.train) == ["full", "lora", "lora_seed2", "lora_seed3"]
    assert [spec.train[name].seed for name in ("lora", "lora_seed2", "lora_seed3")] == [7, 8, 9]
    once = load_spec(DEMO, ["train.lora.seed=7"]).train["lora"]
    assert spec.train["lora"] == once, "more seeds are no reason to train the first again"
    assert spec.train["lora_seed3"].model_copy(update={"seed": 7}) == once
    assert list(load_spec(DEMO, ["train.lora.seeds=1"]).train) == ["full", "lora"]


@pytest.mark.parametrize("seeds", ["0", "21", "2.5", "true", "many"])
def test_seeds_that_are_no_number_of_trainings_are_refused(seeds: str) -> None:
    assert "expected a whole number from 1 to 20" in problems_of(DEMO, f"train.lora.seeds={seeds}")["train.lora.seeds"]


def test_seeds_that_are_refused_leave_their_model_in_the_spec_so_that_nothing_else_is_wrong() -> None:
    found = problems_of(DEMO, "train.lora.seeds=0", "package_model.candidate=lora")
    assert list(found) == ["train.lora.seeds"]
    read = read_spec(DEMO, ["train.lora.seeds=0"])
    assert (read.spec, read.sections["models"]) == (None, ["base", "full", "lora"])


def test_seeds_are_among_the_settings_that_a_mistyped_one_is_told() -> None:
    found = problems_of(DEMO, "train.lora.quite_another=1", "train.full.sedes=3")
    assert found["train.lora.quite_another"].endswith(", seeds")
    assert found["train.full.sedes"].endswith("did you mean 'seeds'?")


def test_seeds_that_take_another_models_name_are_refused() -> None:
    found = problems_of(DEMO, "train.lora.seeds=2", f"train.lora_seed2={SOME_LORA}")
    assert found["train.lora.seeds"] == "makes lora_seed2, which is another model's name"


SOME_LORA = "{method: lora, learning_rate: 1, warmup_steps: 0, epochs: 1, global_batch_size: 4, seed: 1}"


def test_any_number_of_models_may_be_trained_each_under_its_name() -> None:
    assert load_spec(DEMO, ["train={}", "package_model.candidate=base"]).train == {}
    spec = load_spec(DEMO, [f"train.lora_r64={SOME_LORA}", "train.lora_r64.lora.rank=64"])
    assert list(spec.train) == ["full", "lora", "lora_r64"]
    assert spec.train["lora_r64"].lora.rank == 64


@pytest.mark.parametrize("name", ["LoRA", "_a", "2", "a-b", "a" * 32, "ä"])
def test_a_models_name_is_short_and_plain(name: str) -> None:
    assert set(problems_of(DEMO, f"train.{name}={SOME_LORA}")) == {f"train.{name}"}


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


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in pairwise("abcdefghi")
)
BRACKETS = "[" * 10_000 + "]" * 10_000
HOSTILE = {
    "aliases": (BOMB, "are not read here"),
    "an alias": ("a: *b", "line 1, column 4: anchors, aliases and tags"),
    "a merge key": ("<<: {name: x}", "<<"),
    "many merge keys": ("<<: {}\n" * 1_000, "'<<' stands twice"),
    "tags": ("a: !!int x", "are not read here"),
    "a tag of a time": ("a: !!timestamp x", "are not read here"),
    "depth": (f"a: {BRACKETS}", "nested too deeply"),
    "depth of lists": ("- " * 10_000, "nested too deeply"),
    "digits": (f"a: {'1' * 5_000}", "line 1, column 4: a number of 5,000 characters"),
    "digits of a fraction": (f"a: {'1' * 5_000}.5", "a number of 5,002 characters"),
    "base 60": (f"a: {'1:' * 5_000}1", "a number of 10,001 characters"),
    "base 60 with a fraction": (f"a: {'1:' * 5_000}1.5", "a number of 10,003 characters"),
    "a list as a key": ("? [a]\n: 1", "a key is not plain text"),
    "a mapping as a key": ("? {a: 1}\n: 1", "a key is not plain text"),
    "a number as a key": ("1: 2", "a key is not plain text"),
    "a truth value as a key": ("a: {yes: 1}", "line 1, column 5: a key is not plain text"),
    "a control character": ("a: \x07", "#x0007"),
    "two documents": ("a: 1\n---\nb: 1", "but found another document"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_yaml_that_is_more_than_it_seems_is_one_short_problem(tmp_path: Path, kind: str) -> None:
    text, said = HOSTILE[kind]
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_spec(tmp_path / "spec.yaml")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1_500


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind != "a merge key"])
def test_the_same_in_an_override_is_one_short_problem(kind: str) -> None:
    text, said = HOSTILE[kind]
    with pytest.raises(ConfigError) as caught:
        load_spec(DEMO, [f"report.title={text}"])
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_a_key_of_many_that_stands_twice_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("".join(f"a{n}: 1\n" for n in range(20_000)) + "a0: 1")
    started = time.process_time()
    [what] = problems_of(tmp_path / "spec.yaml").values()
    assert what == "is not YAML: line 20001, column 1: 'a0' stands twice"
    assert time.process_time() - started < 12


@pytest.mark.parametrize("path", ["a." * 5_000 + "b", "thresholds.²", "thresholds." + "1" * 5_000])
def test_an_override_of_no_place_is_one_short_problem(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_spec(DEMO, ["report.thresholds=[0.8]", f"report.{path}=1"])
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("number", ["010", "-010", "0x1F", "0b11", "1:30", "190:20:30.5"])
def test_a_number_that_yaml_reads_in_another_base_is_refused(number: str) -> None:
    override = f"assemble.seed={number}"
    assert f"{number} is no decimal number; write one" in problems_of(DEMO, override)[override]
    assert load_spec(DEMO, [f"report.title='{number}'"]).report.title == number


@pytest.mark.parametrize(("number", "seed"), [("0", 0), ("10", 10), ("+10", 10), ("1_000", 1000), ("7.0", 7)])
def test_a_decimal_number_is_read(number: str, seed: int) -> None:
    assert load_spec(DEMO, [f"assemble.seed={number}"]).assemble.seed == seed


def test_a_date_is_text() -> None:
    assert load_spec(DEMO, ["report.title=2026-13-45"]).report.title == "2026-13-45"


def test_a_value_that_is_no_text_for_a_screen_is_written_out(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(r'"a\n  b: c\e[2J\u202e": "\e[2J\ud800"')
    with pytest.raises(ConfigError) as caught:
        load_spec(tmp_path / "spec.yaml")
    assert r"  a\n  b: c\x1b[2J\u202e: is not a known setting" in str(caught.value)
    assert not unseen_in(str(caught.value).replace("\n", ""))


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
