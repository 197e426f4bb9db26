"""`make bench-statistics`: how often the report claims what is not so, in made-up runs whose truth is known."""

from __future__ import annotations

import sys

from tests.report.simulations import SIMULATIONS, monte_carlo_error

TIMES_THE_DRAWS_OF_A_TEST = 8


def main() -> int:
    """Print a table of rates; fail if one is not as stated, Monte-Carlo error allowed for."""
    print("| claimed | of runs | Monte-Carlo error | draws | as it should be |")
    print("| :--- | ---: | ---: | ---: | ---: |")
    off = []
    for simulation in SIMULATIONS:
        draws = simulation.draws * TIMES_THE_DRAWS_OF_A_TEST
        rate = simulation.rate(draws)
        error = monte_carlo_error(rate, draws)
        right = f"{100 * simulation.lowest:.3g} to {100 * simulation.highest:.3g} %"
        print(f"| {simulation.name} | {100 * rate:.1f} % | ± {100 * error:.1f} | {draws:,} | {right} |", flush=True)
        if not simulation.lowest - 2 * error <= rate <= simulation.highest + 2 * error:
            off.append(simulation.name)
    print(*(f"not as it should be: {name}" for name in off), sep="\n")
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
