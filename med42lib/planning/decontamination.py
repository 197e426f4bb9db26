"""How long decontamination takes: embedding and comparing apart, on CPU cores and on one GPU, with the arithmetic.

    embedding    questions and items x tokens x operations of a token
    comparing    questions x items x 2 operations for each of 384 dimensions

Seconds on cores follow from rates measured with all-MiniLM-L6-v2, the encoder of the demo; those on a GPU are computed
from its data sheet: none was at hand. Comparing is done by the CPU in any case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from med42lib.benchmarks.config import BenchmarkConfig, BenchmarksConfig
from med42lib.core.errors import DataError
from med42lib.decontaminate.config import DecontaminateConfig
from med42lib.planning.hardware import Gpu
from med42lib.planning.mixture import SourcePlan, listed
from med42lib.readers.files import DataFolder
from med42lib.readers.own.tables import own_files, rows_of
from med42lib.readers.parsers import Record
from med42lib.report.results.published import TABLE_1
from med42lib.store.address import open_store

RATES_SOURCE = (
    "measured with this project and all-MiniLM-L6-v2 on a busy Xeon with AVX-512, processor seconds of one core"
)
TOKENS_PER_CORE_SECOND = 3_100
PAIRS_PER_CORE_SECOND = 3.3e8
"""300,000 by 10,000 questions in 9.0 s; larger comparisons leave fewer pairs to look at again."""

TOKENS = {"question": 33, "request": 63}
"""Of 13,268 different questions in the publishers' files, up to 256 each; options of MedMCQA and MedQA add 30."""

_DIMENSIONS = 384
FLOPS_PER_TOKEN = 2 * (22_713_216 - 11_918_592)
"""Two for each weight that is no embedding; attention adds a hundredth at 33 tokens."""

GPU_SHARE = 0.3
"""Of a GPU's arithmetic in float32, in which it embeds: an assumption. Small models of short texts reach no more."""


@dataclass(frozen=True, slots=True)
class DecontaminationPlan:
    """What there is to embed and to compare; `unknown` names benchmarks whose items nobody can know beforehand."""

    questions: int
    items: int
    tokens_each: int
    unknown: tuple[str, ...]

    @property
    def tokens(self) -> int:
        """All that is embedded."""
        return (self.questions + self.items) * self.tokens_each

    @property
    def embed_flops(self) -> float:
        """Operations to embed it."""
        return float(self.tokens * FLOPS_PER_TOKEN)

    @property
    def compare_flops(self) -> float:
        """Operations of the product of all pairs; what is computed is about a quarter."""
        return 2.0 * _DIMENSIONS * self.questions * self.items

    def embed_seconds(self, cores: int) -> float:
        """Project the time to embed everything, none of it kept from earlier runs."""
        return self.tokens / TOKENS_PER_CORE_SECOND / cores

    def compare_seconds(self, cores: int) -> float:
        """Project the time to compare."""
        return self.questions * self.items / PAIRS_PER_CORE_SECOND / cores

    def gpu_seconds(self, gpu: Gpu) -> tuple[float, float]:
        """Compute how long a GPU would take to embed, and for the product of all pairs."""
        speed = GPU_SHARE * gpu.flops("float32")
        return self.embed_flops / speed, self.compare_flops / speed


def plan_decontamination(
    config: DecontaminateConfig,
    benchmarks: BenchmarksConfig,
    sources: Sequence[SourcePlan],
    own_items: Mapping[str, int],
) -> DecontaminationPlan:
    """Work out what decontaminate has to do; every row counts as one question that no other asks.

    Args:
        config: How it is done.
        benchmarks: What is asked.
        sources: What is trained on.
        own_items: Rows of the user's own benchmarks, as `count_own_items` finds them.
    """
    items = {name: _num_items(name, settings, own_items.get(name)) for name, settings in benchmarks.include.items()}
    return DecontaminationPlan(
        questions=sum(source.rows for source in sources),
        items=sum(items.values()),
        tokens_each=TOKENS[config.text],
        unknown=tuple(name for name, number in items.items() if not number),
    )


def count_own_items(benchmarks: BenchmarksConfig, address: str) -> dict[str, int]:
    """Count the rows of the user's own questions with options, of whatever topic; those that are not here are left out.

    Args:
        benchmarks: What is asked.
        address: Of the benchmarks' data, which need not be there.

    Raises:
        AccessError, StoreError, StoreUnavailable: If their place cannot be asked.
    """
    own = {n: s for n, s in benchmarks.include.items() if s.format == "multiple_choice" and s.hub is None}
    data, _ = listed(address) if own else (None, "")
    if data is None or open_store(address).local_path("") is None:
        return {}
    found = {}
    for name, settings in own.items():
        with suppress(DataError):  # the plan names it among those that it does not know, the run says what is wrong
            files = own_files(DataFolder(data), settings.path, ("test",))
            found[name] = sum(isinstance(row, Record) for row in rows_of(files))
    return found


def _num_items(name: str, settings: BenchmarkConfig, own: int | None) -> int:
    """Count a benchmark's items as far as topics and limit let them, by the paper's Table A2 or the user's own rows.

    Returns:
        0 if neither is known.
    """
    if settings.format is not None:
        return min(own or 0, settings.limit) if isinstance(settings.limit, int) else own or 0
    parts = {row.group: row.num_items for row in TABLE_1 if row.num_items is not None}
    chosen = [
        number
        for part, number in parts.items()
        if part == name
        or (part.startswith(f"{name}_") and (not settings.topics or part.removeprefix(f"{name}_") in settings.topics))
    ]
    return sum(chosen if settings.limit == "all" else (min(number, settings.limit) for number in chosen))
