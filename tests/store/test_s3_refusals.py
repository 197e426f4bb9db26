"""Which error each answer of an S3 server becomes; `test_s3.py` asks a real one."""

import pytest
from botocore.exceptions import ClientError

from med42lib.core.errors import AccessError, Med42Error, StoreError, StoreUnavailable
from med42lib.store.s3 import translated


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [
        ("500", StoreUnavailable, 172),
        ("503", StoreUnavailable, 172),
        ("SlowDown", StoreUnavailable, 172),
        ("InternalError", StoreUnavailable, 172),
        ("ServiceUnavailable", StoreUnavailable, 172),
        ("403", AccessError, 7),
        ("ExpiredToken", AccessError, 7),
        ("404", StoreError, 8),
        ("NoSuchBucket", StoreError, 8),
        ("EntityTooLarge", StoreError, 8),
    ],
)
def test_an_answer_of_the_server_becomes_an_error_with_its_exit_code(
    code: str, kind: type[Med42Error], exit_code: int
) -> None:
    with (
        pytest.raises(Med42Error, match=rf"s3://some-bucket/x: .*{code}") as caught,
        translated("s3://some-bucket/x", "some-bucket"),
    ):
        raise ClientError({"Error": {"Code": code}}, "PutObject")
    assert (type(caught.value), caught.value.exit_code) == (kind, exit_code)
