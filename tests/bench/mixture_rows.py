"""Rows of the paper's sources with the publishers' fields, made up.

Each function makes the rows numbered `start` to `start + count` of one source. `used` says which kind: rows that belong
into a mixture, or rows that its reader must set aside (test questions, bad answers, missing texts). Lengths suit
each source, and are such that a conversation of the mixture, in the prompt format, has 1,440 bytes in the mean: 374
tokens of 3.85 bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from tests.bench.mixture_text import Prose

Row = dict[str, Any]

LETTERS = "ABCD"
SITES = ("academia", "bioinformatics", "biology", "cogsci", "fitness", "health")
META_SITE = "biology.meta"
HTML = (
    ("<p>", "</p>\n"),
    ("<p>", "</p>\n"),
    ("<p>", "</p>\n"),
    ("<p><strong>Note &amp; warning:</strong> <em>", "</em></p>\n"),
    ("<ul>\n<li>dose &gt; 5&nbsp;mg</li>\n<li>", "</li>\n</ul>\n"),
    ("<blockquote>\n  <p>", "</p>\n</blockquote>\n"),
    ('<p>See <a href="https://www.example.org/study" rel="nofollow">this study</a>: ', "</p>\n"),
    ("<pre><code>rate = dose / weight\nif rate &lt; 0.5:\n    print(rate)\n</code></pre>\n<p>", "</p>\n"),
)
HTML_PARTS = 4
ORCA_SYSTEMS = (
    "",
    "You are an assistant. Give a detailed answer, so that nobody has to look elsewhere to understand it.",
    "You are an assistant that follows instructions very well. Help as much as you can.",
    "Think like someone who answers a child of five.",
    "Given a task, think step by step, and justify your steps.",
)
ORCA_BYTES = {"t0": 1790, "flan": 1930, "cot": 1490, "niv": 1400}
MARKERS = ("<|user|> ", " <|eos|> <|ai|> ", " <|eos|> ")


def medmcqa(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    options = prose.texts(4 * count, 32, kind="terms")
    subjects = prose.picks(("Anatomy", "Medicine", "Pathology", "Pharmacology", "Surgery"), count)
    # The publisher counts answers from 1; about one explanation in eight is missing, and half name the letter.
    answers, explained = prose.numbers(count, 1, 5), prose.numbers(count, 0, 8)
    texts = zip(prose.texts(count, 105, end=":"), prose.texts(count, 400), prose.ids(count), strict=True)
    for n, (question, comment, code) in enumerate(texts):
        lead = f"Ans. is '{LETTERS[answers[n] - 1].lower()}' i.e., {options[4 * n + answers[n] - 1]}. "
        yield {
            "question": question,
            "exp": None if explained[n] == 0 else (lead if explained[n] < 4 else "") + comment,
            "cop": answers[n],
            **dict(zip(("opa", "opb", "opc", "opd"), options[4 * n : 4 * n + 4], strict=True)),
            "subject_name": subjects[n],
            "topic_name": None if explained[n] else subjects[n],
            "id": str(uuid.UUID(code)),
            "choice_type": "multi" if explained[n] % 3 == 0 else "single",
        }


def medical_flashcards(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    for question, answer in zip(prose.texts(count, 90, end="?"), prose.texts(count, 250, end="."), strict=True):
        yield {"input": question, "output": answer, "instruction": "Answer this question truthfully"}


def stackexchange(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    questions, num_answers = _html(prose, count, 1150), prose.numbers(count, 2, 5)
    answers, chosen = iter(_html(prose, sum(num_answers), 1500)), prose.numbers(count, 0, 2)
    for n in range(count):
        site = SITES[(start + n) % len(SITES)] if used else META_SITE
        url = f"https://{site}.stackexchange.com"
        first = 10 * (start + n)
        yield {
            "qid": first,
            "question": questions[n],
            "answers": [_answer(url, first + k, next(answers), k, chosen[n]) for k in range(1, num_answers[n] + 1)],
            "date": "2016/05/04",
            "metadata": [f"{url}/questions/{first}", url, f"{url}/users/{first % 977}/"],
        }


def _answer(url: str, number: int, text: str, place: int, chosen: int) -> Row:
    return {
        "answer_id": number,
        "author": f"user{number % 977}",
        "author_id": number % 977,
        "author_profile": f"{url}/users/{number % 977}",
        "pm_score": 6 - place,
        "selected": place == 1 and chosen == 1,
        "text": text,
    }


def _html(prose: Prose, count: int, mean_bytes: float) -> list[str]:
    texts = prose.texts(count * HTML_PARTS, mean_bytes / HTML_PARTS)
    parts = [before + text + after for text, (before, after) in zip(texts, prose.picks(HTML, len(texts)), strict=True)]
    return ["".join(parts[n : n + HTML_PARTS]) for n in range(0, len(parts), HTML_PARTS)]


def medqa(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    options, answers = prose.texts(4 * count, 32, kind="terms"), prose.numbers(count, 0, 4)
    for n, question in enumerate(prose.texts(count, 780, end="?")):
        lettered = dict(zip(LETTERS, options[4 * n : 4 * n + 4], strict=True))
        yield {
            "question": question,
            "answer": lettered[LETTERS[answers[n]]],
            "options": lettered,
            "meta_info": "step2&3" if n % 2 else "step1",
            "answer_idx": LETTERS[answers[n]],
            "metamap_phrases": question.split()[::4],
        }


def cord19(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    """Papers; those not used have no abstract."""
    texts = zip(prose.texts(count, 110), prose.texts(count, 1500), prose.ids(count, 40), strict=True)
    for number, (title, abstract, sha) in enumerate(texts, start=start):
        yield {
            "cord_uid": f"{'u' if used else 'x'}{number:07d}",
            "sha": sha,
            "source_x": "PMC",
            "title": title.capitalize(),
            "doi": f"10.1186/{number}",
            "pmcid": f"PMC{number}",
            "pubmed_id": str(11_000_000 + number),
            "license": "cc-by",
            "abstract": abstract if used else "",
            "publish_time": "2020-07-04",
            "authors": "Doe, Jane; Müller, Karl",
            "journal": "BMC Infect Dis",
            "url": f"https://www.ncbi.nlm.nih.gov/pmc/articles/PMC{number}/",
        }


def pubmedqa(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    """Labelled questions; those not used are the official test's."""
    contexts, decisions = prose.texts(3 * count, 420), prose.picks(("yes", "yes", "no", "maybe"), count)
    conclusions = prose.texts(count, 260, end=".")
    for n, question in enumerate(prose.texts(count, 110, end="?")):
        yield {
            "PMID": str((10_000_000 if used else 20_000_000) + start + n),
            "QUESTION": question,
            "CONTEXTS": contexts[3 * n : 3 * n + 3],
            "LABELS": ["BACKGROUND", "METHODS", "RESULTS"],
            "MESHES": ["Humans", "Adult"],
            "YEAR": "2011",
            "reasoning_required_pred": "yes",
            "reasoning_free_pred": decisions[n],
            "final_decision": decisions[n],
            "LONG_ANSWER": conclusions[n],
            "official_test": not used,
        }


