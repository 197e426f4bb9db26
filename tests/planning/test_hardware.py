import pytest
import yaml

from med42lib.planning.hardware import GPUS, Cluster, cluster_sizes, gpu_of_product, parse_cluster
from tests.conftest import REPOSITORY

OVERLAYS = sorted((REPOSITORY / "k8s/overlays").glob("v100-*"))


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_a_cluster_is_named_as_the_overlays_are(overlay: object) -> None:
    cluster = parse_cluster(overlay.name)  # type: ignore[attr-defined]
    size = yaml.safe_load((overlay / "90-size.yaml").read_text())  # type: ignore[operator]
    assert (cluster.nodes, cluster.gpus_per_node) == (size["nodes"], size["processes_per_node"])
    assert cluster.gpu is GPUS["v100-32"]


def test_there_are_overlays_of_both_shapes() -> None:
    assert [path.name for path in OVERLAYS] == ["v100-16x8", "v100-8x16"]


@pytest.mark.parametrize(
    ("text", "kind", "size"),
    [
        ("v100-16-2x4", "v100-16", 8),
        ("H200-1x8", "h200", 8),
        ("a100-3x8", "a100-80", 24),
        ("h100-80-4x8", "h100-80", 32),
    ],
)
def test_kinds_have_short_names_and_whole_ones(text: str, kind: str, size: int) -> None:
    cluster = parse_cluster(text)
    assert (cluster.gpu.name, cluster.num_gpus) == (kind, size)
    assert parse_cluster(str(cluster)) == cluster


@pytest.mark.parametrize("text", ["v100", "v100-8", "v100-0x8", "8xv100", "", "v100-8x", "v100-8x8x8"])
def test_what_is_no_cluster_is_told_how_one_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"KIND-NODESxGPUS, such as v100-16x8 .*kinds: v100, a100, .*h200"):
        parse_cluster(text)


def test_an_unknown_gpu_is_told_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'h20' is no GPU that is known here; did you mean 'h200'\?"):
        parse_cluster("h20-1x8")


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Tesla-V100-SXM3-32GB", "v100-32"),
        ("Tesla-V100-SXM2-16GB", "v100-16"),
        ("NVIDIA-A100-SXM4-40GB", "a100-40"),
        ("NVIDIA-A100-SXM4-80GB", "a100-80"),
        ("NVIDIA-H100-80GB-HBM3", "h100-80"),
        ("NVIDIA-H200", "h200"),
    ],
)
def test_the_labels_of_nodes_say_which_gpus_they_have(label: str, kind: str) -> None:
    gpu = gpu_of_product(label)
    assert gpu is not None
    assert gpu.name == kind


@pytest.mark.parametrize("label", ["NVIDIA-L40S", "NVIDIA-GH200-480GB", "NVIDIA-GH200-144G-HBM3e"])
def test_a_label_of_another_gpu_says_nothing(label: str) -> None:
    assert gpu_of_product(label) is None


def test_every_kind_but_v100_has_bfloat16_and_all_have_float16() -> None:
    assert [name for name, gpu in GPUS.items() if not gpu.computes("bfloat16")] == ["v100-16", "v100-32"]
    assert all(gpu.computes("float16") and gpu.computes("float32") for gpu in GPUS.values())


def test_clusters_grow_by_powers_of_two_and_then_by_nodes() -> None:
    assert list(cluster_sizes(32)) == [1, 2, 4, 8, 16, 24, 32]
    assert str(Cluster.of_size(GPUS["h200"], 4)) == "h200-1x4"
    assert str(Cluster.of_size(GPUS["h200"], 24)) == "h200-3x8"
