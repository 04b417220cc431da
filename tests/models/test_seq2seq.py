"""Encoder-decoders: all steps at once equal one step after the other, and company changes no answer."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from wenmo.features import TokenBatch
from wenmo.models.seq2seq import Seq2Seq, Seq2SeqConfig

KINDS = {
    "fixed vector": ("recurrent", {"attention": "none"}),
    "bahdanau": ("recurrent", {"attention": "bahdanau"}),
    "bahdanau, lstm, two layers": ("recurrent", {"attention": "bahdanau", "cell": "lstm", "num_hidden_layers": 2}),
    "luong dot": ("recurrent", {"attention": "dot", "num_decoder_units": 8}),
    "luong general, fed": ("recurrent", {"attention": "general", "input_feeding": True, "cell": "lstm"}),
    "luong concat, one direction": ("recurrent", {"attention": "concat", "bidirectional": False}),
    "luong general, own classifier": ("recurrent", {"attention": "general", "tie_word_embeddings": False}),
    "transformer": ("transformer", {}),
    "transformer, norm first": ("transformer", {"norm_first": True}),
}
EACH = pytest.mark.parametrize("name", KINDS)


@pytest.fixture
def make(tiny_writer):
    return lambda name: tiny_writer(KINDS[name][0], **KINDS[name][1])


def one_text(batch: TokenBatch, row: int) -> TokenBatch:
    length = int(batch.num_tokens[row])
    return TokenBatch(input_ids=batch.input_ids[row : row + 1, :length], attention_mask=torch.ones(1, length).long())


def answers(rows: int, length: int, seed: int = 5) -> Tensor:
    return torch.randint(1, 9, (rows, length), generator=torch.Generator().manual_seed(seed))


def said(model, written) -> Tensor:
    """The logits, by both ways to make them."""
    logits = model.logits(written.hidden_states)
    with torch.no_grad():
        exactly(model.scorer(4)(written.hidden_states.flatten(0, 1)), logits.flatten(0, 1).detach())
    return logits


def exactly(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@EACH
def test_teaching_all_steps_at_once_equals_writing_step_by_step(name, make, random_texts):
    model, batch, ids = make(name), random_texts(5, 2, 7), answers(3, 6)
    taught = model.logits(model.teach(batch, ids, torch.ones_like(ids)))
    state = model.start(batch)
    for place in range(ids.size(1)):
        written = model.step(ids[:, place : place + 1], state)
        state = written.state
        exactly(said(model, written)[:, 0], taught[:, place])
    exactly(said(model, model.step(ids, model.start(batch))), taught)  # and several tokens in one step


@EACH
def test_company_and_padding_never_change_what_is_written(name, make, random_texts):
    model, batch, ids = make(name), random_texts(5, 2, 7), answers(3, 6)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6, [1, 0, 0, 0, 0, 0]])
    together = model.logits(model.teach(batch, ids * mask, mask))
    garbage = replace(batch, input_ids=batch.input_ids.masked_fill(batch.attention_mask == 0, 8))
    again = model.logits(model.teach(garbage, ids.masked_fill(mask == 0, 8), mask))
    for row in range(3):
        length = int(mask[row].sum())
        alone = model.logits(
            model.teach(one_text(batch, row), ids[row : row + 1, :length], mask[row : row + 1, :length])
        )
        exactly(alone[0], together[row, :length])
        exactly(again[row, :length], together[row, :length])


@EACH
def test_a_later_token_changes_nothing_before_it(name, make, random_texts):
    model, batch, ids = make(name), random_texts(5, 2), answers(2, 6)
    changed = ids.clone()
    changed[:, 4:] = 9 - changed[:, 4:]
    mask = torch.ones_like(ids)
    before, after = (model.logits(model.teach(batch, each, mask)) for each in (ids, changed))
    exactly(after[:, :4], before[:, :4])
    assert (after[:, 4:] - before[:, 4:]).abs().max() > 1e-3


@EACH
def test_rows_of_a_beam_are_those_of_texts_that_stand_there_several_times(name, make, random_texts):
    """Reordered, with a text that has left: as if the rows had been texts from the beginning."""
    model, batch, ids = make(name), random_texts(5, 2, 7), answers(3, 2)
    first = model.step(ids, model.start(batch))
    rows, texts = torch.tensor([0, 0, 0, 2, 2, 2]), torch.tensor([0, 2])
    spread = first.state.select(rows, texts)
    order = torch.tensor([2, 0, 0, 3, 5, 4])
    more = answers(6, 3, seed=6)
    second = model.step(more[:, :1], spread)
    third = model.step(more[:, 1:], second.state.select(order), output_attentions=True)

    for row in range(6):
        text = int(rows[row])
        written = torch.cat([ids[text], more[order[row], :1], more[row, 1:]]).unsqueeze(0)
        alone = model.step(written, model.start(one_text(batch, text)), output_attentions=True)
        exactly(said(model, third)[row], said(model, alone)[0, -2:])
        if alone.attentions is None:
            assert name == "fixed vector" and third.attentions is None
        else:
            exactly(third.attentions[row, :, : alone.attentions.size(2)], alone.attentions[0, -2:])


@EACH
def test_weights_sum_to_1_and_leave_the_padding_out(name, make, random_texts):
    model, batch = make(name), random_texts(5, 2)
    plain = model.step(answers(2, 3), model.start(batch))
    asked = model.step(answers(2, 3), model.start(batch), output_attentions=True)
    assert plain.attentions is None
    exactly(asked.hidden_states, plain.hidden_states)
    if name != "fixed vector":
        assert asked.attentions.shape == (2, 3, 5)
        exactly(asked.attentions.sum(dim=-1), torch.ones(2, 3).double())
        assert not asked.attentions[1, :, 2:].any()


@EACH
def test_every_weight_learns(name, make, random_texts):
    model, batch, ids = make(name), random_texts(5, 3), answers(2, 4)
    model.logits(model.teach(batch, ids, torch.ones_like(ids))).square().sum().backward()
    without = [
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


def test_bahdanau_is_its_equations(tiny_writer, random_texts):
    """One step by hand from the weights, with the equations of the paper's appendix A and torch's own GRU."""
    model = tiny_writer("recurrent", attention="bahdanau")
    batch, ids = random_texts(3), torch.tensor([[2]])
    vectors = model.embeddings.words.weight
    encoder = torch.nn.GRU(6, 4, bidirectional=True, batch_first=True).double()
    for suffix, cell in zip(("", "_reverse"), model.encoder.cells(), strict=True):
        _copy(encoder, cell, suffix)
    h, last = encoder(vectors[batch.input_ids])
    s = torch.tanh(model.bridge.projection(last.transpose(0, 1).flatten(1)))
    e = torch.tanh(model.attention.query(s).unsqueeze(1) + model.attention.key(h)) @ model.attention.score.weight.T
    c = (e.softmax(dim=1) * h).sum(dim=1)
    y = vectors[ids[:, 0]]
    decoder = torch.nn.GRUCell(14, 4).double()
    _copy(decoder, model.decoder.cells()[0])
    s = decoder(torch.cat([y, c], dim=1), s)
    t = model.readout(torch.cat([s, y, c], dim=1)).view(1, 6, 2).max(dim=2).values
    exactly(said(model, model.step(ids, model.start(batch)))[:, 0], t @ vectors.T + model.output_bias)


@torch.no_grad()
def _copy(torchs: torch.nn.Module, ours: torch.nn.Module, suffix: str | None = None) -> None:
    end = "" if suffix is None else f"_l0{suffix}"
    for name in ("weight_ih", "weight_hh", "bias_ih"):
        getattr(torchs, name + end).copy_(getattr(ours, name))
    getattr(torchs, "bias_hh" + end).zero_()


def test_a_model_of_fixed_vectors_has_as_many_weights_but_for_the_alignment(tiny_writer):
    fixed, looking = (tiny_writer("recurrent", attention=name) for name in ("none", "bahdanau"))
    alignment = sum(each.numel() for each in looking.attention.parameters())
    assert sum(each.numel() for each in looking.parameters()) - alignment == sum(
        each.numel() for each in fixed.parameters()
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "dot"}, "set num_decoder_units=512"),
        ({"input_feeding": True}, "input_feeding is for attention"),
        ({"num_units": 0}, "num_units must be at least 1"),
        ({"hidden_dropout_prob": 1.0}, "below 1"),
    ],
)
def test_what_cannot_work_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Seq2SeqConfig(**settings)


def test_dropout_is_for_training_alone(tiny_writer, random_texts):
    model = tiny_writer("recurrent", hidden_dropout_prob=0.5)
    batch, ids = random_texts(4), answers(1, 3)
    assert isinstance(model, Seq2Seq)
    once, again = (model.step(ids, model.start(batch)).hidden_states for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(model.train().step(ids, model.start(batch)).hidden_states, once)
