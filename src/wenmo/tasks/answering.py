"""A task's answers to every row of a store, where an answer is one row of a tensor."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wenmo.data.batching import BatchOrder, Rows, row_places, second_batch, store_batch
from wenmo.data.store import TokenStore
from wenmo.features import TokenBatch

_ANSWERING = BatchOrder(batch_tokens=4096, bucket=1 << 20, shuffle=False)


def batches_of_store(store: TokenStore) -> list[Rows]:
    """The rows of a store in batches of like length, for answering."""
    return _ANSWERING.epoch(row_places(store.columns), 0)


@torch.no_grad()
def answer_rows(
    task: nn.Module,
    answer: Callable[[TokenBatch, TokenBatch | None], Tensor],
    store: TokenStore,
    device: torch.device,
    precision: str,
) -> NDArray[np.float32]:
    """``(rows, ...)``: what ``answer`` says to each row, in their order; the task is then in evaluation mode."""
    task.to(device).eval()
    answers: NDArray[np.float32] | None = None
    for rows in batches_of_store(store):
        second = second_batch(store, rows)
        batches = (store_batch(store, rows).to(device), second.to(device) if second else None)
        with autocast(device, precision):
            values = answer(*batches).float().cpu().numpy()
        if answers is None:
            answers = np.empty((len(store), *values.shape[1:]), np.float32)
        answers[rows] = values
    return answers if answers is not None else np.empty((0, 0), np.float32)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Products in bfloat16 where the precision says so; the weights stay as they are."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()
