import pytest

from med42lib.formats.model_card import licence_in_card


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n# A model", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: llama-licence\n---\n", "llama-licence"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: [mit, cc0-1.0]\n---\n", "mit, cc0-1.0"),
        ("---\nlanguage: en\n---\n", ""),
        ("# No metadata", ""),
        ("", ""),
    ],
)
def test_the_licence_is_what_the_cards_metadata_state(card: str, licence: str) -> None:
    assert licence_in_card(card) == licence


@pytest.mark.parametrize("block", ["- a\n- list", "license: [", "1: 2", "license: 'a\x07b"])
def test_metadata_that_are_no_mapping_of_names_are_refused(block: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        licence_in_card(f"---\n{block}\n---\n")
