"""A long sentence as pieces that follow each other, each read by the extractor as a text of its own.

Every token comes out once, in its place. What decides over the states, such as a field over the tags, still sees the
whole sentence.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from wenmo.features import TokenBatch


def states_in_pieces(batch: TokenBatch, size: int, read: Callable[[TokenBatch], Tensor]) -> Tensor:
    """Read a batch of sentences of any length.

    Args:
        batch: ``input_ids``, and ``character_ids`` beside them if there are any, padded on the right.
        size: tokens of a piece; 0: no sentence is cut.
        read: from a batch, no sentence of which is longer than a piece, to ``(batch, length, hidden_size)``.

    Returns:
        ``(batch, length, hidden_size)``; zeros where a piece held nothing but padding.
    """
    rows, length = batch.attention_mask.shape
    if not size or length <= size:
        return read(batch)

    def cut(x: Tensor) -> Tensor:
        """``(batch, length, ...)`` to ``(pieces, size, ...)``, those of a sentence below each other."""
        behind = (0, 0) * (x.dim() - 2) + (0, -length % size)
        return F.pad(x, behind).reshape(-1, size, *x.shape[2:])

    mask = cut(batch.attention_mask)
    used = mask.any(dim=1)
    assert batch.input_ids is not None
    pieces = TokenBatch(
        input_ids=cut(batch.input_ids)[used],
        character_ids=None if batch.character_ids is None else cut(batch.character_ids)[used],
        attention_mask=mask[used],
    )
    read_states = read(pieces)
    states = read_states.new_zeros(len(mask), size, read_states.size(2))
    states = states.index_copy(0, used.nonzero().squeeze(1), read_states)
    return states.reshape(rows, -1, states.size(2))[:, :length]
