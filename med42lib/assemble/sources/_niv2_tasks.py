"""Which tasks of Super-NaturalInstructions are read, and which hold questions of the benchmarks.

The paper used "47 tasks ... related to science, healthcare and medicine" and lists none of them. The 47 of `TASKS` are
INFERRED from that sentence: tasks in English on medical, biological and school-science texts whose answers are true
(tasks that ask for a wrong answer are left out), and none that holds a benchmark's questions.

Many of the tasks that a choice by domain would bring are made of the benchmarks themselves: `task665_mmmlu_...` is
MMLU's anatomy, test questions among it. They are known by their names, in whatever version of the collection.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from med42lib.assemble.source import ReadOptions
from med42lib.core.errors import DataError

TASKS = (
    # clinical trials, MEDLINE abstracts and papers on COVID-19
    "task179_participant_extraction",
    "task180_intervention_extraction",
    "task181_outcome_extraction",
    "task352_coda-19_classification",
    "task619_ohsumed_abstract_title_generation",
    "task620_ohsumed_medical_subject_headings_answer_generation",
    "task621_ohsumed_yes_no_numerical_answer_generation",
    "task623_ohsumed_yes_no_answer_generation",
    "task624_ohsumed_question_answering",
    "task1161_coda19_title_generation",
    "task1162_coda19_title_classification",
    "task1163_coda19_section_classification",
    "task1164_coda19_section_correction_classification",
    "task1586_scifact_title_generation",
    "task1587_scifact_classification",
    "task1589_scifact_classification",
    # claims about health
    "task1366_healthfact_classification",
    "task1368_healthfact_sentence_generation",
    "task1369_healthfact_sentence_generation",
    # drugs, diseases, genes and organs named in texts
    "task1447_drug_extraction_ade",
    "task1448_disease_entity_extraction_ncbi_dataset",
    "task1449_disease_entity_extraction_bc5cdr_dataset",
    "task1451_drug_dose_extraction",
    "task1480_gene_extraction_jnlpba_dataset",
    "task1481_gene_extraction_bc2gm_dataset",
    "task1482_gene_extraction_chemprot_dataset",
    "task1483_chemical_extraction_chemprot_dataset",
    "task1484_gene_extraction_linnaeus_dataset",
    "task1485_organ_extraction_anem_dataset",
    "task1486_cell_extraction_anem_dataset",
    "task1487_organism_substance_extraction_anem_dataset",
    "task1495_adverse_drug_event_classification",
    # science as taught at school
    "task041_qasc_answer_generation",
    "task047_miscellaneous_answering_science_questions",
    "task228_arc_answer_generation_easy",
    "task229_arc_answer_generation_hard",
    "task591_sciq_answer_generation",
    "task593_sciq_explanation_generation",
    "task594_sciq_question_generation",
    "task1297_qasc_question_answering",
    "task1399_obqa_answer_generation",
    "task1529_scitail1.1_classification",
    "task1530_scitail1.1_sentence_generation",
    "task1552_scitail_question_generation",
    "task1554_scitail_classification",
    "task1555_scitail_answer_generation",
    "task1556_scitail_passage_generation",
)

BENCHMARKS_BY_NAME_PART = {
    "mmmlu": "MMLU",  # the collection's own spelling: task664 to task667 and task685 to task737
    "mmlu": "MMLU",
    "pubmedqa": "PubMedQA",
    "pubmed_qa": "PubMedQA",
    "head_qa": "HeadQA",
    "headqa": "HeadQA",
    "medmcqa": "MedMCQA",
    "medqa": "MedQA",
    "med_qa": "MedQA",
    "usmle": "USMLE",
    "medical_question_pair": "Medical Question Pairs",
}


@cache
def benchmark_of(task: str) -> str:
    """Name the benchmark whose questions a task holds; empty if none is known."""
    return next((benchmark for part, benchmark in BENCHMARKS_BY_NAME_PART.items() if part in task.lower()), "")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which tasks the settings ask for: those they name, or else the 47 and, to say what was removed, the blocked."""

    named: frozenset[str]
    benchmark_tasks: bool

    def reads(self, task: str) -> bool:
        """Say whether a task's instances are read, be it only to exclude and count them."""
        if self.named:
            return task in self.named
        return task in _TASKS or bool(benchmark_of(task))

    def check_found(self, found: Collection[str]) -> list[str]:
        """Make sure that every task named in the settings was there.

        Returns:
            What to say of the usual tasks that were not.

        Raises:
            DataError: With those named that were not.
        """
        missing = sorted(self.named.difference(found))
        if missing:
            raise DataError(
                f"niv2: no such task among the files: {', '.join(missing)}; check the names in `include` and the path"
            )
        absent = [] if self.named else sorted(_TASKS.difference(found))
        return [f"{len(absent)} of its {len(TASKS)} tasks are not here: {', '.join(absent)}"] if absent else []


_TASKS = frozenset(TASKS)


def choose(read_options: ReadOptions) -> Choice:
    """Read the choice of tasks from the settings.

    Raises:
        DataError: If a task is named that holds a benchmark's questions, and the settings do not say
            `benchmark_tasks: true`.
    """
    blocked = [f"{task} ({benchmark})" for task in read_options.include if (benchmark := benchmark_of(task))]
    if blocked and not read_options.benchmark_tasks:
        raise DataError(
            f"niv2: these tasks hold questions of benchmarks: {', '.join(blocked)}; take them out of `include`, or set "
            "`benchmark_tasks: true` if no score on those benchmarks is wanted"
        )
    return Choice(frozenset(read_options.include), read_options.benchmark_tasks)
