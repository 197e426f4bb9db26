"""How long the parts of a training step take, without making the step wait for it.

On a GPU the host runs ahead, so its clock says nothing of a part. An event is put into the GPU's stream at the end of
each part instead, and the events are read once the step's loss has been: by then they have happened.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any, Literal

import torch

Part = Literal["data", "wait", "forward", "backward", "optimizer"]
"""Of a step: reading chunks, waiting until all processes have theirs, the two passes, and the update."""


class StepTimer:
    """Times one step, from when it is made; a part may come several times."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._ends: list[tuple[Part | None, Any]] = [(None, self._now())]

    def end(self, part: Part) -> None:
        """Say that a part ends now; it began where the last one ended."""
        self._ends.append((part, self._now()))

    def seconds(self) -> dict[Part, float]:
        """Sum up what each part took; ask when the step's result is known."""
        spent: dict[Part, float] = defaultdict(float)
        for (_, begin), (part, end) in zip(self._ends, self._ends[1:], strict=False):
            assert part is not None
            spent[part] += begin.elapsed_time(end) / 1000 if self._on_gpu else end - begin
        return dict(spent)

    def _now(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event
