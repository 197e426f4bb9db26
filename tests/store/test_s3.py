from pathlib import Path

import pytest

from med42lib.core.errors import AccessError, DataError, StoreError, StoreUnavailable
from med42lib.store import s3 as module
from med42lib.store.artifacts import Source
from med42lib.store.manifest import Manifest, describe_folder
from med42lib.store.s3 import S3Store
from med42lib.store.store import open_store
from tests.s3_server import S3Server

pytestmark = pytest.mark.slow


def publish(address: str, folder: Path, prefix: str) -> Manifest:
    manifest = Manifest("pack", "packed", "k", {}, {}, describe_folder(folder), None, "now", 1.0)
    open_store(address).publish(prefix, folder, manifest.files, manifest.to_json())
    return manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out/model").mkdir(parents=True)
    (tmp_path / "out/model/weights").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "out/small").write_text("s")
    return tmp_path / "out"


def test_what_is_published_comes_back_the_same(bucket: str, folder: Path, tmp_path: Path) -> None:
    manifest = publish(f"s3://{bucket}/runs", folder, "pack/k/packed")
    source = Source(f"s3://{bucket}/runs/pack/k/packed", cache=tmp_path / "cache")
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
    publish(f"s3://{bucket}", folder, "k")
    head = module.make_client().head_object(Bucket=bucket, Key="k/big")
    assert head["ETag"].strip('"').endswith("-4"), "16 MiB in parts of 5 MiB"
    fetched = Source(f"s3://{bucket}/k", cache=tmp_path / "cache").path("big")
    assert fetched.read_bytes() == (folder / "big").read_bytes()


def test_a_file_changed_in_the_bucket_is_noticed(bucket: str, folder: Path, tmp_path: Path) -> None:
    publish(f"s3://{bucket}", folder, "k")
    module.make_client().put_object(Bucket=bucket, Key="k/small", Body=b"t")
    with pytest.raises(DataError, match="k/small differs from its manifest"):
        Source(f"s3://{bucket}/k", cache=tmp_path / "cache").path("small")


def test_an_output_without_manifest_is_a_folder_of_the_users(bucket: str, tmp_path: Path) -> None:
    module.make_client().put_object(Bucket=bucket, Key="data/a.csv", Body=b"1,2")
    source = Source(f"s3://{bucket}/data", cache=tmp_path / "cache")
    assert source.manifest is None
    (tmp_path / "here").mkdir()
    (tmp_path / "here/a.csv").write_text("1,2")
    assert source.digest == Source(str(tmp_path / "here")).digest, "content, not address, makes the name"


def test_a_prefix_does_not_match_its_longer_neighbour(bucket: str) -> None:
    client = module.make_client()
    for key in ("data/a", "data2/b"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert open_store(f"s3://{bucket}/data").names() == ["a"]
    assert open_store(f"s3://{bucket}").names("data") == ["data/a"]
    assert open_store(f"s3://{bucket}/data").sizes() == {"a": 1}


def test_a_complete_output_stays_as_it_is(bucket: str, folder: Path) -> None:
    publish(f"s3://{bucket}", folder, "k")
    store = open_store(f"s3://{bucket}")
    before = store.read("k/manifest.json")
    (folder / "small").write_text("other")
    publish(f"s3://{bucket}", folder, "k")
    assert store.read("k/manifest.json") == before
    assert store.read("k/small") == b"s"


def test_of_two_that_finish_at_once_the_first_manifest_wins(bucket: str) -> None:
    store = S3Store(f"s3://{bucket}")
    for content in (b"1", b"2"):
        store._put_once("k/manifest.json", content)
    assert store.read("k/manifest.json") == b"1"


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


def test_an_upload_that_breaks_off_leaves_no_manifest(
    bucket: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, names = S3Store._upload, list[str]()

    def breaks_off(self: S3Store, path: Path, name: str, num_bytes: int) -> None:
        names.append(name)
        if len(names) == 2:
            raise StoreUnavailable("the server is gone")
        upload(self, path, name, num_bytes)

    monkeypatch.setattr(S3Store, "_upload", breaks_off)
    with pytest.raises(StoreUnavailable):
        publish(f"s3://{bucket}", folder, "k")
    store = open_store(f"s3://{bucket}")
    assert store.read("k/manifest.json") is None
    assert store.names("k") == ["k/model/weights"]
    monkeypatch.setattr(S3Store, "_upload", upload)
    publish(f"s3://{bucket}", folder, "k")
    assert store.names("k") == ["k/manifest.json", "k/model/weights", "k/small"]


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
