"""What an output was made from: the walk through its manifest to everything upstream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from med42lib.core.errors import AccessError, DataError, StoreError
from med42lib.core.hashing import content_hash
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source
from med42lib.store.base import HUB_SCHEME, PACKAGE_SCHEME
from med42lib.store.manifest import Manifest

_MOST_DEPTH = 100
_UNASKED = (HUB_SCHEME, PACKAGE_SCHEME)
"""What no stage put out: a hub's repository, which may want a token, and a Python package, which some images lack."""


@dataclass(frozen=True, slots=True)
class Output:
    """A finished output of a stage, where it lies and what is recorded of it."""

    source: Source
    manifest: Manifest

    @property
    def stage_run(self) -> tuple[str, str]:
        """The stage and key that outputs of one and the same call share."""
        return self.manifest.stage, self.manifest.key


@dataclass(frozen=True, slots=True)
class Lineage:
    """Outputs in the order they were made, inputs first; and a sentence for each that is no longer there."""

    outputs: tuple[Output, ...]
    missing: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Name the whole: 32 hexadecimal digits that depend on stages and keys, not on addresses or times."""
        names = {f"{o.manifest.stage}/{o.manifest.key}/{o.manifest.target}" for o in self.outputs}
        return content_hash(*sorted(names), length=32)

    def stage_runs(self) -> list[tuple[Output, ...]]:
        """Group the outputs by the call that made them, in order."""
        groups: dict[tuple[str, str], list[Output]] = {}
        for output in self.outputs:
            groups.setdefault(output.stage_run, []).append(output)
        return [tuple(group) for group in groups.values()]

    def names(self, edges: Mapping[str, str]) -> list[str]:
        """Name the calls of `stage_runs`, each differently: `pack`, `evaluate[base]`, `evaluate[lora]`.

        Args:
            edges: Names by address: the edge through which the report read an output tells apart the calls of a stage
                that ran more than once (`scores.lora` says `lora`). Where it read none of a call's, that through which
                another stage read it as one of several does, behind what tells that stage's calls apart
                (`answer_questions[lora.1]`), or the key.
        """
        runs = {run[0].stage_run: run for run in self.stage_runs()}
        calls = Counter(stage for stage, _ in runs)
        inputs = ((output, *item) for output in self.outputs for item in output.manifest.inputs.items())
        readers = {entry.address: (edge, output.stage_run) for output, edge, entry in inputs if "." in edge}

        def told_apart(run: tuple[Output, ...]) -> list[str]:
            if calls[run[0].manifest.stage] == 1:
                return []
            addresses = [output.source.address for output in run]
            if own := next((edges[address] for address in addresses if address in edges), ""):
                return [own.rpartition(".")[2]]
            if read := next((readers[address] for address in addresses if address in readers), None):
                return [*told_apart(runs[read[1]]), read[0].rpartition(".")[2]]
            return [run[0].manifest.key]

        found = [(run[0].manifest.stage, ".".join(told_apart(run))) for run in runs.values()]
        return [f"{stage}[{name}]" if name else stage for stage, name in found]

    def at(self, address: str) -> Output:
        """Give the output at an address; one of those that were walked over."""
        return next(output for output in self.outputs if output.source.address == address)


def trace(*roots: Source, cache: Path | None = None) -> Lineage:
    r"""Walk from finished outputs to all they were made from.

    With `report` made from `scores` and `packed`, and both of these from `model`:

        trace(report)  ─►  model, packed, scores, report

    Each output comes once, after its inputs; inputs are taken in the order of their edges' names, so that the
    order is the same each time. A folder of the user's, which has no manifest, ends the walk and is not listed; so does
    what a hub or a Python package holds, which is not asked for one.

    Args:
        roots: Where to start.
        cache: Local folder below which files of remote outputs are kept when they are read; not needed for manifests.

    Returns:
        The outputs found, and what should be there but is not.

    Raises:
        DataError: If a manifest cannot be read, or a root is not the output of a stage.
    """
    walk = _Walk(cache)
    for root in roots:
        if root.manifest is None:
            raise DataError(f"{root.address} is not the output of a stage: it has no manifest; check the address")
        walk.visit(root, root.manifest)
    return Lineage(tuple(walk.found.values()), tuple(walk.missing))


class _Walk:
    def __init__(self, cache: Path | None) -> None:
        self.found: dict[tuple[str, str, str], Output] = {}
        self.missing: dict[str, None] = {}
        self._cache = cache
        self._visited: set[str] = set()
        self._opened: dict[str, Source | None] = {}

    def visit(self, source: Source, manifest: Manifest, depth: int = 0) -> None:
        """Add an output after everything it was made from."""
        if source.address in self._visited:
            return
        if depth > _MOST_DEPTH:
            raise DataError(f"{source.address} is more than {_MOST_DEPTH} stages upstream; its manifests are forged")
        self._visited.add(source.address)
        for upstream in self._inputs(manifest):
            self.visit(upstream.source, upstream.manifest, depth + 1)
        self.found.setdefault((manifest.stage, manifest.key, manifest.target), Output(source, manifest))

    def _inputs(self, manifest: Manifest) -> Iterator[Output]:
        for edge, entry in sorted(manifest.inputs.items()):
            if entry.address.startswith(_UNASKED):
                continue
            name = f"{edge!r} of {manifest.stage} at {entry.address}"
            source = self._open(entry.address)
            if source is None:
                self.missing[f"{name} is no longer there, or cannot be read"] = None
            elif source.manifest is not None and source.manifest.digest != entry.digest:
                self.missing[f"{name} was replaced by other content"] = None
            elif source.manifest is not None:
                yield Output(source, source.manifest)

    def _open(self, address: str) -> Source | None:
        """Open what lies at an address, once; None if nothing does."""
        if address not in self._opened:
            self._opened[address] = _open(address, self._cache and self._cache / content_hash(address))
        return self._opened[address]


def _open(address: str, cache: Path | None) -> Source | None:
    """Open an output or a folder of the user's; None for what is gone, or closed to this user.

    Folders are not walked through: a manifest may name any.
    """
    try:
        source = Source(address, cache=cache)
    except StoreError:  # an address that is none
        return None
    try:
        there = source.manifest is not None or _holds_something(address)
    except (AccessError, StoreError):
        return None
    return source if there else None


def _holds_something(address: str) -> bool:
    store = open_store(address)
    here = store.local_path("")
    return bool(store.files()) if here is None else here.is_dir()
