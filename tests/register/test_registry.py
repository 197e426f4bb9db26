import time

import pytest

from med42lib.core.errors import AccessError, TrackingError
from med42lib.register.tracking import quiet_mlflow
from tests.register.conftest import answering
from tests.s3_server import free_ports


@pytest.fixture(autouse=True)
def _quiet() -> None:
    quiet_mlflow()


@pytest.mark.parametrize(
    ("code", "body", "error", "message"),
    [
        (401, b"You are not authenticated", AccessError, "rejected the credentials; set MLFLOW_TRACKING_TOKEN"),
        (403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}', AccessError, "rejected the credentials"),
        (403, b"Invalid Host header - possible DNS rebinding attack", TrackingError, "--allowed-hosts"),
        (
            400,
            b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "bad name"}',
            TrackingError,
            "refused: .*bad name",
        ),
    ],
)
def test_a_refusal_says_what_to_do(code: int, body: bytes, error: type[Exception], message: str) -> None:
    from med42lib.register.registry import Registry

    with answering(code, body) as address, pytest.raises(error, match=message):
        Registry(address).experiment("x")


@pytest.mark.slow
def test_a_server_that_went_away_is_given_up_in_seconds() -> None:
    from med42lib.register.registry import Registry

    started = time.monotonic()
    with pytest.raises(TrackingError, match="does not answer"):
        Registry(f"http://user:secret@127.0.0.1:{free_ports(1)[0]}").experiment("x")
    assert time.monotonic() - started < 30


def test_a_batch_is_never_larger_than_its_limit() -> None:
    from med42lib.register.registry import _batches

    assert list(_batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(_batches([], 2)) == []
