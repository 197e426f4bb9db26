"""Files of a data folder of the user's: opened by name, plain or gzipped, with limits that a hostile file meets early.

A line longer than `MAX_LINE_BYTES` comes as its beginning, so that a reader can reject it with its number and go on. A
gzipped file that grows out of all proportion is refused before it fills memory or disk.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from med42lib.core.errors import DataError
from med42lib.store.artifacts import Source

MAX_LINE_BYTES = 16 << 20
"""Longest line that is read whole, in bytes."""

MAX_EXPANSION = 200
"""How many times its size a gzipped file may grow to; text grows 3 to 20 times, a bomb a thousand times."""

_HARMLESS_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_ADVICE = {
    b"\xff\xfe": "it is UTF-16; convert it with `iconv -f UTF-16 -t UTF-8`",
    b"\xfe\xff": "it is UTF-16; convert it with `iconv -f UTF-16 -t UTF-8`",
    _GZIP: "it is compressed twice; unpack it with `gunzip`",
    b"PK\x03\x04": "it is a zip archive; unpack it",
}
SIGNATURES = tuple(_ADVICE)
_OTHERWISE = (
    "it is binary or was damaged, so copy it again; or it is text in another encoding, so save it as UTF-8 (in Excel "
    "`CSV UTF-8`, or with `iconv -f WINDOWS-1252 -t UTF-8`)"
)


def check_expansion(name: str, num_packed: int, num_unpacked: int) -> None:
    """Make sure that a packed file grows in proportion.

    Raises:
        DataError: If it does not.
    """
    if num_unpacked > max(_HARMLESS_BYTES, MAX_EXPANSION * num_packed):
        raise DataError(
            f"{name} unpacks to more than {MAX_EXPANSION} times its size: no data set does; if yours really does, "
            "store it with less compression, or unpacked"
        )


def advice(content: bytes) -> str:
    """Say what to do with content that is not text."""
    for signature, text in _ADVICE.items():
        if content.startswith(signature):
            return text
    return _OTHERWISE


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a data folder: its name in the folder, with forward slashes, and where it lies."""

    name: str
    path: Path

    def read(self) -> bytes:
        """Read the whole file, unpacked if it is gzipped.

        Raises:
            DataError: If it cannot be read, is cut, or grows out of all proportion.
        """
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """Read the file in blocks of at most 1 MiB; errors as in `read`."""
        with self._open() as stream:
            while block := stream.read(_BLOCK_BYTES):
                yield block

    def lines(self) -> Iterator[bytes]:
        """Read the file line by line, holding one in memory; errors as in `read`.

        A line of `MAX_LINE_BYTES` or more comes as its first `MAX_LINE_BYTES`.
        """
        with self._open() as stream:
            while line := stream.readline(MAX_LINE_BYTES):
                yield line
                if len(line) == MAX_LINE_BYTES:
                    _skip_rest_of_line(stream, line)

    def starts_with(self, beginning: bytes) -> bool:
        """Say whether the first bytes after white space and a byte order mark are these."""
        first = next((line for line in self.lines() if line.strip(b" \t\r\n\xef\xbb\xbf")), b"")
        return first.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(beginning)

    def text(self) -> str:
        """Read the whole file as UTF-8, without a byte order mark.

        Raises:
            DataError: If it cannot be read or is not UTF-8.
        """
        content = self.read()
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.name} is not UTF-8 text (byte {error.start:,} of {len(content):,}): {advice(content)}"
            ) from None

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        try:
            with self.path.open("rb") as plain:
                if plain.peek(2)[:2] != _GZIP:
                    yield plain
                    return
                with gzip.GzipFile(fileobj=plain) as unpacked:
                    yield _Bounded(unpacked, self.name, self.path.stat().st_size)  # type: ignore[misc]
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self.name} is a gzipped file that was cut or damaged ({error}); copy it again") from None
        except OSError as error:
            raise DataError(f"{self.name} cannot be read: {error.strerror} ({self.path})") from error


