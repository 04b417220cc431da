"""A whole GPT and GPT-2 with their language-model heads, against transformers at random weights in float64."""

from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, OpenAIGPTConfig, OpenAIGPTLMHeadModel

from wenmo.features import IGNORED_LABEL, TokenBatch
from wenmo.models.gpt import Gpt, GptConfig
from wenmo.tasks.generation import Generation, GenerationConfig
from wenmo.tasks.sampling import Sampling
from wenmo.tasks.task import Example

IDS = torch.tensor([[2, 3, 4, 5, 6], [7, 8, 3, 2, 1]])


def pair(is_second: bool) -> tuple[Any, Generation]:
    sizes = {"vocab_size": 9, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 7}
    if is_second:
        oracle: Any = GPT2LMHeadModel(GPT2Config(**sizes, activation_function="gelu_new", attn_implementation="eager"))
    else:
        oracle = OpenAIGPTLMHeadModel(OpenAIGPTConfig(**sizes, afn="gelu", attn_implementation="eager"))
    torch.manual_seed(0)
    oracle = oracle.double().eval()
    with torch.no_grad():
        for parameter in oracle.parameters():
            parameter.normal_(std=0.5)
    config = GptConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=7, norm_first=is_second,
    )  # fmt: skip
    model = Gpt(config)
    theirs = {name.removeprefix("transformer."): weight for name, weight in oracle.state_dict().items()}
    ours = {
        "embeddings.words.words.weight": theirs["wte.weight" if is_second else "tokens_embed.weight"],
        "embeddings.positions.weight": theirs["wpe.weight" if is_second else "positions_embed.weight"],
    }
    parts = {
        "attention.query_key_value": "attn.c_attn",
        "attention.output": "attn.c_proj",
        "attention_norm": "ln_1",
        "feed_forward.intermediate": "mlp.c_fc",
        "feed_forward.output": "mlp.c_proj",
        "feed_forward_norm": "ln_2",
    }
    for i in range(2):
        for mine, their in parts.items():
            for kind in ("weight", "bias"):
                weight = theirs[f"h.{i}.{their}.{kind}"]
                ours[f"decoder.layers.{i}.{mine}.{kind}"] = weight.T if ".c_" in their and kind == "weight" else weight
    if is_second:
        ours |= {f"decoder.final_norm.{kind}": theirs[f"ln_f.{kind}"] for kind in ("weight", "bias")}
    task = Generation(model, config, GenerationConfig()).double().eval()
    model.load_state_dict({name: weight.contiguous() for name, weight in ours.items()})
    return oracle, task


@pytest.mark.parametrize("is_second", [False, True])
def test_logits_and_loss_are_those_of_transformers(is_second: bool) -> None:
    oracle, task = pair(is_second)
    batch = TokenBatch(input_ids=IDS, attention_mask=torch.ones_like(IDS))
    expected = oracle(IDS, labels=IDS)
    torch.testing.assert_close(
        task.logits(task.extractor(batch).last_hidden_state), expected.logits, rtol=0, atol=1e-10
    )
    following = torch.cat([IDS[:, 1:], torch.full((2, 1), IGNORED_LABEL)], dim=1)
    loss, count = task(Example(batch=batch, labels=following))
    # The loss is taken in float32 whatever the weights are.
    torch.testing.assert_close(loss / count, expected.loss.float(), rtol=0, atol=1e-6)
    assert count == 8


@pytest.mark.parametrize("is_second", [False, True])
def test_gradients_are_those_of_transformers(is_second: bool) -> None:
    oracle, task = pair(is_second)
    batch = TokenBatch(input_ids=IDS, attention_mask=torch.ones_like(IDS))
    task.logits(task.extractor(batch).last_hidden_state).square().sum().backward()
    oracle(IDS).logits.square().sum().backward()
    theirs = dict(oracle.named_parameters())
    words = "transformer.wte.weight" if is_second else "transformer.tokens_embed.weight"
    table = task.extractor.word_table()  # type: ignore[operator]
    # Sums of some hundred squares: relative to their size, still 1e-10.
    torch.testing.assert_close(table.grad, theirs[words].grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("is_second", [False, True])
def test_what_it_writes_without_chance_is_what_transformers_writes(is_second: bool) -> None:
    oracle, task = pair(is_second)
    generator = torch.Generator().manual_seed(0)
    steps = task.write(IDS[:1, :2], Sampling(temperature=0), generator, num_tokens=9, limit=7)
    ours = [int(next(steps)[0]) for _ in range(5)]
    expected = oracle.generate(
        IDS[:1, :2], max_new_tokens=5, do_sample=False, suppress_tokens=[0, 1], pad_token_id=0, eos_token_id=None
    )
    assert ours == expected[0, 2:].tolist()
