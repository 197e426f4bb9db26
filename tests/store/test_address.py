import subprocess
import sys
from pathlib import Path

import pytest

from med42lib.core.errors import DataError, StoreError
from med42lib.store.address import absolute_address, dataset_address, join_address, lies_within, open_store


def test_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(StoreError, match=r"gs://b.*s3://bucket/prefix"):
        open_store("gs://b/p")


def test_a_file_address_is_a_folder() -> None:
    assert open_store("file:///data/x").local_path("y") == Path("/data/x/y")


def test_a_data_sets_address_is_made_of_name_and_revision() -> None:
    assert dataset_address(f"owner/name@{'a' * 40}") == f"hub:datasets/owner/name@{'a' * 40}"


def test_addresses_join_with_one_slash() -> None:
    assert join_address("s3://b/p/", "pack", "k") == "s3://b/p/pack/k"


@pytest.mark.parametrize("address", ["", " ", "file://", "a\0b", "~nobody-of-this-name/x"])
def test_an_empty_address_is_not_taken_for_the_working_directory(address: str) -> None:
    with pytest.raises(StoreError, match=r"cannot open '.*': an address is a folder"):
        open_store(address)


def test_only_a_folders_address_depends_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_address("runs") == absolute_address(f"file://{tmp_path}/runs") == str(tmp_path / "runs")
    for address in ("s3://bucket/x", "package:med42lib/core"):
        assert absolute_address(address) == address


def test_a_package_address_reads_what_an_installed_package_carries() -> None:
    assert "errors.py" in open_store("package:med42lib/core").files()


@pytest.mark.parametrize(
    "package", ["no_such_thing", "no_such_thing.sub", "med42lib.core", "", "..", "/etc", "sys", "__main__"]
)
def test_a_package_that_is_not_installed_is_named(package: str) -> None:
    with pytest.raises(DataError, match=r"no such Python package is installed"):
        open_store(f"package:{package}/x")


@pytest.mark.parametrize("path", ["../pip", "core/../../pip", "core//errors.py", "core\\..\\x"])
def test_a_package_address_stays_in_its_package(path: str) -> None:
    with pytest.raises(DataError, match="does not stay in its folder"):
        open_store(f"package:med42lib/{path}")


def test_a_package_address_runs_no_code_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "trap/inner").mkdir(parents=True)
    for folder in ("trap", "trap/inner"):
        (tmp_path / folder / "__init__.py").write_text("raise SystemExit('ran')")
    code = """
from med42lib.core.errors import DataError
from med42lib.store.address import open_store
print(sorted(open_store("package:trap/inner").files()))
try:
    open_store("package:trap.inner/x")
except DataError:
    print("refused")
"""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split("\n") == ["['__init__.py']", "refused", ""], done.stderr


@pytest.mark.parametrize(
    ("address", "folder"),
    [
        ("runs/demo", "."),
        ("runs/demo", "runs/demo/"),
        ("linked/demo", "data"),
        ("s3://bucket/data/runs", "s3://bucket/data"),
        ("s3://bucket/runs", "s3://bucket"),
    ],
)
def test_an_address_lies_within_a_folder_however_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "linked").symlink_to("data")
    assert lies_within(address, folder)


@pytest.mark.parametrize(
    ("address", "folder"),
    [("runs", "runs/demo"), ("data-runs", "data"), ("s3://bucket/data-runs", "s3://bucket/data"), ("s3://runs", "/")],
)
def test_what_is_beside_a_folder_or_around_it_does_not_lie_within_it(address: str, folder: str) -> None:
    assert not lies_within(address, folder)
