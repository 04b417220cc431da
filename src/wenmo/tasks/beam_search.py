"""Beam search: of each text the likeliest answers that can be found by keeping a few hypotheses at a time.

Sutskever et al., NeurIPS 2014, https://arxiv.org/abs/1409.3215, section 3.2, with the length penalty of Wu et al.,
2016, https://arxiv.org/abs/1609.08144, equation 14: an answer Y of |Y| tokens, its end among them, has the score

    log P(Y | X) / lp(Y),  lp(Y) = ((5 + |Y|) / 6) ** length_penalty.

A step looks at the best ``2 * num_beams`` continuations of a text. Those among the first ``num_beams`` that end are
answers; the best ``num_beams`` that do not end go on, so the beam never shrinks. A text has been answered when it has
``num_beams`` answers and no hypothesis, if it ended now, would beat the worst of them; it then leaves the batch. At a
text's limit every hypothesis has to end. One beam is greedy search.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from wenmo.features import TokenBatch
from wenmo.models.writing import Scorer, Writer

_ROWS_AT_ONCE = 128
"""Of which the logits are computed together."""
_BLOCK = 64
"""Tokens of which only the largest logit is looked at first."""


class Hypothesis(NamedTuple):
    """An answer."""

    ids: list[int]
    """Its tokens, without those of beginning and end."""
    log_probability: float
    """Of the tokens and the end, in nats."""
    score: float
    """What answers are ranked by: the log-probability over the length penalty."""


class _Candidates(NamedTuple):
    """The best continuations of each text, best first; all ``(texts, candidates)``."""

    scores: Tensor
    tokens: Tensor
    rows: Tensor
    """Which hypothesis each of them continues."""

    def take(self, places: Tensor) -> "_Candidates":
        """Some of each text."""
        return _Candidates(*(each.gather(1, places) for each in self))


@torch.inference_mode()
def beam_search(
    writer: Writer,
    batch: TokenBatch,
    *,
    bos_token_id: int,
    eos_token_id: int,
    limits: Sequence[int],
    num_beams: int = 4,
    length_penalty: float = 0.6,
    never: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """Answer each text of a batch.

    Args:
        writer: in evaluation mode, or dropout takes part.
        batch: the texts.
        bos_token_id: what every answer begins with.
        eos_token_id: what ends it.
        limits: most tokens of each answer, its end among them.
        num_beams: hypotheses kept of each text.
        length_penalty: the exponent; 0: answers are ranked by probability, which favours short ones.
        never: tokens that no answer has; their probability is lost, not shared among the others.

    Returns:
        Of each text its answers, best first: ``num_beams`` of them, fewer where there are not so many.

    Raises:
        ValueError: a number cannot work.
    """
    if num_beams < 1 or length_penalty < 0 or min(limits, default=1) < 1 or len(limits) != len(batch.attention_mask):
        raise ValueError(
            f"num_beams is at least 1 (got {num_beams}), length_penalty at least 0 (got {length_penalty}), and each "
            f"of the {len(batch.attention_mask)} texts has a limit of at least 1 (got {list(limits)})"
        )
    search = _Search(eos_token_id, num_beams, length_penalty, list(never), list(limits))
    search.run(writer, batch, bos_token_id)
    return search.answers


@dataclass
class _Search:
    """A search over the texts of a batch."""

    eos_token_id: int
    num_beams: int
    length_penalty: float
    never: list[int]
    limits: list[int]
    answers: list[list[Hypothesis]] = field(init=False)

    def __post_init__(self) -> None:
        self.answers = [[] for _ in self.limits]

    def run(self, writer: Writer, batch: TokenBatch, bos_token_id: int) -> None:
        """Fill in the answers."""
        texts = list(range(len(self.limits)))  # those that are not answered yet
        state = writer.start(batch)
        written = batch.attention_mask.new_full((len(texts), 1), bos_token_id, dtype=torch.long)
        scores: Tensor | None = None
        score = writer.scorer(_ROWS_AT_ONCE)
        while texts:
            hidden_states, state, _ = writer.step(written[:, -1:], state)
            candidates = self._continuations(hidden_states[:, -1], score, scores, texts, written.size(1))
            self._keep_ended(candidates, texts, written)
            candidates = self._going_on(candidates, len(written) // len(texts))
            staying = self._unanswered(candidates, texts, written.size(1))
            left = None
            if len(staying) < len(texts):
                left = torch.tensor(staying, dtype=torch.long, device=written.device)
                candidates = _Candidates(*(each[left] for each in candidates))
                texts = [texts[i] for i in staying]
            rows = candidates.rows.flatten()
            if left is not None or not _is_range(rows, len(written)):
                state = state.select(rows, left)
            written = torch.cat([written[rows], candidates.tokens.view(-1, 1)], dim=1)
            scores = candidates.scores

    def _continuations(
        self, hidden_states: Tensor, score: Scorer, scores: Tensor | None, texts: list[int], length: int
    ) -> _Candidates:
        """The best of each text.

        Every row's best are found among its logits, so that only these have to be normalised; and some rows at a time,
        so that their logits stay in the cache of the processor.
        """
        wanted = 2 * self.num_beams
        must_end = self._must_end(texts, length, len(hidden_states)).to(hidden_states.device)
        parts = [
            self._best(score(rows), ending, wanted)
            for rows, ending in zip(*(torch.split(x, _ROWS_AT_ONCE) for x in (hidden_states, must_end)), strict=True)
        ]
        values, tokens = (torch.cat(kind) for kind in zip(*parts, strict=True))
        if scores is not None:
            values = values + scores.view(-1, 1)
        num_columns, values = values.size(1), values.view(len(texts), -1)
        found = values.topk(min(wanted, values.size(1)), dim=-1)
        rows_of_a_text = len(hidden_states) // len(texts)
        first_rows = torch.arange(0, len(hidden_states), rows_of_a_text, device=values.device).unsqueeze(1)
        tokens = tokens.view(len(texts), -1).gather(1, found.indices)
        return _Candidates(found.values, tokens, first_rows + found.indices // num_columns)

    def _must_end(self, texts: list[int], length: int, num_rows: int) -> Tensor:
        """``(rows,)``: whether a hypothesis has reached the limit of its text, where it can only end."""
        at_limit = torch.tensor([self.limits[text] == length for text in texts])
        return at_limit.repeat_interleave(num_rows // len(texts))

    def _best(self, logits: Tensor, must_end: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The log-probabilities of the best tokens of some rows, and the tokens; the logits are used up."""
        logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
        found = top(logits, min(count + len(self.never), logits.size(1)))
        largest, ends = found.values[:, :1], logits[:, self.eos_token_id].clone()
        normalizers = largest + logits.sub_(largest).exp_().sum(dim=-1, keepdim=True).log_()
        banned = torch.isin(found.indices, torch.tensor(self.never, dtype=torch.long, device=logits.device))
        values = found.values.masked_fill(banned | must_end.unsqueeze(1), -torch.inf)
        values[:, 0] = torch.where(must_end, ends, values[:, 0])
        tokens = found.indices
        tokens[:, 0] = torch.where(must_end, self.eos_token_id, tokens[:, 0])
        return values - normalizers, tokens

    def _keep_ended(self, candidates: _Candidates, texts: list[int], written: Tensor) -> None:
        """Those that end and are good enough become answers."""
        tokens, scores = candidates.tokens[:, : self.num_beams], candidates.scores[:, : self.num_beams]
        ended = (tokens == self.eos_token_id) & scores.isfinite()
        for place, column in ended.nonzero().tolist():
            ids = written[candidates.rows[place, column]].tolist()
            log_probability = float(scores[place, column])
            answer = Hypothesis(ids[1:], log_probability, self._score(log_probability, len(ids)))
            answers = self.answers[texts[place]]
            answers.append(answer)
            answers.sort(key=lambda each: -each.score)
            del answers[self.num_beams :]

    def _going_on(self, candidates: _Candidates, rows_of_a_text: int) -> _Candidates:
        """The best that do not end; each row has one that does."""
        ends = (candidates.tokens == self.eos_token_id).int()
        order = ends.argsort(dim=1, stable=True)
        count = min(self.num_beams, max(1, order.size(1) - rows_of_a_text))
        return candidates.take(order[:, :count])

    def _unanswered(self, candidates: _Candidates, texts: list[int], length: int) -> list[int]:
        """The places of the texts that may still get a better answer."""
        best = candidates.scores[:, 0].tolist()
        return [
            place
            for place, text in enumerate(texts)
            if length < self.limits[text] and not self._is_answered(self.answers[text], best[place], length)
        ]

    def _is_answered(self, answers: list[Hypothesis], best: float, length: int) -> bool:
        return len(answers) == self.num_beams and answers[-1].score >= self._score(best, length)

    def _score(self, log_probability: float, length: int) -> float:
        penalty: float = ((5 + length) / 6) ** self.length_penalty
        return log_probability / penalty


class _Top(NamedTuple):
    values: Tensor
    indices: Tensor


def top(values: Tensor, count: int) -> _Top:
    """The largest of each row ``(rows, size)``, largest first, as `torch.topk` gives them.

    Those of a long row are in the blocks with the largest maxima, so most blocks are read once and never sorted.
    """
    rows, size = values.shape
    if size % _BLOCK or size // _BLOCK <= count:
        return _Top(*values.topk(count, dim=-1))
    blocks = values.view(rows, -1, _BLOCK)
    kept = blocks.amax(dim=-1).topk(count, dim=-1).indices  # (rows, count)
    inside = blocks.gather(1, kept.unsqueeze(-1).expand(-1, -1, _BLOCK)).view(rows, -1)
    found = inside.topk(count, dim=-1)
    places = kept.gather(1, found.indices // _BLOCK) * _BLOCK + found.indices % _BLOCK
    return _Top(found.values, places)


def _is_range(rows: Tensor, count: int) -> bool:
    """Whether each row goes on from itself, as in greedy search."""
    return len(rows) == count and bool((rows == torch.arange(count, device=rows.device)).all())
