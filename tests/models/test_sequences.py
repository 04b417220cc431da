"""The five shapes: what depends on what, writing token by token, and that each can learn what it is for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from wenmo.features import TokenBatch
from wenmo.models.recurrent import Recurrent, RecurrentConfig, RecurrentStack
from wenmo.models.sequences import (
    Decoder,
    EncoderDecoder,
    ManyToMany,
    ManyToOne,
    StateOfVector,
    one_to_many,
    one_to_one,
)

BOS, EOS, VOCAB_SIZE = 2, 3, 12


def config_of(**fields: Any) -> RecurrentConfig:
    return RecurrentConfig(**{"vocab_size": VOCAB_SIZE, "embedding_size": 8, "num_units": 16, **fields})


def decoder_of(seed: int = 0, **fields: Any) -> Decoder:
    """With random weights also in its output."""
    decoder = Decoder(config_of(**fields)).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return decoder


def learn(model: Any, loss: Callable[[], torch.Tensor], steps: int) -> None:
    model.initialize(torch.Generator().manual_seed(0))
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    model.eval()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_one_to_one_is_one_step_of_every_layer(cell: Any) -> None:
    stack = RecurrentStack(config_of(cell=cell, num_hidden_layers=2)).double()
    x = torch.randn(3, 8, dtype=torch.float64)
    y, state = one_to_one(stack, x)
    first = stack.cells()[0](x)
    second = stack.cells()[1](first[0])
    torch.testing.assert_close(y, second[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(state.hidden, torch.stack([first[0], second[0]]), rtol=0, atol=1e-12)


def test_steps_one_by_one_are_the_sequence() -> None:
    stack = RecurrentStack(config_of(num_hidden_layers=2)).double()
    x = torch.randn(3, 4, 8, dtype=torch.float64)
    whole, last = stack(x, torch.ones(3, 4, dtype=torch.long))
    state = None
    for t in range(4):
        y, state = one_to_one(stack, x[:, t], state)
        torch.testing.assert_close(y, whole[:, t], rtol=0, atol=1e-12)
    assert state is not None
    torch.testing.assert_close(state.hidden, last.hidden, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_greedy_writing_takes_the_likeliest_token_after_all_that_was_written(cell: Any) -> None:
    decoder = decoder_of(cell=cell)
    start = torch.tensor([[BOS, 5], [BOS, 7]])
    written = one_to_many(decoder, start, max_new_tokens=6)
    assert written.shape == (2, 6)
    so_far = start
    for t in range(6):
        logits, _ = decoder(so_far)  # all of it anew, without a state
        assert logits[:, -1].argmax(dim=1).tolist() == written[:, t].tolist()
        so_far = torch.cat([so_far, written[:, t : t + 1]], dim=1)


def test_a_text_is_written_the_same_alone_and_in_company() -> None:
    decoder, end = decoder_of(1), 9
    starts = torch.tensor([[BOS, token] for token in range(4, 12)])
    together = one_to_many(decoder, starts, max_new_tokens=9, eos_token_id=end)
    assert (together == end).any(), "the test wants texts that end"
    for row, start in enumerate(starts):
        alone = one_to_many(decoder, start[None], max_new_tokens=9, eos_token_id=end)[0].tolist()
        assert together[row, : len(alone)].tolist() == alone
        assert set(together[row, len(alone) :].tolist()) <= {0}
        assert end not in alone[:-1]


def test_sampling_follows_its_generator_the_probabilities_and_the_temperature() -> None:
    decoder = decoder_of()
    starts = torch.full((4000, 1), BOS)

    def draw(seed: int, temperature: float) -> torch.Tensor:
        numbers = torch.Generator().manual_seed(seed)
        return one_to_many(decoder, starts, max_new_tokens=1, temperature=temperature, generator=numbers)

    assert torch.equal(draw(1, 1.0), draw(1, 1.0))
    assert not torch.equal(draw(1, 1.0), draw(2, 1.0))
    for temperature in (1.0, 3.0):
        expected = (decoder(starts[:1])[0][0, -1] / temperature).softmax(dim=0)
        found = draw(3, temperature).flatten().bincount(minlength=VOCAB_SIZE) / 4000
        torch.testing.assert_close(found.double(), expected.detach(), rtol=0, atol=0.03)


def test_a_vector_starts_a_sequence_of_its_own() -> None:
    decoder = Decoder(config_of(num_hidden_layers=2))
    start = StateOfVector(3, decoder.config)
    vectors = torch.eye(3)
    wanted = torch.tensor([[4, 5, 6, EOS], [7, 7, 7, EOS], [9, 8, 9, EOS]])
    both = nn.ModuleList([start, decoder])
    both.initialize = lambda generator: [part.initialize(generator) for part in both]  # type: ignore[assignment, union-attr, operator]
    read = torch.cat([torch.full((3, 1), BOS), wanted[:, :-1]], dim=1)
    learn(both, lambda: F.cross_entropy(decoder(read, start(vectors))[0].flatten(0, 1), wanted.flatten()), 60)
    written = one_to_many(decoder, torch.full((3, 1), BOS), start(vectors), max_new_tokens=9, eos_token_id=EOS)
    assert written.tolist() == wanted.tolist()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_many_to_one_learns_what_stands_first(cell: Any, batch_of: Callable[..., TokenBatch]) -> None:
    texts = [[first, *[7] * length] for first in (5, 6) for length in range(5)]
    labels = torch.tensor([int(text[0] == 6) for text in texts])
    model = ManyToOne(Recurrent(config_of(cell=cell, pooling="last")), 2)
    learn(model, lambda: F.cross_entropy(model(batch_of(texts)), labels), 40)
    assert model(batch_of(texts)).argmax(dim=1).tolist() == labels.tolist()


@pytest.mark.parametrize("bidirectional", [True, False])
def test_many_to_many_answers_every_token_and_only_two_directions_know_what_comes(
    bidirectional: bool, batch_of: Callable[..., TokenBatch]
) -> None:
    texts = [[4, 5, 4, 6, 4], [4, 6, 4], [5, 4, 5], [4, 5]]
    labels = torch.full((4, 5), -100)
    for row, text in enumerate(texts):
        labels[row, : len(text)] = torch.tensor([int(after == 5) for after in [*text[1:], 0]])  # is the next one a 5?
    model = ManyToMany(Recurrent(config_of(bidirectional=bidirectional)), 2)
    learn(model, lambda: F.cross_entropy(model(batch_of(texts)).flatten(0, 1), labels.flatten()), 40)
    answers = model(batch_of(texts)).argmax(dim=2)
    counted = labels != -100
    assert bool((answers == labels)[counted].all()) == bidirectional


@pytest.mark.parametrize(
    ("encoder", "decoder", "bridge"),
    [
        ({"bidirectional": True}, {"cell": "gru", "num_units": 24}, "dense"),
        ({"cell": "gru", "num_hidden_layers": 2}, {"cell": "gru", "num_hidden_layers": 2}, "copy"),
        ({}, {}, "copy"),
    ],
    ids=str,
)
def test_many_to_many_delayed_learns_to_say_a_text_backwards(
    encoder: Any, decoder: Any, bridge: Any, batch_of: Callable[..., TokenBatch]
) -> None:
    texts = [[4, 5, 6], [6, 5], [7, 4, 4], [8], [5, 7, 9]]
    wanted = torch.full((5, 4), -100)
    for row, text in enumerate(texts):
        wanted[row, : len(text) + 1] = torch.tensor([*text[::-1], EOS])
    read = torch.cat([torch.full((5, 1), BOS), wanted[:, :-1].clamp(min=0)], dim=1)
    mask = (wanted != -100).long()
    model = EncoderDecoder(Recurrent(config_of(**encoder)), Decoder(config_of(**decoder)), bridge)
    learn(model, lambda: F.cross_entropy(model(batch_of(texts), read, mask).flatten(0, 1), wanted.flatten()), 80)
    written = model.generate(batch_of(texts), bos_token_id=BOS, eos_token_id=EOS, max_new_tokens=9)
    assert [row[: row.index(EOS)] for row in written.tolist()] == [text[::-1] for text in texts]


def test_decoding_goes_on_from_a_state_as_if_all_were_read_at_once(batch_of: Callable[..., TokenBatch]) -> None:
    model = EncoderDecoder(Recurrent(config_of(bidirectional=True)), decoder_of()).double().eval()
    batch = batch_of([[4, 5, 6], [7]])
    ids = torch.tensor([[BOS, 4, 5], [BOS, 6, 7]])
    encoded = model.encode(batch)
    whole, _ = model.decode(ids, encoded.state)
    torch.testing.assert_close(whole, model(batch, ids), rtol=0, atol=1e-12)
    first, state = model.decode(ids[:, :2], encoded.state)
    second, _ = model.decode(ids[:, 2:], state)
    torch.testing.assert_close(whole, torch.cat([first, second], dim=1), rtol=0, atol=1e-12)
    assert encoded.encoder_hidden_states.shape == (2, 3, 32)
    assert torch.equal(encoded.encoder_attention_mask, batch.attention_mask)


def test_a_decoder_does_not_look_ahead() -> None:
    with pytest.raises(ValueError, match="one direction"):
        Decoder(config_of(bidirectional=True))


def test_states_of_other_sizes_cannot_be_copied() -> None:
    with pytest.raises(ValueError, match="bridge='dense'"):
        EncoderDecoder(Recurrent(config_of(bidirectional=True)), Decoder(config_of()), "copy")


@pytest.mark.parametrize(
    "values", [{"max_new_tokens": -1}, {"temperature": 0.0}, {"decoder_input_ids": torch.zeros(1, 0, dtype=torch.long)}]
)
def test_writing_that_cannot_work_is_refused(values: dict[str, Any]) -> None:
    call = {"decoder_input_ids": torch.tensor([[BOS]]), "max_new_tokens": 3, **values}
    with pytest.raises(ValueError, match="at least one token"):
        one_to_many(decoder_of(), **call)
