"""kubectl, as tests use it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class KubectlError(Exception):
    """What kubectl says it failed of."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl for one cluster, and for one of its namespaces or its default."""

    program: Path
    kubeconfig: Path
    namespace: str = ""

    def __call__(self, *arguments: str, text: str = "") -> str:
        """Run it; gives what it printed.

        Args:
            arguments: Of kubectl.
            text: Its standard input.

        Raises:
            KubectlError: If it fails.
        """
        place = [f"--kubeconfig={self.kubeconfig}", *([f"--namespace={self.namespace}"] if self.namespace else [])]
        command = [str(self.program), *place, *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def within(self, namespace: str) -> Kubectl:
        """Give the same for a namespace."""
        return Kubectl(self.program, self.kubeconfig, namespace)

    def get(self, *arguments: str) -> Any:
        """Read objects."""
        return json.loads(self("get", *arguments, "--output=json"))

    def apply(self, *objects: Any) -> None:
        """Create or change objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self("apply", "--server-side", "--force-conflicts", "--filename=-", text=json.dumps(listed))

    def succeeds(self, *arguments: str) -> bool:
        """Say whether it succeeds."""
        try:
            self(*arguments)
        except KubectlError:
            return False
        return True


def eventually(condition: Callable[[], Any], what: str, seconds: float = 300) -> Any:
    """Wait until a condition gives something true; gives that."""
    until = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.3)


def names(objects: Iterable[Any]) -> list[str]:
    """Give objects' names, sorted."""
    return sorted(each["metadata"]["name"] for each in objects)
