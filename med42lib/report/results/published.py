"""The paper's results as data: Med42, AAAI 2024 Spring Symposium, Table 1, Table A2 and Table A3.

Columns of Table 1: both fine-tunes of Llama-2 70B, and models as others published them.
"""

from __future__ import annotations

from dataclasses import dataclass

COLUMNS = ("PE-FT", "FP-FT (Med42)", "ClinicalCamel", "MediTron", "GPT-3.5", "GPT-4", "MedPaLM-2")
SOURCES = {
    "ClinicalCamel": "Toma et al. 2023",
    "MediTron": "Chen et al. 2023; few-shot, since zero-shot was not reported",
    "GPT-3.5": "Nori et al. 2023",
    "GPT-4": "Nori et al. 2023",
    "MedPaLM-2": "Singhal et al. 2023; few-shot, since zero-shot was not reported",
}
"""Footnotes of Table 1: whose numbers are quoted. Some scored other numbers of questions than Table A2's: no whole
number of these gives the 83.8 % of GPT-4 in USMLE's self-assessment."""

COLUMN_OF_METHOD = {"lora": COLUMNS[0], "full": COLUMNS[1]}


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One line of Table 1, accuracies in percent in the order of `COLUMNS`, None where the paper has a dash.

    `num_items` and `num_contaminated` are Table A2's; an average has none, its benchmarks have. `clean` are Table A3's
    accuracies without contaminated items, of PE-FT and FP-FT.
    """

    group: str
    accuracies: tuple[float | None, ...]
    clean: tuple[float, float]
    num_items: int | None = None
    num_contaminated: int | None = None

    def accuracy(self, column: str) -> float | None:
        """Give a cell, in percent."""
        return self.accuracies[COLUMNS.index(column)]


TABLE_1 = (
    PublishedRow("mmlu_average", (76.7, 76.7, 69.8, 71.5, 66.6, 87.0, 89.4), (76.8, 76.6)),
    PublishedRow("mmlu_clinical_knowledge", (76.6, 74.3, 69.8, None, 69.8, 86.0, 88.3), (76.9, 74.2), 265, 1),
    PublishedRow("mmlu_college_biology", (83.3, 84.0, 79.2, None, 72.2, 95.1, 94.4), (83.2, 83.9), 144, 1),
    PublishedRow("mmlu_college_medicine", (72.8, 68.8, 67.0, None, 61.3, 76.9, 80.9), (73.2, 69.2), 173, 1),
    PublishedRow("mmlu_medical_genetics", (80.0, 86.0, 69.0, None, 70.0, 91.0, 90.0), (79.8, 85.1), 100, 6),
    PublishedRow("mmlu_professional_medicine", (80.1, 79.8, 71.3, None, 70.2, 93.0, 95.2), (80.4, 80.0), 272, 7),
    PublishedRow("mmlu_anatomy", (67.4, 67.4, 62.2, None, 56.3, 80.0, 77.8), (67.2, 67.2), 135, 1),
    PublishedRow("headqa", (70.6, 72.0, None, None, None, None, None), (70.3, 71.7), 2742, 62),
    PublishedRow("medmcqa", (54.7, 60.9, 47.0, 53.3, 50.1, 69.5, 71.3), (55.2, 61.5), 4183, 65),
    PublishedRow("medqa", (59.1, 61.5, 53.4, 52.0, 50.8, 78.9, 79.7), (58.5, 61.0), 1273, 73),
    PublishedRow("pubmedqa", (75.8, 76.8, 74.3, 79.8, 71.6, 75.2, 79.2), (75.7, 76.3), 500, 2),
    PublishedRow("usmle_average", (68.3, 71.9, None, None, 53.1, 84.1, None), (68.2, 72.1)),
    PublishedRow("usmle_self_assessment", (68.0, 71.7, None, None, 49.1, 83.8, None), (67.7, 72.2), 325, 11),
    PublishedRow("usmle_sample_exam", (68.6, 72.0, 54.3, None, 56.9, 84.3, None), (68.7, 72.0), 325, 11),
)

TABLE_A2_TOTAL = (11_904, 280)
"""Items and contaminated items, as the paper's total line says; its rows say less (`rows_of_a2`)."""


def rows_of_a2() -> tuple[int, int]:
    """Sum the items and contaminated items of Table A2's rows."""
    rows = [(row.num_items, row.num_contaminated or 0) for row in TABLE_1 if row.num_items is not None]
    return sum(items for items, _ in rows), sum(contaminated for _, contaminated in rows)
