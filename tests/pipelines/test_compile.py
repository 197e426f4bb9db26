from pathlib import Path

import pytest

from med42lib.commands.main import main
from tests.conftest import REPOSITORY

DEMO = REPOSITORY / "pipelines/specs/demo.yaml"


def test_a_pipeline_is_written_into_the_current_folder_beside_its_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_bytes(DEMO.read_bytes())
    assert main(["compile", "mine.yaml"]) == 0
    assert capsys.readouterr().out == "mine.pipeline.yaml\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.pipeline.yaml", "mine.yaml"]


@pytest.mark.parametrize(
    ("output", "exit_code", "said"),
    [
        ("out.txt", 2, "--output: must be a file that ends in .yaml (given: out.txt)"),
        ("noext", 2, "--output: must be a file that ends in .yaml (given: noext)"),
        ("folder.yaml", 2, "--output: is a folder; name a file in it (folder.yaml)"),
        ("mine.yaml", 2, "--output: is the spec itself, which is left as it is; name another file (mine.yaml)"),
        ("mine.yaml/out.yaml", 8, "cannot write mine.yaml/out.yaml: "),
        ("/proc/med42/out.yaml", 8, "cannot write /proc/med42/out.yaml: "),
    ],
)
def test_a_file_that_cannot_be_written_is_one_message(
    output: str,
    exit_code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.yaml").mkdir()
    Path("mine.yaml").write_bytes(DEMO.read_bytes())
    assert main(["compile", "mine.yaml", "--output", output]) == exit_code
    shown = capsys.readouterr().err
    assert said in shown
    assert exit_code == 2 or "name another file, --output FILE" in shown
    assert Path("mine.yaml").read_bytes() == DEMO.read_bytes()


@pytest.mark.parametrize(("name", "warned"), [("med42", False), ("med42_70b", True)])
def test_a_model_that_no_pod_could_score_is_told_when_its_pipeline_is_compiled(
    name: str, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiling = ["compile", str(REPOSITORY / f"pipelines/specs/{name}.yaml"), f"--output={tmp_path}/out.yaml"]
    assert main(compiling) == 0
    said = "evaluate.precision: the step evaluate loads 129 GiB of weights in float16 into a pod that may have 64Gi"
    assert (said in capsys.readouterr().err) == warned
    assert main([*compiling, f"--pods={REPOSITORY}/pipelines/pods/{name}.yaml"]) == 0
    assert "weights" not in capsys.readouterr().err
