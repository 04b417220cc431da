"""Texts longer than a model reads at once, in windows, in flat memory: what `wenmo.models.windows` is to training."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from wenmo.inference.engines import Engine, Runtime, TokenIds
from wenmo.inference.poolings import TokenPooling
from wenmo.models.windows import Windows

_WINDOWS_AT_ONCE = 4096


def windowed(engine: Engine, windows: Windows | None) -> Engine:
    """The engine, for texts of any length."""
    return engine if windows is None else WindowedEngine(engine, windows)


class WindowedEngine:
    """Gives a text the mean of the vectors that another engine gives its windows."""

    def __init__(self, engine: Engine, windows: Windows) -> None:
        self.name: Runtime = engine.name
        self._engine, self._windows = engine, windows

    def pooled(
        self, rows: Sequence[TokenIds], types: Sequence[TokenIds] | None = None, how: TokenPooling | None = None
    ) -> Tensor:
        """See `Engine`."""
        if types is not None:  # a pair that is read as one text was cut to a window
            return self._engine.pooled(rows, types, how)
        return vectors_of_windows(rows, self._windows, lambda pieces: self._engine.pooled(pieces, None, how))


def vectors_of_windows(
    rows: Sequence[TokenIds], windows: Windows, compute: Callable[[Sequence[TokenIds]], Tensor]
) -> Tensor:
    """``(len(rows), size)``: the mean of what ``compute`` gives the windows of each text; there is at least one row."""
    num_windows = [len(windows.starts(len(row))) for row in rows]
    places = [(text, window) for text, number in enumerate(num_windows) for window in range(number)]
    total: Tensor | None = None
    for first in range(0, len(places), _WINDOWS_AT_ONCE):
        part = places[first : first + _WINDOWS_AT_ONCE]
        pieces = {text: windows.pieces(rows[text]) for text in dict.fromkeys(text for text, _ in part)}
        vectors = compute([pieces[text][window] for text, window in part])
        if len(places) == len(rows) <= _WINDOWS_AT_ONCE:
            return vectors
        wide = vectors.to(torch.promote_types(vectors.dtype, torch.float32))  # a long sum wants the digits
        total = wide.new_zeros(len(rows), wide.size(1)) if total is None else total
        total.index_add_(0, torch.tensor([text for text, _ in part], device=wide.device), wide)
    assert total is not None
    return total / torch.tensor(num_windows, device=total.device).unsqueeze(1)
