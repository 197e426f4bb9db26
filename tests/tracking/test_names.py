import pytest

from med42lib.tracking.names import batches, flatten, mlflow_name


def test_settings_are_flattened_as_the_docstring_shows() -> None:
    settings = {"recipe": {"epochs": 2}, "sources": [{"name": "a"}], "betas": [0.9, 0.95]}
    assert flatten(settings) == {"recipe.epochs": "2", "sources.0.name": "a", "betas": "[0.9, 0.95]"}


def test_empty_and_missing_settings_are_kept_visible() -> None:
    assert flatten({"tags": {}, "limit": None, "on": True, "names": []}) == {
        "tags": "{}",
        "limit": "null",
        "on": "true",
        "names": "[]",
    }


def test_a_value_too_long_for_mlflow_says_where_the_whole_is() -> None:
    (value,) = flatten({"prompt": "x" * 7000}).values()
    assert len(value) == 6000
    assert value.endswith("whole in the manifest among the artifacts)")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss", "loss"),
        ("accuracy/medqa", "accuracy/medqa"),
        ("acc,none", "acc_none"),
        ("a[b]@c", "a_b__c"),
        ("Médecine", "Médecine"),
        ("/absolute", "_absolute"),
        ("a//b", "a__b"),
        ("../up", "_up"),
        ("..", "_"),
        ("n" * 300, "n" * 250),
    ],
)
def test_names_keep_what_mlflow_allows(name: str, expected: str) -> None:
    from mlflow.entities import Metric
    from mlflow.utils.validation import _validate_metric

    assert mlflow_name(name) == expected
    metric = Metric(expected, 1.0, 0, 0)
    _validate_metric(metric.key, metric.value, metric.timestamp, metric.step)


def test_a_batch_is_never_larger_than_its_limit() -> None:
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batches([], 2)) == []
