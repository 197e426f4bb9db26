import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp.local import graph_utils, subprocess_task_handler

from med42lib.store.scratch import machine_scratch
from pipelines import host
from pipelines.host import run_on_host
from tests.processes import wait_for

STEP = "import json, sys, pathlib; ask = json.loads(sys.argv[sys.argv.index('--executor-input') + 1]); "
WRITE = STEP + (
    "p = pathlib.Path(ask['outputs']['parameters']['out']['outputFile']); p.parent.mkdir(parents=True, exist_ok=True); "
    "p.write_text(ask['inputs']['parameterValues']['text'] + '!'); print('live')"
)


HANG = "import time; from med42lib.core.process import die_with_parent; die_with_parent(); time.sleep(60)"
HANGING_RUN = """
from tests.pipelines.test_host import chain, hang, run_on_host
run_on_host(chain(hang), {"text": "hey"})
"""


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MED42_SCRATCH", str(tmp_path / "scratch"))
    return machine_scratch()


def container(code: str) -> dsl.ContainerSpec:
    return dsl.ContainerSpec(
        image="none", command=["python", "-c", code, "stage", "shout"], args=["--executor-input", "{{$}}"]
    )


@dsl.container_component
def shout(text: str, out: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]
    return container(WRITE)


@dsl.container_component
def fail(text: str, out: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]
    return container("import sys; sys.exit(7)")


@dsl.container_component
def killed(text: str, out: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]
    return container("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")


@dsl.container_component
def hang(text: str, out: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]
    return container(HANG)


def stage(step: str, code: str) -> dsl.ContainerSpec:
    command = ["python", "-c", code, "stage", step]
    return dsl.ContainerSpec(image="none", command=command, args=["--executor-input", "{{$}}"])


PUT_OUT = WRITE.replace("['text']", "['section']")


@dsl.container_component
def train(section: str, out: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]
    return stage("train", PUT_OUT)


@dsl.container_component
def answer_questions(section: str, model: str, out: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]
    return stage("answer_questions", PUT_OUT)


@dsl.container_component
def evaluate(section: str, model: str, out: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]
    return stage("evaluate", PUT_OUT)


def chain(second: Any) -> Any:
    @dsl.pipeline(name="chain")
    def pipeline(text: str) -> str:
        first = shout(text=text)
        return second(text=first.outputs["out"]).outputs["out"]  # type: ignore[no-any-return]

    return pipeline


def test_steps_of_a_model_are_told_with_its_name(capfd: pytest.CaptureFixture[str]) -> None:
    @dsl.pipeline(name="two")
    def two() -> None:
        for name in ("full", "lora_r64"):
            model = train(section=f"train.{name}").outputs["out"]
            answer_questions(section="answer_questions.2", model=model)
            evaluate(section="evaluate", model=model)

    assert run_on_host(two, {})[0] == 0
    told = capfd.readouterr().err
    for step in ("train", "answer_questions", "evaluate"):
        for name in ("full", "lora_r64"):
            number = " 2" if step == "answer_questions" else ""
            assert f"/6) {step} {name}{number}\n" in told


def test_steps_that_may_run_at_any_time_run_in_the_order_of_their_names(capfd: pytest.CaptureFixture[str]) -> None:
    names = [f"model{number}" for number in range(11)]

    @dsl.pipeline(name="many")
    def many() -> None:
        for name in names:
            train(section=f"train.{name}")

    assert run_on_host(many, {})[0] == 0
    assert re.findall(r"/11\) train (\w+)\n", capfd.readouterr().err) == names


def test_kfp_still_looks_its_handler_and_its_order_up_where_we_put_ours() -> None:
    assert hasattr(subprocess_task_handler, host.HANDLER_ATTRIBUTE), "kfp moved it: see pipelines/host.py"
    assert hasattr(graph_utils, host.ORDER_ATTRIBUTE), "kfp moved it: see pipelines/host.py"


def test_tasks_run_as_processes_and_outputs_flow_between_them(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_on_host(chain(shout), {"text": "hey"}) == (0, {"out": "hey!!"})
    shown = capfd.readouterr()
    assert shown.out.count("live") == 2, "a task's own output comes through"
    assert "(2/2) shout" in shown.err
    assert "Executing task" not in shown.out + shown.err, "kfp's own lines do not"


def test_a_failing_task_stops_the_run_and_its_exit_code_is_kept() -> None:
    exit_code, outputs = run_on_host(chain(fail), {"text": "hey"})
    assert (exit_code, outputs) == (7, {"out": "hey!"})


@dsl.container_component
def stop() -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="none", command=["python", "-m", "med42lib", "k8s", "stop"], args=["--run", "x"])


@dsl.pipeline(name="handled")
def handled(text: str) -> None:
    with dsl.ExitHandler(stop()):
        fail(text=text)
        fail(text=text)


def test_after_a_failure_no_task_is_run_though_it_depends_on_nothing_nor_the_exit_handler(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_on_host(handled, {"text": "hey"}) == (7, {})
    shown = capfd.readouterr().err
    assert "(1/2)" in shown
    assert "(2/2)" not in shown


def test_a_killed_task_has_the_exit_code_a_shell_gives_it() -> None:
    assert run_on_host(chain(killed), {"text": "x"})[0] == 137


def test_what_a_run_changes_in_this_process_is_put_back() -> None:
    before = (subprocess_task_handler.SubprocessTaskHandler, sys.stdout, logging.root.manager.disable)
    run_on_host(chain(shout), {"text": json.dumps({"n": 1})})
    assert (subprocess_task_handler.SubprocessTaskHandler, sys.stdout, logging.root.manager.disable) == before


def test_the_folder_of_a_killed_run_goes_with_the_next_and_a_finished_run_leaves_none(
    scratch: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "TMPDIR": str(temporary)}
    with subprocess.Popen([sys.executable, "-c", HANGING_RUN], env=environment, stderr=subprocess.DEVNULL) as run:
        wait_for(lambda: bool(list(scratch.glob("*/chain*"))))
        run.kill()
    assert list(temporary.iterdir()) == []
    assert list(scratch.iterdir())
    run_on_host(chain(shout), {"text": "hey"})
    assert list(scratch.iterdir()) == []
