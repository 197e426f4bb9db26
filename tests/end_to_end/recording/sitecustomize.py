"""Put on PYTHONPATH, has every Python process write down which modules it executes, in order.

Python imports this first in each process, and audit hooks stay in forks. Each line of the file named by
MED42_TEST_IMPORTS is a process, its parent and a module's file below the folder named by MED42_TEST_FOLDER. Python's
own event "import" would miss what `importlib.import_module` imports.
"""

import os
import sys

_PATH = os.environ.get("MED42_TEST_IMPORTS", "")
_FOLDER = os.environ.get("MED42_TEST_FOLDER", "")


def _record(event: str, arguments: tuple[object, ...]) -> None:
    path = getattr(arguments[0], "co_filename", "") if event == "exec" else ""
    if path.startswith(_FOLDER):
        line = f"{os.getpid()} {os.getppid()} {path[len(_FOLDER) :]}\n"
        descriptor = os.open(_PATH, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)


if _PATH:
    sys.addaudithook(_record)
