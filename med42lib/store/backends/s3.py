"""A store in an S3 bucket: one client factory, and errors a user can act on.

Endpoint and credentials come from the environment, as for every boto3 program: AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION; a profile of AWS's files; or a role given to the pod.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from boto3.exceptions import RetriesExceededError, S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)

from med42lib.core.errors import AccessError, Med42Error, NoSpaceError, StoreError, StoreUnavailable
from med42lib.core.excerpts import cut
from med42lib.store.base import S3_SCHEME, StoredFile
from med42lib.store.names import check_apart, checked_name
from med42lib.store.patience import patient
from med42lib.store.scratch import machine_scratch

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# 10,000 parts at most: 64 MiB parts reach 640 GB a file.
PART_BYTES = 64 << 20
_TRANSFER = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_io_queue=128)
"""Several files come at a time, and each may have 32 MiB in main memory that the disk has not taken yet."""

_DEFAULT_REGION = "us-east-1"
_CONNECTION_VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
)
_ABSENT = {"404", "NoSuchKey", "NotFound"}
_NO_BUCKET = {"NoSuchBucket"}
_FORBIDDEN = {
    "401",
    "403",
    "AccessDenied",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "AllAccessDisabled",
    "ExpiredToken",
    "RequestTimeTooSkewed",
}
_ADVICE = {
    "ExpiredToken": "they have expired; renew them, then run again",
    "AccessDenied": "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy; if the bucket demands "
    "encryption, set MED42_S3_SSE",
    "RequestTimeTooSkewed": "this machine's clock differs from the server's; set it, then run again",
}
_ENCRYPTION_VARIABLE, _KEY_VARIABLE = "MED42_S3_SSE", "MED42_S3_KMS_KEY_ID"  # of buckets whose policy demands them
_USED_UP = {"QuotaExceeded", "XMinioAdminBucketQuotaExceeded"}  # Ceph's (403) and MinIO's (400) quotas
_IS_THERE = {"412", "PreconditionFailed"}
_CONFLICT = {"409", "ConditionalRequestConflict"}
_NOT_KNOWN = {"501", "NotImplemented"}
_TRY_AGAIN = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout"}
_TOO_MANY_REQUESTS, _SERVER_ERROR, _FULL = 429, 500, 507
_BLOCK_BYTES = 1 << 20
_PROBE = ".check/conditional-put"
_CONFLICT_ATTEMPTS = 8


def make_client(*, max_attempts: int = 10) -> S3Client:
    """Make an S3 client that works with AWS and with MinIO, Ceph and SeaweedFS.

    The newer default checksums of boto3 break several S3-compatible servers (boto3#4392), so they are sent
    only where the protocol requires one; contents are checked against the manifest's sha256 instead.

    Raises:
        AccessError: If only one half of the credentials is given.
        StoreError: If the environment names no place that can be.
    """
    config = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "adaptive", "total_max_attempts": max_attempts},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=80,  # eight files, each in ten parts at a time
        tcp_keepalive=True,
    )
    try:
        session = boto3.Session()  # knows AWS_DEFAULT_REGION and profiles, but not AWS_REGION
        region = os.environ.get("AWS_REGION") or session.region_name or _DEFAULT_REGION
        return session.client("s3", region_name=region, config=config)
    except PartialCredentialsError as error:
        raise _no_credentials("s3://") from error
    except (BotoCoreError, ValueError) as error:
        raise StoreError(
            f"S3 cannot be reached as the environment says ({error}); correct AWS_ENDPOINT_URL (http://host:port), "
            "AWS_PROFILE or AWS_REGION"
        ) from error


@lru_cache(maxsize=8)
def shared_client(*_connection: str | None) -> S3Client:
    """Give one client to all stores with the same connection: making one takes a tenth of a second."""
    return make_client()


# A fork has its parent's connections. Two processes that write to one get each other's answers, or wait for a minute.
os.register_at_fork(after_in_child=shared_client.cache_clear)


def _connection() -> tuple[str | None, ...]:
    return tuple(os.environ.get(name) for name in _CONNECTION_VARIABLES)


def _encryption() -> dict[str, Any]:
    """Give what each upload says of encryption; nothing where the environment leaves it to the bucket."""
    given = {
        "ServerSideEncryption": os.environ.get(_ENCRYPTION_VARIABLE),
        "SSEKMSKeyId": os.environ.get(_KEY_VARIABLE),
    }
    return {name: value for name, value in given.items() if value}


class S3Store:
    """Files below `s3://bucket/prefix`."""

    def __init__(self, address: str) -> None:
        bucket, _, prefix = address.removeprefix(S3_SCHEME).partition("/")
        if len(bucket) < 3:
            raise StoreError(f"{address!r} names no bucket: expected s3://bucket/prefix, 3 or more characters")
        self.address = address.rstrip("/")
        self._bucket, self._prefix = bucket, prefix.strip("/")

    @property
    def place(self) -> tuple[str | None, ...]:
        """What decides which server answers for which bucket."""
        return (self._bucket, *_connection())

    @property
    def _client(self) -> S3Client:
        return shared_client(*_connection())

    def check(self) -> None:
        """Make sure that the bucket is there, the credentials are good, and the server can put a file only once.

        Asking for the bucket comes first: some servers create one on a PUT. A listing asks, as the answer to a HEAD has
        no error code: expired credentials could not be told from a wrong request.
        """
        client = make_client(max_attempts=3)
        with translated(self.address, self._bucket):
            client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
            if self._put_if_new(client, _PROBE, b"") and self._put_if_new(client, _PROBE, b""):
                raise StoreError(_unconditional(self.address, "it accepted the same file twice"))

    @patient
    def files(self, prefix: str = "") -> dict[str, StoredFile]:
        """List the files below a prefix. Markers of empty folders, whose keys end with a slash, are left out."""
        start = self._key(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start)
        with translated(self.address, self._bucket):
            entries = [entry for page in pages for entry in page.get("Contents", [])]
        found = {
            self._name(entry["Key"]): StoredFile(entry["Size"], entry["ETag"], entry["LastModified"].timestamp())
            for entry in entries
            if self._is_below(entry["Key"], start)
        }
        check_apart(found, where=f"the listing of {self.address}")
        return dict(sorted(found.items()))

    @staticmethod
    def _is_below(key: str, start: str) -> bool:
        return not key.endswith("/") and (not start or key == start or key.startswith(f"{start}/"))

    @patient
    def read(self, name: str) -> bytes | None:
        """Read a small file; None if there is none."""
        with translated(self.address, self._bucket):
            try:
                return self._client.get_object(Bucket=self._bucket, Key=self._key(name))["Body"].read()
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise

    def blocks(self, name: str) -> Iterator[bytes]:
        """Read a file in blocks of 1 MiB."""
        with translated(f"{self.address}/{name}", self._bucket):
            body = self._client.get_object(Bucket=self._bucket, Key=self._key(name))["Body"]
            yield from body.iter_chunks(_BLOCK_BYTES)

    def local_path(self, name: str) -> None:
        """Nothing lies here: everything has to be fetched."""
        return None

    @patient
    def fetch(self, name: str, path: Path) -> None:
        """Download one file in parallel parts, to a temporary name first."""
        partial = path.with_name(f"{uuid.uuid4().hex}.part")  # "x.part" may be a file of its own
        with translated(f"{self.address}/{name}", self._bucket):
            self._client.download_file(self._bucket, self._key(name), str(partial), Config=_TRANSFER)
        partial.rename(path)

    def scratch_root(self) -> Path:
        """Prepare outputs in the machine's scratch folder."""
        return machine_scratch()

    @patient
    def put(self, name: str, path: Path) -> None:
        """Upload a file in parallel parts."""
        num_bytes = path.stat().st_size
        with translated(f"{self.address}/{name}", self._bucket):
            self._client.upload_file(str(path), self._bucket, self._key(name), _encryption(), Config=_TRANSFER)
            stored = self._client.head_object(Bucket=self._bucket, Key=self._key(name))["ContentLength"]
        if stored != num_bytes:
            raise StoreError(f"{self.address}/{name}: {num_bytes:,} bytes sent but {stored:,} stored; run again")

    @patient
    def put_once(self, name: str, content: bytes) -> bool:
        """Put a file with `If-None-Match: *`. Where an answer was lost and asked for again, our own file is there."""
        with translated(f"{self.address}/{name}", self._bucket):
            return self._put_if_new(self._client, name, content)

    def delete(self, prefix: str) -> None:
        """Remove the file of that name, or all below it."""
        for name in self.files(prefix):
            self._delete_file(name)

    @patient
    def _delete_file(self, name: str) -> None:
        with translated(f"{self.address}/{name}", self._bucket):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(name))

    def _put_if_new(self, client: S3Client, name: str, content: bytes) -> bool:
        for attempt in range(_CONFLICT_ATTEMPTS):
            try:
                client.put_object(
                    Bucket=self._bucket, Key=self._key(name), Body=content, IfNoneMatch="*", **_encryption()
                )
            except ClientError as error:
                if _code(error) in _IS_THERE:
                    return False
                if _code(error) in _NOT_KNOWN:
                    raise StoreError(_unconditional(self.address, str(error))) from error
                if _code(error) not in _CONFLICT:
                    raise
                time.sleep(0.05 * 2**attempt)  # another put was under way, and may yet fail
            else:
                return True
        raise StoreUnavailable(f"{self.address}/{name}: other writers kept interfering; run again")

    def _key(self, name: str) -> str:
        if name:
            checked_name(name, where=self.address)
        return "/".join(part for part in (self._prefix, name) if part)

    def _name(self, key: str) -> str:
        name = key.removeprefix(f"{self._prefix}/") if self._prefix else key
        return checked_name(name, where=f"the listing of {self.address}")


