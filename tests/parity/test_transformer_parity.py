"""The Transformer against `torch.nn`, and against whole models of `transformers`, with their random weights."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    LogitsProcessorList,
    MarianConfig,
    MarianMTModel,
    OpenAIGPTConfig,
    OpenAIGPTModel,
)

from wenmo.features import TokenBatch
from wenmo.models.embeddings import TokenEmbeddings, sinusoids
from wenmo.models.transformer import EncoderDecoderConfig, Transformer
from wenmo.models.transformer_layers import Activation, TransformerLayer, TransformerStack
from wenmo.tasks.beam_search import beam_search

MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
IDS = torch.tensor([[2, 3, 4, 5, 6], [7, 8, 3, 1, 1]])
PARTS = ("query", "key", "value")


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def close_on_text(a: Tensor, b: Tensor) -> None:
    """What stands on the padding means nothing in either."""
    close(a[MASK.bool()], b[MASK.bool()])


def with_random_weights(module: nn.Module) -> Any:
    module = module.double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def translated(theirs: Mapping[str, Tensor], names: Mapping[str, str | tuple[str, ...]]) -> dict[str, Tensor]:
    """Their weights under our names; several of theirs are one of ours, one below the other."""
    found = {}
    for ours, name in names.items():
        for kind in ("weight", "bias"):
            each = (name,) if isinstance(name, str) else name
            found[f"{ours}.{kind}"] = torch.cat([theirs[f"{one}.{kind}"] for one in each])
    return found


def transposed(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """GPT's matrices stand on their side."""
    return {name: weight.T if weight.dim() == 2 and ".c_" in name else weight for name, weight in theirs.items()}


def torch_layer(i: int, decoder: bool) -> dict[str, str]:
    last = "norm3" if decoder else "norm2"
    names = {
        "attention.query_key_value": "self_attn.in_proj",
        "attention.output": "self_attn.out_proj",
        "attention_norm": "norm1",
        "feed_forward.intermediate": "linear1",
        "feed_forward.output": "linear2",
        "feed_forward_norm": last,
    }
    if decoder:
        names |= {"cross_attention.output": "multihead_attn.out_proj", "cross_attention_norm": "norm2"}
    return {f"layers.{i}.{ours}": f"layers.{i}.{theirs}" for ours, theirs in names.items()}


def torchs_weights(module: nn.Module, decoder: bool = False) -> dict[str, Tensor]:
    """The state of torch's stack under our names."""
    theirs = {
        name.replace("in_proj_", "in_proj."): weight for name, weight in module.state_dict().items()
    }  # they write in_proj_weight
    weights: dict[str, Tensor] = {}
    for i in range(2):
        weights |= translated(theirs, torch_layer(i, decoder))
        for kind in ("weight", "bias") if decoder else ():
            joint = theirs[f"layers.{i}.multihead_attn.in_proj.{kind}"]
            weights[f"layers.{i}.cross_attention.query.{kind}"] = joint[:8]
            weights[f"layers.{i}.cross_attention.key_value.{kind}"] = joint[8:]
    if "norm.weight" in theirs:
        weights |= translated(theirs, {"final_norm": "norm"})
    return weights


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize(("hidden_act", "activation"), [("relu", "relu"), ("gelu", "gelu")])
def test_equals_torchs_encoder(norm_first: bool, hidden_act: Activation, activation: str) -> None:
    layer = nn.TransformerEncoderLayer(
        8, 2, 16, activation=activation, norm_first=norm_first, batch_first=True, layer_norm_eps=1e-6
    )
    norm = nn.LayerNorm(8, eps=1e-6) if norm_first else None
    oracle = with_random_weights(nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False))
    ours = TransformerStack(
        TransformerLayer(8, 2, 16, hidden_act=hidden_act, norm_first=norm_first) for _ in range(2)
    ).double()
    ours.load_state_dict(torchs_weights(oracle))
    x = draw(2, 5, 8)
    expected = oracle(x, src_key_padding_mask=MASK == 0)
    close_on_text(ours.eval()(x, attention_mask=MASK).last_hidden_state, expected)


