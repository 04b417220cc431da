"""Objectives by name: how text is cut for them, and that an example of each goes through a model."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.models.ernie import ErnieConfig
from wenmo.models.registry import build_model
from wenmo.pretraining.catalogue import NAMES, CorpusFacts, ObjectivesConfig, work_for
from wenmo.pretraining.cuts import Stream, WholeSentences
from wenmo.pretraining.draws import Draws
from wenmo.pretraining.examples import make_example
from wenmo.pretraining.model import Pretraining
from wenmo.pretraining.sequences import Frame
from wenmo.pretraining.shards import ENTITY, PHRASE, Shard

FACTS = CorpusFacts(mask_id=4, random_ids=np.arange(5, 50, dtype=np.int32), num_relations=3)
SETTINGS = ObjectivesConfig()
ERNIE2 = ErnieConfig(
    vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
    type_vocab_size=4, task_type_vocab_size=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
OF_ENCODERS = [name for name in NAMES if name not in ("causal_lm", "bidirectional_lm")]


def everything(num_documents: int = 30) -> Shard:
    """A shard with all columns."""
    rng = np.random.default_rng(3)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("input_ids", "document", "spans", "capitals", "connective", "kind")
    }
    for document in range(num_documents):
        for sentence in range(6):
            columns["input_ids"].append(rng.integers(5, 50, 8))
            columns["document"].append([document])
            columns["spans"].append([0, 2, PHRASE, 3, 6, ENTITY])
            columns["capitals"].append(rng.integers(0, 2, 8))
            columns["connective"].append([1, sentence % 3])
            columns["kind"].append([sentence % 2])
    return Shard(TokenStore.from_rows(**columns))


@pytest.mark.parametrize("name", OF_ENCODERS)
def test_every_objective_goes_from_a_shard_through_a_model(name):
    work = work_for([name], SETTINGS, FACTS)
    cut = work.cutter.cut(everything(), Frame((2,), (3,), (3,), 4), 32, np.random.default_rng(0))
    example = make_example(cut, np.arange(6), work.objectives, Draws(0), num_tasks=16)
    model = Pretraining(build_model(ERNIE2), ERNIE2, work.objectives)
    model.initialize(torch.Generator().manual_seed(0))
    sums, counts = model(example)
    assert list(example.labels) == [each.name for each in work.objectives]
    assert (counts > 0).all() and torch.isfinite(sums).all()
    sums.sum().backward()
    assert all(each.grad is not None for name, each in model.named_parameters() if name.startswith("heads."))


def test_one_sequence_objective_and_several_of_tokens_share_an_update():
    names = ["knowledge_masking", "capitalization", "token_document_relation", "sentence_distance"]
    work = work_for(names, SETTINGS, FACTS)
    assert [each.name for each in work.objectives] == names
    cut = work.cutter.cut(everything(), Frame((2,), (3,), (3,), 4), 32, np.random.default_rng(0))
    example = make_example(cut, np.arange(5), work.objectives, Draws(0))
    assert [example.labels[name].dim() for name in names] == [2, 2, 2, 1]


def test_running_text_is_cut_as_the_model_reads_it():
    assert isinstance(work_for(["masked_lm"], SETTINGS, FACTS).cutter, WholeSentences)
    assert isinstance(work_for(["causal_lm"], SETTINGS, FACTS).cutter, Stream)


@pytest.mark.parametrize(
    ("names", "facts", "message"),
    [
        (["masked_ml"], FACTS, "there is no objective 'masked_ml'; known: masked_lm"),
        ([], FACTS, "no objective is named"),
        (["next_sentence", "sentence_distance"], FACTS, "next_sentence and sentence_distance cut the text each"),
        (["masked_lm", "dialogue_lm"], FACTS, "masked_lm and dialogue_lm would mask the same text twice"),
        (["masked_lm"], CorpusFacts(), "the tokenizer has none"),
        (["discourse_relation"], CorpusFacts(), "the corpus has 0"),
        (["knowledge_masking"], replace(FACTS, has_spans=False), "units of the kind 'mixed', and no words"),
    ],
)
def test_what_cannot_be_learnt_together_or_at_all_is_refused(names, facts, message):
    with pytest.raises(InputError, match=message):
        work_for(names, SETTINGS, facts)


def test_whether_a_token_stands_elsewhere_in_its_document():
    shard = Shard(
        TokenStore.from_rows(
            input_ids=[[5, 6, 7], [8, 5, 9], [20, 21]],
            document=[[0], [0], [1]],
        )
    )
    work = work_for(["token_document_relation"], SETTINGS, FACTS)
    cut = work.cutter.cut(shard, Frame((2,), (3,), (3,), 2), 6, np.random.default_rng(0))
    example = make_example(cut, np.arange(3), work.objectives, Draws(0))
    # 5 stands in both sequences of its document; the second document is one sequence, so nothing is elsewhere.
    assert example.labels["token_document_relation"].tolist() == [
        [-100, 1, 0, 0, -100],
        [-100, 0, 1, 0, -100],
        [-100, -100, -100, -100, -100],
    ]


def test_capitals_are_those_of_the_raw_text():
    shard = Shard(TokenStore.from_rows(input_ids=[[5, 6], [7]], document=[[0], [0]], capitals=[[1, 0], [1]]))
    work = work_for(["capitalization"], SETTINGS, FACTS)
    cut = work.cutter.cut(shard, Frame((2,), (3,), (3,), 2), 9, np.random.default_rng(0))
    labels = make_example(cut, np.arange(1), work.objectives, Draws(0)).labels["capitalization"]
    assert labels.tolist() == [[-100, 1, 0, 1, -100]]


def test_knowledge_masking_has_the_unit_of_its_stage():
    settings = ObjectivesConfig(knowledge_units=("token", "phrase", "entity"))
    units = [settings.knowledge_in(stage).units for stage in range(5)]
    assert units == [("token",), ("phrase",), ("entity",), ("entity",), ("entity",)]
    (objective,) = work_for(["knowledge_masking"], settings, FACTS, 1).objectives
    assert objective.masking.unit == "phrase"
    assert SETTINGS.knowledge_in(3).units == ("token", "phrase", "entity")
    with pytest.raises(ValueError, match="unit must be one of"):
        ObjectivesConfig(knowledge_units=("syllable",))


def test_static_duplicates_come_again_and_dynamic_ones_never():
    assert [ObjectivesConfig(duplicates=3).draws(1, 0, number).number for number in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert [SETTINGS.draws(1, 0, number).number for number in range(3)] == [0, 1, 2]
    cut = work_for(["masked_lm"], SETTINGS, FACTS).cutter.cut(
        everything(), Frame((2,), (3,), (3,), 2), 32, np.random.default_rng(0)
    )
    work = work_for(["masked_lm"], SETTINGS, FACTS)

    def read(draws: Draws) -> list[list[int]]:
        return make_example(cut, np.arange(9), work.objectives, draws).batch.input_ids.tolist()

    static = ObjectivesConfig(duplicates=2)
    assert read(static.draws(1, 0, 0)) == read(static.draws(1, 0, 2)) != read(static.draws(1, 0, 1))
    assert read(SETTINGS.draws(1, 0, 0)) != read(SETTINGS.draws(1, 0, 2))


def test_settings_go_to_plain_values_and_back():
    settings = ObjectivesConfig(knowledge_units=("phrase",), duplicates=10)
    values = settings.to_dict()
    assert TypeAdapter(ObjectivesConfig).validate_python(values) == settings
    some = TypeAdapter(ObjectivesConfig).validate_python({"knowledge": {"count": "each"}})
    assert some.knowledge.shares == (("token", 1.0), ("phrase", 1.0), ("entity", 1.0))
    shares = {"knowledge": {"mixture": [["token", 1.0], ["entity", 3.0]]}}
    assert TypeAdapter(ObjectivesConfig).validate_python(shares).knowledge.units == ("token", "entity")


def test_recurring_tokens_are_those_that_a_search_finds(make_shard):
    shard = make_shard(num_documents=300, sentences=(1, 8))
    work = work_for(["token_document_relation"], SETTINGS, FACTS)
    cut = work.cutter.cut(shard, Frame((2,), (3,), (3,), 2), 40, np.random.default_rng(0))
    rows = np.random.default_rng(1).permutation(len(cut))
    labels = make_example(cut, rows, work.objectives, Draws(0)).labels["token_document_relation"].numpy()
    ids = np.concatenate(shard.store["input_ids"].take(range(len(shard))))
    starts = np.concatenate([[0], np.cumsum(shard.sizes)])[shard.documents]
    counted = 0
    for row, sequence in zip(labels, cut.take(rows), strict=True):
        for (place, behind, _), (begin, end) in zip(sequence.parts, sequence.runs, strict=True):
            document = int(np.searchsorted(starts, begin, side="right")) - 1
            rest = {*ids[starts[document] : begin].tolist(), *ids[end : starts[document + 1]].tolist()}
            expected = [int(token in rest) if rest else -100 for token in ids[begin:end].tolist()]
            assert row[place:behind].tolist() == expected
            counted += len(expected)
    assert counted == len(ids)
    assert {-100, 0, 1} == set(np.unique(labels))


def test_single_tokens_are_masked_where_nothing_is_marked():
    (objective,) = work_for(["masked_lm"], SETTINGS, replace(FACTS, has_spans=False)).objectives
    assert objective.masking.units == ("token",)
