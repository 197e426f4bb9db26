import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.images import image_of
from components.pods import read_pods
from components.readme import readme
from med42lib.catalogue import COMMANDS, STAGES
from med42lib.commands.main import main
from med42lib.engine.stage import Stage
from med42lib.formats.shards import num_tasks
from med42lib.spec import load_spec
from med42lib.store.address import is_folder
from pipelines.arguments import pipeline_arguments
from pipelines.compile import OfCluster, compile_spec
from pipelines.med42 import UNSHARDED, med42
from tests.conftest import REPOSITORY

SPECS = sorted((REPOSITORY / "pipelines/specs").glob("*.yaml"))
COMPILED = REPOSITORY / "pipelines/compiled"


WHOLE_VALUES = re.compile(r": '\{\{\$\.inputs\.parameters\[''pipelinechannel--[a-z0-9-]+''\]\}\}'")
"""References that stand for a whole value of a mapping, which `med42 stage` resolves where the backend did not."""


def component_of(step: str) -> Any:
    return getattr(importlib.import_module(f"components.{step}.component"), step)


ARTIFACTS = {"html": "HTML", "markdown": "Markdown", "curve": "HTML", "metrics": "Metrics", "model": "Model"}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_component_has_exactly_its_stages_edges_and_what_is_shown_of_it(stage: Stage) -> None:
    spec = component_of(stage.name).component_spec
    inputs = [name for name in spec.inputs if spec.inputs[name].type != "TaskConfig"]
    assert tuple(inputs) == ("settings", "section", "store", *stage.sources)
    assert tuple(spec.outputs) == (*stage.targets, *(shown.name for shown in stage.shown))
    for shown in stage.shown:
        assert spec.outputs[shown.name].type == f"system.{ARTIFACTS[shown.kind]}@0.0.1"
    assert {edge for edge in stage.sources if spec.inputs[edge].type == "Dict"} == set(stage.mappings)
    container = spec.implementation.container
    assert container.command == ["python", "-m", "med42lib", "stage", stage.name]
    assert container.args == ["--executor-input", "{{$}}"]


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_component_runs_in_the_image_of_its_stage(stage: Stage) -> None:
    assert component_of(stage.name).component_spec.implementation.container.image == image_of(stage.runtime)


@pytest.mark.parametrize(("step", "command"), [("check", ["check"]), ("stop", ["k8s", "stop"])])
def test_what_is_no_stage_runs_in_an_image_that_starts_quickly(step: str, command: list[str]) -> None:
    container = component_of(step).component_spec.implementation.container
    assert container.command == ["python", "-m", "med42lib", *command]
    assert container.image == image_of(COMMANDS)


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_components_readme_is_what_its_stage_says(stage: Stage) -> None:
    written = (REPOSITORY / "components" / stage.name / "README.md").read_text(encoding="utf-8")
    assert written == readme(stage), "run `make compile`"


def tasks_of(models: list[str], **shards: int) -> Any:
    """The tasks inside the exit handler."""
    return med42(models, shards=UNSHARDED | shards).pipeline_spec.components["comp-exit-handler-1"].dag.tasks


def test_the_pipeline_runs_every_stage_of_the_catalogue_after_one_check_and_inside_the_exit_handler() -> None:
    tasks = tasks_of(["full"], decontaminate=2, evaluate=2)
    used = {tasks[name].component_ref.name.removeprefix("comp-").rstrip("-0123456789") for name in tasks}
    assert used == {"check", *(name.replace("_", "-") for name in STAGES)}
    for name in tasks:
        if name != "check":
            settings = tasks[name].inputs.parameters["settings"].task_output_parameter
            assert (settings.producer_task, settings.output_parameter_key) == ("check", "settings")
    assert set(med42(["full"]).pipeline_spec.root.dag.tasks) == {"exit-handler-1", "stop"}


def test_the_form_has_few_fields_and_every_one_but_the_store_comes_from_the_spec() -> None:
    form = med42(["full"]).component_spec.inputs
    assert sorted(form) == ["base_model", "benchmark_data", "encoder", "spec", "store", "training_data"]
    assert {*pipeline_arguments(load_spec(SPECS[0])), "store"} == set(form)
    for name in form:
        assert name in med42(["full"]).pipeline_spec.pipeline_info.description, "the form shows no other words"


@pytest.mark.parametrize("models", [[], ["lora_r64"], ["full", "lora", "full_seed2"]], ids=len)
def test_each_model_is_trained_with_its_own_settings_and_scored_beside_the_base(models: list[str]) -> None:
    tasks = tasks_of(models)
    named = {tasks[task].task_info.name: task for task in tasks}
    assert {name for name in named if name.startswith("train ")} == {f"train {name}" for name in models}
    assert {name for name in named if name.startswith("evaluate ")} == {
        f"evaluate {name}" for name in ["base", *models]
    }
    for name in models:
        assert constant(tasks[named[f"train {name}"]], "section").string_value == f"train.{name}"
        model = tasks[named[f"evaluate {name}"]].inputs.parameters["model"]
        assert model.task_output_parameter.producer_task == named[f"train {name}"]
    assert set(constant(tasks["report"], "scores").struct_value.fields) == {"base", *models}
    assert [value.string_value for value in constant(tasks["check"], "models").list_value.values] == models


def test_each_shard_embeds_by_its_own_section_and_decontaminate_gets_them_all() -> None:
    tasks = tasks_of(["full"], decontaminate=3)
    shards = {tasks[task].task_info.name: task for task in tasks if task.startswith("embed-questions")}
    assert set(shards) == {"embed questions 1", "embed questions 2", "embed questions 3"}
    for name, task in shards.items():
        assert constant(tasks[task], "section").string_value == f"embed_questions.{name[-1]}"
        assert task in tasks["decontaminate"].dependent_tasks
    assert set(constant(tasks["decontaminate"], "embedded").struct_value.fields) == {"1", "2", "3"}
    assert dict(constant(tasks["check"], "shards").struct_value) == {"decontaminate": 3, "evaluate": 1}


