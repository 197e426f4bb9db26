import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import html

from med42lib.formats.contamination import Label, Pair
from med42lib.report.pages.pairs import MOST_CHARACTERS, render_pairs
from med42lib.report.results.contamination import Browsed, read_browsed
from tests.hostile import HTML, UNSEEN, unseen_in


def make_pair(number: int, *, label: Label = Label.REWORDED, **changes: Any) -> Pair:
    values = {
        "item_id": f"medqa/{number}",
        "benchmark": "medqa",
        "example_id": f"cards/{number}",
        "source": "cards",
        "cosine": 0.99 - number / 1000,
        "item_text": "What is fever?",
        "example_text": "What is a fever?",
        "detectors": ["cosine"],
        "label": label.value,
        "item_request": "What is fever?\nA. Heat\nB. Cold",
        "item_answer": "A. Heat",
        "example_request": "What is a fever?\nA. Heat\nB. Rain",
        "example_answer": "A. Heat",
    }
    return Pair(**{**values, **changes})


def page_of(*pairs: Pair, num_found: int = 0) -> str:
    browsed = Browsed(tuple((pair, "cosine" in pair.detectors) for pair in pairs), num_found or len(pairs))
    return render_pairs("A run", browsed, source_title=str.title)


def data_of(page: str) -> dict[str, Any]:
    [text] = html.document_fromstring(page).xpath("//script[@id='data']/text()")
    data: dict[str, Any] = json.loads(text)
    return data


def test_the_page_holds_each_text_once_and_pairs_from_the_most_similar_down() -> None:
    first, last = make_pair(1), make_pair(2, item_id="medqa/1", detectors=["exact", "ngrams"], overlap=0.25)
    both = make_pair(3, detectors=["cosine", "ngrams"], label=Label.SAME_ANSWER)

    data = data_of(page_of(last, both, first))

    assert [item[0] for item in data["items"]] == ["medqa/1", "medqa/3"]
    assert data["items"][0][1:] == [0, first.item_request, first.item_answer]
    assert data["pairs"] == [[0, 0, 0.989, 0.0, 2, 0, 1], [0, 1, 0.988, 0.25, 2, 2, 0], [1, 2, 0.987, 0.0, 0, 1, 1]]
    assert (data["benchmarks"], data["sources"]) == (["MedQA"], ["Cards"])


def test_the_page_loads_nothing_and_allows_its_own_script_alone() -> None:
    page = page_of(make_pair(1))
    document = html.document_fromstring(page)
    assert not document.xpath("//@src | //@href | //@action")
    assert "http://" not in page
    assert "https://" not in page
    [policy] = document.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    [script] = document.xpath("//script[not(@type)]/text()")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_every_control_has_a_name_that_is_read_out() -> None:
    document = html.document_fromstring(page_of(make_pair(1)))
    for control in document.xpath("//select | //input"):
        assert control.xpath("normalize-space(ancestor::label)"), html.tostring(control)
    for button in document.xpath("//button"):
        assert button.text_content().strip()
    assert document.xpath("//*[@id='status']/@aria-live") == ["polite"]


def test_no_strangers_text_ends_the_data_or_hides_in_it() -> None:
    texts = [*HTML, "</script><script>alert(1)</script>", "<!--", UNSEEN]
    page = page_of(*(make_pair(n, item_request=text, example_answer=text, source=text) for n, text in enumerate(texts)))
    document = html.document_fromstring(page)
    assert len(document.xpath("//script")) == 2
    assert not unseen_in(page)
    assert [item[2] for item in data_of(page)["items"]][:-1] == texts[:-1]


def test_long_texts_are_cut_and_say_so() -> None:
    data = data_of(page_of(make_pair(1, example_request="word " * MOST_CHARACTERS)))
    assert len(data["examples"][0][2]) == MOST_CHARACTERS
    assert data["examples"][0][2].endswith("…")


def test_a_page_of_a_part_says_so() -> None:
    assert "All 1 pairs." in page_of(make_pair(1))
    assert "1 of 5,000 pairs, drawn at random." in page_of(make_pair(1), num_found=5000)


def test_pairs_of_all_detectors_are_read_and_of_many_some(run: Any) -> None:
    browsed = read_browsed(run.source("contamination"), most=100)
    assert browsed.num_found == len(browsed.pairs) == 16
    assert [pair.example_id for pair, flagged in browsed.pairs if not flagged] == ["medquad/overlap"]
    some = read_browsed(run.source("contamination"), most=5)
    assert (some.num_found, some.pairs) == (16, browsed.pairs[:5])


def test_the_report_writes_the_page_and_links_to_it(finished: Path) -> None:
    assert html.document_fromstring((finished / "report.html").read_text()).xpath("//a/@href") == ["pairs.html"]
    assert "`pairs.html`" in (finished / "report.md").read_text()
    assert len(data_of((finished / "pairs.html").read_text())["pairs"]) == 16


Look = Callable[[str], Any]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Open a page in a browser, and give the document that is there when its scripts have run."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no chromium or google-chrome on the PATH: install one to open the page in a browser")

    def opened(page: str) -> Any:
        (tmp_path / "page.html").write_text(page)
        options = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        options += ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
        command = [str(browser), *options, (tmp_path / "page.html").as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return html.document_fromstring(done.stdout)

    return opened


@pytest.mark.slow
def test_a_browser_shows_one_page_of_pairs_with_the_differences_marked_and_runs_nothing_of_a_strangers(
    look: Look,
) -> None:
    hostile = [make_pair(n, item_request=text, example_request=text) for n, text in enumerate(HTML, start=1)]
    document = look(page_of(make_pair(0), *hostile, *(make_pair(n) for n in range(100, 140))))

    [shown] = document.xpath("//*[@id='pairs']")
    assert len(shown) == 20
    assert [mark.text for mark in shown[0].xpath(".//mark")] == ["Cold", "a", "Rain"]
    made = {"article", "h3", "b", "div", "section", "h4", "blockquote", "mark", "p", "code"}
    assert {element.tag for element in shown.iterdescendants()} <= made
    assert HTML[0] in shown.text_content()
    assert document.xpath("string(//*[@id='status'])") == f"{41 + len(hostile)} of {41 + len(hostile)} pairs: 1 to 20"


@pytest.mark.slow
def test_filters_choose_among_all_pairs_and_are_said_with_the_number(look: Look) -> None:
    pairs = [make_pair(n, label=list(Label)[n % 5], benchmark=("medqa", "headqa")[n % 2]) for n in range(100)]
    ask = """<script>
    const set = (name, value) => { form.elements[name].value = value; };
    set("label", "1"); set("benchmark", "1"); set("low", "0.95"); set("order", "1"); set("words", "RAIN"); apply();
    </script>"""
    page = re.sub("<meta http-equiv[^>]*>", "", page_of(*pairs)).replace("</body>", f"{ask}</body>")

    document = look(page)

    wanted = [n for n in range(100) if n % 5 == 1 and n % 2 == 1 and 0.99 - n / 1000 >= 0.95]
    shown = document.xpath("//*[@id='pairs']/article/div/section[1]/code/text()")
    assert shown == [f"medqa/{n}" for n in reversed(wanted)]
    said = "(HeadQA, Same question, other options, cosine from 0.95, “RAIN”)"
    assert document.xpath("string(//*[@id='status'])") == f"{len(wanted)} of 100 pairs {said}: 1 to {len(wanted)}"
