"""Nodes start again together: none joins the processes of an earlier start, and none waits for those of a dead node.

Processes that compute together learn late that one of them is gone: NCCL waits for ten minutes or more. Kubernetes has
its node started again by then, which would find in torchrun's store what the dead processes left there, and wait with
the others for nobody. So each node counts its starts in that store, which the first node's torchrun holds:

    a node dies ─► starts again ─► not its first start in this store: says so ─► waits until the store is gone ─► joins
                                          └► all others see it, or that the store is gone ─► end ─► start again

Each store has a name, which a node's torchrun tells its training processes. Those that a store of another name answers
are of an earlier start, and end before they could be waited for.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from med42lib.core.log import log

if TYPE_CHECKING:
    from torch.distributed.launcher.api import LaunchConfig

STORE_VARIABLE = "MED42_START"
"""The name of the store that a training process is to meet the others in."""

_NAME, _STARTS, _OVER = "med42/name", "med42/starts", "med42/over"
_SECONDS_BETWEEN_LOOKS = 2.0
_SECONDS_TO_END = 30.0
"""What a node has to end by itself when the first one's torchrun is gone, as it is when training is over."""

_SECONDS_TO_ANSWER = 300.0
"""After which a store that says nothing counts as gone: a lost machine breaks no connection."""


@contextmanager
def starting_again_together(config: LaunchConfig) -> Iterator[None]:
    """End this node's processes (exit code 1) during the block as soon as another node is started again.

    Args:
        config: torchrun's. Nothing happens where it has one node, or nodes that find each other in another way than by
            the first one's address.
    """
    if config.max_nodes == 1 or config.rdzv_backend != "static":
        yield
        return
    ended, rank = Event(), int(config.rdzv_configs["rank"])
    store, os.environ[STORE_VARIABLE] = _joined(config, rank) if rank else (None, uuid4().hex)
    Thread(target=_watch, args=(config, store, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def check_start(environment: Mapping[str, str]) -> None:
    """End this training process if those that it would meet are of another start than its node's torchrun.

    Args:
        environment: As torchrun gives it.

    Raises:
        SystemExit: If they are.
    """
    if STORE_VARIABLE in environment:
        store = _connected(environment["MASTER_ADDR"], environment["MASTER_PORT"], timedelta(minutes=10))
        if store.get(_NAME).decode() != environment[STORE_VARIABLE]:
            log("train").warning("the first node was started again: this process is of the start before, and ends")
            raise SystemExit(1)


def _joined(config: LaunchConfig, rank: int) -> tuple[Any, str]:
    """Connect to a store in which this is the node's first start; gives its name, too."""
    while True:
        store = _connected_as(config)
        try:
            if store.add(f"{_STARTS}/{rank}", 1) == 1:
                return store, store.get(_NAME).decode()
            log("train").warning("the other nodes still wait for what this node was before; they start again too")
            store.set(_OVER, "1")
            while store.check([_OVER]):
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        except RuntimeError:  # the first node's torchrun has ended
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _watch(config: LaunchConfig, store: Any, ended: Event) -> None:
    """End this process when the store says that the start is over, or is gone."""
    try:
        if store is None:
            store = _connected_as(config)
            store.set(_NAME, os.environ[STORE_VARIABLE])
        asking = ThreadPoolExecutor(1)
        while not asking.submit(store.check, [_OVER]).result(_SECONDS_TO_ANSWER):
            if ended.wait(_SECONDS_BETWEEN_LOOKS):
                return
        why = "another node was started again"
    except (RuntimeError, TimeoutError):
        why = "the first node is gone"
        if ended.wait(_SECONDS_TO_END):
            return
    log("train").warning("%s: this one starts again too", why)
    os._exit(1)


def _connected_as(config: LaunchConfig) -> Any:
    host, _, port = config.rdzv_endpoint.rpartition(":")
    return _connected(host, port, timedelta(seconds=float(config.rdzv_configs["timeout"])))


def _connected(host: str, port: str, timeout: timedelta) -> Any:
    from torch import distributed

    return distributed.TCPStore(host, int(port), timeout=timeout, wait_for_workers=False)  # type: ignore[attr-defined]
