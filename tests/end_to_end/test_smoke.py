"""The whole run: made, reused, changed, killed, and on S3."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from med42lib.catalogue import STAGES
from med42lib.core.json_file import read_json
from med42lib.engine.closure import OUTSIDE
from med42lib.store.backends.s3 import make_client
from pipelines import warm
from tests.conftest import REPOSITORY
from tests.end_to_end.conftest import MED42, SMOKE, Run, scientific_content
from tests.end_to_end.imports import modules_by_stage, recording
from tests.processes import gone, wait_for
from tests.s3_server import S3Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NUM_TASKS = 13
NUM_SHARDS = 2
"""Of the reference alone; all others embed, and answer for each of three models, in one."""
IN_SHARDS = [f"decontaminate.shards={NUM_SHARDS}", f"evaluate.shards={NUM_SHARDS}"]
# The others are over in a few hundredths of a second, and are killed only if the test is quick enough.
CERTAINLY_KILLED = {"fetch_model", "assemble", "decontaminate", "pack", "train", "evaluate", "report", "register"}
SECONDS_INTO = {"fetch_model": 1.0, "decontaminate": 3.0, "pack": 1.0, "train": 7.0, "evaluate": 3.0, "register": 1.0}
SECONDS_INTO_A_WARM_STAGE = 0.03
IMPORTS_FILE = "imports"
SECONDS_TO_DIE = 1.0
DEPENDS_ON_EVALUATE = ["evaluate", "evaluate", "evaluate", "report", "register"]


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """One uninterrupted run, and the folder of its MLflow."""
    home = tmp_path_factory.mktemp("reference")
    command = [*MED42, "run", str(SMOKE), "--store", str(home / "store"), *[f"--set={each}" for each in IN_SHARDS]]
    environment = {**os.environ, "MED42_HOME": str(home / "home"), **recording(home / IMPORTS_FILE)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home, env=environment)
    return Run(done.returncode, done.stdout + done.stderr, str(home / "store")), home


@pytest.fixture
def copy_of_reference(reference: tuple[Run, Path], home: Path) -> Path:
    """A store to change without touching the reference."""
    shutil.copytree(reference[0].store, home / "store")
    return home / "store"


def test_the_run_ends_with_the_table_and_the_reports_path(reference: tuple[Run, Path]) -> None:
    run, _ = reference
    assert run.exit_code == 0, run.output
    num_tasks = NUM_TASKS + NUM_SHARDS * (1 + 3)
    assert len(run.made) == num_tasks
    assert f"({num_tasks + 1}/{num_tasks + 1}) register" in run.output, "the check is a task too"
    [report] = [line.split()[1] for line in run.output.splitlines() if line.startswith("report ")]
    assert Path(report).read_text().startswith("<!doctype html>")
    assert "--backend-store-uri sqlite:///" in run.output


def test_the_key_of_a_stage_knows_all_the_code_that_it_imports(reference: tuple[Run, Path]) -> None:
    used = modules_by_stage(reference[1] / IMPORTS_FILE)
    assert set(used) == set(STAGES)
    for name, modules in used.items():
        stage = STAGES[name]
        files = {f"{stage.package}.{path.replace('/', '.')}" for path in stage.data_files}
        in_no_key = {module for module in modules if f"{module}.".startswith(tuple(f"{room}." for room in OUTSIDE))}
        around = {room.rpartition(".")[0] for room in OUTSIDE}  # an `__init__` holds no code
        assert modules - in_no_key - around <= stage.closure.modules.keys() | files, name


def test_a_second_run_reuses_everything_but_the_look_at_mlflow_whatever_decides_its_speed(
    copy_of_reference: Path, med42_run: Callable[..., Run]
) -> None:
    again = med42_run(copy_of_reference, "evaluate.batch_size=16", "decontaminate.rows_per_block=99")
    assert again.exit_code == 0, again.output
    assert len(again.reused) == NUM_TASKS - 1
    assert again.made == ["register"]


def test_a_knob_of_evaluate_runs_only_what_depends_on_it(
    copy_of_reference: Path, med42_run: Callable[..., Run]
) -> None:
    changed = med42_run(copy_of_reference, "evaluate.prompt=plain")
    assert changed.exit_code == 0, changed.output
    assert changed.made == DEPENDS_ON_EVALUATE


def test_a_run_killed_in_every_stage_ends_where_an_unbroken_one_does(
    reference: tuple[Run, Path], home: Path, med42_run: Callable[..., Run]
) -> None:
    store = home / "store"
    killed: list[str] = []
    while stage := kill_in_a_new_stage(store, killed):
        killed.append(stage)
    assert set(killed) >= CERTAINLY_KILLED, killed
    finished = med42_run(store)
    assert finished.exit_code == 0, finished.output
    assert scientific_content(str(store), home / "a") == scientific_content(reference[0].store, home / "b")
    assert not any((store / f".scratch-{os.getuid()}").iterdir()), "a killed attempt's scratch is removed"


def kill_in_a_new_stage(store: Path, killed: list[str]) -> str | None:
    """Start a run and kill -9 it in the middle of a stage that no earlier run was killed in.

    By turns the whole run is killed and only the stage's own process, the latter where it is sure to be there still.
    None of the processes may live on.

    Returns:
        The stage, or None if the run came to its end.
    """
    run = subprocess.Popen([*MED42, "run", str(SMOKE), "--store", str(store)], stderr=subprocess.DEVNULL)
    stage = wait_for_work_of_a_new_stage(store, killed, run)
    if stage is None:
        return None
    is_warm = stage in warm.STAGES and any(map(is_server, psutil.Process(run.pid).children()))
    time.sleep(SECONDS_INTO_A_WARM_STAGE if is_warm else SECONDS_INTO.get(stage, 0))
    processes = psutil.Process(run.pid).children(recursive=True)
    only_the_stage = stage in SECONDS_INTO and len(killed) % 2
    os.kill(stage_process(processes) if only_the_stage else run.pid, signal.SIGKILL)
    assert run.wait(timeout=60) in (137, -signal.SIGKILL)
    wait_for(lambda: all(gone(process.pid) for process in processes), seconds=SECONDS_TO_DIE)
    return stage


def stage_process(processes: list[psutil.Process]) -> int:
    """Find the id of the stage among the run's processes: started as a command, or a fork of the fork server."""
    servers = [process.pid for process in processes if is_server(process)]
    return next(process.pid for process in processes if "stage" in process.cmdline() or process.ppid() in servers)


