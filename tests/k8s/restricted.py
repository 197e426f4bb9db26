"""The rules of Pod Security's level "restricted" (kubernetes.io/docs/concepts/security/pod-security-standards)."""

from collections.abc import Iterator, Mapping
from typing import Any

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def violations(pod: Mapping[str, Any]) -> Iterator[str]:
    """List what the admission controller would refuse of a pod's spec."""
    common = pod.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes", ()):
        if kinds := volume.keys() - {"name"} - VOLUMES:
            yield f"volume {volume['name']} is {kinds}"
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        own = container.get("securityContext", {})
        checks = {
            "privileged": not own.get("privileged"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities", {}).get("drop") == ["ALL"]
            and set(own.get("capabilities", {}).get("add", ())) <= {"NET_BIND_SERVICE"},
            "runAsNonRoot": own.get("runAsNonRoot", common.get("runAsNonRoot")) is True,
            "runAsUser": own.get("runAsUser", common.get("runAsUser")) != 0,
            "seccompProfile": own.get("seccompProfile", common.get("seccompProfile", {})).get("type")
            in ("RuntimeDefault", "Localhost"),
            "hostPort": not any("hostPort" in port for port in container.get("ports", ())),
        }
        yield from (f"{container['name']}: {name}" for name, is_met in checks.items() if not is_met)