@pytest.mark.parametrize("norm_first", [False, True])
def test_equals_torchs_decoder(norm_first: bool) -> None:
    layer = nn.TransformerDecoderLayer(8, 2, 16, norm_first=norm_first, batch_first=True, layer_norm_eps=1e-6)
    norm = nn.LayerNorm(8, eps=1e-6) if norm_first else None
    oracle = with_random_weights(nn.TransformerDecoder(layer, 2, norm))
    ours = TransformerStack(
        TransformerLayer(8, 2, 16, causal=True, cross_attention=True, norm_first=norm_first) for _ in range(2)
    ).double()
    ours.load_state_dict(torchs_weights(oracle, decoder=True))
    x, memory = draw(2, 4, 8), draw(2, 5, 8)
    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    expected = oracle(x, memory, tgt_mask=later, tgt_is_causal=True, memory_key_padding_mask=MASK == 0)
    given = ours.eval()(x, encoder_hidden_states=memory, encoder_attention_mask=MASK)
    close(given.last_hidden_state, expected)


def test_equals_torchs_gradients() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    oracle = with_random_weights(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)).train()
    layers = (TransformerLayer(8, 2, 16, hidden_dropout_prob=0.0, layer_norm_eps=1e-5) for _ in range(2))
    ours = TransformerStack(layers).double()
    ours.load_state_dict(torchs_weights(oracle))
    weigh, x = draw(2, 5, 8) * MASK.unsqueeze(-1), draw(2, 5, 8)
    (oracle(x, src_key_padding_mask=MASK == 0) * weigh).sum().backward()
    (ours(x, attention_mask=MASK).last_hidden_state * weigh).sum().backward()
    for parameter in oracle.parameters():
        parameter.data = parameter.grad
    expected = torchs_weights(oracle)
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        close(parameter.grad, expected[name])


@pytest.mark.parametrize(("hidden_act", "theirs"), [("gelu", "gelu"), ("gelu_new", "gelu_new")])
def test_equals_bert(hidden_act: Activation, theirs: str) -> None:
    config = BertConfig(
        vocab_size=9,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=7,
        hidden_act=theirs,
        attn_implementation="eager",
    )
    oracle = with_random_weights(BertModel(config, add_pooling_layer=False))
    state = oracle.state_dict()
    embeddings = TokenEmbeddings(
        9,
        8,
        max_position_embeddings=7,
        position_embedding_type="learned",
        type_vocab_size=2,
        layer_norm_eps=1e-12,
    ).double()
    tables = {"words.words": "word", "positions": "position", "segments": "token_type"}
    named = {f"{ours}.weight": state[f"embeddings.{each}_embeddings.weight"] for ours, each in tables.items()}
    embeddings.load_state_dict(named | translated(state, {"norm": "embeddings.LayerNorm"}))
    layers = TransformerStack(
        TransformerLayer(8, 2, 16, hidden_act=hidden_act, layer_norm_eps=1e-12) for _ in range(2)
    ).double()
    names: dict[str, str | tuple[str, ...]] = {}
    for i in range(2):
        there = f"encoder.layer.{i}"
        names |= {
            f"layers.{i}.attention.query_key_value": tuple(f"{there}.attention.self.{part}" for part in PARTS),
            f"layers.{i}.attention.output": f"{there}.attention.output.dense",
            f"layers.{i}.attention_norm": f"{there}.attention.output.LayerNorm",
            f"layers.{i}.feed_forward.intermediate": f"{there}.intermediate.dense",
            f"layers.{i}.feed_forward.output": f"{there}.output.dense",
            f"layers.{i}.feed_forward_norm": f"{there}.output.LayerNorm",
        }
    layers.load_state_dict(translated(state, names))
    segments = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]])
    expected = oracle(
        IDS, attention_mask=MASK, token_type_ids=segments, output_hidden_states=True, output_attentions=True
    )
    given = layers.eval()(
        embeddings.eval()(IDS, token_type_ids=segments),
        attention_mask=MASK,
        output_hidden_states=True,
        output_attentions=True,
    )
    close_on_text(given.last_hidden_state, expected.last_hidden_state)
    for ours, other in zip(given.hidden_states, expected.hidden_states, strict=True):
        close_on_text(ours, other)
    for ours, other in zip(given.attentions, expected.attentions, strict=True):
        close(ours, other)