def is_server(process: psutil.Process) -> bool:
    return "multiprocessing.forkserver" in " ".join(process.cmdline())


def wait_for_work_of_a_new_stage(store: Path, killed: list[str], run: "subprocess.Popen[bytes]") -> str | None:
    """Wait until a stage has made its output folder, which it does only if there is nothing to reuse."""
    while run.poll() is None:
        for folder in (store / f".scratch-{os.getuid()}").glob("*/out"):
            stage = folder.parent.name.rpartition("-")[0]
            if stage not in killed:
                return stage
        time.sleep(0.002)
    return None


NUM_STEPS = 100
LONGER = [f"--set=train.full.{setting}" for setting in ("seed=7", "epochs=99", f"max_steps={NUM_STEPS}")]


def test_a_run_that_is_asked_to_stop_saves_its_training_and_the_next_goes_on_there(copy_of_reference: Path) -> None:
    command = [*MED42, "run", str(SMOKE), "--store", str(copy_of_reference), *LONGER]
    scratch, step = copy_of_reference / f".scratch-{os.getuid()}", 0
    for ask, exit_code in ((ctrl_c, 130), (subprocess.Popen.terminate, 143)):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
            wait_for(lambda before=step: has_trained(scratch, before), seconds=200)  # type: ignore[misc]
            ask(run)
            said = run.communicate(timeout=60)[1]
        assert run.returncode == exit_code, said
        told = re.search(rf"asked to stop: it did after step (\d+) of {NUM_STEPS}, and saved its state", said)
        assert told, said
        assert "Traceback" not in said
        assert not any(scratch.iterdir()), "what was begun is put away"
        assert not step or f"goes on after step {step}, from" in said
        step = int(told[1])
    finished = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert f"goes on after step {step}, from" in finished.stderr