class _Bounded:
    """Unpacks a gzipped file as long as its size stays in proportion."""

    def __init__(self, stream: gzip.GzipFile, name: str, num_packed: int) -> None:
        self._stream, self._name, self._num_packed = stream, name, num_packed
        self._num_unpacked = 0

    def read(self, size: int) -> bytes:
        return self._counted(self._stream.read(size))

    def readline(self, size: int) -> bytes:
        return self._counted(self._stream.readline(size))

    def _counted(self, block: bytes) -> bytes:
        self._num_unpacked += len(block)
        check_expansion(self._name, self._num_packed, self._num_unpacked)
        return block


def _skip_rest_of_line(stream: IO[bytes], line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(_BLOCK_BYTES)


class DataFolder:
    """A data folder of the user's that remembers which of its files were opened, and what is to be said of them."""

    def __init__(self, data: Source) -> None:
        self._data = data
        self.opened: list[str] = []
        self.notes: list[str] = []

    @property
    def address(self) -> str:
        """Where the folder is."""
        return self._data.address

    def has(self, name: str) -> bool:
        """Say whether there is a file or sub-folder of this name."""
        return self._data.has(_normal(name))

    def has_file(self, name: str) -> bool:
        """Say whether there is a file, not a sub-folder, of this name."""
        return self._data.has_file(_normal(name))

    def has_match(self, pattern: str) -> bool:
        """Say whether there is a file that matches a pattern such as `x/**/*.parquet`."""
        expression = re.compile(_as_expression(pattern))
        return any(expression.fullmatch(entry.path) for entry in self._data.files)

    def holds(self, path: str) -> bool:
        """Say whether there is anything at a path: a file, a sub-folder, or a file that matches if it is a pattern."""
        return self.has_match(path) if "*" in path else self.has(path)

    def check_holds(self, path: str) -> None:
        """Make sure that there is anything at a path.

        Raises:
            DataError: If there is not; says what is there instead.
        """
        if not self.holds(path):
            raise self._data.lacks(path)

    def folder_of(self, path: str) -> str:
        """Name the folder that holds a file or all that matches a pattern, or is one itself; empty for the whole."""
        fixed, star, _ = path.partition("*")
        is_folder = not star and not self.has_file(path)
        folder = PurePosixPath(path) if is_folder else PurePosixPath(f"{fixed}_").parent
        return _normal(folder.as_posix())

    def names(self, folder: str) -> list[str]:
        """List the files below a folder, sorted; nothing is opened."""
        prefix = f"{_normal(folder)}/" if _normal(folder) else ""
        return sorted(entry.path for entry in self._data.files if entry.path.startswith(prefix))

    def file(self, name: str) -> DataFile:
        """Open one file.

        Raises:
            DataError: If there is none of that name.
        """
        name = _normal(name)
        if self._data.has(name) and not self._data.has_file(name):
            raise DataError(f"{self._data.address}/{name} is a folder where a file is wanted; name a file in it")
        path = self._data.path(name)
        self.opened.append(name)
        return DataFile(name, path)

    def files(self, folder: str, pattern: str) -> list[DataFile]:
        """Open all files below a folder whose names match a pattern such as `*.xml`, sorted by name.

        Raises:
            DataError: If there are none.
        """
        folder = _normal(folder)
        wanted = [name for name in self.names(folder) if PurePosixPath(name).match(pattern)]
        if not wanted:
            raise DataError(
                f"{self._data.address}/{folder} has no files {pattern}; check the path (it must be a folder)"
            )
        paths = self._data.paths(wanted)
        self.opened.extend(wanted)
        return [DataFile(name, path) for name, path in zip(wanted, paths, strict=True)]

    def matching(self, pattern: str) -> list[str]:
        """List all files that match a pattern such as `x/**/*.parquet`, sorted.

        Raises:
            DataError: If there are none.
        """
        expression = re.compile(_as_expression(pattern))
        wanted = [name for name in self.names("") if expression.fullmatch(name)]
        if not wanted:
            raise DataError(f"{self._data.address} has no files {pattern}; check the path")
        return wanted


def _as_expression(pattern: str) -> str:
    """Write a pattern as a regular expression: `**/` is any folders or none, `*` anything within one name."""
    parts = re.split(r"(\*\*/|\*)", pattern)
    return "".join({"**/": "(?:.*/)?", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts)


def _normal(name: str) -> str:
    normal = PurePosixPath(name).as_posix()
    return "" if normal == "." else normal
