"""A store in an S3 bucket: one client factory, and errors a user can act on.

Endpoint and credentials come from the environment, as for every boto3 program: AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, or a role given to the pod.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from med42lib.core.errors import AccessError, StoreError, StoreUnavailable
from med42lib.core.progress import progress
from med42lib.store.manifest import MANIFEST_FILE, FileEntry
from med42lib.store.store import S3_SCHEME

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# 10,000 parts at most: 64 MiB parts reach 640 GB a file.
PART_BYTES = 64 << 20
_TRANSFER = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES)
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
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "AllAccessDisabled",
}
_LOST_RACE = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}


def make_client(*, max_attempts: int = 10) -> S3Client:
    """Make an S3 client that works with AWS and with MinIO, Ceph and SeaweedFS.

    The newer default checksums of boto3 break several S3-compatible servers (boto3#4392), so they are sent
    only where the protocol requires one; contents are checked against the manifest's sha256 instead.
    """
    config = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "adaptive", "total_max_attempts": max_attempts},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=16,
        tcp_keepalive=True,
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or _DEFAULT_REGION
    return boto3.Session().client("s3", region_name=region, config=config)


@lru_cache(maxsize=8)
def shared_client(*_connection: str | None) -> S3Client:
    """Give one client to all stores with the same connection: making one takes a tenth of a second."""
    return make_client()


class S3Store:
    """Files below `s3://bucket/prefix`."""

    def __init__(self, address: str) -> None:
        bucket, _, prefix = address.removeprefix(S3_SCHEME).partition("/")
        if len(bucket) < 3:
            raise StoreError(f"{address!r} names no bucket: expected s3://bucket/prefix, 3 or more characters")
        self.address = address.rstrip("/")
        self._bucket, self._prefix = bucket, prefix.strip("/")

    @property
    def _client(self) -> S3Client:
        return shared_client(*(os.environ.get(name) for name in _CONNECTION_VARIABLES))

    def check(self) -> None:
        """Make sure the bucket exists and the credentials are good, before some server creates it on a PUT."""
        with translated(self.address, self._bucket):
            make_client(max_attempts=3).head_bucket(Bucket=self._bucket)

    def names(self, prefix: str = "") -> list[str]:
        """List the files below a prefix."""
        return list(self._listed(prefix))

    def sizes(self) -> dict[str, int]:
        """Give every file's size, as the bucket lists it."""
        return self._listed("")

    def _listed(self, prefix: str) -> dict[str, int]:
        start = self._key(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start)
        with translated(self.address, self._bucket):
            sizes = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
        inside = [key for key in sizes if not start or key == start or key.startswith(f"{start}/")]
        return {self._name(key): sizes[key] for key in sorted(inside) if not key.endswith("/")}

    def entries(self) -> None:
        """Know no hashes: files have to be read."""
        return None

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if there is none."""
        with translated(self.address, self._bucket):
            try:
                return self._client.get_object(Bucket=self._bucket, Key=self._key(name))["Body"].read()
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise

    def local_path(self, name: str) -> None:
        """Nothing lies here: everything has to be fetched."""
        return None

    def fetch(self, name: str, path: Path) -> None:
        """Download one file in parallel parts, to a temporary name first."""
        partial = path.with_name(f"{path.name}.part")
        with translated(f"{self.address}/{name}", self._bucket):
            self._client.download_file(self._bucket, self._key(name), str(partial), Config=_TRANSFER)
        partial.rename(path)

    def scratch_root(self) -> Path:
        """Prepare outputs in $MED42_SCRATCH, or the machine's temporary folder."""
        default = Path(tempfile.gettempdir()) / f"med42-{os.getuid()}"
        return Path(os.environ.get("MED42_SCRATCH", default))

    def publish(self, prefix: str, folder: Path, files: Sequence[FileEntry], manifest: str) -> None:
        """Upload every file in parallel parts, and the manifest last; what is complete already is left alone."""
        if self.read(str(PurePosixPath(prefix, MANIFEST_FILE))) is not None:
            return
        with translated(f"{self.address}/{prefix}", self._bucket):
            with progress(f"upload {prefix}", sum(entry.bytes for entry in files), unit="B") as bar:
                for entry in files:
                    self._upload(folder / entry.path, str(PurePosixPath(prefix, entry.path)), entry.bytes)
                    bar.advance(entry.bytes)
            self._put_once(str(PurePosixPath(prefix, MANIFEST_FILE)), manifest.encode())

    def _upload(self, path: Path, name: str, num_bytes: int) -> None:
        key = self._key(name)
        self._client.upload_file(str(path), self._bucket, key, Config=_TRANSFER)
        stored = self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
        if stored != num_bytes:
            raise StoreError(f"{self.address}/{name}: {num_bytes:,} bytes sent but {stored:,} stored; run again")

    def _put_once(self, name: str, content: bytes) -> None:
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._key(name), Body=content, IfNoneMatch="*")
        except ClientError as error:
            if _code(error) not in _LOST_RACE:
                raise

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self._prefix, name) if part)

    def _name(self, key: str) -> str:
        return key.removeprefix(f"{self._prefix}/") if self._prefix else key


@contextmanager
def translated(address: str, bucket: str) -> Iterator[None]:
    """Turn boto3's errors into ours.

    Raises:
        AccessError: If credentials are missing or rejected.
        StoreError: If the bucket or object does not exist, or the server refuses for another reason.
        StoreUnavailable: If the server did not answer.
    """
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise AccessError(
            f"{address}: no S3 credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(on a cluster: the Secret med42-s3)"
        ) from error
    except ClientError as error:
        raise _refused(address, bucket, error) from error
    except (ConnectionError, HTTPClientError) as error:
        raise StoreUnavailable(
            f"{address}: the S3 server did not answer ({error}); check AWS_ENDPOINT_URL and the network, then run again"
        ) from error
    except BotoCoreError as error:
        raise StoreError(f"{address}: {error}") from error


def _refused(address: str, bucket: str, error: ClientError) -> AccessError | StoreError | StoreUnavailable:
    code = _code(error)
    if code in _FORBIDDEN:
        return AccessError(
            f"{address}: the S3 server rejected the credentials ({code}); check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and the bucket's policy"
        )
    if code in _NO_BUCKET | _ABSENT:
        return StoreError(
            f"{address}: bucket {bucket!r} or the object in it does not exist ({code}); create the bucket first, "
            "or correct the address"
        )
    if code.startswith("5") or code in {"SlowDown", "InternalError", "ServiceUnavailable"}:
        return StoreUnavailable(f"{address}: the S3 server kept failing ({code}); run again later")
    return StoreError(f"{address}: the S3 server refused ({code}): {error}")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
