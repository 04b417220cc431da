"""Attention as loops over its equations, on both paths, and by its properties."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wenmo.models.attention import (
    AdditiveAttention,
    KeyValues,
    MultiHeadAttention,
    MultiplicativeAttention,
    causal_mask,
    masked_softmax,
    scaled_dot_product_attention,
)

MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
USES = ["self", "causal", "cross"]
ALIGNMENTS = ["additive", "dot", "general", "concat", "location"]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_random_weights(module: nn.Module) -> Any:
    module = module.double().eval()
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=i + 7) / 2)
    return module


def heads(use: str = "self", hidden_size: int = 8) -> Any:
    return with_random_weights(MultiHeadAttention(hidden_size, 2, use=use))  # type: ignore[arg-type]


def aligned(kind: str) -> Any:
    """One of the attentions of recurrent translators, for queries and values of size 4."""
    if kind == "additive":
        return with_random_weights(AdditiveAttention(4, 4, 3))
    places = 6 if kind == "location" else 0
    attention = MultiplicativeAttention(4, 4, alignment=kind, max_position_embeddings=places)  # type: ignore[arg-type]
    return with_random_weights(attention)


def look(use: str, attention: Any, x: Tensor, keys: Tensor, mask: Tensor | None, **more: Any) -> Any:
    """Each use with the tensors it takes."""
    others = {"encoder_hidden_states": keys} if use == "cross" else {}
    return attention(x, **others, attention_mask=mask, **more)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_the_weights_are_shares_worked_by_hand() -> None:
    scores = torch.tensor([[0.0, math.log(3.0), 100.0], [5.0, 5.0, 5.0]], dtype=torch.float64)
    visible = torch.tensor([[True, True, False], [False, False, False]])
    # e^0 : e^log 3 = 1 : 3, and 100 is not seen; the second row sees nothing
    close(masked_softmax(scores, visible), torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64))


def test_a_causal_mask_hides_what_stands_behind_the_query() -> None:
    assert causal_mask(3, 3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert causal_mask(2, 4).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]  # two tokens came before


def test_a_row_that_sees_nothing_gives_zeros_and_gradients_of_zero() -> None:
    nothing = torch.tensor([[1, 1, 1], [0, 0, 0]])
    for output_attentions in (False, True):
        attention = heads()
        x = draw(2, 3, 8).requires_grad_()
        context = attention(x, attention_mask=nothing, output_attentions=output_attentions).context
        close(context[1], attention.output.bias.expand(3, 8))  # of zeros, the last projection leaves its bias
        context.sum().backward()
        assert x.grad is not None and x.grad[1].abs().max() == 0 and torch.isfinite(x.grad).all()
        for parameter in attention.parameters():
            assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_an_alignment_that_sees_nothing_gives_zeros(kind: str) -> None:
    attention = aligned(kind)
    for output_attentions in (False, True):
        values = draw(2, 3, 4).requires_grad_()
        mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
        context = attention(draw(2, 2, 4), values, mask, output_attentions=output_attentions).context
        assert context[1].abs().max() == 0
        context.sum().backward()
        assert values.grad is not None and values.grad[1].abs().max() == 0 and torch.isfinite(values.grad).all()
        assert values.grad[0, 2].abs().max() == 0 and values.grad[0, :2].abs().max() > 0


def score_by_hand(kind: str, attention: Any, query: Tensor, key: Tensor, place: int) -> Tensor:
    """The score of one query and one key, as the papers write it."""
    if kind == "additive":
        hidden = torch.tanh(attention.query.weight @ query + attention.key.weight @ key)
        return attention.score.weight[0] @ hidden
    if kind == "dot":
        return query @ key
    if kind == "general":
        return query @ attention.key.weight @ key
    if kind == "location":
        return attention.places.weight[place] @ query
    joint = torch.cat([attention.concat.query.weight, attention.concat.key.weight], dim=1)  # W of [h; s]
    return attention.concat.score.weight[0] @ torch.tanh(joint @ torch.cat([query, key]))


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_each_alignment_is_its_equation_written_as_loops(kind: str) -> None:
    attention, queries, values = aligned(kind), draw(2, 3, 4), draw(2, 5, 4, seed=1)
    expected, shares = torch.zeros(2, 3, 4).double(), torch.zeros(2, 3, 5).double()
    for text in range(2):
        length = int(MASK[text].sum())
        for i in range(3):
            scores = [score_by_hand(kind, attention, queries[text, i], values[text, j], j) for j in range(length)]
            total = sum(score.exp() for score in scores)
            for j, score in enumerate(scores):
                shares[text, i, j] = score.exp() / total
                expected[text, i] += shares[text, i, j] * values[text, j]
    fast = attention(queries, values, MASK)
    spelled = attention(queries, values, MASK, output_attentions=True)
    assert fast.attentions is None
    close(spelled.attentions, shares)
    for context in (fast.context, spelled.context):
        close(context, expected)
    close(attention(queries, values, MASK, keys=attention.project(values)).context, expected)


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_both_paths_of_an_alignment_have_the_same_gradients(kind: str) -> None:
    gradients = []
    for output_attentions in (False, True):
        attention, queries, values = aligned(kind), draw(2, 3, 4).requires_grad_(), draw(2, 5, 4).requires_grad_()
        context = attention(queries, values, MASK, output_attentions=output_attentions).context
        (context * draw(2, 3, 4, seed=3)).sum().backward()
        found = {name: weight.grad for name, weight in attention.named_parameters()}
        gradients.append(found | {"values": values.grad} | ({} if queries.grad is None else {"queries": queries.grad}))
    assert gradients[0].keys() == gradients[1].keys()
    for name in gradients[0]:
        close(gradients[0][name], gradients[1][name])


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_the_weights_of_an_alignment_sum_to_1_and_padding_has_none(kind: str) -> None:
    weights = aligned(kind)(draw(2, 3, 4), draw(2, 5, 4), MASK, output_attentions=True).attentions
    close(weights.sum(dim=-1), torch.ones(2, 3).double())
    assert (weights[1, :, 3:] == 0).all() and (weights[1, :, :3] > 0).all()


@pytest.mark.parametrize("kind", ALIGNMENTS)
@pytest.mark.parametrize("output_attentions", [False, True])
def test_padding_changes_nothing_in_an_alignment(kind: str, output_attentions: bool) -> None:
    attention, queries, values = aligned(kind), draw(2, 3, 4), draw(2, 5, 4)
    dirty = values.clone()
    dirty[1, 3:] = 1e3
    together = attention(queries, dirty, MASK, output_attentions=output_attentions).context
    alone = attention(queries[1:], values[1:, :3], output_attentions=output_attentions).context
    close(together[1:], alone)


@pytest.mark.parametrize("kind", ["additive", "dot", "general", "concat"])  # a place is what `location` goes by
def test_the_order_of_the_keys_does_not_matter_to_an_alignment(kind: str) -> None:
    attention, queries, values = aligned(kind), draw(2, 3, 4), draw(2, 5, 4)
    order = torch.tensor([3, 0, 4, 2, 1])
    close(attention(queries, values, MASK).context, attention(queries, values[:, order], MASK[:, order]).context)


def test_concat_is_additive_attention() -> None:
    attention, additive = aligned("concat"), AdditiveAttention(4, 4, 4).double()
    additive.load_state_dict(attention.concat.state_dict())
    close(attention(draw(2, 3, 4), draw(2, 5, 4), MASK).context, additive(draw(2, 3, 4), draw(2, 5, 4), MASK).context)


def test_alignments_start_as_in_their_papers() -> None:
    attention = AdditiveAttention(50, 60, 40)
    attention.initialize(torch.Generator().manual_seed(0))
    assert attention.score.weight.abs().max() == 0  # so at first the context is the mean of the values
    assert 0.0009 < attention.query.weight.std() < 0.0011
    general = MultiplicativeAttention(50, 60)
    general.initialize(torch.Generator().manual_seed(0))
    assert 0.099 < general.key.weight.abs().max() <= 0.1


def test_an_alignment_that_cannot_work_is_refused() -> None:
    with pytest.raises(ValueError, match="use 'general'"):
        MultiplicativeAttention(3, 4, alignment="dot")
    with pytest.raises(ValueError, match="length of the longest text"):
        MultiplicativeAttention(4, 4, alignment="location")
    with pytest.raises(ValueError, match="length 7 is over max_position_embeddings 6"):
        aligned("location")(draw(1, 1, 4), draw(1, 7, 4))


def test_multi_head_attention_is_its_equation_written_as_loops() -> None:
    attention, x = heads("causal"), draw(2, 5, 8)
    query, key, value = attention.query_key_value.weight.split(8)
    query_bias, key_bias, value_bias = attention.query_key_value.bias.split(8)
    side_by_side = torch.zeros(2, 5, 8).double()
    for text in range(2):
        for i in range(5):
            for head in (slice(0, 4), slice(4, 8)):
                q = query[head] @ x[text, i] + query_bias[head]
                seen = [j for j in range(i + 1) if MASK[text, j]]
                scores = [(q @ (key[head] @ x[text, j] + key_bias[head]) / math.sqrt(4)).exp() for j in seen]
                for score, j in zip(scores, seen, strict=True):
                    side_by_side[text, i, head] += score / sum(scores) * (value[head] @ x[text, j] + value_bias[head])
    expected = side_by_side @ attention.output.weight.T + attention.output.bias
    close(attention(x, attention_mask=MASK).context, expected)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("mask", [None, MASK])
def test_both_paths_give_the_same_numbers_and_gradients(
    use: str, mask: Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wenmo.models.attention._SHORT", 0)  # torch's path also for texts as short as these
    found: list[list[Tensor]] = []
    for output_attentions in (False, True):
        attention, x, keys = heads(use), draw(2, 5, 8).requires_grad_(), draw(2, 5, 8, seed=1).requires_grad_()
        context = look(use, attention, x, keys, mask, output_attentions=output_attentions).context
        (context * draw(2, 5, 8, seed=2)).sum().backward()
        gradients = [x.grad, *(weight.grad for weight in attention.parameters())]
        found.append([context, *gradients, *([keys.grad] if use == "cross" else [])])  # type: ignore[list-item]
    for fast, spelled in zip(*found, strict=True):
        close(fast, spelled)


@pytest.mark.parametrize("use", USES)
def test_weights_are_given_only_when_asked_for(use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attention, x, keys = heads(use), draw(2, 5, 8), draw(2, 5, 8, seed=1)
    weights = look(use, attention, x, keys, MASK, output_attentions=True).attentions
    assert weights.shape == (2, 2, 5, 5)
    close(weights.sum(dim=-1), torch.ones(2, 2, 5).double())
    assert (weights[1, :, :, 3:] == 0).all()
    # without them, nothing here writes the weights down
    monkeypatch.setattr("wenmo.models.attention.masked_softmax", lambda *_: pytest.fail("the weights are made"))
    with torch.no_grad():
        assert look(use, attention, x, keys, MASK).attentions is None


def test_short_texts_and_bfloat16_are_trained_through_the_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which on a CPU take less time there; long ones in float32 do not."""
    asked: list[tuple[int, torch.dtype]] = []

    def fast(queries: Tensor, keys: Tensor, values: Tensor, *_: object) -> Tensor:
        asked.append((keys.size(2), keys.dtype))
        return values

    monkeypatch.setattr("wenmo.models.attention.F.scaled_dot_product_attention", fast)
    attention = heads("self")
    for dtype in (torch.float32, torch.bfloat16):
        for length in (5, 40):
            attention.to(dtype)(draw(1, length, 8).to(dtype))
    assert asked == [(40, torch.float32)]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("output_attentions", [False, True])
