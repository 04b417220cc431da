"""A linear-chain conditional random field over the tags of a sentence.

Lafferty, McCallum and Pereira, ICML 2001; over the features of a network as in Lample et al., NAACL 2016,
https://arxiv.org/abs/1603.01360, section 2.2, and Ma and Hovy, ACL 2016, https://arxiv.org/abs/1603.01354, section 2.3.

A sequence y of tags has the score (Lample et al., with one vector each for beginning and end)

    s(x, y) = start[y_1] + sum_t emissions[t, y_t] + sum_t transitions[y_t, y_t+1] + end[y_n]

and the probability exp(s(x, y)) / Z, Z being the sum of exp(s(x, y')) over all sequences y'. With constraints, Z runs
over the sequences that they allow, and the others have probability 0.

Z and its gradient are computed exactly by the forward-backward algorithm (Rabiner 1989), a step for all sentences and
pairs of tags of a batch at once. The gradient of log Z by a score is the expected number of its uses, so the way back
is the backward half of the algorithm and not the derivative of every step of the forward half.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from wenmo.models.packing import Packing

FORBIDDEN = -1e4
"""Added to the score of what constraints forbid: exp of it is 0 in every precision, and no sum of it is infinite."""


class Allowed(NamedTuple):
    """What constraints allow; true is allowed."""

    transitions: Tensor
    """``(num_tags, num_tags)``: from the row to the column."""
    start: Tensor
    """``(num_tags,)``: as the first tag of a sentence."""
    end: Tensor
    """``(num_tags,)``: as the last one."""


def penalties(allowed: Allowed) -> list[Tensor]:
    """What is added to the scores of transitions, beginnings and ends."""
    return [FORBIDDEN * (~each).float() for each in allowed]


class Marginals(NamedTuple):
    """What a field expects."""

    tags: Tensor
    """``(batch, length, num_tags)``: the probability of each tag at each token; 0 on the padding."""
    transitions: Tensor
    """``(num_tags, num_tags)``: how often each transition is expected, over the batch."""


class LinearChainCrf(nn.Module):
    """Scores sequences of tags; sentences stand in a batch padded on the right."""

    def __init__(self, num_tags: int, allowed: Allowed | None = None) -> None:
        """Every transition is allowed unless ``allowed`` says otherwise.

        Raises:
            ValueError: there is no tag, or what is allowed has another size.
        """
        super().__init__()
        if num_tags < 1:
            raise ValueError(f"num_tags must be at least 1; got {num_tags}")
        self.num_tags = num_tags
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags))
        self.start = nn.Parameter(torch.empty(num_tags))
        self.end = nn.Parameter(torch.empty(num_tags))
        if allowed is not None and allowed.transitions.shape != (num_tags, num_tags):
            raise ValueError(f"allowed is for {len(allowed.start)} tags, and there are {num_tags}")
        for name, penalty in zip(Allowed._fields, penalties(allowed) if allowed else [None] * 3, strict=True):
            self.register_buffer(f"_{name}_penalty", penalty, persistent=False)

    def initialize(self, generator: torch.Generator) -> None:
        """Uniform(-0.1, 0.1) for all scores."""
        for scores in (self.transitions, self.start, self.end):
            nn.init.uniform_(scores, -0.1, 0.1, generator=generator)

    @torch.no_grad()
    def take_over(self, before: "LinearChainCrf", places: list[int]) -> None:
        """The scores of an earlier field, whose tags are those at ``places`` here."""
        self.transitions[torch.tensor(places).unsqueeze(1), torch.tensor(places)] = before.transitions
        self.start[places] = before.start
        self.end[places] = before.end

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Transitions, start and end, with what is forbidden made as good as impossible."""
        found = []
        for name in Allowed._fields:
            scores, penalty = getattr(self, name), getattr(self, f"_{name}_penalty")
            found.append(scores if penalty is None else scores + penalty.to(scores.dtype))
        return found[0], found[1], found[2]

    def forward(self, emissions: Tensor, tags: Tensor, attention_mask: Tensor) -> Tensor:
        """The log-probability of given sequences.

        Args:
            emissions: ``(batch, length, num_tags)``; those on the padding are never looked at.
            tags: ``(batch, length)``; on the padding any number.
            attention_mask: ``(batch, length)``, 1 on the text and 0 on the padding, which stands on the right.

        Returns:
            ``(batch,)``; 0 for a sentence without tokens.
        """
        scores = self.scores()
        emissions, mask = _cleared(emissions, attention_mask)
        return score(emissions, tags, mask, *scores) - log_partition(emissions, mask, *scores)

    @torch.no_grad()
    def marginals(self, emissions: Tensor, attention_mask: Tensor) -> Marginals:
        """The probability of every tag at every token; shapes as in `forward`."""
        emissions, mask = _cleared(emissions, attention_mask)
        transitions, start, end = self.scores()
        alphas = _forward_scores(emissions, mask, transitions, start)
        betas = _backward_scores(emissions, mask, transitions, end)
        return _marginals(emissions, mask, transitions, alphas, betas)

    @torch.no_grad()
    def decode(self, emissions: Tensor, attention_mask: Tensor) -> Tensor:
        """The likeliest sequence of each sentence (Viterbi 1967), ``(batch, length)``; 0 on the padding."""
        packing = Packing.of(attention_mask)
        tags = viterbi(packing.pack(emissions), packing, *self.scores())
        return unpacked_tags(tags, packing)


