"""Recurrent networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

from tests.zoo.entry import Built, Entry, entry

State = tuple[Tensor, Tensor]


class LastStep(nn.Module):
    """Classifies a sequence by the last output of a recurrent layer."""

    def __init__(self, recurrent: nn.RNNBase, width: int) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.recurrent(x)
        return self.head(steps[:, -1] if self.recurrent.batch_first else steps[-1])


class PackedTagger(nn.Module):
    """Tags tokens of sequences of unequal lengths, packed on the way."""

    def __init__(self, vocabulary: int = 100, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width, padding_idx=0)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, 7)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embed(tokens), lengths, batch_first=True, enforce_sorted=False)
        steps, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=tokens.shape[1])
        return self.head(steps)


class LanguageModel(nn.Module):
    """Takes and returns its state; its output layer shares the embedding's weight."""

    def __init__(self, vocabulary: int = 200, width: int = 64) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, num_layers=2, batch_first=True, dropout=0.1)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        steps, state = self.lstm(self.embed(tokens), state)
        return self.head(steps), state


class CellLoop(nn.Module):
    """Steps by hand through a sequence."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first, self.second = nn.LSTMCell(8, width), nn.GRUCell(width, width)
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        hidden = cell = top = x.new_zeros(x.shape[1], self.first.hidden_size)
        answers = []
        for step in x:
            hidden, cell = self.first(step, (hidden, cell))
            top = self.second(hidden, top)
            answers.append(self.head(top))
        return answers


def _lstm() -> Built:
    return LastStep(nn.LSTM(16, 64, num_layers=2, batch_first=True), 64), torch.randn(4, 20, 16)


def _lstm_projected() -> Built:
    return LastStep(nn.LSTM(16, 64, proj_size=24, batch_first=True), 24), torch.randn(4, 20, 16)


def _gru() -> Built:
    return LastStep(nn.GRU(16, 64, bidirectional=True), 128), torch.randn(20, 4, 16)


def _rnn() -> Built:
    return LastStep(nn.RNN(16, 64, nonlinearity="relu", batch_first=True), 64), torch.randn(4, 20, 16)


def _packed_tagger() -> Built:
    lengths = torch.tensor([9, 12, 4, 7])
    tokens = torch.randint(1, 100, (4, 12)) * (torch.arange(12) < lengths[:, None])
    return PackedTagger(), {"tokens": tokens, "lengths": lengths}


def _packed_gru() -> Built:
    packed: PackedSequence = pack_sequence([torch.randn(n, 8) for n in (9, 6, 2)])
    return nn.GRU(8, 32), packed


def _language_model() -> Built:
    state = (torch.randn(2, 4, 64), torch.randn(2, 4, 64))
    return LanguageModel(), (torch.randint(0, 200, (4, 16)), state)


def _cell_loop() -> Built:
    return CellLoop(), torch.randn(12, 4, 8)


ENTRIES: tuple[Entry, ...] = (
    entry("lstm", _lstm, "recurrent"),
    entry("lstm-projected", _lstm_projected, "recurrent"),
    entry("gru-bidirectional", _gru, "recurrent"),
    entry("rnn", _rnn, "recurrent"),
    entry("lstm-packed", _packed_tagger, "recurrent", "integer-inputs"),
    entry("gru-packed-in-and-out", _packed_gru, "recurrent"),
    entry("lstm-language-model", _language_model, "recurrent", "tied", "integer-inputs"),
    entry("cell-loop", _cell_loop, "recurrent", "overhead-bound"),
)