def test_padding_changes_nothing(use: str, output_attentions: bool) -> None:
    attention, x, keys = heads(use), draw(2, 5, 8), draw(2, 5, 8, seed=1)
    x[1, 3:], keys[1, 3:] = 1e3, 1e3
    together = look(use, attention, x, keys, MASK, output_attentions=output_attentions).context
    alone = look(use, attention, x[1:, :3], keys[1:, :3], None, output_attentions=output_attentions).context
    close(together[1:, :3], alone)


@pytest.mark.parametrize("output_attentions", [False, True])
def test_a_later_token_changes_nothing_before_it(output_attentions: bool) -> None:
    attention, x = heads("causal"), draw(1, 5, 8)
    changed = x.clone()
    changed[:, 3] += 1
    before, after = (attention(each, output_attentions=output_attentions).context for each in (x, changed))
    close(before[:, :3], after[:, :3])
    assert (before[:, 3:] - after[:, 3:]).abs().amax(dim=-1).min() > 1e-3
    looks_ahead = heads("self")(changed).context - heads("self")(x).context
    assert looks_ahead[:, :3].abs().amax(dim=-1).min() > 1e-3


@pytest.mark.parametrize("use", ["self", "cross"])
def test_permuting_keys_together_with_values_changes_nothing(use: str) -> None:
    order = torch.tensor([3, 0, 4, 2, 1])
    queries, keys, values = (draw(2, 2, 5, 4, seed=i) for i in range(3))
    visible = MASK.bool()[:, None, None]
    there, _ = scaled_dot_product_attention(queries, keys, values, visible)
    back, _ = scaled_dot_product_attention(queries, keys[:, :, order], values[:, :, order], visible[..., order])
    close(there, back)
    attention, x, memory = heads(use), draw(2, 5, 8), draw(2, 5, 8, seed=1)
    plain = look(use, attention, x, memory, MASK).context
    if use == "cross":
        close(plain, look(use, attention, x, memory[:, order], MASK[:, order]).context)
    else:  # the queries move along
        close(plain[:, order], look(use, attention, x[:, order], memory, MASK[:, order]).context)


