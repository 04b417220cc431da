"""ELMo's objective: which places foretell what, and that neither direction sees it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.models.bert import BertConfig
from wenmo.models.elmo import Elmo, ElmoConfig
from wenmo.models.vocabulary_softmax import SoftmaxConfig
from wenmo.pretraining.bidirectional import BidirectionalLm
from wenmo.pretraining.catalogue import CorpusFacts, ObjectivesConfig, work_for
from wenmo.pretraining.cuts import WholeSentences
from wenmo.pretraining.draws import Draws
from wenmo.pretraining.examples import make_example
from wenmo.pretraining.model import Pretraining, perplexity
from wenmo.pretraining.sequences import Frame, PretrainingExample
from wenmo.pretraining.shards import Shard
from wenmo.text.word_bytes import ragged_word_byte_ids

BEGIN, END = 0, 1
FACTS = CorpusFacts(vocab_size=20, begin_id=BEGIN, end_id=END)
SIZES = {
    "filters": ((1, 4), (2, 5)), "num_highways": 1, "projection_size": 6, "num_units": 7, "hidden_dropout_prob": 0.0,
}  # fmt: skip
SENTENCES = ["the cat sat", "a dog", "the end of it all", "no"]


def shard_of(sentences: list[str]) -> Shard:
    known = sorted({word for sentence in sentences for word in sentence.split()})
    bytes_of = [ragged_word_byte_ids(sentence.split()) for sentence in sentences]
    return Shard(
        TokenStore.from_rows(
            input_ids=[[2 + known.index(word) for word in sentence.split()] for sentence in sentences],
            character_ids=[ids for ids, _ in bytes_of],
            word_sizes=[sizes for _, sizes in bytes_of],
            document=[[0] for _ in sentences],
        )
    )


def example_of(sentences: list[str] = SENTENCES, length: int = 20) -> PretrainingExample:
    work = work_for(["bidirectional_lm"], ObjectivesConfig(), FACTS)
    cut = work.cutter.cut(shard_of(sentences), Frame(), length, np.random.default_rng(0))
    return make_example(cut, np.arange(len(cut)), work.objectives, Draws(0))


def model_of(softmax: SoftmaxConfig | None = None, streams: int = 0, **settings: Any) -> Pretraining:
    config = ElmoConfig(**SIZES | settings)
    objective = BidirectionalLm(20, BEGIN, END, softmax or SoftmaxConfig(), streams)
    model = Pretraining(Elmo(config), config, [objective])
    model.initialize(torch.Generator().manual_seed(0))
    return model.double()


def test_both_directions_foretell_every_word_and_one_end():
    example = example_of()
    ids = shard_of(SENTENCES).store["input_ids"]
    labels = example.labels["bidirectional_lm"]
    assert labels.shape == (4, 7, 2)
    a, dog = ids[1].tolist()
    assert labels[1, :, 0].tolist() == [a, dog, END, -100, -100, -100, -100]
    assert labels[1, :, 1].tolist() == [-100, BEGIN, a, dog, -100, -100, -100]
    assert (labels != -100).sum(dim=(0, 1)).tolist() == [11 + 4, 11 + 4]


def test_words_are_read_as_their_bytes():
    batch = example_of().batch
    assert batch.character_ids is not None
    ids, sizes = ragged_word_byte_ids(["dog"])
    assert batch.character_ids[1, 1, : sizes[0]].tolist() == ids.tolist()
    assert batch.attention_mask.sum(dim=1).tolist() == [3, 2, 5, 1]


def test_the_states_that_foretell_are_those_of_the_cells_step_by_step():
    model, example = model_of(num_hidden_layers=1).eval(), example_of(["the cat sat"])
    elmo = model.extractor
    states, _ = elmo.language_states(example.batch)
    words = elmo.word_vectors(example.batch.character_ids)[0]
    from wenmo.models.elmo import _markers

    begin, end = elmo.word_vectors(_markers(3, torch.device("cpu")))
    line = torch.stack([begin, *words, end])
    forward, backward = elmo.layers()[0]
    for cell, places, half in ((forward, range(5), slice(0, 6)), (backward, range(4, -1, -1), slice(6, 12))):
        state = None
        for place in places:
            state = cell(line[place : place + 1], state)
            torch.testing.assert_close(states[0, place, half], state[0][0], rtol=0, atol=1e-12)


def test_neither_direction_sees_what_it_foretells():
    model = model_of().eval()
    one, other = example_of(["the cat sat down"]).batch, example_of(["the cat ran down"]).batch
    before, after = (model.extractor.language_states(each)[0][0] for each in (one, other))
    differs = (before - after).abs() > 1e-12
    # The third word (place 3) changes: the forward half before it and the backward half behind it stay.
    assert not differs[:3, :6].any() and differs[3:, :6].any(dim=1).all()
    assert not differs[4:, 6:].any() and differs[:4, 6:].any(dim=1).all()


def test_the_loss_is_the_mean_of_both_directions_and_perplexity_is_reported_as_in_the_paper():
    model, example = model_of().eval(), example_of()
    sums, counts = model(example)
    parts, part_counts = model.measure(example)["bidirectional_lm"]
    assert counts.tolist() == [30] and part_counts.tolist() == [15, 15]
    torch.testing.assert_close(parts.sum(), sums[0].detach())
    assert perplexity(parts, part_counts) == pytest.approx((math.exp(parts[0] / 15) + math.exp(parts[1] / 15)) / 2)
    softmax = model.heads["bidirectional_lm"].output
    states, labels = model.extractor.language_states(example.batch)[0], example.labels["bidirectional_lm"]
    by_hand = 0.0
    for way, half in enumerate((states[..., :6], states[..., 6:])):
        scores = softmax(half).log_softmax(dim=-1)
        for row, place in (labels[..., way] != -100).nonzero().tolist():
            by_hand -= float(scores[row, place, labels[row, place, way]].detach())
    assert float(sums.detach()) == pytest.approx(by_hand)


@pytest.mark.parametrize(
    "softmax",
    [SoftmaxConfig(), SoftmaxConfig(kind="sampled", num_sampled=6), SoftmaxConfig(kind="adaptive", cutoffs=(4,))],
)
def test_every_weight_but_the_mixture_learns_and_sentences_are_learnt_by_heart(softmax):
    torch.manual_seed(0)
    model, example = model_of(softmax), example_of()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(60):
        sums, counts = model(example)
        loss = sums.sum() / counts.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    idle = {name for name, each in model.named_parameters() if each.grad is None}
    assert all(name.startswith("extractor.mix.") for name in idle) and idle


def test_states_are_carried_while_it_learns_and_forgotten_where_a_text_begins():
    carrying, stateful, plain = model_of(streams=3), model_of(stateful=True), model_of()
    first = replace(example_of(["the cat sat", "a dog"]), begins=True)
    second, third = example_of(["a dog"]), example_of(["the cat", "no", "a dog"])
    for example in (first, second, third):  # fewer rows in between: the second one waits; the third began with zeros
        torch.testing.assert_close(carrying(example)[0], stateful(example)[0], rtol=0, atol=1e-12)
    kept = [buffer.clone() for buffer in carrying.buffers()]
    with torch.no_grad():
        torch.testing.assert_close(carrying.eval()(second)[0], plain.eval()(second)[0], rtol=0, atol=1e-12)
    assert all(old.equal(new) for old, new in zip(kept, carrying.buffers(), strict=True))
    torch.testing.assert_close(carrying.train()(first)[0], plain(first)[0], rtol=0, atol=1e-12)
    assert not any(name.startswith("carried") for name in plain.state_dict())


def test_states_are_carried_from_row_to_row():
    carrying, plain = model_of(stateful=True).eval(), model_of().eval()
    first, second = example_of(["the cat sat", "a dog"]), example_of(["a dog", "the cat"])
    for model in (carrying, plain):
        model(first)
    assert not torch.allclose(carrying(second)[0], plain(second)[0])
    carrying.extractor.reset()
    torch.testing.assert_close(carrying(first)[0], plain(first)[0])


def test_a_model_that_sees_both_sides_is_refused_and_boundaries_are_needed():
    with pytest.raises(InputError, match="never see each other, which is elmo; got bert"):
        BidirectionalLm(20, BEGIN, END).make_head(BertConfig(vocab_size=20))
    with pytest.raises(InputError, match="take a tokenizer with boundaries"):
        work_for(["bidirectional_lm"], ObjectivesConfig(), CorpusFacts())


def test_a_model_of_ids_reads_a_corpus_that_has_bytes_too():
    cut = WholeSentences().cut(shard_of(SENTENCES), Frame((2,), (3,), (3,), 2), 20, np.random.default_rng(0))
    batch = make_example(cut, np.arange(1), [], Draws(0)).batch
    assert batch.character_ids is None and batch.input_ids is not None and batch.input_ids.shape == (1, 13)
