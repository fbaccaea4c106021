"""Changes on top of each other: in the right order they add up, in a wrong one a sentence says so, and all come out."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn

import jupyter_optim as jo
from benchmarks import minilm
from benchmarks.digits import Digits, network
from jupyter_optim.session.session import Session
from tests.techniques.test_techniques import IMAGE, cnn
from tests.zoo import check_same, fingerprint, outputs_equal, peek
from tests.zoo.timings import short_timings

OPTIONS: dict[str, dict[str, Any]] = {
    "int8-dynamic": {"backend": "torch.ao"},  # the other one compiles, which takes its time
    "low-rank": {"energy": 0.7, "where": "smaller", "round_to": 8},
}
TECHNIQUES = tuple(each.name for each in jo.techniques())
ENGINES = tuple(each.name for each in jo.techniques() if each.family == "engine")
needs_engines = pytest.mark.skipif(
    find_spec("openvino") is None, reason="the extra `engines` is not installed"
)


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with short_timings():
        yield


@pytest.fixture
def unpredicted() -> Iterator[None]:
    """Nothing is predicted after each step: a technique is judged when it is applied."""
    with mock.patch.object(Session, "_predict", return_value=None):
        yield


def work_of(session: jo.Session) -> tuple[float, int]:
    """Arithmetic and weights of a call: floating-point operations (int8 ones count too), and bytes."""
    report = session.report
    assert report.flops.total is not None
    assert report.memory.weights_bytes is not None
    return report.flops.total, report.memory.weights_bytes


def classes(model: nn.Module) -> set[str]:
    """Of the modules without children."""
    return {type(module).__name__ for module in model.modules() if not list(module.children())}


# Hybrid chains


@pytest.fixture(scope="module")
def digits() -> tuple[Digits, nn.Module]:
    """The data, and a network that reads them."""
    torch.manual_seed(0)
    data, model = Digits.load(), network()
    data.train(model, epochs=4)
    return data, model


def test_digits_pruned_trained_folded_and_quantized_do_less_than_either_alone(
    digits: tuple[Digits, nn.Module], unpredicted: None
) -> None:
    # GIVEN a CNN that was trained, and a function that trains it further
    data, trained = digits
    x = data.test_images[:64]

    def train(draft: nn.Module) -> None:
        torch.manual_seed(1)
        data.train(draft, epochs=4)

    def session_of(model: nn.Module) -> jo.Session:
        return jo.optimize(
            model, x, evaluate=data.accuracy, max_drop=0.02, train=train, calibration=[data.images[:256]]
        )

    alone = {}
    for name, options in (("prune-structured", {"ratio": 0.5}), ("int8-static", {})):
        session = session_of(copy.deepcopy(trained))
        assert session.apply(name, keep="always", **options).accepted
        alone[name] = work_of(session)

    # WHEN it is pruned, with training, then folded, then quantized
    model = copy.deepcopy(trained)
    before, expected = fingerprint(model), peek(model, x)
    session = session_of(model)
    chain = [("prune-structured", {"ratio": 0.5}), ("fold-batchnorm", {}), ("int8-static", {})]
    steps = [session.apply(name, keep="always", **options) for name, options in chain]

    # THEN each step keeps to the budget, counted from the first model
    assert [step.accepted for step in steps] == [True] * 3, [step.reason for step in steps]
    assert "trained for" in steps[0].reason
    for step in steps:
        assert step.quality.after >= steps[0].quality.before - 0.02, step.reason
    # AND the whole computes a third of what int8 alone does, and holds a third of what pruning alone does
    flops, size = work_of(session)
    assert flops < 0.4 * alone["int8-static"][0]
    assert size < 0.4 * alone["prune-structured"][1]
    assert not classes(model) & {"Conv2d", "Linear", "BatchNorm2d"}
    # AND it comes out, to the bit
    assert [step.technique for step in session.history] == [name for name, _ in chain]
    for name, _ in reversed(chain):
        assert session.undo().technique == name
    check_same(before, fingerprint(model))
    assert outputs_equal(peek(model, x), expected)


def test_minilm_pruned_trained_and_quantized_does_less_than_either_alone(unpredicted: None) -> None:
    # GIVEN a real language model, and a function that trains it to answer as it did
    model, tokenizer = minilm.load()
    inputs = {key: value[:4, :64] for key, value in minilm.batch(tokenizer).items()}
    more = [
        dict(tokenizer(some, padding="max_length", truncation=True, max_length=64, return_tensors="pt"))
        for some in (minilm.texts()[at : at + 8] for at in range(4, 44, 8))
    ]
    with torch.no_grad():
        targets = [model(**each).last_hidden_state for each in more]

    def train(draft: nn.Module) -> None:
        torch.manual_seed(0)
        optimizer = torch.optim.AdamW(draft.parameters(), 3e-5)
        for each, target in zip(more * 2, targets * 2, strict=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(draft(**each).last_hidden_state, target).backward()
            optimizer.step()

    def session_of(of: nn.Module) -> jo.Session:
        return jo.optimize(of, inputs, max_drop=0.05, train=train)

    chain: list[tuple[str, dict[str, Any]]] = [
        ("prune-structured", {"ratio": 0.25}), ("int8-dynamic", {"backend": "torch.ao"}), ("int8-embedding", {}),
    ]  # fmt: skip
    other = session_of(copy.deepcopy(model))
    assert other.apply("int8-dynamic", keep="always", backend="torch.ao").accepted
    int8_flops, _ = work_of(other)

    # WHEN it is pruned, with training, and then quantized, its embeddings too
    before, expected = fingerprint(model), peek(model, inputs)
    session = session_of(model)
    found = []
    for name, options in chain:
        step = session.apply(name, keep="always", **options)
        assert step.accepted, step.reason
        assert step.quality.drop <= 0.05, step.reason
        found.append(work_of(session))

    # THEN the products are fewer than those of int8 alone, and the bytes than those of pruning alone
    assert "trained for" in session.history[0].reason
    assert found[-1][0] < 0.85 * int8_flops
    assert found[-1][1] < 0.35 * found[0][1]
    assert found[0][1] > found[1][1] > found[2][1]
    # AND it comes out, to the bit
    session.reset()
    check_same(before, fingerprint(model))
    assert outputs_equal(peek(model, inputs), expected)


@needs_engines
def test_a_chain_that_ends_on_an_engine_is_one_history_of_any_depth(unpredicted: None) -> None:
    # GIVEN four steps, the last one an engine
    model = cnn()
    session = jo.optimize(model, IMAGE, max_drop=1.0)
    chain = [
        ("prune-structured", {"ratio": 0.5}),
        ("fold-batchnorm", {}),
        ("channels-last", {}),
        ("openvino-int8", {}),
    ]
    states = [(fingerprint(model), peek(model, IMAGE))]
    for name, options in chain:
        assert session.apply(name, keep="always", **options).accepted
        states.append((fingerprint(model), peek(model, IMAGE)))

    # WHEN they are taken out one by one, and put in again, twice
    for _ in range(2):
        for (name, _options), (printed, answers) in zip(reversed(chain), reversed(states[:-1]), strict=True):
            assert session.undo().technique == name
            check_same(printed, fingerprint(model))
            assert outputs_equal(peek(model, IMAGE), answers)
        assert session.undo() is None
        for (name, _options), (printed, answers) in zip(chain, states[1:], strict=True):
            assert session.redo().technique == name
            check_same(printed, fingerprint(model))
            assert outputs_equal(peek(model, IMAGE), answers)
        assert session.redo() is None

    # THEN the history has each once, in order, and the source too
    assert [(step.technique, step.undone) for step in session.history] == [(name, False) for name, _ in chain]
    code = session.code()
    places = [code.index(f"# {step.label}: ") for step in session.history]
    assert places == sorted(places)


# Wrong orders


@needs_engines
@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("int8-static", "prune-structured", "quantized already, and packed weights lose no channels: undo that"),
        ("int8-static", "fold-batchnorm", "it did before Quantize on fixed scales (int8): undo that, apply this, and then that again"),
        ("int8-static", "channels-last", "it did before Quantize on fixed scales (int8): undo that"),
        ("int8-static", "int8-dynamic", "Quantize on fixed scales (int8) is in place: undo it to try this instead"),
        ("int8-static", "bf16", "int8 already, and take float32 only: undo that"),
        ("int8-static", "openvino", "int8 already, in a form of PyTorch's own: undo that"),
        ("openvino", "int8-static", "runs on OpenVINO, which does not follow changes: undo that"),
        ("onnxruntime", "prune-structured", "runs on ONNX Runtime, which does not follow changes: undo that"),
        ("compile", "prune-structured", "compiled code does not follow changes: undo `compile`, apply this"),
        ("compile", "int8-static", "compiled code does not follow changes: undo `compile`, apply this"),
        ("compile", "openvino", "compiled code does not follow changes: undo `compile`, apply this"),
        ("bf16", "int8-static", "undo"),
    ],
)  # fmt: skip
def test_a_step_that_another_leaves_nothing_says_which_and_what_to_do(
    first: str, second: str, why: str
) -> None:
    model = cnn()
    session = jo.optimize(model, IMAGE, max_drop=1.0)
    assert session.assessments[second].applies
    assert session.apply(first, keep="always").accepted
    assert not session.assessments[second].applies
    assert why in session.assessments[second].reason
    with pytest.raises(jo.NotApplicable, match=re.escape(why)):
        session.apply(second)
    assert len(session.history) == 1
    session.undo()
    assert session.assessments[second].applies


# All pairs


def small_cnn() -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    return model.eval(), torch.randn(4, 3, 8, 8)


def small_transformer() -> tuple[nn.Module, Any]:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        vocab_size=100,
        max_position_embeddings=32,
    )
    return BertModel(config).eval(), {"input_ids": torch.randint(0, 100, (2, 16))}


@pytest.mark.parametrize("box", [small_transformer, small_cnn])
@pytest.mark.parametrize("technique", [each for each in TECHNIQUES if each != "compile"])
def test_after_a_step_every_other_applies_or_says_why_not_and_both_come_out(
    box: Any, technique: str, unpredicted: None
) -> None:
    # GIVEN a model with one change in place
    model, inputs = box()
    session = jo.optimize(model, inputs, max_drop=1.0)
    before, expected = fingerprint(model), peek(model, inputs)
    if not applied(session, technique):
        return
    between, answers = fingerprint(model), peek(model, inputs)
    # WHEN each other one is put on top
    for other in TECHNIQUES:
        if other == "compile" and technique != "fold-batchnorm":
            continue  # ten seconds each
        if applied(session, other):
            # THEN it comes out, and leaves the first as it was
            assert technique not in ENGINES
            assert session.undo().technique == other
            check_same(between, fingerprint(model))
            assert outputs_equal(peek(model, inputs), answers)
    session.undo()
    check_same(before, fingerprint(model))
    assert outputs_equal(peek(model, inputs), expected)


def applied(session: jo.Session, name: str) -> bool:
    """Whether the technique could be applied; where not, there are words for it."""
    try:
        step = session.apply(name, keep="always", **OPTIONS.get(name, {}))
    except jo.NotApplicable as refusal:
        check_words(str(refusal))
        return False
    if not step.accepted:
        check_words(step.reason)
    return step.accepted


def check_words(reason: str) -> None:
    """Not the name of an error, nor a line of a traceback."""
    assert len(reason) > 30, reason
    assert not re.search(r"\b[A-Z]\w*(Error|Exception)\b|trying it out failed|Traceback", reason), reason
