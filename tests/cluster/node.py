"""A control plane and one node: the programs, in the order in which one needs the other."""

from __future__ import annotations

import functools
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from tests.cluster import images, keys, sandbox
from tests.cluster.kubectl import Kubectl
from tests.cluster.programs import COREDNS, ETCD, KUBE_ROUTER, KUBERNETES, REGISTRY, program
from tests.cluster.sandbox import BRIDGE, CGROUP, NODE_ADDRESS, PODS, SERVICES

FILES = Path(__file__).parent / "files"
_ETCD_URL, _ETCD_PEER_URL = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
_FILES = {
    "containerd.toml": "containerd.toml",
    "hosts.toml": "registries/_default/hosts.toml",
    "registry.yaml": "registry.yaml",
    "pods.conflist": "cni/pods.conflist",
    "kubelet.yaml": "kubelet.yaml",
    "kube-proxy.yaml": "kube-proxy.yaml",
    "Corefile": "Corefile",
}


@dataclass(frozen=True)
class Daemon:
    """A program that runs as long as the cluster."""

    name: str
    command: Sequence[str | Path]
    is_ready: Callable[[], bool] = lambda: True
    waits_for: str = ""
    """What `is_ready` says, for people."""

    environment: dict[str, str] = field(default_factory=dict)


def kubeconfig() -> Path:
    """Give the path of the administrator's kubeconfig."""
    return sandbox.folder() / "kubeconfig"


def kubectl() -> Kubectl:
    """Give kubectl for this cluster."""
    return Kubectl(program(KUBERNETES, "kubectl"), kubeconfig())


def start_node(say: Callable[[str], None]) -> None:
    """Start everything up to a node that runs pods; what runs is left alone."""
    _prepare()
    for daemon in _daemons():
        start(daemon, say)
        if daemon.name == "registry":
            say("loads the images of pause, operators and shell")
            images.load_own_images()
    say("waits for the service account of namespace default")
    sandbox.wait_for(
        "the service account of namespace default",
        lambda: kubectl().succeeds("get", "serviceaccount", "default"),
        program="kube-controller-manager",
    )
    kubectl()("apply", "--filename", str(FILES / "dns_rights.yaml"))


def start(daemon: Daemon, say: Callable[[str], None]) -> None:
    """Start a program and wait until it is ready."""
    say(f"starts {daemon.name}" + (f", and waits for {daemon.waits_for}" if daemon.waits_for else ""))
    sandbox.start(daemon.name, daemon.command, daemon.environment)
    sandbox.wait_for(daemon.waits_for or daemon.name, daemon.is_ready, program=daemon.name)


def start_again(name: str) -> None:
    """Start a program of the node that a test has ended."""
    [daemon] = [daemon for daemon in _daemons() if daemon.name == name]
    start(daemon, lambda _: None)


