"""The images as they are built. MED42_TEST_CLUSTER=1 runs their tests too, which build them first: minutes once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from components.images import RUNTIMES
from tests.images.built import BuiltImage, build_images

collect_ignore = [] if os.environ.get("MED42_TEST_CLUSTER") else ["test_built.py"]


@pytest.fixture(scope="session")
def built_images() -> dict[str, str]:
    """The references of all images, by runtime."""
    return build_images()


@pytest.fixture(scope="session", params=RUNTIMES)
def image(request: pytest.FixtureRequest, built_images: dict[str, str]) -> Iterator[BuiltImage]:
    """Each image, mounted."""
    with BuiltImage.mounted(request.param, built_images[request.param]) as built:
        yield built