def _unconditional(address: str, why: str) -> str:
    return (
        f"{address}: the S3 server does not honour conditional writes (If-None-Match: *; {why}). Without them two "
        "runs could spoil each other's outputs; use a server that has them: AWS S3, MinIO, Ceph, SeaweedFS"
    )


@contextmanager
def translated(address: str, bucket: str) -> Iterator[None]:
    """Turn boto3's errors into ours.

    Raises:
        AccessError: If credentials are missing or rejected.
        NoSpaceError: If the server is full, or its quota used up.
        StoreError: If the bucket or object does not exist, or the server refuses for another reason.
        StoreUnavailable: If the server did not answer.
    """
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise _no_credentials(address) from error
    except (ClientError, S3UploadFailedError) as error:
        raise _refused(address, bucket, _answer(error)) from error
    except (ConnectionError, HTTPClientError, IncompleteReadError, RetriesExceededError) as error:
        why = getattr(error, "last_exception", error)  # of the download of a file
        raise StoreUnavailable(
            f"{address}: the S3 server did not answer ({why}); check AWS_ENDPOINT_URL and the network, then run again"
        ) from error
    except BotoCoreError as error:
        raise StoreError(f"{address}: {error}") from error


def _no_credentials(address: str) -> AccessError:
    return AccessError(
        f"{address}: no S3 credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
        "(on a cluster: the Secret med42-s3)"
    )


