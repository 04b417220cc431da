"""Texts on their way out of a language model: token by token, several at once, each until it ends."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from wenmo.features import TokenBatch
from wenmo.inference.engines import Precision
from wenmo.tasks.answering import autocast
from wenmo.tasks.generation import Generation
from wenmo.tasks.sampling import Sampling
from wenmo.text.loading import WritingTokenizer
from wenmo.text.pretrained import PretrainedTokenizer


@dataclass(frozen=True)
class Generated:
    """What was written."""

    text: str
    """Behind the prompt."""
    tokens: int
    logprob: float
    """The log-probability of these tokens to the model itself, whatever they were drawn by."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as ``--json`` prints them."""
        return asdict(self)


class TextsInWriting(Protocol):
    """Some texts, each in a row, and what a model keeps of that which it read of them."""

    def read(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> Tensor:
        """Read texts from their beginning, whatever stood in these rows; the logits behind each of them."""
        ...

    def step(self, ids: Tensor) -> Tensor:
        """Read one token more of each text, ``(texts,)``; the logits behind it, ``(texts, vocab_size)``."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Let the other texts go; these have the first rows now, in this order."""
        ...


class OneTextInWriting:
    """A text by the model itself, whatever it is."""

    def __init__(self, task: Generation, device: torch.device, precision: Precision = "float32") -> None:
        self._task, self._device, self._precision = task, device, precision
        self._state: Any = None

    def read(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> Tensor:
        """See `TextsInWriting`; there is one."""
        [text] = texts
        self._state = None
        return self._logits(torch.tensor([text])) if text else torch.empty(1, 0)

    def step(self, ids: Tensor) -> Tensor:
        """See `TextsInWriting`."""
        return self._logits(ids.unsqueeze(1))

    def keep(self, rows: Sequence[int]) -> None:
        """See `TextsInWriting`; the one stays."""

    @torch.inference_mode()
    def _logits(self, ids: Tensor) -> Tensor:
        ids = ids.to(self._device)
        batch = TokenBatch(input_ids=ids, attention_mask=torch.ones_like(ids), past_key_values=self._state)
        with autocast(self._device, self._precision):
            features = self._task.extractor(batch, use_cache=True)
            logits = self._task.logits(features.last_hidden_state[:, -1])
        self._state = features.past_key_values
        return logits.float().cpu()


@dataclass
class Draft:
    """A text in writing."""

    prompt: list[int]
    generator: torch.Generator
    """To draw its tokens from: a text is the same alone and in company."""
    tokenizer: WritingTokenizer
    max_new_tokens: int
    stop: Sequence[str] = ()
    """It ends in front of the first of these."""
    ids: list[int] = field(init=False, default_factory=list)
    """What was written behind the prompt."""
    seen: list[int] = field(init=False)
    """What the model sees: all of it, or the end of it where that is too much."""
    logprob: float = field(init=False, default=0.0)
    shown: str = field(init=False, default="")
    """The characters that nothing behind them will change."""
    ended: bool = field(init=False)

    def __post_init__(self) -> None:
        self.seen, self.ended = list(self.prompt), self.max_new_tokens == 0

    @property
    def written(self) -> Generated:
        """What stands there so far."""
        return Generated(self.shown, len(self.ids), self.logprob)

    def add(self, token: int, logprob: float) -> str:
        """One token more; the characters that are new."""
        self.ids.append(token)
        self.seen.append(token)
        self.logprob += logprob
        text = self._text()
        end = min((at for each in self.stop if (at := text.find(each)) >= 0), default=None)
        over = token == self.tokenizer.eos_token_id or len(self.ids) >= self.max_new_tokens
        self.ended = over or end is not None
        ready = text[:end] if self.ended else text[: len(text) - _held_back(text, self.stop)]
        new, self.shown = ready[len(self.shown) :], max(ready, self.shown, key=len)
        return new

    def forget(self, limit: int) -> bool:
        """Where a model has room for ``limit`` tokens and no more, only the last half of them is seen from now on."""
        if not limit or len(self.seen) <= limit:
            return False
        self.seen = self.seen[-max(1, limit // 2) :]
        return True

    def _text(self) -> str:
        """A checkpoint's tokenizer may put a space between words, and none in front."""
        if not isinstance(self.tokenizer, PretrainedTokenizer):
            return self.tokenizer.decode(self.ids)
        return self.tokenizer.decode([*self.prompt, *self.ids])[len(self.tokenizer.decode(self.prompt)) :]


def write(
    drafts: Sequence[Draft], texts: TextsInWriting, task: Generation, sampling: Sampling, *, num_tokens: int, limit: int
) -> Iterator[tuple[Draft, str]]:
    """Write texts until each of them has ended.

    A model that reads a limited number of tokens starts anew, when they are full, from the last half of them.

    Args:
        drafts: the texts, of which the model has a row each.
        texts: reads them.
        task: knows which tokens never come.
        sampling: how to draw.
        num_tokens: ids that may be written are below it; those behind stand for labels.
        limit: most tokens that the model reads at once; 0: any number.

    Yields:
        A text that grew, and the characters that are new.
    """
    rows = [draft for draft in drafts if not draft.ended]
    if len(rows) < len(drafts):
        texts.keep([i for i, draft in enumerate(drafts) if not draft.ended])
    if not rows:
        return
    logits = texts.read(range(len(rows)), [draft.seen for draft in rows])
    while True:
        for draft, found in zip(rows, logits, strict=True):
            seen = torch.tensor([draft.seen])
            token, logprob = task.choose(found.unsqueeze(0), seen, sampling, draft.generator, num_tokens)
            yield draft, draft.add(int(token), float(logprob))
        writing = [i for i, draft in enumerate(rows) if not draft.ended]
        if not writing:
            return
        if len(writing) < len(rows):
            texts.keep(writing)
            rows = [rows[i] for i in writing]
        if full := [i for i, draft in enumerate(rows) if draft.forget(limit)]:
            texts.read(full, [rows[i].seen[:-1] for i in full])
        logits = texts.step(torch.tensor([draft.seen[-1] for draft in rows]))


def _held_back(text: str, stop: Sequence[str]) -> int:
    """Characters at the end that may still change: half a character, or the beginning of a stop string."""
    half = len(text) - len(text.rstrip("\ufffd"))
    begun = (size for each in stop for size in range(1, len(each)) if text.endswith(each[:size]))
    return max(half, max(begun, default=0))
