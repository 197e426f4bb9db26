"""A training process of the stand-in, as torchrun starts it."""

import sys

from tests.train.launchers.stand_in.training import run_training

run_training(sys.argv[sys.argv.index("--job") + 1])
