"""Figures as PDF, for papers that take no SVG. The one module that imports svglib and ReportLab."""

from __future__ import annotations

from io import BytesIO

from reportlab.graphics import renderPDF
from svglib.svglib import register_font, svg2rlg

_FONTS = {"400": "Vera", "500": "Vera", "700": "VeraBd"}
"""ReportLab's own font of each weight in `figures.css.j2`; another weight would be looked for on the machine."""


def pdf_of(svg: str) -> bytes:
    """Turn a figure of this report's into a page of its size: the same bytes for the same figure, on any machine.

    The letters that it uses are embedded, as publishers ask.
    """
    for weight, font in _FONTS.items():
        register_font("sans-serif", f"{font}.ttf", weight=weight, rlgFontName=font)
    drawing = svg2rlg(BytesIO(svg.encode()))
    drawing.initialFontName = _FONTS["400"]  # else Helvetica is named too, which is not embedded
    pdf: bytes = renderPDF.drawToString(drawing, invariant=1)
    return pdf
