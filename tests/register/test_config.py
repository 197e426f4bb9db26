import pytest

from med42lib.core.config import parse_config
from med42lib.core.errors import ConfigError
from med42lib.register.config import RegisterConfig

SOUND = {"experiment": "med42", "model_name": "med42"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tags": {"mlflow.parentRunId": "0"}}, "register.tags.mlflow.parentRunId: begins with mlflow. or med42."),
        ({"tags": {"med42.run": "0"}}, "begins with mlflow. or med42."),
        ({"tags": {"a\nb": "0"}}, "must be letters, digits, spaces"),
        ({"tags": {"../a": "0"}}, "must be letters, digits, spaces"),
        ({"tags": {"": "0"}}, "must be letters, digits, spaces"),
        ({"tags": {"a//b": "0"}}, "must be letters, digits, spaces"),
        ({"tags": {"x" * 251: "0"}}, "should have at most 250 characters"),
        ({"tags": {"a": "x" * 8_001}}, "should have at most 8000 characters"),
        ({"tags": {"a": "\x1b[2J"}}, "holds characters that are not seen"),
        ({"experiment": "a\0b"}, "holds characters that are not seen"),
        ({"description": "a\u202eb"}, "holds characters that are not seen"),
    ],
)
def test_what_mlflow_would_refuse_or_mistake_is_refused_before_anything_is_run(
    changed: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match="register") as caught:
        parse_config(RegisterConfig, SOUND | changed, title="x.yaml", prefix="register")
    assert said in str(caught.value)


def test_tags_and_a_description_of_several_lines_are_taken() -> None:
    tags = {"team": "x", "cost/centre 1.2_b-c": "Zürich\nBern"}
    config = parse_config(RegisterConfig, SOUND | {"tags": tags, "description": "two\nlines"}, title="x.yaml")
    assert config.tags == tags