def score(emissions: Tensor, tags: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """``s(x, y)`` of each sentence, ``(batch,)``."""
    tags = tags.masked_fill(~mask, 0)
    inside = mask.to(emissions.dtype)
    found = emissions.gather(2, tags.unsqueeze(2)).squeeze(2).masked_fill(~mask, 0.0).sum(dim=1)
    found = found + (transitions[tags[:, :-1], tags[:, 1:]] * inside[:, 1:]).sum(dim=1)
    last = tags.gather(1, (mask.sum(dim=1, keepdim=True) - 1).clamp(min=0)).squeeze(1)
    return found + (start[tags[:, 0]] + end[last]) * inside[:, 0]


def log_partition(emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """log Z of each sentence, ``(batch,)``; 0 without tokens. ``mask`` is boolean."""
    found: Tensor = _LogPartition.apply(emissions, mask, transitions, start, end)  # type: ignore[no-untyped-call]
    return found


def _cleared(emissions: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Zeros on the padding, so that not even a NaN there is seen; and the mask as booleans."""
    mask = attention_mask.bool()
    return emissions.masked_fill(~mask.unsqueeze(2), 0.0), mask


class _LogPartition(torch.autograd.Function):
    """`log_partition` with its gradient, which is what the field expects."""

    @staticmethod
    def forward(ctx: Any, emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
        alphas = _forward_scores(emissions, mask, transitions, start)
        ctx.save_for_backward(emissions, mask, transitions, end, alphas)
        return _log_partition(mask, end, alphas)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        emissions, mask, transitions, end, alphas = ctx.saved_tensors
        betas = _backward_scores(emissions, mask, transitions, end)
        expected = _marginals(emissions, mask, transitions, alphas, betas, above)
        last = (mask.sum(dim=1) - 1).clamp(min=0)
        ends = expected.tags[torch.arange(len(last), device=last.device), last]
        return expected.tags, None, expected.transitions, expected.tags[:, 0].sum(dim=0), ends.sum(dim=0)


def _forward_scores(emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor) -> Tensor:
    """``(batch, length, num_tags)``: log of the sum over all beginnings that end in each tag, its emission included.

    On the padding stands the value of the last token.
    """
    alphas = torch.empty_like(emissions)
    alphas[:, 0] = alpha = start + emissions[:, 0]
    for t in range(1, emissions.size(1)):
        step = torch.logsumexp(alpha.unsqueeze(2) + transitions, dim=1) + emissions[:, t]
        alphas[:, t] = alpha = torch.where(mask[:, t, None], step, alpha)
    return alphas


def _backward_scores(emissions: Tensor, mask: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
    """``(batch, length, num_tags)``: log of the sum over all ends that go on from each tag, its emission excluded."""
    betas = torch.empty_like(emissions)
    betas[:, -1] = beta = end.expand_as(emissions[:, 0])
    for t in range(emissions.size(1) - 2, -1, -1):
        step = torch.logsumexp(transitions + (emissions[:, t + 1] + beta).unsqueeze(1), dim=2)
        betas[:, t] = beta = torch.where(mask[:, t + 1, None], step, beta)
    return betas


def _log_partition(mask: Tensor, end: Tensor, alphas: Tensor) -> Tensor:
    return torch.logsumexp(alphas[:, -1] + end, dim=1).masked_fill(~mask[:, 0], 0.0)


def _marginals(
    emissions: Tensor, mask: Tensor, transitions: Tensor, alphas: Tensor, betas: Tensor, weights: Tensor | None = None
) -> Marginals:
    """Both halves together; each sentence counts ``weights`` times, by default once."""
    log_z = torch.logsumexp(alphas + betas, dim=2, keepdim=True)  # the same at every token of a sentence
    counts = mask.to(emissions.dtype) * (1.0 if weights is None else weights.unsqueeze(1))
    tags = (alphas + betas - log_z).exp() * counts.unsqueeze(2)
    behind = (emissions[:, 1:] + betas[:, 1:] - log_z[:, 1:]).masked_fill(~mask[:, 1:, None], -torch.inf)
    pairs = alphas[:, :-1].unsqueeze(3) + transitions + behind.unsqueeze(2)  # (batch, length - 1, from, to)
    return Marginals(tags, torch.einsum("blij,bl->ij", pairs.exp(), counts[:, 1:]))


def unpacked_tags(tags: Tensor, packing: Packing) -> Tensor:
    """``(tokens,)`` to ``(batch, length)``, 0 on the padding."""
    return packing.unpack(tags.unsqueeze(1)).squeeze(2)


def viterbi(emissions: Tensor, packing: Packing, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The sequence of the highest score of each sentence; of equal ones any.

    Args:
        emissions: ``(tokens, num_tags)``, without padding.
        packing: where each token stands; a sentence that has ended leaves the steps that follow.
        transitions: ``(num_tags, num_tags)``; ``start`` and ``end`` ``(num_tags,)``.

    Returns:
        ``(tokens,)``.
    """
    into = transitions.t().contiguous()  # (to, from): the maximum is over neighbours in memory
    best = (start + emissions[: packing.shape[0]]).contiguous()
    came_from = []
    for first, size in packing.steps[1:]:
        highest, before = (best[:size].unsqueeze(1) + into).max(dim=2)
        torch.add(highest, emissions[first : first + size], out=best[:size])
        came_from.append(before)
    tags = emissions.new_empty(len(emissions), dtype=torch.long)
    current = (best + end).argmax(dim=1)
    for t in range(len(packing.steps) - 1, -1, -1):
        first, size = packing.steps[t]
        tags[first : first + size] = current[:size]
        if t:
            current[:size] = came_from[t - 1].gather(1, current[:size].unsqueeze(1)).squeeze(1)
    return tags
