"""The one way a stage runs: check, reuse or call, verify, publish.

settings and addresses ─► key ─► sealed attempt under that key? ── yes ─► its outputs' addresses
                                              │ no                                   ▲
                                              ▼                                      │
                          call the stage in its own scratch folder                   │
                                              │                                      │
                     every target written? ─► put all files, then seal ──────────────┘
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from med42lib import __version__
from med42lib.core.config import StageConfig, parse_config
from med42lib.core.errors import Med42Error, full_disk, not_installed
from med42lib.core.log import log, log_place
from med42lib.engine.context import StageContext, TrackedAs
from med42lib.engine.key import named_code, output_key
from med42lib.engine.stage import Stage
from med42lib.store.address import open_store
from med42lib.store.artifacts import Source, Sources, Target, give_usual_modes
from med42lib.store.base import Store
from med42lib.store.cache import StageCache
from med42lib.store.identity import HashCache
from med42lib.store.manifest import COMMIT, Input, Manifest
from med42lib.store.names import inside
from med42lib.store.patience import impatient
from med42lib.store.publish import Sealed, Upload, find_sealed
from med42lib.store.scratch import attempt_folder

GIT_VARIABLE = "MED42_GIT_SHA"
RECORDED_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "deepspeed",
    "lm-eval",
    "sentence-transformers",
    "mlflow",
)


@dataclass(frozen=True, slots=True)
class Request:
    """What a stage is asked to do: its settings, where its outputs go, and where its inputs are.

    The addresses of an input that is `Sources` are a mapping from names. `tracked` is None where nobody is to watch.
    """

    config: Mapping[str, object]
    store: str
    sources: Mapping[str, str | Mapping[str, str]]
    tracked: TrackedAs | None = None
    section: str = ""
    """Where the settings stand in the spec, `train.lora`; empty: under the stage's name."""

    def addresses(self) -> Iterator[tuple[str, str]]:
        """Give each input's address by its edge, that of a member by edge and name: `trained.lora`."""
        for edge, given in self.sources.items():
            if isinstance(given, str):
                yield edge, given
            else:
                yield from ((f"{edge}.{name}", address) for name, address in sorted(given.items()))


