"""A long sentence as pieces that follow each other, each read by the extractor as a text of its own.

Every token comes out once, in its place. What decides over the states, such as a field over the tags, still sees the
whole sentence.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from wenmo.features import TokenBatch


def states_in_pieces(
    batch: TokenBatch, size: int, read: Callable[[TokenBatch], Tensor], *, before: int = 0, behind: int = 0
) -> Tensor:
    """Read a batch of sentences of any length.

    Args:
        batch: ``input_ids``, and ``character_ids`` beside them if there are any, padded on the right.
        size: tokens of a piece, the special ones among them; 0: no sentence is cut.
        read: from a batch, no sentence of which is longer than a piece, to ``(batch, length, hidden_size)``.
        before: special tokens that every sentence begins with, and every piece.
        behind: special tokens that every sentence ends with, and every piece.

    Returns:
        ``(batch, length, hidden_size)``; zeros on the padding and, where sentences are cut, on special tokens.
    """
    length = batch.attention_mask.size(1)
    if not size or length <= size:
        return read(batch)
    cuts = [
        (row, [*range(before), *range(start, min(start + size - before - behind, end)), *range(end, end + behind)])
        for row, number in enumerate(batch.num_tokens.tolist())
        for end in [number - behind]
        for start in range(before, end, size - before - behind)
    ]
    device = batch.attention_mask.device
    row = torch.tensor([row for row, _ in cuts], device=device).unsqueeze(1)  # (pieces, 1)
    place = torch.tensor([places + [0] * (size - len(places)) for _, places in cuts], device=device)  # (pieces, size)
    num_tokens = torch.tensor([len(places) for _, places in cuts], device=device).unsqueeze(1)
    column = torch.arange(size, device=device)
    assert batch.input_ids is not None
    states = read(
        TokenBatch(
            input_ids=batch.input_ids[row, place],
            character_ids=None if batch.character_ids is None else batch.character_ids[row, place],
            attention_mask=(column < num_tokens).long(),
        )
    )
    inside = (column >= before) & (column < num_tokens - behind)  # each of these stands in one piece
    places = (row.expand_as(place)[inside], place[inside])
    whole = states.new_zeros(*batch.attention_mask.shape, states.size(2))
    return whole.index_put(places, states[inside])
