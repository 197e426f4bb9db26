from hypothesis import given
from hypothesis import strategies as st

from med42lib.report.results.overlap import Segment, shared_segments


def test_shared_words_are_marked_whatever_their_case() -> None:
    segments = shared_segments("Median nerve injury", "injury of the median")
    assert segments == (Segment("Median", True), Segment(" nerve ", False), Segment("injury", True))


def test_short_words_are_not_marked_but_numbers_are() -> None:
    marked = [s.text for s in shared_segments("of 12 mg", "12 mg of it") if s.shared]
    assert marked == ["12"]


@given(st.text(), st.text())
def test_segments_together_are_the_text(text: str, other: str) -> None:
    assert "".join(segment.text for segment in shared_segments(text, other)) == text
