"""Keys, tokens and kubeconfigs of the cluster, valid for 30 days."""

from __future__ import annotations

import base64
import secrets
import subprocess
from pathlib import Path
from string import Template

from tests.cluster.sandbox import NODE_ADDRESS

DOMAIN = "cluster.local"
SERVER = f"https://{NODE_ADDRESS}:6443"
_FIRST_SERVICE = "10.96.0.1"
_USERS = {
    "admin": "admin,1,system:masters",
    "node": "system:node:node1,2,system:nodes",
    "controllers": "system:kube-controller-manager,3",
    "scheduler": "system:kube-scheduler,4",
    "proxy": "system:kube-proxy,5",
    "dns": "system:coredns,6",
}
_KUBECONFIG = Path(__file__).parent / "files" / "kubeconfig"


def make_keys(folder: Path) -> None:
    """Write the authority, the API server's certificate, the key of service accounts, and everybody's token."""
    if (folder / "tokens.csv").exists():
        return
    folder.mkdir(parents=True, mode=0o700)
    _openssl(folder, "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=med42-test -keyout ca.key -out ca.crt")
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}"]
    known_as = ",".join([*(f"DNS:{name}" for name in names), f"IP:{_FIRST_SERVICE}", f"IP:{NODE_ADDRESS}"])
    _openssl(
        folder,
        "req -x509 -CA ca.crt -CAkey ca.key -newkey rsa:2048 -nodes -days 30 -subj /CN=kube-apiserver "
        f"-addext subjectAltName={known_as} -addext extendedKeyUsage=serverAuth -keyout server.key -out server.crt",
    )
    _openssl(folder, "genrsa -out accounts.key 2048")
    _openssl(folder, "rsa -in accounts.key -pubout -out accounts.pub")
    tokens = {user: secrets.token_hex(16) for user in _USERS}
    (folder / "tokens.csv").write_text("".join(f"{tokens[user]},{groups}\n" for user, groups in _USERS.items()))


def write_kubeconfigs(keys: Path, config: Path, admin: Path) -> None:
    """Write each program's kubeconfig into a folder, and the administrator's at a path of its own."""
    lines = (keys / "tokens.csv").read_text().splitlines()
    for user, line in zip(_USERS, lines, strict=True):
        path = admin if user == "admin" else config / f"{user}.kubeconfig"
        write_kubeconfig(path, keys, user, line.split(",")[0])


def write_kubeconfig(path: Path, keys: Path, user: str, token: str) -> None:
    """Write the kubeconfig of one user, readable for us alone."""
    authority = base64.b64encode((keys / "ca.crt").read_bytes()).decode()
    text = Template(_KUBECONFIG.read_text()).substitute(server=SERVER, authority=authority, user=user, token=token)
    path.touch(mode=0o600)
    path.write_text(text)


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)
