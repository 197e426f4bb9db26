"""Addresses of data, and the store behind each.

runs/demo, /data/med       a folder here (`file:///data/med` means the same)
s3://bucket/prefix         an S3 bucket; endpoint and credentials come from the environment
package:name/path          files inside an installed Python package, read only
hub:owner/name@revision    a repository of a model hub at one full revision, read only
"""

from __future__ import annotations

import importlib.util
import re
from importlib.machinery import ModuleSpec
from pathlib import Path

from med42lib.core.errors import DataError, StoreError
from med42lib.store.backends.hub import DATASETS, HubStore
from med42lib.store.backends.local import LocalStore
from med42lib.store.base import FILE_SCHEME, HUB_SCHEME, PACKAGE_SCHEME, S3_SCHEME, Store
from med42lib.store.names import inside

_PACKAGE = re.compile(r"package:(\w+)(?:/(.*?))?/*", re.DOTALL)


def open_store(address: str) -> Store:
    """Open the store at an address without touching it.

    Raises:
        StoreError: If the address is empty or its scheme is unknown.
        DataError: If a `package:` address names a package that is not installed, or a place outside it.
    """
    if address.startswith(S3_SCHEME):
        from med42lib.store.backends.s3 import S3Store

        return S3Store(address)
    if address.startswith(HUB_SCHEME):
        return HubStore(address)
    if address.startswith(PACKAGE_SCHEME):
        return LocalStore(address, _package_folder(address))
    folder = _folder(address)
    if folder is None:
        raise StoreError(
            f"cannot open {address!r}: an address is a folder (. is the working directory), s3://bucket/prefix, "
            "package:name/path or hub:owner/name@revision"
        )
    return LocalStore(address, folder)


def s3_endpoint() -> str:
    """Give the URL of the S3 server behind every `s3://` address, as boto3 finds it.

    Raises:
        AccessError, StoreError: If no client can be made of the environment.
    """
    from med42lib.store.backends.s3 import make_client

    return make_client().meta.endpoint_url


def join_address(address: str, *parts: str) -> str:
    """Append path parts to an address of any kind."""
    return "/".join([address.rstrip("/"), *parts])


def dataset_address(name_and_revision: str) -> str:
    """Write `owner/name@revision` of a data set as an address."""
    return f"{HUB_SCHEME}{DATASETS}{name_and_revision}"


def absolute_address(address: str) -> str:
    """Make a folder's address independent of the working directory; others stay as they are."""
    open_store(address)  # an address that is none is told here
    folder = _folder(address) if is_folder(address) else None
    return address if folder is None else str(folder.absolute())


def is_folder(address: str) -> bool:
    """Say whether an address is a folder of this machine, which no other one reaches by it."""
    return not address.startswith((S3_SCHEME, HUB_SCHEME, PACKAGE_SCHEME))


def lies_within(address: str, folder: str) -> bool:
    """Say whether an address is a folder's, or of something in it."""
    inner, outer = open_store(address).local_path(""), open_store(folder).local_path("")
    if inner is None or outer is None:
        return f"{address.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")
    return inner.resolve().is_relative_to(outer.resolve())


def names_missing_package(address: str) -> bool:
    """Say whether an address is inside a Python package that is not installed here."""
    match = _PACKAGE.fullmatch(address)
    return match is not None and _found(match[1]) is None


def _folder(address: str) -> Path | None:
    """Read a folder's address; None if it is none."""
    folder = address.removeprefix(FILE_SCHEME)
    if not folder.strip() or "\0" in folder or ("://" in address and folder == address):
        return None
    try:
        return Path(folder).expanduser()
    except RuntimeError:  # ~ of a user that there is not
        return None


def _package_folder(address: str) -> Path:
    """Find a package's folder without importing it: for a name without dots Python only looks for it."""
    match = _PACKAGE.fullmatch(address)
    spec = _found(match[1]) if match else None
    if match is None or spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"{address}: no such Python package is installed; expected package:name/path, where the name has no dots"
        )
    return inside(Path(next(iter(spec.submodule_search_locations))), match[2] or "")


def _found(package: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(package)
    except ValueError:  # __main__ and its like
        return None