@pytest.mark.parametrize("models", [[], ["full", "lora_r64"]], ids=len)
def test_each_model_and_the_base_is_answered_in_shards_which_its_evaluate_gets(models: list[str]) -> None:
    tasks = tasks_of(models, evaluate=2)
    named = {tasks[task].task_info.name: task for task in tasks}
    assert len([task for task in tasks if task.startswith("answer-questions")]) == 2 * (1 + len(models))
    for model in ["base", *models]:
        marking = tasks[named[f"evaluate {model}"]]
        assert set(constant(marking, "answers").struct_value.fields) == {"1", "2"}
        for shard in "12":
            task = tasks[named[f"answer questions {model} {shard}"]]
            assert constant(task, "section").string_value == f"answer_questions.{shard}"
            assert named[f"answer questions {model} {shard}"] in marking.dependent_tasks
            assert task.inputs.parameters["model"] == marking.inputs.parameters["model"]
    assert dict(constant(tasks["check"], "shards").struct_value) == {"decontaminate": 1, "evaluate": 2}


@pytest.mark.parametrize("shards", [{}, {"evaluate": 3}, {"decontaminate": 2, "evaluate": 2}], ids=len)
def test_a_run_has_as_many_tasks_as_a_spec_is_checked_for(shards: dict[str, int]) -> None:
    counted = num_tasks(models=3, **(UNSHARDED | shards))
    assert len(tasks_of(["full", "lora"], **shards)) == counted - 1, "stop is outside"


def test_with_one_shard_decontaminate_and_evaluate_do_all_by_themselves() -> None:
    tasks = tasks_of(["full"])
    assert load_spec(SPECS[0]).shards().keys() == UNSHARDED.keys()
    assert not [task for task in tasks if task.startswith(("embed-questions", "answer-questions"))]
    assert not constant(tasks["decontaminate"], "embedded").struct_value.fields
    assert not constant(tasks["evaluate"], "answers").struct_value.fields


def constant(task: Any, parameter: str) -> Any:
    return task.inputs.parameters[parameter].runtime_value.constant


def test_every_task_is_given_every_parameter() -> None:
    """A default that is left out is not found by every version of the backend."""
    pipeline = med42(["full", "lora"]).pipeline_spec
    for name, task in tasks_of(["full", "lora"]).items():
        wanted = set(pipeline.components[task.component_ref.name].input_definitions.parameters) - {"task_config"}
        assert wanted <= set(task.inputs.parameters), name


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_the_committed_yaml_is_what_the_pipeline_compiles_to(path: Path, tmp_path: Path) -> None:
    pods = REPOSITORY / "pipelines/pods" / path.name
    cluster = OfCluster(pods=read_pods(pods)) if pods.exists() else None
    compile_spec(path, tmp_path / "out.yaml", cluster=cluster)
    assert (tmp_path / "out.yaml").read_text() == (COMPILED / path.name).read_text(), "run `make compile`"


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_compiled_pipelines_avoid_what_the_backend_gets_wrong(path: Path) -> None:
    text = (COMPILED / path.name).read_text()
    assert "{{channel:" not in text
    assert "IfPresent" not in text
    found = set(re.findall(r"\{\{[^}]*\}\}", re.sub(WHOLE_VALUES, "", text)))
    assert found == {"{{$}}"}
    pipeline, platform = yaml.safe_load_all(text)
    executors = pipeline["deploymentSpec"]["executors"]
    for component in (pipeline["root"], *pipeline["components"].values()):
        for task in component.get("dag", {}).get("tasks", {}).values():
            assert not task.get("cachingOptions", {}).get("enableCache"), "reuse is ours"
    assert platform["platforms"]["kubernetes"]["pipelineConfig"]["activeDeadlineSeconds"] > 0
    assert set(platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]) == set(executors)


def defaults(path: Path) -> dict[str, Any]:
    parameters = next(yaml.safe_load_all(path.read_text()))["root"]["inputDefinitions"]["parameters"]
    return {name: field["defaultValue"] for name, field in parameters.items() if "defaultValue" in field}


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_no_folder_of_somebodys_machine_is_a_default(path: Path) -> None:
    addresses = [value for name, value in defaults(COMPILED / path.name).items() if name != "spec"]
    assert [address for address in addresses if is_folder(address)] == []


def test_compile_names_the_parameters_that_it_leaves_to_the_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", str(REPOSITORY / "pipelines/specs/demo.yaml"), f"--output={tmp_path}/demo.yaml"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["compile", str(REPOSITORY / "pipelines/specs/med42.yaml"), f"--output={tmp_path}/med42.yaml"]) == 0
    shown = capsys.readouterr().err
    for name in ("training_data", "benchmark_data", "base_model", "encoder"):
        assert name not in defaults(tmp_path / "med42.yaml")
        assert name in shown


def test_fields_that_are_changed_for_one_compilation_are_in_its_defaults(tmp_path: Path) -> None:
    demo = str(REPOSITORY / "pipelines/specs/demo.yaml")
    assert main(["compile", demo, "--set", "train.full.epochs=7", f"--output={tmp_path}/demo.yaml"]) == 0
    assert defaults(tmp_path / "demo.yaml")["spec"]["train"]["full"]["epochs"] == 7


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_every_spec_is_headed_by_its_command(path: Path) -> None:
    assert f"pipelines/specs/{path.name}" in path.read_text().split("\n\n")[0]