GPTS: list[tuple[Any, Any, dict[str, Any]]] = [
    (OpenAIGPTModel, OpenAIGPTConfig, {"afn": "gelu", "layer_norm_epsilon": 1e-5}),
    (GPT2Model, GPT2Config, {"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}),
]


@pytest.mark.parametrize(("model_class", "config_class", "fields"), GPTS)
def test_equals_gpt_and_gpt_2(model_class: Any, config_class: Any, fields: dict[str, Any]) -> None:
    config = config_class(
        vocab_size=9, n_embd=8, n_layer=2, n_head=2, n_positions=7, attn_implementation="eager", **fields
    )
    oracle, is_second = with_random_weights(model_class(config)), model_class is GPT2Model
    state = transposed(oracle.state_dict())
    embeddings = TokenEmbeddings(
        9, 8, max_position_embeddings=7, position_embedding_type="learned", padding_id=None
    ).double()
    words, positions = ("wte", "wpe") if is_second else ("tokens_embed", "positions_embed")
    embeddings.load_state_dict(
        {"words.words.weight": state[f"{words}.weight"], "positions.weight": state[f"{positions}.weight"]}
    )
    layers = TransformerStack(
        TransformerLayer(8, 2, 32, causal=True, hidden_act="gelu_new", norm_first=is_second, layer_norm_eps=1e-5)
        for _ in range(2)
    ).double()
    names: dict[str, str | tuple[str, ...]] = {"final_norm": "ln_f"} if is_second else {}
    for i in range(2):
        names |= {
            f"layers.{i}.attention.query_key_value": f"h.{i}.attn.c_attn",
            f"layers.{i}.attention.output": f"h.{i}.attn.c_proj",
            f"layers.{i}.attention_norm": f"h.{i}.ln_1",
            f"layers.{i}.feed_forward.intermediate": f"h.{i}.mlp.c_fc",
            f"layers.{i}.feed_forward.output": f"h.{i}.mlp.c_proj",
            f"layers.{i}.feed_forward_norm": f"h.{i}.ln_2",
        }
    layers.load_state_dict(translated(state, names))
    expected = oracle(IDS).last_hidden_state
    close(layers.eval()(embeddings.eval()(IDS)).last_hidden_state, expected)


def marian_and_ours() -> tuple[Any, Transformer]:
    """A whole Marian model, and ours with its weights. Marian puts all sines before all cosines: it gets our waves."""
    config = MarianConfig(
        vocab_size=9,
        d_model=8,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        activation_function="relu",
        scale_embedding=True,
        max_position_embeddings=8,
        pad_token_id=0,
        attn_implementation="eager",
    )
    oracle = with_random_weights(MarianMTModel(config))
    waves = sinusoids(torch.arange(8), 8, torch.float64)
    for half in (oracle.model.encoder, oracle.model.decoder):
        half.embed_positions.weight.data.copy_(waves)
    ours = Transformer(
        EncoderDecoderConfig(
            vocab_size=9,
            hidden_size=8,
            num_hidden_layers=2,
            num_decoder_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=8,
            layer_norm_eps=1e-5,
        )
    ).double()
    names: dict[str, str | tuple[str, ...]] = {}
    for half in ("encoder", "decoder"):
        for i in range(2):
            here, there = f"{half}.layers.{i}", f"model.{half}.layers.{i}"
            projections = [f"{there}.self_attn.{kind}_proj" for kind in "qkv"]
            names |= {
                f"{here}.attention.query_key_value": tuple(projections),
                f"{here}.attention.output": f"{there}.self_attn.out_proj",
                f"{here}.attention_norm": f"{there}.self_attn_layer_norm",
                f"{here}.feed_forward.intermediate": f"{there}.fc1",
                f"{here}.feed_forward.output": f"{there}.fc2",
                f"{here}.feed_forward_norm": f"{there}.final_layer_norm",
            }
            if half == "decoder":
                names |= {
                    f"{here}.cross_attention.query": f"{there}.encoder_attn.q_proj",
                    f"{here}.cross_attention.key_value": tuple(f"{there}.encoder_attn.{kind}_proj" for kind in "kv"),
                    f"{here}.cross_attention.output": f"{there}.encoder_attn.out_proj",
                    f"{here}.cross_attention_norm": f"{there}.encoder_attn_layer_norm",
                }
    weights = translated(oracle.state_dict(), names)
    ours.load_state_dict(weights | {"embeddings.words.words.weight": oracle.model.shared.weight})
    return oracle, ours.eval()


def test_equals_marian_all_at_once_and_step_by_step() -> None:
    oracle, ours = marian_and_ours()
    told = torch.tensor([[1, 5, 6, 8], [1, 4, 3, 2]])
    batch = TokenBatch(input_ids=IDS, attention_mask=MASK)
    expected = oracle(input_ids=IDS, attention_mask=MASK, decoder_input_ids=told).logits
    close(ours(batch, told).logits, expected)
    close_on_text(
        ours.encode(batch).last_hidden_state, oracle.model.encoder(IDS, attention_mask=MASK).last_hidden_state
    )
    past, memory = None, ours.encode(batch).last_hidden_state
    for i in range(4):
        step = ours.decode(
            told[:, i : i + 1],
            encoder_hidden_states=memory if past is None else None,
            encoder_attention_mask=MASK,
            past_key_values=past,
            use_cache=True,
        )
        past = step.past_key_values
        close(step.logits, expected[:, i : i + 1])


@pytest.mark.parametrize("num_beams", [1, 4])
def test_beam_search_equals_marians(num_beams: int) -> None:
    """Ranked by probability alone, because the length penalties differ; theirs ends at the limit without the end."""
    oracle, ours = marian_and_ours()
    with torch.no_grad():
        for weight in (oracle.model.shared.weight, ours.embeddings.words.words.weight):
            weight.mul_(0.4)  # so that the likeliest token is not always the same
    batch, limit, never = TokenBatch(input_ids=IDS, attention_mask=MASK), 7, [0, 1]

    def end_at_limit(input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores if input_ids.size(1) < limit else scores.masked_fill(torch.arange(9) != 2, -torch.inf)

    theirs = oracle.generate(
        input_ids=IDS,
        attention_mask=MASK,
        decoder_start_token_id=1,
        eos_token_id=2,
        forced_eos_token_id=None,
        max_new_tokens=limit,
        num_beams=num_beams,
        num_return_sequences=num_beams,
        length_penalty=0.0,
        do_sample=False,
        bad_words_ids=[[token] for token in never],
        logits_processor=LogitsProcessorList([end_at_limit]),
        return_dict_in_generate=True,
        output_scores=True,
    )
    found = beam_search(
        ours,
        batch,
        bos_token_id=1,
        eos_token_id=2,
        limits=[limit] * 2,
        num_beams=num_beams,
        length_penalty=0,
        never=never,
    )
    hypotheses = [each for answers in found for each in answers]
    told = [[token for token in each[1:] if token not in (0, 2)] for each in theirs.sequences.tolist()]
    assert [each.ids for each in hypotheses] == told
    if num_beams > 1:
        scores = torch.tensor([each.log_probability for each in hypotheses], dtype=torch.float64)
        torch.testing.assert_close(scores, theirs.sequences_scores.double(), rtol=0, atol=1e-5)  # theirs are float32
