"""The GPUs that a plan knows, and clusters of them: `v100-16x8` is 16 nodes of 8 V100s, as in `k8s/overlays`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from med42lib.core.names import did_you_mean
from med42lib.formats.models import Precision
from med42lib.train.flops import peak_flops
from med42lib.train.memory import USABLE_SHARE

GIBIBYTE = 1 << 30


@dataclass(frozen=True, slots=True)
class Gpu:
    """A kind of GPU. Memory as torch reports it; `product` is what `peak_flops` knows it by."""

    name: str
    product: str
    gibibytes: float
    has_bfloat16: bool = True

    @property
    def usable_bytes(self) -> float:
        """Memory that training's tensors can have."""
        return self.gibibytes * GIBIBYTE * USABLE_SHARE

    def flops(self, precision: Precision) -> float:
        """Say how many floating-point operations it does in a second, at most."""
        peak = peak_flops(self.product, precision)
        assert peak is not None, f"the data sheet of {self.product} is not known"
        return peak

    def computes(self, precision: Precision) -> bool:
        """Say whether it has a number format; a V100 emulates bfloat16, far too slowly to train."""
        return precision != "bfloat16" or self.has_bfloat16


GPUS: Mapping[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        Gpu("v100-16", "V100 SXM2", 15.8, has_bfloat16=False),
        Gpu("v100-32", "V100 SXM2", 31.7, has_bfloat16=False),
        Gpu("a100-40", "A100", 39.4),
        Gpu("a100-80", "A100", 79.2),
        Gpu("h100-80", "H100", 79.1),
        Gpu("h200", "H200", 139.8),
    )
}
_SHORT = {"v100": "v100-32", "a100": "a100-80", "h100": "h100-80"}
_PRODUCT = re.compile(r"\b(V100|A100|H100|H200)(?=.*?(\d+)GB)?")
"""How NVIDIA's device plug-in labels nodes: Tesla-V100-SXM3-32GB, NVIDIA-A100-SXM4-80GB, NVIDIA-H200; not
NVIDIA-GH200-480GB, which is another."""

_CLUSTER = re.compile(r"(?P<gpu>[a-z][a-z0-9]*(?:-\d+)?)-(?P<nodes>[1-9]\d{0,4})x(?P<per_node>[1-9]\d{0,2})")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes with GPUs of one kind; one training process for each GPU."""

    gpu: Gpu
    nodes: int
    gpus_per_node: int

    @property
    def num_gpus(self) -> int:
        """GPUs of all nodes together."""
        return self.nodes * self.gpus_per_node

    def __str__(self) -> str:
        """Name it as `parse_cluster` reads it."""
        return f"{self.gpu.name}-{self.nodes}x{self.gpus_per_node}"

    @classmethod
    def of_size(cls, gpu: Gpu, num_gpus: int, per_node: int = 8) -> Cluster:
        """Put GPUs into as few nodes of the usual size as hold them."""
        return cls(gpu, 1, num_gpus) if num_gpus <= per_node else cls(gpu, -(-num_gpus // per_node), per_node)


def parse_cluster(text: str) -> Cluster:
    """Read a cluster's name, KIND-NODESxGPUS: `v100-16x8`, `h200-1x8`.

    Raises:
        ValueError: If it is none; says what there is.
    """
    found = _CLUSTER.fullmatch(text.lower())
    kinds = [*_SHORT, *GPUS]
    known = f"kinds: {', '.join(kinds)}"
    if found is None:
        raise ValueError(f"expected KIND-NODESxGPUS, such as v100-16x8 for 16 nodes of 8 (given: {text!r}); {known}")
    name = _SHORT.get(found["gpu"], found["gpu"])
    if name not in GPUS:
        hint = did_you_mean(name, kinds)
        raise ValueError(f"{found['gpu']!r} is no GPU that is known here; {hint + '; ' if hint else ''}{known}")
    return Cluster(GPUS[name], int(found["nodes"]), int(found["per_node"]))


def gpu_of_product(label: str) -> Gpu | None:
    """Tell the kind of GPU from a node's label `nvidia.com/gpu.product`; None if it is not known."""
    found = _PRODUCT.search(label)
    if found is None:
        return None
    kind, size = found[1].lower(), found[2]
    return GPUS.get(f"{kind}-{size}") or GPUS.get(_SHORT.get(kind, kind))


def cluster_sizes(most: int = 1024, per_node: int = 8) -> Iterator[int]:
    """Count up the GPUs that a cluster may have: powers of two up to a node, then whole nodes."""
    yield from (size for size in (1, 2, 4) if size < per_node)
    yield from range(per_node, most + 1, per_node)
