"""Which error each answer of an S3 server becomes; `test_s3.py` asks a real one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from med42lib.core.errors import AccessError, Med42Error, NoSpaceError, StoreError, StoreUnavailable
from med42lib.store.address import open_store
from med42lib.store.backends import s3
from med42lib.store.backends.s3 import translated
from tests.http_server import QuietHandler, serving


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
        ("429", StoreUnavailable, 172),
        ("RequestTimeout", StoreUnavailable, 172),
        ("507", NoSpaceError, 9),
        ("QuotaExceeded", NoSpaceError, 9),
        ("XMinioAdminBucketQuotaExceeded", NoSpaceError, 9),
        ("RequestTimeTooSkewed", AccessError, 7),
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


class Failing(QuietHandler):
    """Answers everything with one status and one error code; or, without a code, with half of what it announces."""

    status = 200
    code = ""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = f"<Error><Code>{self.code}</Code></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body) if self.code else 2 * len(body)))
        self.send_header("ETag", '"x"')
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    do_HEAD = do_PUT = do_GET


@pytest.fixture
def failing(asks_once: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Failing]]:
    handler = type("Handler", (Failing,), {})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with serving(handler) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield handler


@pytest.mark.parametrize(("code", "does_not"), [("AccessDenied", "kms:GenerateDataKey"), ("InvalidToken", "fit")])
def test_who_is_refused_reads_what_the_server_said_of_it(code: str, does_not: str) -> None:
    said = {"Code": code, "Message": f"User med42 is not authorized to perform: {does_not}"}
    with (
        pytest.raises(AccessError, match=rf"\({code}: User med42 is not .*{does_not}\); check") as caught,
        translated("s3://some-bucket/x", "some-bucket"),
    ):
        raise ClientError({"Error": said}, "PutObject")
    assert ("MED42_S3_SSE" in str(caught.value)) == (code == "AccessDenied")


class Accepting(QuietHandler):
    """Takes every file, and keeps what each request that makes one says of encryption."""

    num_bytes = 0
    heard: list[dict[str, str]]

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "partNumber" not in self.path and "uploadId" not in self.path:
            sse = "x-amz-server-side-encryption"
            self.heard.append({name: value for name, value in self.headers.items() if name.startswith(sse)})
        body = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
        self.send_response(200)
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(self.num_bytes))
        self.end_headers()


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ({}, {}),
        ({"MED42_S3_SSE": "AES256", "MED42_S3_KMS_KEY_ID": ""}, {"": "AES256"}),
        ({"MED42_S3_SSE": "aws:kms", "MED42_S3_KMS_KEY_ID": "k"}, {"": "aws:kms", "-aws-kms-key-id": "k"}),
    ],
)
def test_every_file_goes_up_with_the_encryption_that_the_environment_names(
    said: dict[str, str], sent: dict[str, str], failing: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    small_parts = s3.TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    monkeypatch.setattr(s3, "_TRANSFER", small_parts)
    handler = type("Handler", (Accepting,), {"heard": []})
    with serving(handler) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        store = open_store("s3://bucket/x")
        store.put_once("mark", b"m")
        for handler.num_bytes in (1, 6 << 20):
            (tmp_path / "file").write_bytes(b"x" * handler.num_bytes)
            store.put("file", tmp_path / "file")
    assert handler.heard == [{f"x-amz-server-side-encryption{name}": value for name, value in sent.items()}] * 3


OPERATIONS: dict[str, Callable[[Path], object]] = {
    "check": lambda _: open_store("s3://bucket/x").check(),
    "files": lambda _: open_store("s3://bucket/x").files(),
    "read": lambda _: open_store("s3://bucket/x").read("a"),
    "blocks": lambda _: list(open_store("s3://bucket/x").blocks("a")),
    "fetch": lambda folder: open_store("s3://bucket/x").fetch("a", folder / "copy"),
    "put": lambda folder: open_store("s3://bucket/x").put("a", folder / "file"),
    "put_once": lambda _: open_store("s3://bucket/x").put_once("a", b""),
}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "InternalError", StoreUnavailable),
        (503, "XMinioServerNotInitialized", StoreUnavailable),
        (507, "XMinioStorageFull", NoSpaceError),
        (403, "AccessDenied", AccessError),
        (400, "SomethingNew", StoreError),
    ],
)
def test_whatever_was_asked_a_refusal_is_the_same_error(
    failing: type[Failing], status: int, code: str, kind: type[Med42Error], tmp_path: Path
) -> None:
    failing.status, failing.code = status, code
    (tmp_path / "file").write_text("content")
    for operation in OPERATIONS.values():
        with pytest.raises(kind) as caught:
            operation(tmp_path)
        assert type(caught.value) is kind
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [(400, "ExpiredToken", "renew them"), (403, "RequestTimeTooSkewed", "clock differs from the server's; set it")],
)
@pytest.mark.parametrize("operation", ["check", "files", "put"])
def test_expired_credentials_and_a_wrong_clock_are_named_from_the_first_request_on(
    failing: type[Failing], operation: str, status: int, code: str, advice: str, tmp_path: Path
) -> None:
    failing.status, failing.code = status, code
    (tmp_path / "file").write_text("content")
    with pytest.raises(AccessError, match=rf"\({code}\); .*{advice}"):
        OPERATIONS[operation](tmp_path)


def test_an_answer_that_breaks_off_is_worth_a_retry_and_never_a_half_file(
    failing: type[Failing], tmp_path: Path
) -> None:
    for operation in ("read", "blocks", "fetch"):
        with pytest.raises(StoreUnavailable, match="did not answer"):
            OPERATIONS[operation](tmp_path)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("AWS_ENDPOINT_URL", "minio:9000", StoreError),
        ("AWS_PROFILE", "nope", StoreError),
        ("AWS_REGION", "us east", StoreError),
        ("AWS_ACCESS_KEY_ID", "half-of-a-pair", AccessError),
    ],
)
@pytest.mark.parametrize("ask", ["check", "files"])
def test_an_environment_that_no_client_can_be_made_of_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ask: str, variable: str, value: str, expected: type[Med42Error]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv(variable, value)
    with pytest.raises(expected, match=variable) as caught:
        getattr(open_store("s3://bucket/x"), ask)()
    assert type(caught.value) is expected