def test_dividing_by_the_root_keeps_the_variance_of_the_scores() -> None:
    queries, keys = draw(400, 64), draw(400, 64, seed=1)
    scores = queries @ keys.T
    assert 0.9 < float(scores.var()) / 64 < 1.1
    assert 0.9 < float((scores / math.sqrt(64)).var()) < 1.1
    # what the function divides by: keys that are the unit vectors, and one query of 8s; without the root e^8 : 1
    weights = scaled_dot_product_attention(torch.tensor([[8.0, 0, 0, 0]]), torch.eye(4), torch.eye(4))[1]
    torch.testing.assert_close(weights[0], torch.tensor([4.0, 0, 0, 0]).softmax(dim=0))


def test_attention_has_the_gradient_of_its_equation() -> None:
    inputs = [draw(1, 3, 4, seed=i).requires_grad_() for i in range(3)]
    visible = torch.tensor([[True, True, False], [True, False, True], [False, False, False]])
    assert torch.autograd.gradcheck(lambda q, k, v: scaled_dot_product_attention(q, k, v, visible)[0], inputs)


@pytest.mark.parametrize("mask", [None, MASK])
def test_token_by_token_with_a_cache_is_all_at_once(mask: Tensor | None) -> None:
    attention, x = heads("causal"), draw(2, 5, 8)
    past: KeyValues | None = None
    steps = []
    for i in range(5):
        seen = None if mask is None else mask[:, : i + 1]
        step = attention(x[:, i : i + 1], attention_mask=seen, past_key_values=past)
        past = step.past_key_values
        assert past is not None and past.keys.shape == past.values.shape == (2, 2, i + 1, 4)
        steps.append(step.context)
    close(torch.cat(steps, dim=1), attention(x, attention_mask=mask).context)
    first = attention(x[:, :2])  # and some tokens at a time
    rest = attention(x[:, 2:], past_key_values=first.past_key_values)
    close(torch.cat([first.context, rest.context], dim=1), attention(x).context)


