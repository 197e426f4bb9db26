"""Small outputs for tests of the store."""

from collections.abc import Mapping
from pathlib import Path

from med42lib.store.address import open_store
from med42lib.store.base import Store
from med42lib.store.manifest import Input, Manifest, describe_folder
from med42lib.store.publish import Upload


def manifest_of(
    folder: Path, *, stage: str = "pack", target: str = "packed", key: str = "k", **inputs: Input
) -> Manifest:
    """Describe a folder as an output."""
    return Manifest(stage, target, key, {}, inputs, describe_folder(folder), None, "2026-01-01T00:00:00+00:00", 1.0)


def published(store: Store | str, folder: Path, manifest: Manifest | None = None) -> str:
    """Publish a folder as the only output of its key; returns its address."""
    store = open_store(store) if isinstance(store, str) else store
    manifest = manifest or manifest_of(folder)
    upload = Upload(store, f"{manifest.stage}/{manifest.key}")
    upload.put_folder(manifest.target, folder, manifest)
    return upload.seal([manifest.target]).output(manifest.target)


def filled(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files into a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
