"""Which objectives a model is pre-trained on where nobody names them, and what they know of a corpus."""

from collections.abc import Mapping

import numpy as np

from wenmo.data.encoding import Tell
from wenmo.errors import InputError
from wenmo.pretraining.allowed import TextFacts, reasons_against
from wenmo.pretraining.catalogue import CorpusFacts
from wenmo.pretraining.corpus import Corpus
from wenmo.pretraining.schedule import Schedule
from wenmo.pretraining.shards import CAPITALS, CONNECTIVE, KIND, SPANS
from wenmo.text.connectives import RELATIONS
from wenmo.text.loading import AnyTokenizer
from wenmo.text.segmentation import holds_han
from wenmo.training.pretraining_recipe import PretrainingRecipe

_SENTENCES_LOOKED_AT = 1000
_USUAL: Mapping[str, tuple[str, ...]] = {
    "gpt": ("causal_lm",),
    "recurrent": ("causal_lm",),
    "bert": ("masked_lm", "next_sentence"),
    "elmo": ("bidirectional_lm",),
}
"""What each model was first pre-trained on."""


def schedule_of(recipe: PretrainingRecipe, corpus: Corpus, tokenizer: AnyTokenizer, tell: Tell) -> Schedule:
    """The table of a run, as long as ``training.max_steps``: the one that is given, or what suits model and corpus.

    Raises:
        InputError: there is nothing that the model can learn from the corpus, or too few updates for its stages.
    """
    steps = recipe.training.max_steps
    if recipe.schedule is not None:
        return recipe.schedule if recipe.schedule.total == steps else recipe.schedule.scaled(steps)
    if recipe.model.model_type != "ernie":
        return Schedule({name: (steps,) for name in _USUAL[recipe.model.model_type]})
    if not getattr(recipe.model, "task_type_vocab_size", 0):  # ERNIE 1.0
        return Schedule({"knowledge_masking": (steps,)})
    reasons = reasons_against(_text_facts(corpus, tokenizer))
    for name, reason in reasons.items():
        if reason:
            tell(f"{name} is left out: {reason}")
    names = [name for name, reason in reasons.items() if not reason]
    if not names:
        raise InputError("ernie2: the corpus allows none of its objectives; name some in the schedule")
    updates = dict.fromkeys(names, max(len(names) + 1, steps // len(names)))
    return Schedule.of_rule("continual_multitask", updates).scaled(steps)


def corpus_facts(tokenizer: AnyTokenizer) -> CorpusFacts:
    """What objectives know of a tokenizer."""
    special = {*tokenizer.special_token_ids, tokenizer.pad_token_id, tokenizer.unk_token_id}
    return CorpusFacts(
        mask_id=getattr(tokenizer, "mask_token_id", None),
        random_ids=np.array([i for i in range(tokenizer.vocab_size) if i not in special], np.int32),
        vocab_size=tokenizer.vocab_size,
        begin_id=tokenizer.bos_token_id,
        end_id=tokenizer.eos_token_id,
        num_relations=len(RELATIONS),
    )


def _text_facts(corpus: Corpus, tokenizer: AnyTokenizer) -> TextFacts:
    first = corpus.shard(0)
    ids = np.concatenate(first.store["input_ids"].take(range(min(len(first), _SENTENCES_LOOKED_AT))))
    vocabulary = tokenizer.vocabulary
    han = sum(holds_han(vocabulary[i]) for i in ids.tolist())
    columns = {name for name in (SPANS, CAPITALS, CONNECTIVE, KIND) if _holds(corpus, name)}
    kinds = {shard.kind for shard in corpus.shards}
    return TextFacts(
        language="zh" if 2 * han > len(ids) else "en",
        columns=columns,
        kind="titles" if "query" in kinds else "dialogues" if "dialogue" in kinds else "",
        num_documents=corpus.documents,
        most_sentences=2 if corpus.connected_documents else 1,
    )


def _holds(corpus: Corpus, column: str) -> bool:
    """Whether any sentence has something in a column."""
    shards = (corpus.shard(number) for number in range(len(corpus.shards)))
    return any(shard.has(column) and bool(shard.store[column].lengths.any()) for shard in shards)
