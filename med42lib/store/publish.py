"""Publishing an output: several attempts may write, one of them counts.

    train/<key>/20261127T174118-3f2a9c1d/trained/model.safetensors    an attempt puts files under a name of its own,
    train/<key>/20261127T174118-3f2a9c1d/trained/manifest.json        from any process, several at a time
    train/<key>/sealed-1.json                                         put once, last: which attempt counts

Files of two attempts never meet, and an attempt that is not sealed, killed halfway or beaten by another, is read by
nobody. Only the seal is contested, and the store lets one of all contenders put it. What lost is removed, at once by
itself, or by a later run. Where somebody deleted a sealed attempt, the next one is sealed as `sealed-2.json`.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from med42lib.core.errors import AccessError, NoSpaceError, StoreError, StoreUnavailable
from med42lib.core.log import log
from med42lib.core.progress import progress
from med42lib.store.address import join_address
from med42lib.store.base import Store, StoredFile
from med42lib.store.manifest import MANIFEST_FILE, FileEntry, Manifest

SECONDS_UNTIL_ABANDONED = 24 * 3600.0
"""What an attempt that is not sealed has left is removed when none of its files is younger than this."""

_MAX_SEALS = 20
_SEAL = re.compile(r"sealed-([1-9]\d{0,5})\.json")
_ATTEMPT = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Sealed:
    """The attempt that counts under a key; `address` is that of its folder."""

    attempt: str
    address: str

    def output(self, name: str) -> str:
        """Return the address of one of its outputs."""
        return join_address(self.address, name)


def sibling_output(address: str, name: str) -> str:
    """Return the address of another output of the attempt that wrote the output at an address."""
    return join_address(address.rstrip("/").rpartition("/")[0], name)


def find_sealed(store: Store, prefix: str, outputs: Iterable[str]) -> Sealed | None:
    """Find the attempt that counts, if its outputs are still there; what was abandoned beside it is removed.

    Args:
        store: Where to look.
        prefix: Stage and key: `train/0123456789abcdef`.
        outputs: Names of the outputs that a whole attempt has.
    """
    found = _find_attempts(store, prefix)
    sealed = found.sealed(store, outputs)
    if sealed:
        _remove_abandoned(store, found)
    return sealed


def sealed_outputs(store: Store, stage: str, output: str) -> list[str]:
    """List the addresses of all outputs of that name that a stage has finished, sorted by key; nothing is removed."""
    keys = sorted({name.split("/")[1] for name in store.files(stage)})
    found = (_find_attempts(store, f"{stage}/{key}").sealed(store, [output]) for key in keys)
    return [sealed.output(output) for sealed in found if sealed]


@dataclass(frozen=True, slots=True)
class _Found:
    """What lies under a key: its files, the attempts that seals name, the first seal's first, and the last's number."""

    prefix: str
    files: Mapping[str, StoredFile]
    attempts: list[str]
    last_seal: int

    def sealed(self, store: Store, outputs: Iterable[str]) -> Sealed | None:
        """Give the attempt that counts: the first that is named by a seal and has these outputs."""
        needed = [f"{output}/{MANIFEST_FILE}" for output in outputs]
        for attempt in self.attempts:
            if all(f"{self.prefix}/{attempt}/{name}" in self.files for name in needed):
                return Sealed(attempt, join_address(store.address, self.prefix, attempt))
        return None


def _find_attempts(store: Store, prefix: str) -> _Found:
    files = store.files(prefix)
    seals = _seals(prefix, files)
    attempts = (_attempt_of(store.read(seal)) for _, seal in seals)
    return _Found(prefix, files, [attempt for attempt in attempts if attempt], seals[-1][0] if seals else 0)


class Upload:
    """One attempt at the outputs of a key. Goes to other processes, which may put files too."""

    def __init__(self, store: Store, prefix: str, attempt: str = "") -> None:
        self.attempt = attempt or f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._store, self.prefix = store, prefix

    @property
    def address(self) -> str:
        """Where the attempt's files go."""
        return join_address(self._store.address, self.prefix, self.attempt)

    def go_on_as(self, attempt: str) -> None:
        """Continue an attempt at the same key that others have put files of; from now on this is that attempt."""
        self.attempt = attempt

    def put(self, name: str, path: Path) -> None:
        """Put one file of the attempt; the local file may be gone afterwards. A full store is given its space back."""
        try:
            self._store.put(f"{self.prefix}/{self.attempt}/{name}", path)
        except NoSpaceError:
            tidy(self._store, f"{self.prefix}/{self.attempt}")
            raise

    def put_files(self, output: str, folder: Path, entries: Sequence[FileEntry]) -> None:
        """Put files of an output that lie in a folder, showing progress."""
        with progress(f"store {output}", sum(entry.bytes for entry in entries), unit="B") as bar:
            for entry in entries:
                self.put(f"{output}/{entry.path}", folder / entry.path)
                bar.advance(entry.bytes)

    def put_folder(self, output: str, folder: Path, manifest: Manifest) -> None:
        """Put an output: those of the files that its manifest lists that lie here, and the manifest, last."""
        self.put_files(output, folder, [entry for entry in manifest.files if (folder / entry.path).is_file()])
        own = folder / MANIFEST_FILE
        own.write_text(manifest.to_json(), encoding="utf-8")
        self.put(f"{output}/{MANIFEST_FILE}", own)

    def seal(self, outputs: Iterable[str]) -> Sealed:
        """Make this attempt the one that counts, unless another does; returns the one that does.

        Args:
            outputs: Names of all outputs, each put with its manifest.
        """
        names = list(outputs)
        content = json.dumps({"attempt": self.attempt}).encode()
        for _ in range(_MAX_SEALS):
            found = _find_attempts(self._store, self.prefix)
            sealed = found.sealed(self._store, names)
            if sealed is not None:
                if sealed.attempt != self.attempt:
                    tidy(self._store, f"{self.prefix}/{self.attempt}")
                return sealed
            self._store.put_once(f"{self.prefix}/sealed-{found.last_seal + 1}.json", content)
        raise StoreError(
            f"{join_address(self._store.address, self.prefix)}: files of this output vanish as soon as they are "
            "stored; is something cleaning up there? Stop it and run again"
        )


