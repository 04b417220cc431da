"""How a model that is pre-trained does on text that it is not trained on."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from wenmo.data.batching import shared_out
from wenmo.pretraining.model import Pretraining
from wenmo.pretraining.source import Planned, Reading, example_of
from wenmo.tasks.answering import autocast
from wenmo.tasks.metrics import Interval
from wenmo.tasks.ratios import ratio_interval
from wenmo.training.distribution import World
from wenmo.training.sources import Look

FORETELLS = ("causal_lm", "bidirectional_lm")
"""Objectives whose loss is that of a language model, so that it has a perplexity."""


class HeldOut:
    """The losses on held-out sequences, always the same ones with the same masks: a `wenmo.training.sources.Judge`."""

    lower_is_better = True

    def __init__(
        self,
        learner: Pretraining,
        batches: Sequence[Planned],
        reading: Reading,
        *,
        world: World,
        device: torch.device,
        precision: str,
    ) -> None:
        self._learner, self._world, self._device, self._precision = learner, world, device, precision
        self._batches = shared_out(batches, world.rank, world.size) if batches else []
        self._reading = reading

    @property
    def has_text(self) -> bool:
        """Whether there is any text to look at."""
        return bool(self._batches)

    def look(self) -> Look:
        """The score is the sum of the mean losses of all objectives that there is text for."""
        totals = self._sums(self._learner).sum(axis=0)  # (2, losses)
        means = {
            name: loss / count
            for name, loss, count in zip(self._learner.losses, *totals.tolist(), strict=True)
            if count
        }
        return Look(sum(means.values()), {name: _figures(name, mean) for name, mean in means.items()})

    def measure(self, learner: Pretraining) -> dict[str, Interval]:
        """Cross entropy and perplexity with their 95 % intervals, over batches of sequences drawn anew."""
        measured: dict[str, Interval] = {}
        if not self.has_text:
            return measured
        sums = self._sums(learner)  # (batches, 2, losses)
        for i, name in enumerate(learner.losses):
            losses, counts = sums[:, 0, i], sums[:, 1, i]
            if not counts.sum():
                continue
            prefix = f"{name}_" if len(learner.losses) > 1 else ""
            entropy = ratio_interval(losses[counts > 0], counts[counts > 0])
            measured[f"{prefix}cross_entropy"] = entropy
            if name in FORETELLS:
                low, value, high = (math.exp(entropy[key]) for key in ("low", "value", "high"))
                measured[f"{prefix}perplexity"] = Interval(value=value, low=low, high=high)
        return measured

    @torch.no_grad()
    def _sums(self, learner: Pretraining) -> NDArray[np.float64]:
        """``(batches, 2, losses)``: the summed losses of each batch and what they count, of all processes."""
        learner.to(self._device).eval()
        found = []
        for batch, counts in self._batches:
            with autocast(self._device, self._precision):
                sums, labels = learner(example_of(batch, self._reading).to(self._device))
            found.append(torch.stack([sums.double(), labels.double()]) * float(counts))
        shape = (self._world.size, len(self._batches), 2, len(learner.losses))
        whole = torch.zeros(shape, dtype=torch.float64, device=self._device)
        if found:
            whole[self._world.rank] = torch.stack(found)
        self._world.sum_([whole])
        return whole.flatten(0, 1).cpu().numpy()


def _figures(name: str, mean: float) -> Mapping[str, float]:
    perplexity = {"dev_perplexity": math.exp(min(mean, 700.0))} if name in FORETELLS else {}
    return {"dev_loss": mean, **perplexity}
