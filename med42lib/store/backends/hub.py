"""A hub of models and data sets: `hub:owner/name@revision`, `hub:datasets/owner/name@revision`; read only.

A revision is the 40 hexadecimal digits of a commit: a branch or tag can move, and a run that names one could
not be repeated. The token, where one is needed, is the environment's HF_TOKEN; HF_ENDPOINT names another hub
(a mirror inside a company). Downloads go through the hub client's own cache folder (HF_HOME): what is already
there, from an earlier attempt or another program, is not fetched again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from med42lib.core.errors import (
    AccessError,
    DataError,
    EnvironmentProblem,
    Med42Error,
    StoreError,
    StoreUnavailable,
    full_disk,
)
from med42lib.store.base import StoredFile
from med42lib.store.manifest import GIT_PREFIX, MANIFEST_FILE
from med42lib.store.names import checked_name

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoSibling

DATASETS = "datasets/"
_BLOCK_BYTES = 1 << 20
_ADDRESS = re.compile(r"hub:(datasets/)?(?!datasets/)(\w[\w.-]*/\w[\w.-]*)@([0-9a-f]{40})")
_NO_ANSWER, _TRY_AGAIN, _SERVER_ERROR = 0, 429, 500
_REJECTED = (401, 403)


class HubStore:
    """Files of one model or data set repository at one revision."""

    def __init__(self, address: str) -> None:
        match = _ADDRESS.fullmatch(address)
        if match is None:
            raise StoreError(
                f"cannot open {address!r}: expected hub:owner/name@revision, where the revision is the full commit "
                "of 40 hexadecimal digits (the repository's page lists them under 'History')"
            )
        self.address = address
        self._kind = "dataset" if match[1] else "model"
        self._repo, self._revision = match[2], match[3]

    def check(self) -> NoReturn:
        """Refuse: a hub is read, never written."""
        self._refuse()

    def files(self, prefix: str = "") -> dict[str, StoredFile]:
        """List the files below a prefix; the hub knows their contents' names, and one revision cannot change."""
        return {
            name: file
            for name, file in self._files.items()
            if not prefix or name == prefix or name.startswith(f"{prefix}/")
        }

    def read(self, name: str) -> bytes | None:
        """Read a small file; None if there is none. A repository is never an output of ours: it has no manifest."""
        if name == MANIFEST_FILE or name not in self._files:
            return None
        return self._downloaded(name).read_bytes()

    def blocks(self, name: str) -> Iterator[bytes]:
        """Read a file from the hub's cache folder, fetched if need be."""
        with self._downloaded(name).open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                yield block

    def local_path(self, name: str) -> None:
        """Nothing lies here: everything has to be fetched."""
        return None

    def fetch(self, name: str, path: Path) -> None:
        """Fetch one file into the hub's cache folder and link to it: weights are large, one copy is enough."""
        path.symlink_to(self._downloaded(name))

    def scratch_root(self) -> NoReturn:
        """Refuse: a hub is read, never written."""
        self._refuse()

    def put(self, name: str, path: Path) -> NoReturn:
        """Refuse: a hub is read, never written."""
        self._refuse()

    def put_once(self, name: str, content: bytes) -> NoReturn:
        """Refuse: a hub is read, never written."""
        self._refuse()

    def delete(self, prefix: str) -> NoReturn:
        """Refuse: a hub is read, never written."""
        self._refuse()

    @cached_property
    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))

    @cached_property
    def _files(self) -> dict[str, StoredFile]:
        with self._translated():
            ask = self._api.dataset_info if self._kind == "dataset" else self._api.model_info
            info = ask(self._repo, revision=self._revision, files_metadata=True)
        files = {checked_name(file.rfilename, where=self.address): _stored(file) for file in info.siblings or []}
        return dict(sorted(files.items()))

    def _downloaded(self, name: str) -> Path:
        with self._translated(name):
            return Path(self._api.hf_hub_download(self._repo, name, repo_type=self._kind, revision=self._revision))

    @contextmanager
    def _translated(self, name: str = "") -> Iterator[None]:
        """Turn the hub client's errors into ours."""
        from huggingface_hub import errors

        # The client's HTTP library changed its name between versions; its base error is the one they share.
        transport_error: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]
        address = f"{self.address}/{name}" if name else self.address
        try:
            yield
        except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, transport_error) as error:
            raise _explained(address, self._page, error) from error
        except (RuntimeError, OSError) as error:
            if of_xet := _explained_of_xet(address, self._page, error):
                raise of_xet from error
            raise

    @property
    def _page(self) -> str:
        """The repository's page for people."""
        return f"{self._api.endpoint}/{DATASETS if self._kind == 'dataset' else ''}{self._repo}"

    def _refuse(self) -> NoReturn:
        raise StoreError(f"{self.address} can only be read; choose a folder or an s3:// address to write to")


def _stored(file: RepoSibling) -> StoredFile:
    if file.lfs is not None:
        return StoredFile(file.lfs.size, "", content=file.lfs.sha256)
    return StoredFile(file.size or 0, "", content=f"{GIT_PREFIX}{file.blob_id}" if file.blob_id else "")


def _explained(address: str, page: str, error: BaseException) -> Med42Error:
    """Say in our terms what the hub's client met; `page` is the repository's page for people."""
    from huggingface_hub import errors

    status = _status(error)
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return _explained(address, page, error.__cause__)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return EnvironmentProblem(
            f"{address}: HF_HUB_OFFLINE forbids asking the hub; unset it, or give a folder instead"
        )
    if isinstance(error, errors.RevisionNotFoundError | errors.RemoteEntryNotFoundError):
        return _absent(address, page)
    if isinstance(error, errors.RepositoryNotFoundError) or status in _REJECTED:
        return _no_access(address, page, str(status))
    if status in (_NO_ANSWER, _TRY_AGAIN) or status >= _SERVER_ERROR:
        return _no_answer(address, error)
    return StoreError(f"{address}: the hub refused: {_first_line(error)}")


def _explained_of_xet(address: str, page: str, error: BaseException) -> Med42Error | None:
    """Say in our terms what Xet met, the hub's library for large files; None for an error that is not known of it."""
    kind = type(error).__name__  # the client works without the library
    if kind == "XetAuthenticationError":
        return _no_access(address, page, _first_line(error))
    if kind == "XetObjectNotFoundError":
        return _absent(address, page)
    if isinstance(error, RuntimeError | ConnectionError | TimeoutError):
        return full_disk(error, f"{address} into the hub's cache folder (HF_HOME)") or _no_answer(address, error)
    return None


def _absent(address: str, page: str) -> DataError:
    return DataError(f"{address}: the hub has no such revision or file; look it up at {page}")


def _no_access(address: str, page: str, why: str) -> AccessError:
    return AccessError(
        f"{address}: the hub gives no access to this repository ({why}). Check its name; if it is gated, accept "
        f"its licence at {page}; then set HF_TOKEN to a token of that account that may read it"
    )


def _no_answer(address: str, error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(
        f"{address}: the hub did not answer ({_first_line(error)}); check HF_ENDPOINT and the network, then run again"
    )


def _status(error: BaseException) -> int:
    response = getattr(error, "response", None)
    return int(response.status_code) if response is not None else _NO_ANSWER


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