def fill_in(source: Path, target: Path, **others: str) -> None:
    """Write a file of this folder with its $names filled in, unless it is there already as it should be."""
    text = Template(source.read_text()).substitute(_values(), **others)
    if not target.exists() or target.read_text() != text:  # kube-proxy ends when its file is written again
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def is_listening(address: str, port: int) -> bool:
    """Say whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, port)) == 0


def config_folder() -> Path:
    """Give the folder of what programs read when they start."""
    return sandbox.folder() / "config"


def state_folder() -> Path:
    """Give the folder of what programs keep."""
    return sandbox.folder() / "state"


def _values() -> dict[str, str]:
    return {
        "state": str(state_folder()),
        "run": str(sandbox.folder() / "run"),
        "config": str(config_folder()),
        "images": str(images.registry_folder()),
        "registry": images.REGISTRY_ADDRESS,
        "pause_image": images.PAUSE_IMAGE,
        "node": NODE_ADDRESS,
        "pods": PODS,
        "bridge": BRIDGE,
        "cgroup": CGROUP,
        "domain": keys.DOMAIN,
    }


def _prepare() -> None:
    key_folder = sandbox.folder() / "keys"
    keys.make_keys(key_folder)
    for name, target in _FILES.items():
        fill_in(FILES / name, config_folder() / target)
    (config_folder() / "empty-resolv.conf").touch()
    if not kubeconfig().exists():
        keys.write_kubeconfigs(key_folder, config_folder(), kubeconfig())
    (state_folder() / "etcd").mkdir(parents=True, exist_ok=True, mode=0o700)


def _daemons() -> list[Daemon]:
    config = config_folder()
    return [
        Daemon("containerd", ["containerd", "--config", config / "containerd.toml"], _containerd_answers, "its socket"),
        Daemon(
            "registry",
            [program(REGISTRY, "registry"), "serve", config / "registry.yaml"],
            functools.partial(_answers, f"http://{images.REGISTRY_ADDRESS}/v2/"),
            images.REGISTRY_ADDRESS,
            {"OTEL_TRACES_EXPORTER": "none"},
        ),
        Daemon("etcd", _etcd()),
        Daemon(
            "kube-apiserver",
            _apiserver(),
            lambda: kubectl().succeeds("get", "--raw", "/readyz"),
            f"{keys.SERVER}/readyz",
        ),
        Daemon("kube-controller-manager", _controller_manager()),
        Daemon("kube-scheduler", _scheduler()),
        Daemon("kube-proxy", [program(KUBERNETES, "kube-proxy"), f"--config={config}/kube-proxy.yaml"]),
        Daemon("coredns", [program(COREDNS, "coredns"), "-conf", config / "Corefile"]),
        Daemon("kubelet", _kubelet(), _node_is_ready, "the node to be Ready"),
        Daemon("kube-router", _kube_router()),
    ]


def _etcd() -> list[str | Path]:
    return [
        program(ETCD, "server"),
        f"--data-dir={state_folder() / 'etcd'}",
        f"--listen-client-urls={_ETCD_URL}",
        f"--advertise-client-urls={_ETCD_URL}",
        f"--listen-peer-urls={_ETCD_PEER_URL}",
        f"--initial-advertise-peer-urls={_ETCD_PEER_URL}",
        f"--initial-cluster=default={_ETCD_PEER_URL}",
        "--unsafe-no-fsync",
    ]


def _apiserver() -> list[str | Path]:
    key_folder = sandbox.folder() / "keys"
    return [
        program(KUBERNETES, "kube-apiserver"),
        f"--etcd-servers={_ETCD_URL}",
        f"--service-cluster-ip-range={SERVICES}",
        f"--advertise-address={NODE_ADDRESS}",
        f"--cert-dir={key_folder}",
        f"--tls-cert-file={key_folder}/server.crt",
        f"--tls-private-key-file={key_folder}/server.key",
        f"--client-ca-file={key_folder}/ca.crt",
        f"--token-auth-file={key_folder}/tokens.csv",
        f"--service-account-issuer=https://kubernetes.default.svc.{keys.DOMAIN}",
        f"--service-account-key-file={key_folder}/accounts.pub",
        f"--service-account-signing-key-file={key_folder}/accounts.key",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
        "--event-ttl=6h",
    ]


def _controller_manager() -> list[str | Path]:
    return [
        program(KUBERNETES, "kube-controller-manager"),
        *_as_user("controllers"),
        f"--service-account-private-key-file={sandbox.folder()}/keys/accounts.key",
        f"--root-ca-file={sandbox.folder()}/keys/ca.crt",
        f"--cert-dir={state_folder()}/controllers",
        f"--cluster-cidr={PODS}",
        "--allocate-node-cidrs=false",
        "--use-service-account-credentials=true",
    ]


def _scheduler() -> list[str | Path]:
    return [program(KUBERNETES, "kube-scheduler"), *_as_user("scheduler")]


def _as_user(user: str) -> list[str]:
    path = config_folder() / f"{user}.kubeconfig"
    options = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return [*(f"--{option}={path}" for option in options), "--leader-elect=false", "--bind-address=127.0.0.1"]


def _kubelet() -> list[str | Path]:
    return [
        program(KUBERNETES, "kubelet"),
        f"--config={config_folder()}/kubelet.yaml",
        f"--kubeconfig={config_folder()}/node.kubeconfig",
        "--hostname-override=node1",
        f"--node-ip={NODE_ADDRESS}",
        f"--root-dir={state_folder()}/kubelet",
        f"--cert-dir={state_folder()}/kubelet/keys",
    ]


def _kube_router() -> list[str | Path]:
    """The firewall of NetworkPolicies, of all that kube-router can be."""
    alone = ["--run-firewall", "--run-router=false", "--run-service-proxy=false", "--health-port=0"]
    return [program(KUBE_ROUTER, "kube-router"), *alone, f"--kubeconfig={kubeconfig()}", "--hostname-override=node1"]


def _containerd_answers() -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(sandbox.folder() / "run/containerd.sock")) == 0


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


def _node_is_ready() -> bool:
    return kubectl().succeeds("wait", "--for=condition=Ready", "node/node1", "--timeout=1s")
