"""What can be learnt from raw text, by name: how its text is cut, and which objectives there are.

The one table for whoever runs a pre-training. An update is for some names, of which one at most says how text is cut;
without one it is running text.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from wenmo.errors import InputError
from wenmo.models.config import Config
from wenmo.models.vocabulary_softmax import SoftmaxConfig
from wenmo.pretraining.bidirectional import BidirectionalLm
from wenmo.pretraining.cuts import Cutter, SingleSentences, Stream, WholeSentences
from wenmo.pretraining.dialogues import Dialogues
from wenmo.pretraining.draws import Draws, repeated
from wenmo.pretraining.masking import KnowledgeMaskingConfig, MaskingConfig, Unit, Vocabulary
from wenmo.pretraining.next_sentence import NextSentence
from wenmo.pretraining.objectives import (
    Capitalization,
    CausalLm,
    MaskedLm,
    Objective,
    SequenceClass,
    TokenDocumentRelation,
)
from wenmo.pretraining.paragraphs import SentenceDistance, SentenceReordering
from wenmo.pretraining.relations import DiscourseRelation, IrRelevance

Name = Literal[
    "masked_lm", "causal_lm", "bidirectional_lm", "knowledge_masking", "capitalization", "token_document_relation",
    "next_sentence", "sentence_reordering", "sentence_distance", "discourse_relation", "ir_relevance", "dialogue_lm",
]  # fmt: skip
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, kw_only=True)
class ObjectivesConfig(Config):
    """Settings of all objectives; those of objectives that are not learnt say nothing."""

    masking: MaskingConfig = field(default_factory=MaskingConfig)
    """Of masked_lm and dialogue_lm."""
    knowledge: KnowledgeMaskingConfig = field(default_factory=KnowledgeMaskingConfig)
    """Of knowledge_masking."""
    knowledge_units: tuple[Unit, ...] = ()
    """What knowledge_masking masks in each stage of the schedule, such as token, phrase, entity as in ERNIE 1.0; the
    last one holds in later stages too. Empty: what ``knowledge`` says, always."""
    next_sentence: NextSentence = field(default_factory=NextSentence)
    """How pairs of next_sentence are made."""
    sentence_reordering: SentenceReordering = field(default_factory=SentenceReordering)
    """How paragraphs are divided."""
    ir_relevance: IrRelevance = field(default_factory=IrRelevance)
    """Which titles stand beside a query."""
    dialogues: Dialogues = field(default_factory=Dialogues)
    """How dialogues are made for dialogue_lm."""
    softmax: SoftmaxConfig = field(default_factory=SoftmaxConfig)
    """Of bidirectional_lm."""
    streams: int = 0
    """Of bidirectional_lm: the text is read at so many places side by side, each sentence from the states behind the
    one before it, as bilm-tf does; this is then the number of rows of a batch. 0: every sentence begins from nothing,
    and batches are of sentences of similar length from anywhere."""
    duplicates: int = 0
    """BERT's dupe_factor: the text is cut and masked in so many ways, which then come again (static); 0: every pass is
    new (dynamic)."""

    def __post_init__(self) -> None:
        if self.duplicates < 0:
            raise ValueError(
                f"duplicates is a number of passes, or 0 for passes that are all new; got {self.duplicates}"
            )
        if self.streams < 0:
            raise ValueError(f"streams is a number of rows, or 0 for sentences by themselves; got {self.streams}")
        for unit in self.knowledge_units:
            MaskingConfig(unit=unit)  # which refuses what is none

    def draws(self, seed: int, shard: int, number: int) -> Draws:
        """Chance of a pass over a shard, counted from 0."""
        return Draws(seed, shard, repeated(number, self.duplicates))

    def knowledge_in(self, stage: int) -> MaskingConfig:
        """How knowledge_masking masks in a stage, counted from 0."""
        if not self.knowledge_units:
            return self.knowledge
        unit = self.knowledge_units[min(stage, len(self.knowledge_units) - 1)]
        return replace(self.knowledge, unit=unit, mixture=())


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """What objectives know of a corpus and its tokenizer: numbers."""

    mask_id: int | None = None
    """None: it has no mask."""
    random_ids: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    """What masking may put in the place of a token."""
    vocab_size: int = 0
    """Words that bidirectional_lm foretells, the most frequent first."""
    begin_id: int | None = None
    """The word that stands for the begin of a sentence, for bidirectional_lm."""
    end_id: int | None = None
    """The one that stands for its end."""
    has_spans: bool = True
    """Whether words, phrases and entities are marked, as far as there are any."""
    num_relations: int = 0
    """Which the words that join sentences tell."""


_PLAIN: Mapping[str, Cutter] = {"causal_lm": Stream(), "bidirectional_lm": SingleSentences()}
"""How running text is cut for models that do not see both sides of it."""


_MASKING = ("masked_lm", "knowledge_masking", "dialogue_lm")


class Work(NamedTuple):
    """What an update is for."""

    cutter: Cutter
    objectives: tuple[Objective, ...]


def work_for(names: Many[str], settings: ObjectivesConfig, facts: CorpusFacts, stage: int = 0) -> Work:
    """How text is cut, and what is learnt from it, in the order of the names.

    Args:
        names: what an update is for.
        settings: of all objectives.
        facts: of the corpus.
        stage: of the schedule, counted from 0.

    Raises:
        InputError: a name is unknown, two of them cut or mask the text, or the corpus lacks what one of them needs.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        what = f"there is no objective {unknown[0]!r}" if unknown else "no objective is named"
        raise InputError(f"{what}; known: {', '.join(NAMES)}")
    cutters = {name: cutter for name in names if (cutter := _cutter(name, settings)) is not None}
    if len(cutters) > 1:
        raise InputError(
            f"{' and '.join(cutters)} cut the text each in its own way, and one update reads one of them; let the "
            "schedule give them updates of their own"
        )
    masking = [name for name in names if name in _MASKING]
    if len(masking) > 1:
        raise InputError(f"{' and '.join(masking)} would mask the same text twice; let them have updates of their own")
    plain: Cutter = _PLAIN.get(names[0], WholeSentences())
    objectives = tuple(each for name in names for each in _objectives(name, settings, facts, stage))
    return Work(next(iter(cutters.values()), plain), objectives)


