"""`Pretraining` over small models: against transformers, and what its sums and counts are."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional as F

from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.interchange.huggingface import read_checkpoint, to_huggingface
from wenmo.models.bert import BertConfig
from wenmo.models.config import ModelConfig
from wenmo.models.ernie import ErnieConfig
from wenmo.models.gpt import GptConfig
from wenmo.models.recurrent import RecurrentConfig
from wenmo.models.registry import build_model
from wenmo.pretraining.cuts import Stream, WholeSentences
from wenmo.pretraining.draws import Draws
from wenmo.pretraining.examples import make_example
from wenmo.pretraining.masking import MaskingConfig, Vocabulary
from wenmo.pretraining.model import Pretraining
from wenmo.pretraining.objectives import Capitalization, CausalLm, MaskedLm, Objective, SequenceClass
from wenmo.pretraining.sequences import Frame, PretrainingExample
from wenmo.pretraining.shards import Shard

MASKED_LM = MaskedLm(MaskingConfig(), Vocabulary(mask_id=4, random_ids=np.arange(5, 13, dtype=np.int32)))
NEXT_SENTENCE = SequenceClass("next_sentence", 2)
BERT = BertConfig(
    vocab_size=100, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
    max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
IDS = torch.tensor([[2, 4, 4, 5, 6, 7, 8], [9, 10, 4, 3, 0, 0, 0]])
MASK = (IDS != 0).long()


def pretraining_of(config: ModelConfig, *objectives: Objective) -> Pretraining:
    model = Pretraining(build_model(config), config, objectives).double()
    model.initialize(torch.Generator().manual_seed(0))
    return model


def from_transformers(oracle: Any, folder: Any, *objectives: Objective) -> Pretraining:
    """The same weights under our names, as a checkpoint is read."""
    with torch.no_grad():
        for parameter in oracle.parameters():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64) / 3)
    oracle.save_pretrained(folder)
    checkpoint = read_checkpoint(folder)
    model = Pretraining(build_model(checkpoint.config), checkpoint.config, objectives).double().eval()
    weights = {f"extractor.{name}": weight for name, weight in checkpoint.weights.items()}
    weights |= {f"heads.{name}": weight for name, weight in checkpoint.heads.items()}
    model.load_state_dict(weights)
    return model


def check_gradients(ours: Pretraining, oracle: Any) -> None:
    """Every gradient, under the names and in the shapes that transformers has for the weights."""
    mine = {name: each.grad for name, each in ours.named_parameters()}
    assert all(each is not None for each in mine.values())
    bare = {name.removeprefix("extractor.").removeprefix("heads."): each for name, each in mine.items()}
    _, renamed = to_huggingface(ours.extractor_config, bare)
    theirs = {name: each.grad for name, each in oracle.named_parameters()}
    assert theirs.keys() <= renamed.keys()
    for name, each in theirs.items():
        torch.testing.assert_close(renamed[name], each, rtol=1e-10, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}")


def test_masked_words_and_next_sentence_are_those_of_bert_for_pretraining(tmp_path):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=13, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
        max_position_embeddings=9, attn_implementation="eager",
    )  # fmt: skip
    oracle = transformers.BertForPreTraining(config).double().eval()
    ours = from_transformers(oracle, tmp_path, MASKED_LM, NEXT_SENTENCE)
    types = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0, 0]])
    words = torch.full_like(IDS, -100)
    words[0, 1], words[0, 2], words[1, 2] = 11, 7, 5
    follows = torch.tensor([1, 0])
    expected = oracle(IDS, attention_mask=MASK, token_type_ids=types, labels=words, next_sentence_label=follows)
    example = PretrainingExample(
        batch=TokenBatch(input_ids=IDS, attention_mask=MASK, token_type_ids=types),
        labels={"masked_lm": words, "next_sentence": follows},
    )
    sums, counts = ours(example)
    assert counts.tolist() == [3, 2]
    assert torch.equal(counts, ours.counts(example))
    loss = (sums / counts).sum()
    torch.testing.assert_close(loss, expected.loss, rtol=1e-10, atol=1e-10)
    loss.backward()
    expected.loss.backward()
    check_gradients(ours, oracle)


def test_what_comes_next_is_that_of_gpt2(tmp_path):
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=13,
        n_embd=8,
        n_layer=2,
        n_head=2,
        n_positions=9,
        n_inner=12,
        bos_token_id=2,
        eos_token_id=2,
        attn_implementation="eager",
    )
    oracle = transformers.GPT2LMHeadModel(config).double().eval()
    ours = from_transformers(oracle, tmp_path, CausalLm())
    gold = IDS.masked_fill(MASK == 0, -100)
    # Its own loss is computed in float32, so its logits are taken.
    logits = oracle(IDS, attention_mask=MASK).logits
    expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), gold[:, 1:].flatten())
    following = torch.full_like(IDS, -100)
    following[:, :-1] = gold[:, 1:]
    sums, counts = ours(
        PretrainingExample(batch=TokenBatch(input_ids=IDS, attention_mask=MASK), labels={"causal_lm": following})
    )
    assert counts.tolist() == [9]
    torch.testing.assert_close(sums[0] / 9, expected, rtol=1e-10, atol=1e-10)
    (sums[0] / 9).backward()
    expected.backward()
    check_gradients(ours, oracle)


def test_each_token_foretells_the_next_and_the_separator_is_one():
    shard = Shard(TokenStore.from_rows(input_ids=[[10, 11], [12], [13, 14]], document=[[0], [0], [1]]))
    cut = Stream().cut(shard, Frame(between=(1,)), 5, np.random.default_rng(0))
    example = make_example(cut, np.arange(2), [CausalLm()], Draws(0))
    assert example.batch.input_ids.tolist() == [[10, 11, 12, 1, 13], [13, 14, 1, 0, 0]]
    assert example.labels["causal_lm"].tolist() == [[11, 12, 1, 13, -100], [14, 1, -100, -100, -100]]


def test_an_example_made_of_a_shard_goes_through(make_shard):
    cut = WholeSentences().cut(make_shard(), Frame((2,), (3,), (3,), 2), 32, np.random.default_rng(0))
    example = make_example(cut, np.arange(4), [MASKED_LM], Draws(0))
    model = pretraining_of(BERT, MASKED_LM)
    sums, counts = model(example.to("cpu"))
    assert counts.tolist() == [sum(max(1, round(0.15 * length)) for length in cut.lengths[:4])]
    # Before anything is learnt every word is about as likely.
    assert abs(float(sums[0].detach() / counts[0]) - math.log(100)) < 0.1
    assert example.batch.task_type_ids is None


def test_micro_batches_sum_to_the_whole(make_shard):
    cut = WholeSentences().cut(make_shard(), Frame((2,), (3,), (3,), 2), 32, np.random.default_rng(0))
    model = pretraining_of(BERT, MASKED_LM).eval()
    parts = [model(make_example(cut, rows, [MASKED_LM], Draws(0))) for rows in np.arange(8).reshape(4, 2)]
    whole = model(make_example(cut, np.arange(8), [MASKED_LM], Draws(0)))
    torch.testing.assert_close(sum(sums for sums, _ in parts), whole[0], rtol=0, atol=1e-9)
    assert torch.equal(sum(counts for _, counts in parts), whole[1])


def test_an_objective_without_counted_labels_costs_nothing_and_breaks_nothing():
    model = pretraining_of(BERT, MASKED_LM, NEXT_SENTENCE)
    labels = {"masked_lm": torch.full_like(IDS, -100), "next_sentence": torch.tensor([-100, -100])}
    sums, counts = model(PretrainingExample(batch=TokenBatch(input_ids=IDS, attention_mask=MASK), labels=labels))
    assert sums.tolist() == [0, 0] and counts.tolist() == [0, 0]
    sums.sum().backward()
    assert all(not each.grad.any() for each in model.parameters())


def test_the_table_of_an_encoder_learns_in_every_row_and_its_pooler_only_where_it_is_read():
    model = pretraining_of(BERT, MASKED_LM)
    assert model.extractor.embeddings.words.tied
    assert not any(each.requires_grad for each in model.extractor.pooler.parameters())
    assert all(each.requires_grad for each in pretraining_of(BERT, MASKED_LM, NEXT_SENTENCE).parameters())


def test_knowledge_masking_and_masked_words_share_a_head():
    knowledge = MaskedLm(MASKED_LM.masking, MASKED_LM.vocabulary, "knowledge_masking")
    model = pretraining_of(BERT, MASKED_LM, knowledge, NEXT_SENTENCE)
    assert sorted(model.heads) == ["masked_lm", "next_sentence"]


def test_a_recurrent_language_model_has_an_output_of_its_own():
    config = RecurrentConfig(vocab_size=13, embedding_size=6, num_units=5)
    model = pretraining_of(config, CausalLm())
    sums, counts = model(
        PretrainingExample(batch=TokenBatch(input_ids=IDS, attention_mask=MASK), labels={"causal_lm": IDS})
    )
    assert sorted(model.heads) == ["causal_lm"] and counts.tolist() == [14]
    assert float(sums.detach()) > 0


def test_a_model_that_cannot_learn_an_objective_is_refused():
    with pytest.raises(
        InputError, match=r"masked_lm wants a model that sees both sides: bert, ernie or ernie2; got gpt"
    ):
        MASKED_LM.make_head(GptConfig(vocab_size=5))
    with pytest.raises(InputError, match=r"causal_lm wants a model that sees nothing of what comes next"):
        CausalLm().make_head(BERT)
    with pytest.raises(InputError, match=r"bidirectional=false"):
        CausalLm().make_head(RecurrentConfig(vocab_size=5, bidirectional=True))


def test_the_task_of_a_batch_is_told_to_a_model_that_asks(make_shard):
    cut = WholeSentences().cut(make_shard(), Frame((2,), (3,), (3,), 4), 32, np.random.default_rng(0))
    for objectives, task in (([MASKED_LM], 0), ([MASKED_LM, NEXT_SENTENCE], 7), ([Upper()], 1)):
        example = make_example(cut, np.arange(3), objectives, Draws(0), num_tasks=16)
        assert example.batch.task_type_ids is not None
        assert example.batch.task_type_ids.unique().tolist() == [task]
    config = ErnieConfig(
        vocab_size=100, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12,
        task_type_vocab_size=16,
    )  # fmt: skip
    sums, _ = pretraining_of(config, MASKED_LM)(make_example(cut, np.arange(3), [MASKED_LM], Draws(0), num_tasks=16))
    assert torch.isfinite(sums).all()


class Upper(Capitalization):
    """Labels without a column."""

    def label(self, draft: Any, draws: Draws) -> np.ndarray:
        return np.where(draft.text, draft.original % 2, -100)
