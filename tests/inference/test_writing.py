"""Writing: step by step is what the whole text says; packed is what the model writes; company changes nothing."""

import math
from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch

from wenmo.data.batching import token_batch
from wenmo.inference.writing import Draft, Generated, OneTextInWriting, TextsInWriting, write
from wenmo.inference.writing_engine import PackedWriter
from wenmo.models.gpt import Gpt
from wenmo.models.registry import build_model, preset, with_sizes
from wenmo.tasks.generation import Generation, GenerationConfig
from wenmo.tasks.sampling import Sampling
from wenmo.text.code_points import CodePointTokenizer
from wenmo.text.tokenizer_config import TokenizerConfig

LETTERS = TokenizerConfig(segmenter="code-points", lowercase=False, fold_width=False)
TOKENIZER = CodePointTokenizer.train(["abcdefg"], LETTERS)
SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "num_units": 12}
SIZES |= {"embedding_size": 8, "max_position_embeddings": 200, "embedding_dropout_prob": 0, "recurrent_dropout_prob": 0}


def language_model(model: str = "gpt2", **values: Any) -> Generation:
    default = preset(model).default_config()
    sizes = {name: size for name, size in (SIZES | values).items() if name in default.to_dict()}
    settings = with_sizes(type(default).from_dict({**default.to_dict(), **sizes}), TOKENIZER.vocab_size, 0)
    task = cast(Generation, GenerationConfig(unit="stream").build(build_model(settings), settings, None))
    task.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.normal_(std=0.5, generator=torch.Generator().manual_seed(parameter.numel()))
    task.take_tokenizer(TOKENIZER)
    return task.double().eval()


def drafts_of(prompts: Sequence[str], most: int | Sequence[int] = 12, stop: Sequence[str] = ()) -> list[Draft]:
    sizes = [most] * len(prompts) if isinstance(most, int) else most
    encoded = TOKENIZER.encode_batch(prompts)
    return [
        Draft(ids.tolist(), torch.Generator().manual_seed(i), TOKENIZER, size, stop)
        for i, (ids, size) in enumerate(zip(encoded, sizes, strict=True))
    ]


def written(
    task: Generation, drafts: Sequence[Draft], texts: TextsInWriting, limit: int = 0, sampling: Sampling | None = None
) -> list[Generated]:
    steps = write(drafts, texts, task, sampling or Sampling(), num_tokens=TOKENIZER.vocab_size, limit=limit)
    pieces: dict[int, str] = {}
    for draft, piece in steps:
        pieces[id(draft)] = pieces.get(id(draft), "") + piece
    assert all(pieces.get(id(draft), "") == draft.shown for draft in drafts), "pieces put together are the text"
    return [draft.written for draft in drafts]


def by_the_model(task: Generation, drafts: Sequence[Draft], limit: int = 0) -> list[Generated]:
    cpu = torch.device("cpu")
    return [written(task, [draft], OneTextInWriting(task, cpu), limit)[0] for draft in drafts]


def packed(task: Generation, num_texts: int) -> TextsInWriting:
    return PackedWriter(cast(Gpt, task.extractor), task.output).begin(num_texts)


@pytest.mark.parametrize("model", ["gpt2", "lstm"])
def test_the_log_probability_is_that_of_the_whole_text(model: str) -> None:
    """Step by step with a cache, or all at once."""
    task = language_model(model)
    [draft] = drafts_of(["abc"])
    [found] = by_the_model(task, [draft])
    with torch.no_grad():
        logits = task.logits(task.extractor(token_batch([torch.tensor(draft.seen).numpy()])).last_hidden_state)[0, 2:-1]
    logits[:, :2] = -math.inf  # [PAD] and [UNK] never come
    expected = logits.log_softmax(dim=-1).gather(1, torch.tensor(draft.ids)[:, None]).sum()
    assert found.logprob == pytest.approx(expected.item(), abs=1e-5)  # the logits are float32 where they are drawn from
    assert found.tokens == 12


@pytest.mark.parametrize("limit", [0, 6, 2])
@pytest.mark.parametrize("model", ["gpt", "gpt2"])
def test_the_packed_runtime_writes_what_the_model_writes_to_each_text_alone(model: str, limit: int) -> None:
    """Texts of different lengths, which end at different times, and start anew where the model is full."""
    task = language_model(model)
    prompts, most = ["ab" if limit == 2 else "abcde", "g", "fe"], (30, 3, 90)
    alone = by_the_model(task, drafts_of(prompts, most), limit)
    together = written(task, drafts_of(prompts, most), packed(task, 3), limit)
    assert [each.text for each in together] == [each.text for each in alone]
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-4)  # sums of up to 90 float32


def test_the_likeliest_is_taken_where_nothing_is_left_to_chance() -> None:
    task = language_model()
    with torch.no_grad():
        [ids] = TOKENIZER.encode_batch(["abc"])
        logits = task.logits(task.extractor(token_batch([ids])).last_hidden_state)[0, -1]
    logits[:2] = -math.inf
    [found] = written(task, drafts_of(["abc"], 1), packed(task, 1), sampling=Sampling(temperature=0))
    assert found.text == TOKENIZER.decode([int(logits.argmax())])


def test_a_model_that_is_full_goes_on_from_the_last_half() -> None:
    task = language_model()
    [draft] = drafts_of(["abcd"])
    texts = written(task, [draft], packed(task, 1), limit=6)
    assert draft.seen == [*draft.prompt, *draft.ids][-len(draft.seen) :]
    assert len(draft.seen) <= 7
    free = written(task, drafts_of(["abcd"]), packed(task, 1))
    assert texts[0].text[:3] == free[0].text[:3], "up to the limit nothing is forgotten"


def test_a_text_ends_in_front_of_a_stop_string_while_others_go_on() -> None:
    task = language_model()
    free = written(task, drafts_of(["a", "b"], 20), packed(task, 2))
    stop = free[0].text[4:6]
    stopped = written(task, drafts_of(["a", "b"], 20, (stop,)), packed(task, 2))
    for before, after in zip(free, stopped, strict=True):
        assert after.text == before.text.split(stop)[0]


def test_bfloat16_is_near() -> None:
    task = language_model()
    model = cast(Gpt, task.extractor.float())
    exact, rough = (
        PackedWriter(model, task.output, dtype).begin(2).read([0, 1], [[2, 3, 4], [5, 6]])
        for dtype in (torch.float32, torch.bfloat16)
    )
    # Eight bits of a number, over two layers with weights far larger than trained ones.
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.3)
    assert not torch.equal(rough, exact)