def _cutter(name: str, settings: ObjectivesConfig) -> Cutter | None:
    """How an objective wants its text cut; None: it takes what there is."""
    cutters: Mapping[str, Cutter] = {
        "next_sentence": settings.next_sentence,
        "sentence_reordering": settings.sentence_reordering,
        "sentence_distance": SentenceDistance(),
        "discourse_relation": DiscourseRelation(),
        "ir_relevance": settings.ir_relevance,
        "dialogue_lm": settings.dialogues,
    }
    return cutters.get(name)


def _objectives(name: str, settings: ObjectivesConfig, facts: CorpusFacts, stage: int) -> list[Objective]:
    match name:
        case "masked_lm":
            return [_masked(name, settings.masking, facts)]
        case "knowledge_masking":
            return [_masked(name, settings.knowledge_in(stage), facts)]
        case "causal_lm":
            return [CausalLm()]
        case "bidirectional_lm":
            return [_both_directions(settings, facts)]
        case "capitalization":
            return [Capitalization()]
        case "token_document_relation":
            return [TokenDocumentRelation()]
        case "dialogue_lm":
            return [_masked(name, settings.masking, facts), SequenceClass("real_dialogue", 2)]
        case _:
            return [SequenceClass(name, _num_classes(name, settings, facts))]


def _both_directions(settings: ObjectivesConfig, facts: CorpusFacts) -> Objective:
    if facts.begin_id is None or facts.end_id is None:
        raise InputError("bidirectional_lm foretells where sentences begin and end; take a tokenizer with boundaries")
    return BidirectionalLm(facts.vocab_size, facts.begin_id, facts.end_id, settings.softmax, settings.streams)


def _num_classes(name: str, settings: ObjectivesConfig, facts: CorpusFacts) -> int:
    if name == "discourse_relation" and facts.num_relations < 2:
        raise InputError(
            f"discourse_relation tells relations apart, and the corpus has {facts.num_relations}; make it again with "
            "words that join sentences, or leave the objective out"
        )
    return {
        "next_sentence": 2,
        "sentence_reordering": settings.sentence_reordering.num_classes,
        "sentence_distance": 3,
        "discourse_relation": facts.num_relations,
        "ir_relevance": 3,
    }[name]


def _masked(name: str, masking: MaskingConfig, facts: CorpusFacts) -> Objective:
    if facts.mask_id is None or not len(facts.random_ids):
        raise InputError(f"{name} hides tokens behind a mask, and the tokenizer has none; train one that has")
    if not facts.has_spans and masking.units != ("token",):
        raise InputError(
            f"{name} masks units of the kind {masking.unit!r}, and no words, phrases or entities are marked in the "
            "corpus; make it again with them, or set the unit to token"
        )
    return MaskedLm(masking, Vocabulary(mask_id=facts.mask_id, random_ids=facts.random_ids), name)
