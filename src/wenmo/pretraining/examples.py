"""From rows of a cut to an example: sequences beside each other, masked, labelled, as tensors."""

from collections.abc import Mapping
from collections.abc import Sequence as Many

import numpy as np
import torch
from numpy.typing import NDArray

from wenmo.pretraining.cuts import Cut
from wenmo.pretraining.draws import Draws
from wenmo.pretraining.objectives import Objective
from wenmo.pretraining.sequences import Draft, PretrainingExample

TASK_IDS = {
    "masked_lm": 0,
    "knowledge_masking": 0,
    "capitalization": 1,
    "token_document_relation": 2,
    "sentence_reordering": 3,
    "sentence_distance": 4,
    "discourse_relation": 5,
    "ir_relevance": 6,
    "next_sentence": 7,
    "dialogue_lm": 8,
}
"""``task_type_ids`` of ERNIE 2.0; the paper numbers its tasks without saying how. 0 is what fine-tuning begins with."""


def make_example(
    cut: Cut,
    rows: NDArray[np.int64],
    objectives: Many[Objective],
    draws: Draws,
    *,
    padding_id: int = 0,
    num_tasks: int = 0,
    begins: bool = False,
) -> PretrainingExample:
    """Some rows of a cut with the labels of some objectives, which see the tokens in this order.

    Args:
        cut: of one pass over a shard.
        rows: which sequences.
        objectives: what is learnt from them.
        draws: chance of the same pass and shard.
        padding_id: what stands behind short sequences.
        num_tasks: rows of the model's table of tasks; 0: it has none. The task of a batch is its sequence objective, as
            that says what was cut, or else its first objective.
        begins: whether the rows begin texts, where those of other batches go on.
    """
    draft = Draft.of(cut.take(rows), padding_id, cut.text)
    labels = {each.name: each.label(draft, draws) for each in objectives}
    return PretrainingExample(
        batch=draft.batch(task_id(objectives, labels, num_tasks)),
        labels={name: torch.from_numpy(each.astype(np.int64)) for name, each in labels.items()},
        begins=begins,
    )


def task_id(objectives: Many[Objective], labels: Mapping[str, NDArray[np.int64]], num_tasks: int) -> int | None:
    """The task of a batch as the model is told it, the last it knows for those behind; None for a model that is not."""
    if not num_tasks or not objectives:
        return None
    of_sequences = [name for name, each in labels.items() if each.ndim == 1 and name in TASK_IDS]
    name = of_sequences[0] if of_sequences else objectives[0].name
    return min(TASK_IDS.get(name, 0), num_tasks - 1)