def _answer(error: ClientError | S3UploadFailedError) -> ClientError:
    """Find what the server answered: boto3's upload of a file raises an error of its own over it."""
    found = error if isinstance(error, ClientError) else error.__context__
    assert isinstance(found, ClientError)
    return found


def _refused(address: str, bucket: str, error: ClientError) -> Med42Error:
    code, status = _code(error), _status(error)
    if code in _FORBIDDEN:
        advice = _ADVICE.get(code, "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy")
        return AccessError(f"{address}: the S3 server rejected the credentials ({_said(error)}); {advice}")
    if code in _NO_BUCKET | _ABSENT:
        return StoreError(
            f"{address}: bucket {bucket!r} or the object in it does not exist ({code}); create the bucket first, "
            "or correct the address"
        )
    if status == _FULL or code in _USED_UP:
        return NoSpaceError(
            f"{address}: the S3 server is full, or its quota used up ({code}); free some space there, then run again"
        )
    if status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR or code in _TRY_AGAIN:
        return StoreUnavailable(f"{address}: the S3 server kept failing ({code}); run again later")
    return StoreError(f"{address}: the S3 server refused ({code}): {error}")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _said(error: ClientError) -> str:
    """Give the code, and the server's own sentence if there is one: it names the right that was missing."""
    return ": ".join(filter(None, (_code(error), cut(str(error.response.get("Error", {}).get("Message", ""))))))


def _status(error: ClientError) -> int:
    """Give the answer's HTTP status, which HEAD answers have as their code; 0 for none."""
    code = _code(error)
    return int(code) if code.isdecimal() else error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
