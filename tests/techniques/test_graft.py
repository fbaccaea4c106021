"""A draft shares weights and nothing else; a graft is seen through every reference, and reverts exactly."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.weight_norm import weight_norm

from jupyter_optim.errors import UnsupportedModel
from jupyter_optim.techniques.draft import Draft
from jupyter_optim.techniques.graft import Graft
from jupyter_optim.techniques.replace import replace_modules_


class Tied(nn.Module):
    """Everything that a draft could get wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.block = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU())
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight
        self.again = self.block
        self.by_hand = [self.block[0]]
        self.lock = threading.Lock()
        self.config = {"heads": [1, 2]}

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        with self.lock:
            return self.head(self.again(self.block(self.embed(ids))))


@pytest.fixture
def model() -> Tied:
    torch.manual_seed(0)
    return Tied().eval()


IDS = torch.tensor([1, 2, 3])


class Doubled(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any) -> Any:
        return self.inner(*args) * 2


def test_a_draft_shares_parameters_and_copies_the_rest(model: Tied) -> None:
    draft = Draft(model).root
    assert type(draft) is Tied
    assert torch.equal(draft(IDS), model(IDS))
    assert draft.embed.weight is model.embed.weight is draft.head.weight
    assert draft.block is draft.again is not model.block
    assert draft.by_hand[0] is draft.block[0]
    assert draft.block[1].running_mean is not model.block[1].running_mean
    assert draft.lock is model.lock
    draft.config["heads"].append(3)
    assert model.config == {"heads": [1, 2]}


def test_cloned_weights_stay_tied(model: Tied) -> None:
    draft = Draft(model, weights="cloned").root
    assert draft.embed.weight is draft.head.weight is not model.embed.weight


def test_a_draft_of_a_model_in_training_takes_no_notice_of_the_live_one(model: Tied) -> None:
    model.train()
    draft = Draft(model).root
    before = model.block[1].running_mean.clone()
    draft(IDS)
    assert torch.equal(model.block[1].running_mean, before)


def test_a_graft_is_seen_through_held_references_and_reverts_to_the_object(model: Tied) -> None:
    held, answers = model.block[0], model(IDS)
    contents = {name: (type(m), m.__dict__) for name, m in model.named_modules()}
    draft = Draft(model)
    replace_modules_(draft.root, {"block.0": Doubled(nn.Linear(4, 4))})
    expected = draft.root(IDS)

    graft = Graft(draft, draft.root)
    graft.apply()

    assert torch.equal(model(IDS), expected)
    assert type(held) is Doubled
    assert model.block[0] is held
    assert model.by_hand[0] is held
    assert model.again is model.block

    graft.revert()

    assert torch.equal(model(IDS), answers)
    for name, module in model.named_modules():
        assert type(module) is contents[name][0]
        assert module.__dict__ is contents[name][1]


def test_redo_after_undo_gives_the_changed_model_again(model: Tied) -> None:
    draft = Draft(model)
    replace_modules_(draft.root, {"block.0": Doubled(nn.Linear(4, 4))})
    graft = Graft(draft, draft.root)
    graft.apply()
    changed = model(IDS)
    graft.revert()
    graft.apply()
    assert torch.equal(model(IDS), changed)


def test_a_new_root_around_the_draft_takes_the_live_roots_place(model: Tied) -> None:
    answers, held = model(IDS), model.block
    draft = Draft(model)
    graft = Graft(draft, Doubled(draft.root))
    graft.apply()
    assert type(model) is Doubled
    assert torch.equal(model(IDS), answers * 2)
    assert model.inner.block is held
    graft.revert()
    assert type(model) is Tied
    assert torch.equal(model(IDS), answers)


def test_a_replaced_bare_layer_is_the_same_object() -> None:
    model = nn.Linear(3, 3)
    x, answers = torch.ones(1, 3), model(torch.ones(1, 3))
    draft = Draft(model)
    graft = Graft(draft, Doubled(nn.Linear(3, 3)))
    graft.apply()
    assert type(model) is Doubled
    model(x)
    graft.revert()
    assert torch.equal(model(x), answers)


def test_untouched_buffers_are_the_live_ones_again(model: Tied) -> None:
    mean = model.block[1].running_mean
    draft = Draft(model)
    Graft(draft, draft.root).apply()
    assert model.block[1].running_mean is mean


def test_the_users_handles_go_on_to_work(model: Tied) -> None:
    calls: list[int] = []
    handle = model.block.register_forward_hook(lambda *_: calls.append(1))
    draft = Draft(model)
    Graft(draft, draft.root).apply()
    model(IDS)
    assert len(calls) == 2
    handle.remove()
    model(IDS)
    assert len(calls) == 2


def test_the_mode_that_the_user_sets_meanwhile_survives_an_undo(model: Tied) -> None:
    draft = Draft(model)
    graft = Graft(draft, draft.root)
    graft.apply()
    model.train()
    graft.revert()
    assert model.training
    assert model.block[1].training


def test_a_class_that_cannot_be_taken_over_changes_nothing(model: Tied) -> None:
    class Slotted(nn.Linear):
        __slots__ = ("extra",)

    answers = model(IDS)
    draft = Draft(model)
    replace_modules_(draft.root, {"block.0": Doubled(nn.Identity()), "head": Slotted(4, 10)})
    graft = Graft(draft, draft.root)
    with pytest.raises(UnsupportedModel, match="cannot be changed in place"):
        graft.apply()
    assert torch.equal(model(IDS), answers)
    assert type(model.block[0]) is nn.Linear


@pytest.mark.parametrize("norm", [weight_norm, parametrizations.weight_norm, parametrizations.spectral_norm])
def test_normed_weights_can_be_drafted(norm: Any) -> None:
    model = nn.Sequential(norm(nn.Linear(3, 3)), nn.ReLU()).eval()
    x = torch.ones(2, 3)
    answers = model(x)
    draft = Draft(model)
    assert torch.equal(draft.root(x), answers)
    graft = Graft(draft, draft.root)
    graft.apply()
    assert torch.equal(model(x), answers)
    graft.revert()
    assert torch.equal(model(x), answers)


def test_what_cannot_be_drafted_says_why() -> None:
    scripted = torch.jit.script(nn.Linear(1, 1))
    with pytest.raises(UnsupportedModel, match="ScriptModule"):
        Draft(nn.Sequential(scripted))
    with pytest.raises(UnsupportedModel, match="OptimizedModule"):
        Draft(torch.compile(nn.Linear(1, 1)))
    compiled = nn.Linear(1, 1)
    compiled.compile()
    with pytest.raises(UnsupportedModel, match="undo `compile`"):
        Draft(compiled)


def test_a_deep_copy_of_a_grafted_model_is_independent() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    draft = Draft(model)
    replace_modules_(draft.root, {"0": Doubled(nn.Linear(2, 2))})
    graft = Graft(draft, draft.root)
    graft.apply()
    copied, x = copy.deepcopy(model), torch.ones(1, 2)
    changed = model(x)
    graft.revert()
    assert torch.equal(copied(x), changed)
