"""The images themselves, built and run: MED42_TEST_CLUSTER=1, or `make test-cluster`."""

import json
import re
import stat

import pytest

from components.images import RUNTIMES
from images.lock import TORCH, layers_of
from med42lib import __version__
from tests.images.base_image import buildah
from tests.images.built import BuiltImage

pytestmark = pytest.mark.timeout(1_800)  # the first test waits for the builds

OF_A_CLUSTER_AT_RANDOM = 1_000_730_000
MOST_MEGABYTES = {"base": 750, "embed": 6_500, "train": 6_500, "eval": 6_500, "tracking": 1_250}
MOST_MEGABYTES_TOGETHER = 8_500
PACKAGES = "opt/med42/lib/python3.11/site-packages"


def test_every_library_of_the_runtime_is_there_in_an_allowed_version(image: BuiltImage) -> None:
    done = image.run("python", "-m", "med42lib.selfcheck")
    assert done.returncode == 0, done.stderr
    assert "kfp" not in done.stdout


def test_any_user_of_group_0_can_import_all_of_them_on_a_read_only_root(image: BuiltImage) -> None:
    done = image.run("python", "-m", "med42lib.selfcheck", "--import", user=OF_A_CLUSTER_AT_RANDOM)
    assert done.returncode == 0, done.stderr
    assert ("torch was built for sm_" in done.stdout) == (TORCH in layers_of(image.runtime))


def test_nothing_but_the_volume_can_be_written(image: BuiltImage) -> None:
    done = image.run("sh", "-c", "id -u; id -g; pwd; touch /scratch/mine && touch /opt/med42/mine", user=4711)
    assert done.stdout.split() == ["4711", "0", "/"]
    assert "Read-only file system" in done.stderr


def test_it_says_how_to_run_and_what_it_is(image: BuiltImage) -> None:
    assert image.config["User"] == "10001:0"
    assert image.config["WorkingDir"] == "/scratch"
    assert "Entrypoint" not in image.config
    labels = {name.rpartition(".")[2]: value for name, value in image.config["Labels"].items()}
    assert labels["title"] == f"med42/{image.runtime}"
    assert labels["version"] == __version__
    assert re.match(r"[0-9a-f]{40}", labels["revision"])
    assert f"MED42_GIT_SHA={labels['revision']}" in image.config["Env"]


def test_nothing_of_the_build_is_left_inside(image: BuiltImage) -> None:
    """No secret, no setting of the builder's, no tool that builds."""
    assert [path for path in image.root.glob("run/secrets/*")] == []
    assert [
        path for name in ("pip.conf", ".netrc", "ca.pem", "uv.toml") for path in image.root.glob(f"**/{name}")
    ] == []
    tools = ("pip", "pip3", "uv", "gcc", "cc", "g++", "make", "ld")
    folders = ("opt/med42/bin", "usr/local/bin", "usr/bin", "bin", "opt/tools/bin")
    assert [path for folder in folders for name in tools if (path := image.root / folder / name).exists()] == []
    assert not (image.root / "opt/tools").exists() or not list((image.root / "opt/tools").iterdir())
    # What the builder mounts while it builds is an empty file afterwards.
    found = [image.root / "etc" / name for name in ("resolv.conf", "hostname")]
    assert [path for path in found if path.exists() and path.stat().st_size] == []
    variables = " ".join(image.config["Env"])
    assert not re.search(r"PIP_|UV_|SSL_|AWS_|TOKEN|PASSWORD", variables)


def test_the_volume_belongs_to_the_group_that_any_user_has(image: BuiltImage) -> None:
    found = (image.root / "scratch").stat()
    assert (found.st_uid, found.st_gid) == (10001, 0)
    assert found.st_mode & stat.S_IRWXG == stat.S_IRWXG
    assert list((image.root / "scratch").iterdir()) == []


def test_modules_are_compiled_since_a_read_only_root_never_lets_them_be(image: BuiltImage) -> None:
    for package in ("med42lib", "pydantic"):
        sources = [path for path in (image.root / PACKAGES / package).rglob("*.py")]
        compiled = [path for path in sources if list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))]
        assert len(compiled) == len(sources) > 0


def test_a_stage_runs_as_any_user(built_images: dict[str, str]) -> None:
    """One will do; the tests of a cluster run all of them in their images."""
    command = f"""
    med42 stage benchmarks --spec /{PACKAGES}/pipelines/specs/demo.yaml --store /scratch/store \
        --input data=package:med42lib/demo/data/benchmarks"""
    with BuiltImage.mounted("base", built_images["base"]) as image:
        done = image.run("sh", "-ec", command, user=OF_A_CLUSTER_AT_RANDOM)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["items"].startswith("/scratch/store/benchmarks/")


def test_the_environment_with_torch_is_one_layer_of_three_images(built_images: dict[str, str]) -> None:
    with_torch = [runtime for runtime in RUNTIMES if TORCH in layers_of(runtime)]
    layers = {runtime: _layers(built_images[runtime]) for runtime in with_torch}
    shared = set.intersection(*(set(found) for found in layers.values()))
    for runtime, found in layers.items():
        own = sum(size for layer, size in found.items() if layer not in shared)
        assert own < 1_000, f"{runtime} has {own} MB of its own"


def test_images_are_no_larger_than_the_readme_says(built_images: dict[str, str]) -> None:
    sizes = {runtime: sum(_layers(reference).values()) for runtime, reference in built_images.items()}
    assert {runtime: size for runtime, size in sizes.items() if size > MOST_MEGABYTES[runtime]} == {}
    together = {layer: size for reference in built_images.values() for layer, size in _layers(reference).items()}
    assert sum(together.values()) < MOST_MEGABYTES_TOGETHER


def _layers(reference: str) -> dict[str, int]:
    """Megabytes of each layer, not compressed, by its digest."""
    manifest = json.loads(buildah("inspect", "--type", "image", "--format", "{{.Manifest}}", reference))
    return {layer["digest"]: layer["size"] // 10**6 for layer in manifest["layers"]}
