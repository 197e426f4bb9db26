"""What a stage may know of the call that it is in.

A stage gets it if its signature has a keyword parameter of this type; most need none. Nothing of it enters the digest
of an output: the same work under another attempt is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from med42lib.core.stop_signal import StopSignal
from med42lib.store.address import open_store
from med42lib.store.cache import StageCache
from med42lib.store.checkpoints import Checkpoints
from med42lib.store.publish import Upload


@dataclass(frozen=True, slots=True)
class TrackedAs:
    """What the work is called where people watch it while it goes on.

    `run` names the whole run, the same for each of its stages and when it is run again after a failure.
    """

    experiment: str
    run: str
    name: str


@dataclass(frozen=True, slots=True)
class StageContext:
    """One call of a stage.

    `upload` is the attempt: other processes, on this machine or another, put files of its outputs with it, and
    `Target.received` takes them into account. `cache` keeps work between runs. `checkpoints` keep what is not finished,
    also for other attempts at this key; the runner removes them when the output is sealed. `tracked` is None where
    nobody is to watch. `stopping` tells a stage that looks at it to save and leave. `section` is what its settings are
    called in messages: `train.lora`. `code` is what of the stage's code and libraries is in the key, by name, for
    other processes to compare with theirs; None outside the runner.
    """

    key: str
    store: str
    upload: Upload
    cache: StageCache
    tracked: TrackedAs | None = None
    stopping: StopSignal = field(default_factory=StopSignal)
    section: str = ""
    code: Mapping[str, str] | None = None

    @property
    def checkpoints(self) -> Checkpoints:
        """Where unfinished work of this key is kept."""
        return Checkpoints(open_store(self.store), self.upload.prefix, self.upload.attempt)

    @classmethod
    def in_folder(cls, folder: Path, stage: str, *, key: str = "key") -> StageContext:
        """Make the context of a call outside the runner, on a store in a folder."""
        store = open_store(str(folder / "store"))
        upload, cache = Upload(store, f"{stage}/{key}"), StageCache(store.address, stage, folder)
        return cls(key, store.address, upload, cache, section=stage)