def headqa(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    """Exam questions; those not used are about images."""
    options, answers = prose.texts(5 * count, 40, kind="terms"), prose.numbers(count, 1, 6)
    for n, question in enumerate(prose.texts(count, 130, end=":")):
        yield {
            "exam": f"Cuaderno_2013_1_{'BMFQEP'[n % 6]}",
            "qid": str(start + n + 1),
            "qtext": question,
            "ra": str(answers[n]),
            "answers": [{"aid": aid, "atext": options[5 * n + aid - 1]} for aid in range(1, 6)],
            "image": "" if used else f"HEAD_EN/train/{n}.png",
        }


def mediqa(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    """Rated answers, four good ones and four bad ones to a question; the bad ones are not used."""
    scores = prose.numbers(count, 3, 5) if used else prose.numbers(count, 1, 3)
    for n, answer in enumerate(prose.texts(count, 2800, end=".")):
        question, place = divmod(start + n, 4)
        rank = place + (1 if used else 5)
        yield {
            "QID": str(question + 1),
            "QuestionText": Prose(question, "mediqa").texts(1, 130, end="?")[0],
            "AID": f"{question + 1}_Answer{rank}",
            "SystemRank": str(rank),
            "ReferenceRank": str(rank),
            "ReferenceScore": str(scores[n]),
            "AnswerURL": f"https://medlineplus.gov/ency/article/{start + n:06d}.htm",
            "AnswerText": answer,
        }


def health_advice(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    labels = prose.picks(("0", "0", "0", "1", "0", "2"), count)
    for n, sentence in enumerate(prose.texts(count, 160, end=".")):
        yield {"label": labels[n], "pmid": str(30_000_000 + start + n), "sentence": sentence}


def pubmed_causal(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    labels = prose.numbers(count, 0, 4)
    for n, sentence in enumerate(prose.texts(count, 150, end=".")):
        yield {"sentence": sentence, "label": str(labels[n])}


def opengpt(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    """Conversations with markers: nine in ten of one turn, the others of four."""
    user, ai, eos = MARKERS
    for n in range(0, count, 10):
        turns = [1] * 9 + [4]
        size = min(10, count - n)
        texts = zip(prose.texts(sum(turns), 100, end="?"), prose.texts(sum(turns), 480, end="."), strict=True)
        spoken = iter([f"{user}{question}{ai}{answer}{eos}" for question, answer in texts])
        for k in range(size):
            text = "".join(next(spoken) for _ in range(turns[k]))
            yield {"text": f"{text}<|eod|>", "raw_data_id": str(start + n + k), "turns": turns[k]}


def medquad(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    """Pairs, four to a page; those not used are of the site whose answers the publisher removed."""
    answers = prose.texts(count, 1320, kind="prose", end=".") if used else [""] * count
    for number, (question, answer) in enumerate(zip(prose.texts(count, 80, end=" ?"), answers, strict=True), start):
        yield {
            "source": "GHR" if used else "ADAM",
            "document": f"{number // 4 + 1:07d}",
            "pid": str(number % 4 + 1),
            "qid": f"{number // 4 + 1:07d}-{number % 4 + 1}",
            "qtype": "information",
            "Question": question,
            "Answer": answer,
        }


def mmlu(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    options, answers = prose.texts(4 * count, 40, kind="terms"), prose.numbers(count, 0, 4)
    for n, question in enumerate(prose.texts(count, 250, end="?")):
        yield {"question": question, "choices": options[4 * n : 4 * n + 4], "answer": LETTERS[answers[n]]}


def niv2(prose: Prose, start: int, count: int, used: bool) -> Iterator[Row]:
    outputs = prose.texts(count, 90)
    for number, given in enumerate(prose.texts(count, 620), start=start):
        yield {"id": f"task-{number:032x}", "input": given, "output": [outputs[number - start]]}


def openorca(prose: Prose, start: int, count: int, prefix: str) -> Iterator[Row]:
    mean = ORCA_BYTES[prefix]
    systems, questions = prose.picks(ORCA_SYSTEMS, count), prose.texts(count, 0.6 * mean, kind="prose")
    for n, response in enumerate(prose.texts(count, 0.4 * mean - 60, kind="prose", end=".")):
        yield {
            "id": f"{prefix}.{start + n}",
            "system_prompt": systems[n],
            "question": questions[n],
            "response": response,
        }