@dataclass(frozen=True, slots=True)
class Result:
    """Addresses of a stage's outputs, and whether they were there already."""

    targets: dict[str, str]
    reused: bool


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a stage, with everything that names its output."""

    stage: Stage
    config: StageConfig
    sources: dict[str, Source]
    key: str
    store: Store
    scratch: Path
    tracked: TrackedAs | None
    section: str

    @property
    def prefix(self) -> str:
        return f"{self.stage.name}/{self.key}"

    def arguments(self) -> dict[str, Source | Sources]:
        return {
            edge: self._members(edge) if edge in self.stage.mappings else self.sources[edge]
            for edge in self.stage.sources
        }

    def _members(self, edge: str) -> Sources:
        start = f"{edge}."
        return {name.removeprefix(start): source for name, source in self.sources.items() if name.startswith(start)}


def run_stage(stage: Stage, request: Request) -> Result:
    """Run a stage, or find what an earlier run of the same stage on the same inputs left.

    Raises:
        ConfigError: If the settings are wrong; all problems are listed.
        Med42Error: Whatever else goes wrong, with its exit code.
    """
    with log_place(stage=stage.name):
        return _find_or_run(stage, request)


def _find_or_run(stage: Stage, request: Request) -> Result:
    section = request.section or stage.name
    config = parse_config(stage.config_class, dict(request.config), title=f"settings of {section}")
    store = open_store(request.store)
    store.check()
    with attempt_folder(store.scratch_root(), stage.name) as scratch, _disk_errors(scratch):
        hashes = HashCache(store)
        places = {name: inside(scratch / "in", name) for name, _ in request.addresses()}
        sources = {n: Source(address, cache=places[n], hashes=hashes) for n, address in request.addresses()}
        try:
            digests = {n: source.digest for n, source in sources.items() if n.partition(".")[0] not in stage.speed_only}
        finally:
            hashes.save(scratch)  # the next attempt reads what is left
        key = output_key(stage, config, digests)
        call = _Call(stage, config, sources, key, store, scratch, request.tracked, section)
        with log_place(key=key):
            if stage.reuse and (sealed := find_sealed(store, call.prefix, stage.targets)):
                log(stage.name).info("reused %s", sealed.address)
                return _result(stage, sealed, reused=True)
            result = _result(stage, _run(call, hashes), reused=False)
        hashes.save(scratch)
    return result


def _result(stage: Stage, sealed: Sealed, *, reused: bool) -> Result:
    return Result({target: sealed.output(target) for target in stage.targets}, reused)


def _run(call: _Call, hashes: HashCache) -> Sealed:
    upload = Upload(call.store, call.prefix)
    with log_place(attempt=upload.attempt):
        try:
            return _attempt(call, upload, hashes)
        except Med42Error as error:
            if (sealed := _sealed_meanwhile(call)) is None:
                raise
            log(call.stage.name).warning("another run has finished this, and its output counts; here: %s", error)
            return sealed


def _sealed_meanwhile(call: _Call) -> Sealed | None:
    """Find what another run has finished, and with it removed the checkpoints that this one needed."""
    with suppress(Med42Error), impatient():
        return find_sealed(call.store, call.prefix, call.stage.targets) if call.stage.reuse else None
    return None


def _attempt(call: _Call, upload: Upload, hashes: HashCache) -> Sealed:
    stage, scratch = call.stage, call.scratch
    cache = StageCache(call.store.address, stage.name, scratch / "cache")
    code = named_code(stage.closure)
    context = StageContext(call.key, call.store.address, upload, cache, call.tracked, section=call.section, code=code)
    targets = {name: Target(scratch / "out" / name) for name in stage.targets}
    for target in targets.values():
        target.folder.mkdir(parents=True)
    started = time.monotonic()
    with _missing_libraries(stage):
        stage.function(call.config, **call.arguments(), **targets, **dict.fromkeys(stage.contexts, context))
    for source in call.sources.values():
        source.check_unchanged()
    seconds = time.monotonic() - started
    unwritten = [name for name, target in targets.items() if not target.written]
    if unwritten:
        raise AssertionError(f"{stage.name} returned without writing {', '.join(unwritten)}")
    sealed = _publish(call, upload, targets, seconds, hashes)
    if stage.contexts:
        context.checkpoints.remove()
    log(stage.name).info("finished in %.1f s: %s", seconds, sealed.address)
    return sealed


def _publish(call: _Call, upload: Upload, targets: Mapping[str, Target], seconds: float, hashes: HashCache) -> Sealed:
    manifests = {}
    for name, target in targets.items():
        give_usual_modes(target.folder)
        manifests[name] = _manifest(call, name, target, seconds)
        upload.put_folder(name, target.folder, manifests[name])
    sealed = upload.seal(targets)
    if sealed.attempt != upload.attempt:
        if call.stage.reuse:  # one that runs each time always meets what it left before
            log(call.stage.name).info(
                "another run was first to finish this; its output counts, and this one is removed"
            )
        return sealed
    for name, manifest in manifests.items():
        hashes.remember(open_store(sealed.output(name)), manifest.files)
        for source in call.sources.values():
            source.remember_shared(manifest.files)
    return sealed


def _manifest(call: _Call, target_name: str, target: Target, seconds: float) -> Manifest:
    return Manifest(
        stage=call.stage.name,
        target=target_name,
        key=call.key,
        config=call.config.model_dump(mode="json"),
        inputs={name: Input(source.digest, source.address) for name, source in call.sources.items()},
        files=target.files(),
        rows=target.rows,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    found = {"med42-suite": __version__, "python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if commit := os.environ.get(GIT_VARIABLE):
        found[COMMIT] = commit
    return found


@contextmanager
def _missing_libraries(stage: Stage) -> Iterator[None]:
    """Say which extra has a library that is not installed; a missing module of ours is a bug."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == __package__.partition(".")[0]:
            raise
        raise not_installed(error, stage.name, stage.runtime) from error


@contextmanager
def _disk_errors(scratch: Path) -> Iterator[None]:
    """Name a full disk as such, wherever in a stage, or around it, it was met."""
    try:
        yield
    except Exception as error:
        if no_space := full_disk(error, f"below {scratch}"):
            raise no_space from error
        raise
