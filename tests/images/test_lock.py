"""What the images install is locked, and the lock fits pyproject.toml and the tested versions."""

import pytest
from packaging.utils import canonicalize_name

from components.images import RUNTIMES
from images.lock import COMMON, PYPI_FLAVOR, REQUIREMENTS, TORCH, direct, divide, layers_of, parse
from med42lib import selfcheck

FLAVORS = sorted(folder.name for folder in REQUIREMENTS.iterdir() if folder.is_dir())


def locked(flavor: str, runtime: str) -> list[tuple[str, str]]:
    """Each requirement of an image with its text, from all the layers that it is made of."""
    files = [REQUIREMENTS / flavor / f"{layer}.txt" for layer in layers_of(runtime)]
    return [pin for file in files for pin in parse(file.read_text(encoding="utf-8")).items()]


def version(text: str) -> str:
    return text.split()[0].partition("==")[2]


def test_the_flavor_that_needs_no_other_index_is_there() -> None:
    assert PYPI_FLAVOR in FLAVORS


@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_image_has_all_that_its_runtime_asks_for_once_each_in_the_tested_version_with_hashes(
    flavor: str, runtime: str
) -> None:
    pins = locked(flavor, runtime)
    names = [canonicalize_name(name) for name, _ in pins]
    assert direct(runtime) - set(names) == set()
    assert sorted(names) == sorted(set(names))
    assert [name for name, text in pins if "--hash=sha256:" not in text] == []
    tested = {name: (version(text).partition("+")[0], selfcheck.tested_versions().get(name)) for name, text in pins}
    assert {name: both for name, both in tested.items() if both[1] and both[0] != both[1]} == {}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_only_the_images_that_need_torch_stand_on_it(flavor: str) -> None:
    assert [runtime for runtime in RUNTIMES if layers_of(runtime)[-2] == TORCH] == ["embed", "train", "eval"]
    for runtime in RUNTIMES:
        assert ("torch" in dict(locked(flavor, runtime))) == (TORCH in layers_of(runtime))


def test_the_tools_are_locked_too() -> None:
    tools = parse((REQUIREMENTS / "tools.txt").read_text(encoding="utf-8"))
    assert {"setuptools", "uv", "wheel"} <= tools.keys()
    assert all("--hash=sha256:" in text for text in tools.values())


def test_what_all_share_is_the_lowest_layer_and_what_those_with_torch_share_the_next() -> None:
    runtimes = {
        "base": ["numpy", "lxml"],
        "embed": ["numpy", "torch", "scipy"],
        "train": ["numpy", "torch", "deepspeed"],
        "eval": ["numpy", "torch", "lxml", "scipy"],
        "tracking": ["numpy", "mlflow", "scipy"],
    }
    divided = divide({runtime: {name: f"{name}==1\n" for name in names} for runtime, names in runtimes.items()})
    assert {layer: list(pins) for layer, pins in divided.items()} == {
        COMMON: ["numpy"],
        TORCH: ["torch"],
        "base": ["lxml"],
        "embed": ["scipy"],
        "train": ["deepspeed"],
        "eval": ["lxml", "scipy"],
        "tracking": ["mlflow", "scipy"],
    }


def test_a_pin_is_read_with_its_hashes_and_comments_are_not() -> None:
    text = "# by uv\none==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\ntwo==2.0 \\\n    --hash=sha256:cc\n"
    assert parse(text) == {
        "one": "one==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n",
        "two": "two==2.0 \\\n    --hash=sha256:cc\n",
    }
