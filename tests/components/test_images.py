from pathlib import Path

import pytest
import yaml

from components import images
from components.images import (
    OWN_LOCK,
    RUNTIMES,
    image_of,
    kustomization,
    read_images,
    with_images,
    write_images,
)
from med42lib import __version__
from med42lib.core.errors import ConfigError
from pipelines.compile import OfCluster, compile_spec
from tests.conftest import REPOSITORY
from tests.pinned import unpinned

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
PINNED = {runtime: f"registry.example.com:5000/med42/{runtime}@{DIGEST}" for runtime in RUNTIMES}


def lock(folder: Path, **changes: object) -> Path:
    values = {**PINNED, **changes}
    path = folder / "images.lock.yaml"
    path.write_text("".join(f"{runtime}: {value}\n" for runtime, value in values.items()))
    return path


def test_the_own_lock_names_an_image_for_each_runtime() -> None:
    assert read_images(OWN_LOCK) == {runtime: image_of(runtime) for runtime in RUNTIMES}
    assert len({image_of(runtime) for runtime in RUNTIMES}) == len(RUNTIMES)


def test_an_own_image_that_is_no_digest_is_of_this_version() -> None:
    own = [image_of(runtime) for runtime in RUNTIMES]
    assert [reference for reference in unpinned(own) if not reference.endswith(f":{__version__}")] == []


def test_a_lock_that_was_written_is_read(tmp_path: Path) -> None:
    write_images(tmp_path / "lock.yaml", PINNED)
    assert read_images(tmp_path / "lock.yaml") == PINNED


def test_everything_wrong_with_a_lock_is_said_at_once(tmp_path: Path) -> None:
    path = lock(tmp_path, trian="med42/train:1", embed="", eval="Not A Name", tracking=7)
    with pytest.raises(ConfigError) as raised:
        read_images(path)
    assert [problem.where for problem in raised.value.problems] == ["trian", "embed", "eval", "tracking"]
    assert "'Not A Name'" in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("text", ["- base\n", "base: [\n", "", b"\xff\xfe"])
def test_what_is_no_lock_is_refused_by_its_path(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        read_images(path)


def test_a_lock_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"absent\.yaml: cannot be read \(No such file or directory\); check the path"
    ):
        read_images(tmp_path / "absent.yaml")


def test_with_a_lock_of_digests_a_compiled_pipeline_names_digests_alone(tmp_path: Path) -> None:
    output = tmp_path / "demo.yaml"
    compile_spec(REPOSITORY / "pipelines/specs/demo.yaml", output, cluster=OfCluster(images=PINNED))
    text = output.read_text()
    named = [line.split("image:")[1].strip() for line in text.splitlines() if line.strip().startswith("image:")]
    assert named
    assert unpinned(named) == []
    assert not any(image_of(runtime) in text for runtime in RUNTIMES)


def test_images_are_put_where_they_are_named_and_nowhere_else() -> None:
    own = image_of("train")
    document = f"image: {own}\nvalue: '{own}'\nnote: mirror/{own} {own}.1 {own}@{DIGEST}\n"
    assert with_images(document, PINNED) == document.replace(f" {own}\n", f" {PINNED['train']}\n").replace(
        f"'{own}'", f"'{PINNED['train']}'"
    )


def test_one_image_for_two_runtimes_cannot_become_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "image_of", lambda _runtime: "med42/all:1")
    assert with_images("image: med42/all:1\n", dict.fromkeys(RUNTIMES, "other/all:2")) == "image: other/all:2\n"
    with pytest.raises(ConfigError, match=r"embed: cannot be .*: med42/all:1 is the image of two runtimes"):
        with_images("image: med42/all:1\n", PINNED)


def test_kustomize_is_told_the_same_as_the_lock_says() -> None:
    told = yaml.safe_load((REPOSITORY / "k8s/components/images/kustomization.yaml").read_text())
    assert told == yaml.safe_load(kustomization(read_images(OWN_LOCK)))
    assert told["kind"] == "Component"


def test_kustomize_gets_a_name_and_a_digest_or_a_tag() -> None:
    images = {**PINNED, "train": "registry.example.com:5000/team/train:1.2", "eval": "registry.example.com:5000/eval"}
    told = {entry.pop("name"): entry for entry in yaml.safe_load(kustomization(images))["images"]}
    assert told["med42/base"] == {"newName": "registry.example.com:5000/med42/base", "digest": DIGEST}
    assert told["med42/train"] == {"newName": "registry.example.com:5000/team/train", "newTag": "1.2"}
    assert told["med42/eval"] == {"newName": "registry.example.com:5000/eval"}
    assert len(told) == len(RUNTIMES)
