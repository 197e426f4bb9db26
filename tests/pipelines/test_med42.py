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


WHOLE_VALUES = re.compile(r": '\{\{\$\.inputs\.parameters\[''pipelinechannel--[a-z0-9-]+''\]\}\}'")
"""References that stand for a whole value of a mapping, which `med42 stage` resolves where the backend did not."""


def component_of(stage: Stage) -> object:
    module = __import__(f"components.{stage.name}.component", fromlist=[stage.name])
    return getattr(module, stage.name)


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_component_has_exactly_its_stages_edges(stage: Stage) -> None:
    spec = component_of(stage).component_spec  # type: ignore[attr-defined]
    assert tuple(spec.inputs) == ("config", "store", *stage.sources)
    assert tuple(spec.outputs) == stage.targets
    assert {edge for edge in stage.sources if spec.inputs[edge].type == "Dict"} == set(stage.mappings)
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
    tasks = med42(["full"]).pipeline_spec.root.dag.tasks
    used = {tasks[name].component_ref.name.removeprefix("comp-").rstrip("-0123456789") for name in tasks}
    assert used == {name.replace("_", "-") for name in STAGES}


def test_every_parameter_of_the_pipeline_but_the_store_comes_from_the_spec() -> None:
    spec = load_spec(SPECS[0])
    assert {*pipeline_arguments(spec), "store"} == set(med42(list(spec.train)).component_spec.inputs)


@pytest.mark.parametrize("models", [[], ["lora_r64"], ["full", "lora", "full_seed2"]], ids=len)
def test_each_model_is_trained_with_its_own_settings_and_scored_beside_the_base(models: list[str]) -> None:
    tasks = med42(models).pipeline_spec.root.dag.tasks
    named = {tasks[task].task_info.name: task for task in tasks}
    assert {name for name in named if name.startswith("train ")} == {f"train {name}" for name in models}
    assert {name for name in named if name.startswith("evaluate ")} == {
        f"evaluate {name}" for name in ["base", *models]
    }
    for name in models:
        settings = tasks[named[f"train {name}"]].inputs.parameters["config"]
        assert settings.component_input_parameter == f"train_{name}_config"
        model = tasks[named[f"evaluate {name}"]].inputs.parameters["model"]
        assert model.task_output_parameter.producer_task == named[f"train {name}"]
    scores = tasks["report"].inputs.parameters["scores"].runtime_value.constant.struct_value.fields
    assert set(scores) == {"base", *models}


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_the_committed_yaml_is_what_the_pipeline_compiles_to(path: Path, tmp_path: Path) -> None:
    compile_spec(path, tmp_path / "out.yaml")
    assert (tmp_path / "out.yaml").read_text() == (COMPILED / path.name).read_text(), "run `make compile`"


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_compiled_pipelines_avoid_what_the_backend_gets_wrong(path: Path) -> None:
    text = (COMPILED / path.name).read_text()
    assert "{{channel:" not in text
    assert "IfPresent" not in text
    assert set(re.findall(r"\{\{[^}]*\}\}", re.sub(WHOLE_VALUES, "", text))) == {"{{$}}"}
    [document] = yaml.safe_load_all(text)
    for task in document["root"]["dag"]["tasks"].values():
        assert not task["cachingOptions"].get("enableCache"), "reuse is ours"


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_every_spec_is_headed_by_its_command(path: Path) -> None:
    assert f"pipelines/specs/{path.name}" in path.read_text().split("\n\n")[0]
