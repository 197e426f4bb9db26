import re
from pathlib import Path

import pytest
import yaml

from components.readme import readme
from med42lib import __version__
from med42lib.catalogue import STAGES
from med42lib.engine.stage import Stage
from med42lib.spec import load_spec
from pipelines.arguments import pipeline_arguments
from pipelines.compile import COMPILED, compile_spec
from pipelines.med42 import med42
from tests.conftest import REPOSITORY

SPECS = sorted((REPOSITORY / "pipelines/specs").glob("*.yaml"))


def component_of(stage: Stage) -> object:
    module = __import__(f"components.{stage.name}.component", fromlist=[stage.name])
    return getattr(module, stage.name)


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_component_has_exactly_its_stages_edges(stage: Stage) -> None:
    spec = component_of(stage).component_spec  # type: ignore[attr-defined]
    assert tuple(spec.inputs) == ("config", "store", *stage.sources)
    assert tuple(spec.outputs) == stage.targets
    container = spec.implementation.container
    assert container.command == ["python", "-m", "med42lib", "stage", stage.name]
    assert container.args == ["--executor-input", "{{$}}"]


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_component_runs_in_its_stages_image_of_this_version(stage: Stage) -> None:
    spec = component_of(stage).component_spec  # type: ignore[attr-defined]
    assert spec.implementation.container.image == f"med42/{stage.runtime}:{__version__}"


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_components_readme_is_what_its_stage_says(stage: Stage) -> None:
    written = (REPOSITORY / "components" / stage.name / "README.md").read_text(encoding="utf-8")
    assert written == readme(stage), "run `make compile`"


def test_the_pipeline_runs_every_stage_of_the_catalogue() -> None:
    tasks = med42.pipeline_spec.root.dag.tasks
    used = {tasks[name].component_ref.name.removeprefix("comp-").rstrip("-0123456789") for name in tasks}
    assert used == {name.replace("_", "-") for name in STAGES}


def test_every_parameter_of_the_pipeline_but_the_store_comes_from_the_spec() -> None:
    arguments = pipeline_arguments(load_spec(SPECS[0]))
    assert {*arguments, "store"} == set(med42.component_spec.inputs)


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_the_committed_yaml_is_what_the_pipeline_compiles_to(path: Path, tmp_path: Path) -> None:
    compile_spec(path, tmp_path / "out.yaml")
    assert (tmp_path / "out.yaml").read_text() == (COMPILED / path.name).read_text(), "run `make compile`"


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_compiled_pipelines_avoid_what_the_backend_gets_wrong(path: Path) -> None:
    text = (COMPILED / path.name).read_text()
    assert "{{channel:" not in text
    assert "IfPresent" not in text
    assert set(re.findall(r"\{\{[^}]*\}\}", text)) == {"{{$}}"}
    [document] = yaml.safe_load_all(text)
    for task in document["root"]["dag"]["tasks"].values():
        assert not task["cachingOptions"].get("enableCache"), "reuse is ours"


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_every_spec_is_headed_by_its_command(path: Path) -> None:
    assert f"pipelines/specs/{path.name}" in path.read_text().split("\n\n")[0]
