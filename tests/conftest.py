"""What all tests share."""

import logging
import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from med42lib.core.log import LOGGER_NAME
from med42lib.store.backends import s3 as s3_backend
from med42lib.store.backends.s3 import make_client
from tests.s3_server import S3Server, s3_server

REPOSITORY = Path(__file__).parents[1]

# No test is timed: machines are shared.
hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the files with most slow tests out first, so that no process begins a long one when the other is done."""
    num_slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -num_slow[item.path])


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """Undo what a command that a test calls in this process does to the process: it takes it for its own."""
    environment, hook, on_sigterm = dict(os.environ), sys.excepthook, signal.getsignal(signal.SIGTERM)
    logger = logging.getLogger(LOGGER_NAME)
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    sys.excepthook = hook
    signal.signal(signal.SIGTERM, on_sigterm)
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The publishers' own files; tests that need them skip where they are not."""
    folder = Path(os.environ.get("MED42_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "MANIFEST.json").is_file():
        pytest.skip(f"no real data at {folder}: set MED42_REAL_DATA to the folder that holds MANIFEST.json")
    return folder


@pytest.fixture(scope="session")
def s3_server_running() -> Iterator[S3Server]:
    """One real S3 server for the whole session."""
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_server_running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The environment of a client of the real S3 server."""
    for name, value in s3_server_running.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server_running


@pytest.fixture
def asks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have boto3 ask a server once, and not ten times."""
    monkeypatch.setattr(s3_backend, "make_client", lambda **_: make_client(max_attempts=1))


@pytest.fixture
def bucket(s3: S3Server) -> str:
    """A fresh bucket on the real S3 server."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    make_client().create_bucket(Bucket=name)
    return name
