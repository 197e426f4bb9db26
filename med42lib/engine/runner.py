"""The one way a stage runs: check, reuse or call, verify, publish.

settings and addresses ─► key ─► complete output under that key? ── yes ─► its addresses
                                              │ no
                                              ▼
                          call the stage in its own scratch folder
                                              │
                     every target written? ─► publish, manifest last
"""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from med42lib import __version__
from med42lib.core.config import StageConfig, parse_config
from med42lib.core.errors import full_disk
from med42lib.core.log import log
from med42lib.engine.key import output_key
from med42lib.engine.stage import Stage
from med42lib.store.artifacts import Source, Target
from med42lib.store.cache import Parts
from med42lib.store.manifest import MANIFEST_FILE, Input, Manifest, describe_folder
from med42lib.store.scratch import attempt_folder
from med42lib.store.store import Store, join_address, open_store

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
    """What a stage is asked to do: its settings, where its outputs go, and where its inputs are."""

    config: Mapping[str, object]
    store: str
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """Addresses of a stage's outputs, and whether they were there already."""

    targets: dict[str, str]
    reused: bool


def run_stage(stage: Stage, request: Request) -> Result:
    """Run a stage, or find what an earlier run of the same stage on the same inputs left.

    Raises:
        ConfigError: If the settings are wrong; all problems are listed.
        Med42Error: Whatever else goes wrong, with its exit code.
    """
    config = parse_config(stage.config_class, dict(request.config), title=f"settings of {stage.name}")
    store = open_store(request.store)
    store.check()
    with attempt_folder(store.scratch_root(), stage.name) as scratch:
        sources = {name: Source(address, cache=scratch / "in" / name) for name, address in request.sources.items()}
        key = output_key(stage, config, {name: source.digest for name, source in sources.items()})
        addresses = {target: join_address(store.address, stage.name, key, target) for target in stage.targets}
        if stage.reuse and all(_complete(store, stage, key, target) for target in stage.targets):
            log(stage.name).info("reused %s", join_address(store.address, stage.name, key))
            return Result(addresses, reused=True)
        _call(stage, config, key, sources, store, scratch)
    return Result(addresses, reused=False)


def _complete(store: Store, stage: Stage, key: str, target: str) -> bool:
    """Say whether there is a finished output; its files' presence and sizes are checked where it is read."""
    return store.read(f"{stage.name}/{key}/{target}/{MANIFEST_FILE}") is not None


def _call(stage: Stage, config: StageConfig, key: str, sources: dict[str, Source], store: Store, scratch: Path) -> None:
    parts = Parts(store.address, stage.name, scratch / "parts")
    targets = {name: Target(scratch / "out" / name, parts=parts) for name in stage.targets}
    for target in targets.values():
        target.folder.mkdir(parents=True)
    started = time.monotonic()
    with _disk_errors(scratch):
        stage.function(config, **sources, **targets)
    seconds = time.monotonic() - started
    unwritten = [name for name, target in targets.items() if not target.written]
    if unwritten:
        raise AssertionError(f"{stage.name} returned without writing {', '.join(unwritten)}")
    for name, target in targets.items():
        _make_readable(target.folder)
        manifest = _manifest(stage, name, key, config, sources, target, seconds)
        store.publish(f"{stage.name}/{key}/{name}", target.folder, manifest.files, manifest.to_json())
    log(stage.name).info("finished in %.1f s: %s", seconds, join_address(store.address, stage.name, key))


def _make_readable(folder: Path) -> None:
    """Let others on a shared volume read what was made: safetensors writes files that only their owner can."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(path.stat().st_mode | 0o444)


def _manifest(
    stage: Stage,
    target_name: str,
    key: str,
    config: StageConfig,
    sources: dict[str, Source],
    target: Target,
    seconds: float,
) -> Manifest:
    return Manifest(
        stage=stage.name,
        target=target_name,
        key=key,
        config=config.model_dump(mode="json"),
        inputs={name: Input(source.digest, source.address) for name, source in sources.items()},
        files=describe_folder(target.folder),
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
    return found


@contextmanager
def _disk_errors(scratch: Path) -> Iterator[None]:
    """Name a full disk as such, wherever in a stage it was met."""
    try:
        yield
    except Exception as error:
        if no_space := full_disk(error, f"below {scratch}"):
            raise no_space from error
        raise
