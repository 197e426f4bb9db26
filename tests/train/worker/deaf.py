"""A training process, as torchrun starts it, that hears of no dead peer: at its first start it waits for ever."""

import os
import sys
import time
from pathlib import Path

from med42lib.core.process import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    folder = Path(sys.argv[sys.argv.index("--job") + 1])
    node = os.environ["GROUP_RANK"]
    starts = len(list(folder.glob(f"node-{node}-*"))) + 1
    (folder / f"node-{node}-{starts}").write_text(str(os.getpid()))
    while starts == 1:
        time.sleep(1)