def test_cross_attention_makes_keys_and_values_once(monkeypatch: pytest.MonkeyPatch) -> None:
    attention, x, memory = heads("cross"), draw(2, 3, 8), draw(2, 5, 8, seed=1)
    all_at_once = attention(x, encoder_hidden_states=memory, attention_mask=MASK)
    past = attention(x[:, :1], encoder_hidden_states=memory, attention_mask=MASK).past_key_values
    monkeypatch.setattr(attention.key_value, "forward", lambda *_: pytest.fail("keys and values are made again"))
    last = attention(x[:, 2:], attention_mask=MASK, past_key_values=past)
    close(last.context, all_at_once.context[:, 2:])
    assert last.past_key_values is past


def test_attention_dropout_acts_in_training_alone() -> None:
    attention = MultiHeadAttention(8, 2, attention_probs_dropout_prob=0.5).double()
    x = draw(2, 5, 8)
    for output_attentions in (False, True):
        runs = [attention.train()(x, output_attentions=output_attentions).context for _ in range(2)]
        assert (runs[0] - runs[1]).abs().max() > 1e-3
        close(attention.eval()(x).context, attention(x, output_attentions=output_attentions).context)
    weights = attention.train()(x, output_attentions=True).attentions
    kept = attention.eval()(x, output_attentions=True).attentions
    close(weights, torch.where(weights == 0, 0.0, 2 * kept))


def test_each_part_of_a_joint_projection_starts_like_a_projection_of_its_own() -> None:
    attention = MultiHeadAttention(hidden_size=64, num_attention_heads=4)
    attention.initialize(torch.Generator().manual_seed(0))
    bound = math.sqrt(6 / (64 + 64))
    for part in attention.query_key_value.weight.split(64):
        assert 0.95 * bound < part.abs().max() <= bound
    assert attention.query_key_value.bias.abs().max() == 0
    assert attention(torch.randn(2, 3, 64)).context.shape == (2, 3, 64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MultiHeadAttention(10, 4), "multiple of num_attention_heads"),
        (lambda: heads("cross")(draw(1, 2, 8)), "pass encoder_hidden_states"),
        (lambda: heads()(draw(1, 2, 8), past_key_values=KeyValues(draw(1, 2, 1, 4), draw(1, 2, 1, 4))), "use='causal'"),
        (lambda: heads()(draw(2, 4, 8), attention_mask=MASK), "there are 4 keys"),
    ],
)
def test_what_cannot_work_is_refused_with_the_fix(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_attention_equals_torchs_in_float32_as_well() -> None:
    attention = heads().float()
    x = draw(2, 5, 8).float()
    fast, spelled = (attention(x, attention_mask=MASK, output_attentions=asked).context for asked in (False, True))
    torch.testing.assert_close(fast, spelled, rtol=0, atol=1e-5)
    assert F.cosine_similarity(fast.flatten(), spelled.flatten(), dim=0) > 0.9999
