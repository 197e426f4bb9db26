from collections.abc import Iterator

import pytest

from tests.doctor.scripted_server import Scripted, scripted_server


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with scripted_server() as served:
        yield served
