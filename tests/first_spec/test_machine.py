import pytest

from med42lib.first_spec import machine


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 0), "float16"), ((6, 1), "float32")],
)
def test_the_number_format_is_the_gpus_fastest(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(machine, "has_accelerator", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: capability)
    assert machine.usual_precision() == expected


def test_without_a_gpu_it_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_accelerator", lambda: False)
    assert machine.usual_precision() == "float32"
