import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from med42lib.core.errors import AccessError, DataError, StoreError, StoreUnavailable
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.backends import s3 as module
from tests.http_server import QuietHandler, serving
from tests.s3_server import S3Server
from tests.store.outputs import filled, manifest_of, published

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out/model").mkdir(parents=True)
    (tmp_path / "out/model/weights").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "out/small").write_text("s")
    return tmp_path / "out"


def test_what_is_published_comes_back_the_same(bucket: str, folder: Path, tmp_path: Path) -> None:
    manifest = manifest_of(folder)
    source = Source(published(f"s3://{bucket}/runs", folder, manifest), cache=tmp_path / "cache")
    assert source.manifest == manifest
    assert source.path("model/weights").read_bytes() == (folder / "model/weights").read_bytes()
    assert not (tmp_path / "cache/small").exists(), "only what is asked for is fetched"
    assert source.path() == tmp_path / "cache"
    assert (tmp_path / "cache/small").read_text() == "s"


def test_large_files_go_up_and_down_in_parts(
    bucket: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_parts = module.TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    monkeypatch.setattr(module, "_TRANSFER", small_parts)
    (folder / "big").write_bytes(b"0123456789abcdef" * (1 << 20))
    address = published(f"s3://{bucket}", folder)
    head = module.make_client().head_object(Bucket=bucket, Key=f"{address.removeprefix(f's3://{bucket}/')}/big")
    assert head["ETag"].strip('"').endswith("-4"), "16 MiB in parts of 5 MiB"
    fetched = Source(address, cache=tmp_path / "cache").path("big")
    assert fetched.read_bytes() == (folder / "big").read_bytes()


def test_a_file_changed_in_the_bucket_is_noticed(bucket: str, folder: Path, tmp_path: Path) -> None:
    address = published(f"s3://{bucket}", folder)
    key = f"{address.removeprefix(f's3://{bucket}/')}/small"
    module.make_client().put_object(Bucket=bucket, Key=key, Body=b"t")
    with pytest.raises(DataError, match=r"small differs from its manifest; delete s3://.* and run again"):
        Source(address, cache=tmp_path / "cache").path("small")


def test_an_output_without_manifest_is_a_folder_of_the_users(bucket: str, tmp_path: Path) -> None:
    module.make_client().put_object(Bucket=bucket, Key="data/a.csv", Body=b"1,2")
    source = Source(f"s3://{bucket}/data", cache=tmp_path / "cache")
    assert source.manifest is None
    (tmp_path / "here").mkdir()
    (tmp_path / "here/a.csv").write_text("1,2")
    assert source.digest == Source(str(tmp_path / "here")).digest, "content, not address, makes the name"


def test_a_profile_says_the_region_unless_a_variable_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text("[profile europe]\nregion = eu-west-1\n")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert module.make_client().meta.region_name == "us-east-1"
    monkeypatch.setenv("AWS_PROFILE", "europe")
    assert module.make_client().meta.region_name == "eu-west-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert module.make_client().meta.region_name == "eu-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert module.make_client().meta.region_name == "eu-west-3"


def test_a_prefix_does_not_match_its_longer_neighbour(bucket: str) -> None:
    client = module.make_client()
    for key in ("data/a", "data2/b"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert list(open_store(f"s3://{bucket}/data").files()) == ["a"]
    assert list(open_store(f"s3://{bucket}").files("data")) == ["data/a"]
    assert open_store(f"s3://{bucket}/data").files()["a"].bytes == 1


def test_of_many_that_put_a_file_at_once_one_is_told_that_it_did(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/prefix")
    for round in range(5):
        with ThreadPoolExecutor(8) as threads:
            done = list(threads.map(lambda number: store.put_once(f"{round}/seal", b"%d" % number), range(8)))  # noqa: B023
        assert sum(done) == 1
        assert store.read(f"{round}/seal") == b"%d" % done.index(True)


def test_what_is_below_a_name_is_deleted_and_its_neighbours_stay(bucket: str, tmp_path: Path) -> None:
    store = open_store(f"s3://{bucket}/prefix")
    for name in ("a/b", "a/c/d", "ab"):
        store.put(name, filled(tmp_path, {"f": name}) / "f")
    for name in ("a", "nothing"):
        store.delete(name)
    assert list(store.files()) == ["ab"]


class Answering(QuietHandler):
    """A made-up S3 server, for what a real one does not do on demand: it has one object, and takes every PUT."""

    key = ""
    put_status = 200

    def do_HEAD(self) -> None:
        self.answer(200)

    def do_GET(self) -> None:
        entry = f"<Key>{escape(self.key)}</Key><Size>4</Size><ETag>x</ETag>"
        listed = f"<Contents>{entry}<LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
        is_list = "list-type=2" in self.path
        status = 404 if self.path.endswith("manifest.json") else 200
        self.answer(status, f"<ListBucketResult>{listed}</ListBucketResult>".encode() if is_list else b"evil")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(self.put_status)


@contextmanager
def answering(monkeypatch: pytest.MonkeyPatch, **values: object) -> Iterator[None]:
    with serving(type("Handler", (Answering,), values)) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield


@pytest.mark.parametrize("key", ["../../x.pth", "/etc/passwd", "a/./b", "..", "a\\b", "a/../../x.pth"])
def test_a_key_that_would_leave_the_readers_folder_is_refused_by_name(
    s3: S3Server, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source("s3://bucket/data", cache=tmp_path / "cache")
    message = r"the listing of s3://bucket/data names the file .* does not stay in its folder"
    with answering(monkeypatch, key=f"data/{key}"), pytest.raises(DataError, match=message):
        source.path()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_no_name_from_elsewhere_becomes_a_key_outside_the_prefix(bucket: str, name: str, tmp_path: Path) -> None:
    store = open_store(f"s3://{bucket}/prefix")
    does: list[Callable[[], object]] = [
        lambda: store.read(name),
        lambda: store.put(name, filled(tmp_path, {"f": "x"}) / "f"),
        lambda: store.put_once(name, b""),
        lambda: store.delete(name),
        lambda: store.fetch(name, tmp_path / "copy"),
    ]
    for do in does:
        with pytest.raises(DataError, match="does not stay in its folder"):
            do()


@pytest.mark.parametrize("status", [200, 501])
def test_a_server_without_conditional_puts_is_refused_before_a_stage_computes(
    status: int, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        answering(monkeypatch, put_status=status),
        pytest.raises(StoreError, match=r"does not honour conditional writes"),
    ):
        open_store("s3://bucket/x").check()


def test_the_check_passes_again_and_again_and_leaves_no_output(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/prefix")
    for _ in range(2):
        store.check()
    assert list(store.files()) == [".check/conditional-put"]


def test_a_missing_bucket_is_an_error_and_is_not_made(s3: S3Server) -> None:
    with pytest.raises(StoreError, match=r"bucket 'no-such-bucket' .* create the bucket first"):
        open_store("s3://no-such-bucket/x").check()
    assert "no-such-bucket" not in [b["Name"] for b in module.make_client().list_buckets()["Buckets"]]


def test_an_existing_bucket_passes_the_check(bucket: str) -> None:
    open_store(f"s3://{bucket}/any/prefix").check()


def test_wrong_credentials_are_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(AccessError, match="rejected the credentials") as caught:
        open_store(f"s3://{bucket}").check()
    assert caught.value.exit_code == 7


def test_missing_credentials_are_named(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AccessError, match="no S3 credentials found"):
        open_store(f"s3://{bucket}").check()


def test_a_server_that_is_not_there_is_worth_a_retry(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreUnavailable, match="did not answer") as caught:
        open_store("s3://some-bucket/x").check()
    assert caught.value.exit_code == 172


def test_a_bucket_name_is_required() -> None:
    with pytest.raises(StoreError, match="names no bucket"):
        open_store("s3:///x")


def test_a_single_file_is_fetched_once_and_alone(bucket: str, tmp_path: Path) -> None:
    client = module.make_client()
    for name in ("config.json", "weights"):
        client.put_object(Bucket=bucket, Key=f"model/{name}", Body=b"{}")
    source = Source(f"s3://{bucket}/model", cache=tmp_path / "cache")
    assert source.reach("config.json").read_bytes() == b"{}"
    client.delete_object(Bucket=bucket, Key="model/config.json")
    assert source.reach("config.json").read_bytes() == b"{}"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["config.json"]
    with pytest.raises(StoreError, match=r"other\.json: .* does not exist"):
        source.reach("other.json")


def test_a_file_named_like_the_download_of_another_stays_what_it_is(bucket: str, tmp_path: Path) -> None:
    for name in ("a", "a.part", "n" * 250):
        module.make_client().put_object(Bucket=bucket, Key=f"data/{name}", Body=name.encode())
    source = Source(f"s3://{bucket}/data", cache=tmp_path / "cache")
    part = source.path("a.part")
    assert source.path("a").read_text() == "a"
    assert part.read_text() == "a.part"
    assert source.path("n" * 250).exists()


def test_an_object_that_is_also_a_folder_is_told_by_its_name(bucket: str, tmp_path: Path) -> None:
    for key in ("data/a", "data/a/b"):
        module.make_client().put_object(Bucket=bucket, Key=key, Body=b"x")
    with pytest.raises(DataError, match=r"the listing of s3://.* names 'a' as a file and as a folder"):
        Source(f"s3://{bucket}/data", cache=tmp_path / "cache").path()


def _reads_its_own(address: str, name: str, together: Any) -> None:
    store = open_store(address)
    together.wait()
    assert all(store.read(name) == name.encode() * 10_000 for _ in range(20))


def test_forks_that_read_at_once_get_their_own_answers(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/runs")
    names = ["one", "second", "the third"]
    for name in names:
        store.put_once(name, name.encode() * 10_000)
    context = multiprocessing.get_context("fork")
    together = context.Barrier(len(names))
    forks = [context.Process(target=_reads_its_own, args=(store.address, name, together)) for name in names]
    for fork in forks:
        fork.start()
    for fork in forks:
        fork.join(30)
        fork.kill()
    assert [fork.exitcode for fork in forks] == [0, 0, 0]