def ctrl_c(run: "subprocess.Popen[str]") -> None:
    """Do what a terminal does."""
    os.killpg(run.pid, signal.SIGINT)


def has_trained(scratch: Path, step: int) -> bool:
    """Say whether a training at work has made a step after this one."""
    lines = [
        line for file in scratch.glob("*/out/metrics.jsonl") for line in file.read_text().splitlines(keepends=True)
    ]
    return any(json.loads(line)["step"] > step for line in lines if line.endswith("\n"))


TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
OTHER_BASES = {"gpt_neox": {}, "mixtral": {"num_key_value_heads": 2, "num_local_experts": 4}}
DEPENDS_ON_THE_BASE = ["fetch_model", "pack", "train", "evaluate", "report", "package_model", "register"]


@pytest.mark.parametrize("family", OTHER_BASES)
def test_a_base_of_another_architecture_goes_through_the_whole_run(
    family: str, copy_of_reference: Path, home: Path, med42_run: Callable[..., Run]
) -> None:
    from safetensors import safe_open

    base = write_base(home / "base", family)
    run = med42_run(copy_of_reference, f"inputs.base_model={base}", f"decontaminate.shards={NUM_SHARDS}")
    assert run.exit_code == 0, run.output
    assert set(run.made) == set(DEPENDS_ON_THE_BASE)
    full, lora = (
        Path(line.split(": ")[1], "trained") for line in run.output.splitlines() if "[train] finished" in line
    )
    recipes = [json.loads((trained / "recipe.json").read_text()) for trained in (full, lora)]
    assert [(recipe["method"], recipe["without_adapter"]) for recipe in recipes] == [("full", []), ("lora", [])]
    assert recipes[0]["last_loss"] < recipes[0]["first_loss"]
    files = [folder / "model.safetensors" for folder in (base, full / "model")]
    published, saved = (set(safe_open(file, framework="np").keys()) for file in files)
    assert saved == published


def write_base(folder: Path, family: str) -> Path:
    """Make a random base of an architecture, with the demo's tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    demo = REPOSITORY / "med42lib/demo/model"
    tokens = {name: value for name, value in read_json(demo / "config.json", "").items() if "_token_id" in name}
    sizes = TINY | tokens | {"vocab_size": 1024, "max_position_embeddings": 256}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **sizes, **OTHER_BASES[family])).save_pretrained(
        folder
    )
    for file in demo.glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder


PLANTED = {
    "HF_TOKEN": "hf_PlantedPlantedPlanted",
    "MLFLOW_TRACKING_PASSWORD": "planted-password",
    "SOME_API_KEY": "planted-api-key",
}


def test_a_run_on_s3_finds_the_same_as_one_in_a_folder_and_tells_no_secret(
    reference: tuple[Run, Path],
    bucket: str,
    s3: S3Server,
    home: Path,
    med42_run: Callable[..., Run],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    secrets = [*PLANTED.values(), s3.environment["AWS_SECRET_ACCESS_KEY"]]
    on_s3 = med42_run(f"s3://{bucket}/runs")
    assert on_s3.exit_code == 0, on_s3.output
    assert scientific_content(on_s3.store, home / "a") == scientific_content(reference[0].store, home / "b")
    again = med42_run(f"s3://{bucket}/runs")
    assert len(again.reused) == NUM_TASKS - 1
    kept = [path.read_bytes() for path in (home / "home").rglob("*") if path.is_file()]
    assert (home / "home" / "mlflow.db").is_file(), "what MLflow keeps is searched too"
    written = [(on_s3.output + again.output).encode(), *objects(bucket), *kept]
    assert not [secret for secret in secrets for content in written if secret.encode() in content]


def objects(bucket: str) -> Iterator[bytes]:
    """Read everything that is in a bucket."""
    client = make_client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page["Contents"]:
            yield client.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
