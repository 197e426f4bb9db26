"""A real Kubernetes cluster on this machine, for tests.

python -m tests.cluster up      bring it up, or what lacks of it; prints the path of its kubeconfig
python -m tests.cluster down    take it down, also one that was left behind
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tests.cluster import node, operators, packages, programs, sandbox, servers


def bring_up(say: Callable[[str], None]) -> None:
    """Bring a whole cluster up; what runs already is left alone.

    Raises:
        ClusterError: If this machine lacks something, or a part does not come up.
        BuildError: If a program cannot be built.
    """
    packages.check_machine()
    with sandbox.alone(say):
        packages.install_packages(say)
        programs.build_all(say)
        say("opens namespaces for it")
        sandbox.open_sandbox()
        node.start_node(say)
        servers.start_servers(say)
        operators.start_operators(say)
    say("the cluster is up")


def take_down(say: Callable[[str], None]) -> None:
    """End everything, and undo what is left."""
    say("takes the cluster down")
    sandbox.close_sandbox()


def timed(show: Callable[[str], None]) -> Callable[[str], None]:
    """Give a function that shows what is done, after how many seconds."""
    started = time.monotonic()
    return lambda text: show(f"[{time.monotonic() - started:6.1f} s] {text}")


def main(arguments: list[str]) -> int:
    """Do what the command says."""
    say = timed(lambda text: print(text, file=sys.stderr, flush=True))
    if arguments not in (["up"], ["down"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        (bring_up if arguments == ["up"] else take_down)(say)
    except (sandbox.ClusterError, programs.BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    if arguments == ["up"]:
        print(node.kubeconfig())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
