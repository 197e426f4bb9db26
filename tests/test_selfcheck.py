import subprocess
import sys
import tomllib
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from med42lib import selfcheck
from med42lib.engine.runtime import Runtime
from med42lib.selfcheck import main
from tests.conftest import REPOSITORY

Install = Callable[..., None]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def write_distribution(folder: Path, name: str, version: str = "0.1.0", requires: Iterable[str] = ()) -> None:
    """Write what an installer leaves of a distribution: its metadata."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {PROJECT['requires-python']}\n"
    (info / "METADATA").write_text(head + "".join(f"Requires-Dist: {text}\n" for text in requires))


def requires_of_this_project() -> list[str]:
    """What an installation of this working tree requires, as metadata say it."""
    extras = PROJECT["optional-dependencies"].items()
    return [*PROJECT["dependencies"], *(f'{text}; extra == "{extra}"' for extra, texts in extras for text in texts)]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install made-up distributions beside the real ones."""

    def put(*requires: str, **versions: str) -> None:
        write_distribution(tmp_path, "med42-suite", requires=requires)
        for name, version in versions.items():
            write_distribution(tmp_path, name.replace("_", "-"), version)
        monkeypatch.syspath_prepend(tmp_path)

    return put


def test_it_shows_what_is_found_allowed_and_tested(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("torch>=2.8", 'made-up-loader>=2; extra == "train"', torch="2.9.1+cu130", made_up_loader="3.1")
    assert main(["--runtime", "train"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["library", "found", "allowed", "tested"]
    assert ["torch", "2.9.1+cu130", ">=2.8", selfcheck.tested_versions()["torch"]] in rows
    assert ["made-up-loader", "3.1", ">=2", "–"] in rows
    assert rows[1][0] == "python"


def test_each_problem_is_a_line_and_the_exit_code_4(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("torch>=2.8", 'made-up-loader>=2,<3; extra == "train"', 'made-up-other; extra == "train"', torch="2.7.1")
    assert main(["--runtime", "train"]) == 4
    assert capsys.readouterr().err.splitlines() == [
        "error: made-up-loader is not installed; allowed is <3,>=2",
        "error: made-up-other is not installed; allowed is any version",
        "error: torch 2.7.1 is installed; allowed is >=2.8",
    ]


def test_a_runtime_does_not_ask_for_what_another_needs(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install('made-up-loader>=2; extra == "train"', 'made-up-tracker; extra == "tracking"', made_up_loader="2.0")
    assert main(["--runtime", "train"]) == 0
    assert main(["--runtime", "tracking"]) == 4
    assert main([]) == 4
    assert "made-up-tracker" in capsys.readouterr().err


def test_an_extra_made_of_others_has_what_they_have(install: Install) -> None:
    install('med42-suite[embed]; extra == "train"', 'made-up-encoder; extra == "embed"')
    assert main(["--runtime", "train"]) == 4


def test_in_an_image_its_own_runtime_is_checked(
    install: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install('made-up-loader>=2; extra == "train"', 'made-up-tracker; extra == "tracking"', made_up_loader="2.0")
    monkeypatch.setenv("MED42_RUNTIME", "train")
    assert main([]) == 0
    assert "made-up-tracker" not in capsys.readouterr().out


def test_a_library_that_is_installed_and_cannot_be_imported_is_a_problem_if_asked_for(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("pyyaml>=6", 'made-up-loader>=2; extra == "train"', made_up_loader="2.0")
    (tmp_path / "made_up_loader.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')")
    assert main(["--runtime", "train"]) == 0
    assert main(["--runtime", "train", "--import"]) == 4
    assert capsys.readouterr().err == (
        "error: made-up-loader 2.0 cannot be imported: libcudart.so.13: cannot open shared object file\n"
    )


def test_it_shows_which_gpus_torch_was_built_for_once_it_is_imported(
    install: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(get_arch_list=lambda: ["sm_70", "sm_80"])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    install("torch>=2.8", torch="2.9.1")
    assert main(["--runtime", "train"]) == 0
    assert "sm_70" not in capsys.readouterr().out
    assert main(["--runtime", "train", "--import"]) == 0
    assert "torch was built for sm_70 sm_80\n" in capsys.readouterr().out


def test_without_an_installation_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selfcheck, "DISTRIBUTION", "made-up-suite")
    assert main([]) == 4
    assert capsys.readouterr().err.startswith("error: made-up-suite is not installed: in its clone, pip install")


def test_what_is_installed_here_is_allowed_and_no_library_is_imported_to_see_it(tmp_path: Path) -> None:
    write_distribution(tmp_path, "med42-suite", requires=requires_of_this_project())
    code = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nfrom med42lib.selfcheck import main\ncode = main([])\n"
        "print(code, *sorted({'pydantic', 'boto3', 'numpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0", done.stderr


def test_the_tested_versions_are_those_of_the_constraints_and_allowed() -> None:
    constraints = map(Requirement, (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()[2:])
    tested = selfcheck.tested_versions()
    assert {canonicalize_name(pin.name): str(pin.specifier) for pin in constraints} == {
        name: f"=={version}" for name, version in tested.items()
    }
    extras = (*get_args(Runtime), "pipeline")
    for text in [
        *PROJECT["dependencies"],
        *(text for name in extras for text in PROJECT["optional-dependencies"][name]),
    ]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(tested[canonicalize_name(requirement.name)]), text
