import pytest

from med42lib.inspection import style
from med42lib.inspection.style import Style, use_colour

PLAIN, COLOUR = Style(colour=False), Style(colour=True)


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1"}, False),
        (False, {}, False),
        (False, {"MED42_TERMINAL": "1"}, True),
        (False, {"MED42_TERMINAL": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_terminals_unless_switched_off(
    terminal: bool, environment: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "MED42_TERMINAL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(style.sys.stdout, "isatty", lambda: terminal, raising=False)
    assert use_colour() is expected


def test_loss_is_marked_with_and_without_colour() -> None:
    assert PLAIN.token(" is", loss=True, odd=False) == "[ is]"
    assert PLAIN.token(" is", loss=False, odd=True) == "· is"
    assert COLOUR.token(" is", loss=True, odd=False) == "\x1b[32m is\x1b[0m"
    assert COLOUR.token(" is", loss=False, odd=True) == "\x1b[2;4m is\x1b[0m"
    assert PLAIN.heading("raw") == PLAIN.dim("raw") == "raw"


@pytest.mark.parametrize("loss", [True, False])
def test_the_width_is_that_of_what_is_seen(loss: bool) -> None:
    assert PLAIN.token_width(" is", loss=loss) == len(PLAIN.token(" is", loss=loss, odd=False))
    assert COLOUR.token_width(" is", loss=loss) == 3