def _seals(prefix: str, files: Mapping[str, StoredFile]) -> list[tuple[int, str]]:
    matches = ((_SEAL.fullmatch(name.removeprefix(f"{prefix}/")), name) for name in files)
    return sorted((int(match[1]), name) for match, name in matches if match)


def _attempt_of(seal: bytes | None) -> str | None:
    """Read a seal; None for one that a kill left empty, or that names no attempt."""
    try:
        attempt = json.loads(seal or b"")["attempt"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return attempt if isinstance(attempt, str) and _ATTEMPT.fullmatch(attempt) else None


def _remove_abandoned(store: Store, found: _Found) -> None:
    """Remove what no seal ever named: what a seal names was somebody's input, though another may count by now."""
    youngest: dict[str, float] = defaultdict(float)
    for name, file in found.files.items():
        beside = name.removeprefix(f"{found.prefix}/").partition("/")[0]
        youngest[beside] = max(youngest[beside], file.modified)
    for beside, modified in youngest.items():
        is_other = beside not in found.attempts and not _SEAL.fullmatch(beside)
        if is_other and time.time() - modified > SECONDS_UNTIL_ABANDONED:
            tidy(store, f"{found.prefix}/{beside}")


def tidy(store: Store, name: str) -> bool:
    """Remove what nobody reads. It may not be ours to remove, which is no reason to lose a finished output."""
    try:
        store.delete(name)
        return True
    except (AccessError, StoreError, StoreUnavailable) as error:
        log("store").warning("%s is of no use and could not be removed: %s", join_address(store.address, name), error)
        return False
