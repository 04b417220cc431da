"""GPT and GPT-2 as language models: loss and writing; the rest of them is in test_huggingface_parity."""

from typing import Any, cast

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, OpenAIGPTConfig, OpenAIGPTLMHeadModel

from wenmo.features import IGNORED_LABEL, TokenBatch
from wenmo.inference.writing_engine import PackedWriter
from wenmo.interchange.huggingface import from_huggingface
from wenmo.models.gpt import Gpt
from wenmo.models.registry import build_model
from wenmo.tasks.generation import Generation, GenerationConfig
from wenmo.tasks.sampling import Sampling
from wenmo.tasks.task import Example

IDS = torch.tensor([[2, 3, 4, 5, 6], [7, 8, 3, 2, 1]])


def pair(is_second: bool) -> tuple[Any, Generation]:
    sizes = {"vocab_size": 9, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 7}
    oracle: Any = GPT2LMHeadModel(GPT2Config(**sizes)) if is_second else OpenAIGPTLMHeadModel(OpenAIGPTConfig(**sizes))
    torch.manual_seed(0)
    oracle = oracle.double().eval()
    with torch.no_grad():
        for parameter in oracle.parameters():
            parameter.normal_(std=0.5)
    checkpoint = from_huggingface(oracle.config.to_dict(), oracle.state_dict())
    task = Generation(build_model(checkpoint.config), checkpoint.config, GenerationConfig()).double().eval()
    task.extractor.load_state_dict(checkpoint.weights)
    return oracle, task


@pytest.mark.parametrize("is_second", [False, True])
def test_the_loss_is_that_of_transformers(is_second: bool) -> None:
    oracle, task = pair(is_second)
    batch = TokenBatch(input_ids=IDS, attention_mask=torch.ones_like(IDS))
    following = torch.cat([IDS[:, 1:], torch.full((2, 1), IGNORED_LABEL)], dim=1)
    loss, count = task(Example(batch=batch, labels=following))
    # transformers takes its loss in float32 whatever the weights are.
    torch.testing.assert_close(loss / count, oracle(IDS, labels=IDS).loss.double(), rtol=0, atol=1e-6)
    assert count == 8


@pytest.mark.parametrize("is_second", [False, True])
def test_what_it_writes_without_chance_is_what_transformers_writes(is_second: bool) -> None:
    oracle, task = pair(is_second)
    writer = PackedWriter(cast(Gpt, task.extractor), task.output)
    texts = writer.begin(1)
    logits, ours = texts.read([0], IDS[:1, :2].tolist()), list[int]()
    for _ in range(5):
        chosen, _ = task.choose(logits.double(), IDS[:1], Sampling(temperature=0), torch.Generator(), 9)
        ours.append(int(chosen))
        logits = texts.step(chosen)
    expected = oracle.generate(
        IDS[:1, :2], max_new_tokens=5, do_sample=False, suppress_tokens=[0, 1], pad_token_id=0, eos_token_id=None
    )
    assert ours == expected[0, 2:].tolist()
