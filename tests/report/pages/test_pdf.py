import re
from pathlib import Path

import pytest

from med42lib.report.pages.pdf import pdf_of

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 200" width="400" height="200">'
    "<style>svg text { font-family: sans-serif; font-size: 13px; font-weight: %s; }</style>"
    '<text x="9" y="20">n = 1,273 − é …</text><line x1="0" x2="90" y1="9" y2="9" stroke="#000"/></svg>'
)


def fonts(pdf: bytes) -> set[bytes]:
    return set(re.findall(rb"/BaseFont /(?:[A-Z]{6}\+)?([\w-]+)", pdf))


def test_a_page_is_of_the_figures_size_and_the_same_bytes_at_any_time() -> None:
    pdf = pdf_of(SVG % "400")
    assert pdf == pdf_of(SVG % "400")
    assert pdf.startswith(b"%PDF-")
    assert b"/MediaBox [ 0 0 300 150 ]" in pdf, "points, of which four are as long as three pixels"
    assert b"/CreationDate (D:2000" in pdf


@pytest.mark.parametrize(
    ("weight", "font"),
    [(400, b"BitstreamVeraSans-Roman"), (500, b"BitstreamVeraSans-Roman"), (700, b"BitstreamVeraSans-Bold")],
)
def test_letters_are_embedded_from_a_font_that_is_the_same_on_every_machine(weight: int, font: bytes) -> None:
    pdf = pdf_of(SVG % weight)
    assert font in fonts(pdf)
    assert fonts(pdf) <= {b"BitstreamVeraSans-Roman", b"BitstreamVeraSans-Bold"}
    assert pdf.count(b"/FontFile2") == len(fonts(pdf))


def test_the_reports_own_figures_need_no_other_font(finished: Path) -> None:
    for name, number in (("accuracy", 2), ("loss", 1)):
        found = fonts((finished / f"{name}.pdf").read_bytes())
        assert len(found) == number
        assert all(font.startswith(b"BitstreamVera") for font in found)
