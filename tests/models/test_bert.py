"""BERT and ERNIE by their properties: what the input is a sum of, published sizes, what settings do."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.features import TokenBatch
from wenmo.models.bert import Bert, BertConfig, bert_base, bert_large
from wenmo.models.ernie import Ernie, ErnieConfig, ernie2_base, ernie_base
from wenmo.models.registry import num_parameters

TINY = BertConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=9,
)
IDS = torch.tensor([[5, 6, 7, 8, 9], [10, 6, 5, 11, 12]])
TYPES = torch.tensor([[0, 0, 0, 1, 1], [0, 1, 1, 1, 1]])
TASKS = torch.tensor([[2], [1]]).expand(2, 5)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


AnyModel = TypeVar("AnyModel", Bert, Ernie)


def started(model: AnyModel) -> AnyModel:
    model.initialize(torch.Generator().manual_seed(0))
    return model.double().eval()


def batch(ids: Tensor = IDS, **more: Tensor) -> TokenBatch:
    return TokenBatch(input_ids=ids, attention_mask=torch.ones_like(ids), **more)  # type: ignore[arg-type]


def test_adding_vectors_is_one_matrix_over_the_one_hots_beside_each_other() -> None:
    # Figure 2 of Devlin et al. draws a sum of word, segment and position; figure 3 of ERNIE 2.0 adds the task. Such
    # a sum is nothing of its own: it is one linear layer that sees all of what is known of a token.
    model = started(Ernie(ErnieConfig(**{**sizes_of(TINY), "task_type_vocab_size": 3})))
    embeddings = model.embeddings
    tables = (embeddings.words.words, embeddings.positions, embeddings.segments, embeddings.tasks)
    known = (IDS, torch.arange(5).expand(2, 5), TYPES, TASKS)
    beside = torch.cat([F.one_hot(x, len(t.weight)) for x, t in zip(known, tables, strict=True) if t], dim=-1)  # type: ignore[arg-type]
    matrix = torch.cat([table.weight for table in tables if table])  # (20 + 9 + 2 + 3, hidden_size)
    assert beside.shape == (2, 5, 34) and (beside.sum(dim=-1) == 4).all()
    assert embeddings.norm is not None
    summed = embeddings(IDS, token_type_ids=TYPES, task_type_ids=TASKS)
    close(summed, embeddings.norm(beside.double() @ matrix))


def sizes_of(config: BertConfig) -> dict[str, int]:
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    return {name: getattr(config, name) for name in (*names, "max_position_embeddings")}


def test_published_sizes_have_the_published_number_of_weights() -> None:
    # Counted in the released checkpoints: bert-base-uncased, bert-large-uncased without the heads.
    assert num_parameters(bert_base()) == 109_482_240
    assert num_parameters(bert_large()) == 335_141_888
    assert num_parameters(replace(bert_base(), pooler="first")) == 109_482_240 - 768 * 769
    # ERNIE 1.0: BERT base with 18,000 words in the place of 30,522 and one position more.
    assert num_parameters(ernie_base()) == 109_482_240 - (30_522 - 18_000) * 768 + 768
    # ERNIE 2.0: BERT base, two kinds of sentences more, and 16 tasks.
    assert num_parameters(ernie2_base()) == 109_482_240 + (2 + 16) * 768


def test_every_token_sees_the_whole_text() -> None:
    model = started(Bert(TINY))
    one, other = model(batch()), model(batch(torch.cat([IDS[:, :4], IDS[:, 4:] + 1], dim=1)))
    assert (one.last_hidden_state != other.last_hidden_state).any(dim=-1).all()


def test_the_second_text_and_the_task_are_told_apart_from_the_first() -> None:
    bert, ernie = started(Bert(TINY)), started(Ernie(ErnieConfig(**sizes_of(TINY), task_type_vocab_size=3)))
    close(bert(batch(token_type_ids=torch.zeros_like(IDS))).pooler_output, bert(batch()).pooler_output)
    assert not torch.allclose(bert(batch(token_type_ids=TYPES)).pooler_output, bert(batch()).pooler_output)
    close(ernie(batch(task_type_ids=torch.zeros_like(IDS))).pooler_output, ernie(batch()).pooler_output)
    assert not torch.allclose(ernie(batch(task_type_ids=TASKS)).pooler_output, ernie(batch()).pooler_output)


def test_the_vector_of_a_text_is_made_of_its_first_token() -> None:
    for act, function in (("tanh", torch.tanh), ("relu", F.relu), ("gelu", F.gelu)):
        model = started(Bert(replace(TINY, pooler_act=act)))  # type: ignore[arg-type]
        features = model(batch())
        assert model.pooler is not None
        close(features.pooler_output, function(model.pooler.dense(features.last_hidden_state[:, 0])))
    features = started(Bert(replace(TINY, pooler="first")))(batch())
    assert torch.equal(features.pooler_output, features.last_hidden_state[:, 0])


def test_positions_may_begin_further_down_the_table() -> None:
    plain, moved = started(Bert(TINY)), started(Bert(replace(TINY, position_offset=2)))
    weights = plain.state_dict()
    unread = torch.full((2, 8), 99.0, dtype=torch.float64)
    weights["embeddings.positions.weight"] = torch.cat([unread, weights["embeddings.positions.weight"]])
    moved.load_state_dict(weights)
    assert torch.equal(moved(batch()).last_hidden_state, plain(batch()).last_hidden_state)
    given = torch.tensor([[3, 1, 4, 2, 0]]).expand(2, 5)
    assert torch.equal(
        moved(batch(position_ids=given)).last_hidden_state, plain(batch(position_ids=given)).last_hidden_state
    )


def test_narrow_words_are_projected_behind_the_layer_norm() -> None:
    model = started(Bert(replace(TINY, embedding_size=6)))
    embeddings = model.embeddings
    assert embeddings.positions is not None and embeddings.segments is not None
    assert embeddings.norm is not None and embeddings.projection is not None
    summed = embeddings.words(IDS) + embeddings.positions.weight[:5] + embeddings.segments.weight[0]
    close(embeddings(IDS), embeddings.projection(embeddings.norm(summed)))
    assert model.word_table().shape == (20, 6)


def test_a_position_for_each_token_up_to_the_limit() -> None:
    model = started(Bert(replace(TINY, position_offset=2)))
    model(batch(torch.full((1, 9), 3)))
    with pytest.raises(ValueError, match="length 10 is over max_position_embeddings 9"):
        model(batch(torch.full((1, 10), 3)))


def test_first_weights_are_those_of_the_paper() -> None:
    model = Bert(replace(TINY, vocab_size=2000, hidden_size=64, intermediate_size=256))
    model.initialize(torch.Generator().manual_seed(0))
    assert model.word_table().std().item() == pytest.approx(0.02, rel=0.02)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "norm" in name:
            assert (parameter == 1).all()
        elif parameter.numel() > 4000:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name


@pytest.mark.parametrize("name", ["bert", "ernie", "ernie2"])
def test_layers_and_attentions_are_given_when_asked_for(
    name: str, tiny: Callable[..., nn.Module], batch_of: Callable[..., TokenBatch]
) -> None:
    model = tiny(name)
    features = model(batch_of([[5, 6, 7], [8, 9]]), output_hidden_states=True, output_attentions=True)
    assert len(features.hidden_states) == 3 and len(features.attentions) == 2
    assert torch.equal(features.hidden_states[2][0], features.last_hidden_state[0])
    assert not features.last_hidden_state[1, 2:].any()
    for weights in features.attentions:
        assert weights.shape == (2, 2, 3, 3)
        assert not weights[1, :, :, 2].any()
        close(weights.sum(dim=-1), torch.ones(2, 2, 3, dtype=torch.float64))
    assert model(batch_of([[5, 6]])).hidden_states is None


@pytest.mark.parametrize(
    "fields", [{"embedding_size": -1}, {"position_offset": -1}, {"type_vocab_size": -1}, {"hidden_size": 9}]
)
def test_sizes_that_cannot_work_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        replace(TINY, **fields)  # type: ignore[arg-type]
