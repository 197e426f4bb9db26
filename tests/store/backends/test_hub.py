import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from med42lib.core.errors import (
    AccessError,
    DataError,
    EnvironmentProblem,
    NoSpaceError,
    StoreError,
    StoreUnavailable,
)
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.backends.hub import HubStore
from tests.store.hub_server import REPO, REVISION, Hub, point_client_at, serving

ADDRESS = f"hub:{REPO}@{REVISION}"
DATASET = f"hub:datasets/{REPO}@{REVISION}"
WEIGHTS = b"\0" * 200_000
FILES = {"config.json": b'{"model_type": "llama"}', "model.safetensors": WEIGHTS, "onnx/model.onnx": b"unwanted"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A running hub, which the real client talks to, with an empty cache folder."""
    with serving(Hub(FILES, large=frozenset({"model.safetensors"}))) as hub:
        point_client_at(hub.endpoint, monkeypatch, tmp_path)
        yield hub


@pytest.mark.parametrize(
    "address",
    [
        f"hub:{REPO}",
        f"hub:{REPO}@main",
        f"hub:{REPO}@0123456",
        f"hub:tiny-llama@{REVISION}",
        f"hub:a/b/c@{REVISION}",
        f"hub:../x@{REVISION}",
        f"hub:datasets/{REPO}",
        f"hub:datasets/{REPO}@main",
        f"hub:datasets/cards@{REVISION}",
        f"hub:models/{REPO}@{REVISION}",
    ],
)
def test_an_address_without_owner_name_and_full_revision_is_refused(address: str) -> None:
    with pytest.raises(StoreError, match="40 hexadecimal digits"):
        open_store(address)


def test_names_lists_all_files_or_those_below_a_folder(hub: Hub) -> None:
    store = open_store(ADDRESS)

    assert isinstance(store, HubStore)
    assert list(store.files()) == sorted(FILES)
    assert list(store.files("onnx")) == ["onnx/model.onnx"]


def test_a_revision_names_its_content_without_a_file_of_it_being_fetched(hub: Hub, tmp_path: Path) -> None:
    first = Source(ADDRESS, cache=tmp_path / "in").digest
    hub.files = {**FILES, "config.json": b'{"model_type": "LLAMA"}'}

    assert Source(ADDRESS, cache=tmp_path / "in").digest != first
    assert hub.served == []


@pytest.mark.parametrize("name", ["../../x.pth", "/etc/passwd", "a\\b"])
def test_a_name_that_would_leave_the_readers_folder_is_refused(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.files = {**FILES, name: b"import evil"}

    with pytest.raises(DataError, match=r"hub:.* names the file .* does not stay in its folder"):
        Source(ADDRESS, cache=tmp_path / "in").path()
    assert hub.served == []


def test_a_file_is_fetched_once_however_many_attempts_ask_for_it(hub: Hub, tmp_path: Path) -> None:
    for attempt in ("first", "second"):
        path = Source(ADDRESS, cache=tmp_path / attempt).path("model.safetensors")
        assert path.read_bytes() == WEIGHTS

    assert hub.served.count("model.safetensors") == 1


def test_a_file_that_differs_from_the_hubs_hash_is_refused(hub: Hub, tmp_path: Path) -> None:
    source = Source(ADDRESS, cache=tmp_path / "in")
    assert source.files
    hub.files = {**FILES, "model.safetensors": b"\1" * len(WEIGHTS)}

    with pytest.raises(DataError, match=r"model\.safetensors was fetched twice and is not what the hub's list says"):
        source.path("model.safetensors")


def test_a_damaged_file_in_the_hubs_cache_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    first = Source(ADDRESS, cache=tmp_path / "first").path("model.safetensors")
    first.resolve().write_bytes(WEIGHTS[:-1])

    again = Source(ADDRESS, cache=tmp_path / "second").path("model.safetensors")
    assert again.read_bytes() == WEIGHTS
    assert hub.served.count("model.safetensors") == 2


def test_read_gives_a_small_file_and_never_a_manifest(hub: Hub) -> None:
    hub.files = {**FILES, "manifest.json": b"{}"}
    store = open_store(ADDRESS)

    assert store.read("config.json") == FILES["config.json"]
    assert store.read("absent.json") is None
    assert store.read("manifest.json") is None


def test_a_gated_repository_names_the_page_of_its_licence(hub: Hub, tmp_path: Path) -> None:
    hub.token = "hf_letmein"

    with pytest.raises(AccessError, match=f"accept its licence at {hub.endpoint}/{REPO}; then set HF_TOKEN"):
        Source(ADDRESS, cache=tmp_path / "in").path("config.json")


def test_the_token_of_the_environment_opens_a_gated_repository(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_letmein"
    monkeypatch.setenv("HF_TOKEN", hub.token)

    assert Source(ADDRESS, cache=tmp_path / "in").path("model.safetensors").read_bytes() == WEIGHTS


def test_an_unknown_repository_is_an_access_error_because_the_hub_hides_the_difference(hub: Hub) -> None:
    with pytest.raises(AccessError, match="Check its name"):
        open_store(f"hub:some-lab/other@{REVISION}").files()


def test_an_unknown_revision_is_a_data_error(hub: Hub) -> None:
    with pytest.raises(DataError, match="no such revision"):
        open_store(f"hub:{REPO}@{'f' * 40}").files()


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, AccessError), (403, AccessError), (429, StoreUnavailable), (503, StoreUnavailable), (418, StoreError)],
)
def test_a_status_becomes_the_error_that_says_whether_trying_again_helps(
    hub: Hub, status: int, expected: type[Exception]
) -> None:
    hub.failing_status = status

    with pytest.raises(expected) as caught:
        open_store(ADDRESS).files()
    assert type(caught.value) is expected


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_small_file_too_is_compared_with_what_the_hub_says(hub: Hub, tmp_path: Path, name: str) -> None:
    source = Source(ADDRESS, cache=tmp_path / "in")
    assert source.files
    hub.files = {**FILES, name: FILES[name].replace(b"l", b"L").replace(b"\0", b"\1")}

    with pytest.raises(DataError, match=f"{name} was fetched twice"):
        source.path(name)


@pytest.mark.parametrize(("status", "expected"), [(403, AccessError), (418, StoreError)])
def test_a_refused_download_is_told_from_an_unreachable_hub(
    hub: Hub, status: int, expected: type[Exception], tmp_path: Path
) -> None:
    source = Source(ADDRESS, cache=tmp_path / "in")
    assert source.files
    hub.failing_status = status

    with pytest.raises(expected):
        source.path("model.safetensors")


def test_a_hub_that_does_not_answer_may_be_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        point_client_at(f"http://127.0.0.1:{taken.getsockname()[1]}", monkeypatch, tmp_path)

        with pytest.raises(StoreUnavailable, match="did not answer"):
            open_store(ADDRESS).files()


class XetAuthenticationError(PermissionError):
    """As the library for large files raises it."""


class XetObjectNotFoundError(FileNotFoundError):
    """As the library for large files raises it."""


@pytest.mark.parametrize(
    ("met", "expected"),
    [
        (RuntimeError("CAS client error: error sending request"), StoreUnavailable),
        (RuntimeError("IO error: No space left on device (os error 28)"), NoSpaceError),
        (XetAuthenticationError("token refresh failed"), AccessError),
        (XetObjectNotFoundError("no such file hash"), DataError),
    ],
)
def test_what_the_library_for_large_files_meets_is_told_as_what_the_client_meets(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, met: Exception, expected: type[Exception]
) -> None:
    source = Source(ADDRESS, cache=tmp_path / "in")
    assert source.files

    def refuse(*_: object, **__: object) -> str:
        raise met

    monkeypatch.setattr("huggingface_hub.HfApi.hf_hub_download", refuse)
    with pytest.raises(expected, match=r"model\.safetensors") as caught:
        source.path("model.safetensors")
    assert type(caught.value) is expected


def test_a_hub_is_never_written(tmp_path: Path) -> None:
    store = open_store(ADDRESS)
    writes: list[Callable[[], object]] = [
        store.check,
        store.scratch_root,
        lambda: store.put("x", tmp_path),
        lambda: store.put_once("x", b""),
        lambda: store.delete("x"),
    ]
    for write in writes:
        with pytest.raises(StoreError, match="can only be read"):
            write()


def run_names(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """List the repository in a process of its own, where the client reads its settings from the environment."""
    program = (
        "from med42lib.core.errors import Med42Error\n"
        "from med42lib.store.address import open_store\n"
        "try:\n"
        f"    print(list(open_store({ADDRESS!r}).files()))\n"
        "except Med42Error as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NO_PROXY": "127.0.0.1", **environment},
    )


def test_hf_endpoint_names_another_hub(hub: Hub, tmp_path: Path) -> None:
    answer = run_names({"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"})

    assert answer.stdout.strip() == str(sorted(FILES))


def test_the_offline_switch_is_named_where_it_forbids_the_hub(hub: Hub, tmp_path: Path) -> None:
    answer = run_names({"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"})

    assert answer.stdout.startswith(EnvironmentProblem.__name__)
    assert "HF_HUB_OFFLINE" in answer.stdout


ROWS = {
    "data/train.jsonl": b'{"n": 1}\n',
    "data/test.jsonl": b'{"n": 2}\n',
    "README.md": b"card",
    "big.parquet": WEIGHTS,
}


@pytest.fixture
def datasets_hub(hub: Hub) -> Hub:
    """A running hub whose one repository is a data set."""
    hub.kind, hub.files, hub.large = "datasets", ROWS, frozenset({"big.parquet"})
    return hub


def test_a_data_set_is_listed_and_described_without_a_download(datasets_hub: Hub, tmp_path: Path) -> None:
    assert list(open_store(DATASET).files("data")) == ["data/test.jsonl", "data/train.jsonl"]
    found = {entry.path: entry.bytes for entry in Source(DATASET, cache=tmp_path / "in").files}
    assert found == {name: len(content) for name, content in ROWS.items()}
    assert datasets_hub.served == []


def test_a_data_sets_files_are_fetched_one_by_one(datasets_hub: Hub, tmp_path: Path) -> None:
    path = Source(DATASET, cache=tmp_path / "in").path("data/train.jsonl")

    assert path.read_bytes() == ROWS["data/train.jsonl"]
    assert Source(DATASET, cache=tmp_path / "in").path("big.parquet").read_bytes() == WEIGHTS


def test_another_process_asks_the_hub_for_no_list(datasets_hub: Hub, tmp_path: Path) -> None:
    source = Source(DATASET, cache=tmp_path / "in")
    assert source.files
    handed_over: Source = pickle.loads(pickle.dumps(source))

    datasets_hub.failing_status = 503
    assert handed_over.files == source.files
    datasets_hub.failing_status = 0
    assert handed_over.path("data").is_dir()


def test_a_model_of_that_name_is_not_a_data_set(datasets_hub: Hub) -> None:
    with pytest.raises(AccessError, match="Check its name"):
        open_store(ADDRESS).files()


def test_a_gated_data_set_names_its_own_page(datasets_hub: Hub, tmp_path: Path) -> None:
    datasets_hub.token = "hf_letmein"

    with pytest.raises(AccessError, match=f"accept its licence at {datasets_hub.endpoint}/datasets/{REPO};"):
        Source(DATASET, cache=tmp_path / "in").path("README.md")


def test_sizes_and_a_single_file_need_no_download_of_others(hub: Hub, tmp_path: Path) -> None:
    source = Source(ADDRESS, cache=tmp_path / "in")

    assert source.sizes() == {name: len(content) for name, content in sorted(FILES.items())}
    assert hub.served == []
    assert source.reach("config.json").read_bytes() == FILES["config.json"]
    assert hub.served == ["config.json"]
