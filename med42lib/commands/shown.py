"""What Kubeflow's user interface shows of a finished stage: the artifacts that `Stage.shown` declares."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from med42lib.commands.curve import curve_page
from med42lib.commands.executor import Artifact, write_whole
from med42lib.engine.stage import Shown, Stage
from med42lib.store.artifacts import Source

_LINK_TO_A_FILE_BESIDE = re.compile(r'<a href="[^":#]+"[^>]*>(.*?)</a>')


def shown_artifacts(stage: Stage, outputs: Mapping[str, str], asked: Mapping[str, str]) -> list[Artifact]:
    """Make what is asked for, from outputs that were made just now or long ago; pages are written as files.

    Args:
        stage: Whose outputs they are.
        outputs: Their addresses.
        asked: The artifacts' addresses.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix="med42-shown-") as cache:
        for shown in stage.shown:
            if shown.name in asked:
                source = Source(outputs[shown.output], cache=Path(cache) / shown.name)
                artifact = Artifact(shown.name, asked[shown.name], dict(_metadata(shown, source)))
                if shown.kind in _PAGES:
                    write_whole(artifact.path, _PAGES[shown.kind](shown, source))
                found.append(artifact)
    return found


def _metadata(shown: Shown, source: Source) -> Iterator[tuple[str, Any]]:
    if shown.kind == "metrics":
        for point in source.metrics():
            if point.key.startswith(shown.what):
                yield point.key.removeprefix(shown.what), float(point.value)
    elif shown.kind == "model":
        yield "address", source.address
        yield from json.loads(source.path(shown.what).read_text(encoding="utf-8")).items()


def _file(shown: Shown, source: Source) -> str:
    return source.path(shown.what).read_text(encoding="utf-8")


def _page(shown: Shown, source: Source) -> str:
    """Write it without links to what lies beside it in the store: nothing lies beside the copy that is shown."""
    return _LINK_TO_A_FILE_BESIDE.sub(r"\1", _file(shown, source))


def _curve(shown: Shown, source: Source) -> str:
    names = (shown.what, f"validation_{shown.what}")
    curves: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
    for point in source.metrics():
        if point.key in curves:
            curves[point.key].append((point.step, point.value))
    return curve_page(shown.what, *curves.values())


_PAGES = {"html": _page, "markdown": _file, "curve": _curve}
