"""The model that a cell calls is found, with how it was called."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from jupyter_optim.capture import Capture
from jupyter_optim.errors import InvalidInputs, InvalidModel, NoModelCalled
from jupyter_optim.workload import Workload


class KeywordsOnly(nn.Module):
    def forward(self, *, x: torch.Tensor, mask: torch.Tensor | None = None, n: int = 1) -> torch.Tensor:
        return x * n if mask is None else x * mask


def test_the_root_with_the_most_time_is_the_model() -> None:
    small, big = nn.Linear(2, 2), nn.Sequential(nn.Linear(512, 2048), nn.ReLU(), nn.Linear(2048, 512))
    with Capture() as capture:
        small(torch.ones(1, 2))
        for _ in range(5):
            big(torch.randn(64, 512))
    workload = capture.workload()
    assert workload.model is big
    assert workload.calls == 5
    assert workload.cell_ms >= sum(workload.call_ms)
    assert capture.workload(small).model is small


def test_a_loss_is_not_taken_for_the_model() -> None:
    model, loss = nn.Linear(2, 2), nn.CrossEntropyLoss()
    with Capture() as capture:
        for _ in range(50):
            loss(torch.randn(4, 2), torch.zeros(4, dtype=torch.long))
        model(torch.ones(1, 2))
    assert capture.workload().model is model


def test_nothing_called_and_another_one_called_are_told() -> None:
    with Capture() as capture:
        pass
    with pytest.raises(NoModelCalled, match=r"No torch\.nn\.Module was called"):
        capture.workload()
    with Capture() as capture:
        nn.ReLU()(torch.ones(1))
    with pytest.raises(NoModelCalled, match=r"Linear was not called.*ReLU"):
        capture.workload(nn.Linear(1, 1))


def test_signatures_modes_and_inputs_are_kept() -> None:
    model = KeywordsOnly().eval()
    with Capture() as capture:
        with torch.no_grad():
            model(x=torch.ones(2, 3), n=2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for _ in range(20):
                model(x=torch.ones(400, 300), mask=torch.ones(400, 300))
    workload = capture.workload()
    assert [s.calls for s in workload.signatures] == [20, 1]
    assert [s.measured for s in workload.signatures] == [True, False]
    assert workload.mode.grad
    assert workload.mode.autocast == {"cpu": torch.bfloat16}
    assert workload.mode.training == (False,)
    assert {spec.name: spec.shape for spec in workload.inputs} == {"x": (400, 300), "mask": (400, 300)}
    assert workload.batch_size == 400


def test_inputs_that_the_cell_overwrites_later_are_copied() -> None:
    x = torch.ones(2, 2)
    model = nn.Linear(2, 2)
    with Capture() as capture:
        model(x)
        x.fill_(7)
    assert torch.equal(capture.workload().args[0], torch.ones(2, 2))


def test_beyond_the_memory_cap_inputs_are_kept_and_a_later_write_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jupyter_optim.capture.MEMORY_CAP_BYTES", 4)
    x, model = torch.ones(2, 2), nn.Linear(2, 2)
    with Capture() as capture:
        model(x)
    assert capture.workload().args[0] is x
    x.fill_(7)
    assert "overwritten" in str(capture.workload().obstacle)


def test_calls_in_threads_are_told_apart() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with Capture() as capture:
        threads = [threading.Thread(target=model, args=(torch.ones(1, 4),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert capture.workload().model is model
    assert capture.workload().calls == 4


def test_hooks_are_gone_afterwards_even_if_the_cell_raised() -> None:
    from torch.nn.modules import module as hooks

    before = len(hooks._global_forward_hooks), len(hooks._global_forward_pre_hooks)
    with pytest.raises(ZeroDivisionError), Capture():
        raise ZeroDivisionError
    assert (len(hooks._global_forward_hooks), len(hooks._global_forward_pre_hooks)) == before


class Counting(nn.Module):
    """Cannot be called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.used: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.used:
            raise RuntimeError("only once")
        self.used.append(1)
        return self.fc(x)


def test_a_model_that_refuses_a_second_call_is_not_replayed() -> None:
    model = Counting()
    with Capture() as capture:
        model(torch.ones(1, 2))
    assert "only once" in str(capture.workload().probed().obstacle)


class InPlace(nn.Module):
    def forward(self, x: torch.Tensor, kept: list[torch.Tensor]) -> torch.Tensor:
        kept.append(x)
        return x.mul_(2)


def test_a_model_that_writes_to_its_inputs_gets_a_fresh_copy_each_time() -> None:
    workload = Workload.of_call(InPlace(), (torch.ones(2), [])).probed()
    assert workload.mutates_inputs
    first = workload.outputs(workload.model)
    assert torch.equal(first, workload.outputs(workload.model))
    assert torch.equal(first, torch.full((2,), 2.0))
    assert workload.args[1] == []


def test_random_layers_draw_the_same_numbers_in_each_comparison() -> None:
    workload = Workload.of_call(nn.Dropout().train(), torch.ones(100))
    state = torch.get_rng_state()
    assert torch.equal(workload.outputs(workload.model), workload.outputs(workload.model))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("model", [nn.Linear, None, "model", 3])
def test_what_is_no_module_is_refused_with_its_type(model: object) -> None:
    with pytest.raises(InvalidModel, match=r"torch\.nn\.Module"):
        Workload.of_call(model, torch.ones(1))


def test_inputs_that_do_not_fit_are_refused_with_the_signature() -> None:
    with pytest.raises(InvalidInputs, match=r"Linear\.forward.*too many"):
        Workload.of_call(nn.Linear(1, 1), (torch.ones(1), 2))


def test_inputs_of_many_kinds_are_counted_but_not_all_kept() -> None:
    model = nn.Linear(4, 2)
    with Capture() as capture:
        for rows in range(1, 101):
            model(torch.ones(rows, 4))
    workload = capture.workload()
    assert workload.calls == 100
    assert sum(each.calls for each in workload.signatures) == 100
    assert len(workload.signatures) <= 65
    assert workload.signatures[-1].text == "others"
