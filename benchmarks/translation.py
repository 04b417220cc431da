"""How fast a Transformer translates with a beam, against transformers' MarianMTModel.generate with the same weights.

    WENMO_DATA=... python benchmarks/translation.py [--quick] [--json] [--model FOLDER] [--beams 4]

Both read the ids of the test texts of Multi30k (1,000; 200 with --quick) and give the ids of the best answer, in one
process, the methods taking turns after a round that does not count. ``--model`` names a `seq2seq-transformer` trained
with -o model.norm_first=false, as Marian is made; without it the weights are random, the shape is that preset's, and
since random weights hardly ever end a text, every answer has 20 tokens. Answers are ranked by their probability alone
(length_penalty 0 there and here, because the penalties differ: transformers divides by a power of the length, wenmo as
Wu et al. 2016), both look at twice as many candidates as there are beams and stop by the same rule, so both give the
same answers: ``same`` says of how many texts.

- marian given: batches of 32 in the given order, what a pipeline does;
- marian sorted: batches of 32 of like length, longest first;
- wenmo: what `Translator` does, float32 as the others; wenmo bf16: with --precision bfloat16.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wenmo.data.batching import token_batch
from wenmo.data.parallel import read_parallel
from wenmo.folder import ModelFolder, load_folder
from wenmo.inference.translating import Translator
from wenmo.models.embeddings import sinusoids
from wenmo.models.registry import build_model, preset, with_sizes
from wenmo.models.transformer import EncoderDecoderConfig, Transformer
from wenmo.tasks.translation import TranslationConfig
from wenmo.text.tokenizer_config import TokenizerConfig

BATCH_SIZE, RANDOM_LENGTH = 32, 20
Answers = list[list[int]]


@dataclass(frozen=True)
class Method:
    """One way to translate all texts."""

    name: str
    precision: str
    translate: Callable[[], Answers]


def random_folder(data: Path) -> ModelFolder:
    """The preset's model with random weights, and subwords of the training texts."""
    torch.manual_seed(0)
    config = TranslationConfig(length_penalty=0.0)
    rows = read_parallel(data / "train.tsv").rows
    settings = TokenizerConfig(segmenter="bpe", vocab_size=8000, lowercase=False, fold_width=False)
    tokenizer = config.make_tokenizer(rows, settings)
    sizes = with_sizes(preset("seq2seq-transformer").default_config(), tokenizer.vocab_size, 0)
    model = replace(sizes, norm_first=False)
    task = config.build(build_model(model), model, None)
    task.take_tokenizer(tokenizer)
    task.initialize(torch.Generator().manual_seed(0))
    return ModelFolder(task, tokenizer, {"data": {"max_length": 512}})


def marian_of(ours: Transformer, config: EncoderDecoderConfig, eos_token_id: int, bos_token_id: int) -> Any:
    """A MarianMTModel with the same weights; Marian puts all sines before all cosines, so it gets our waves."""
    from transformers import MarianConfig, MarianMTModel

    theirs = MarianMTModel(
        MarianConfig(
            vocab_size=config.vocab_size,
            d_model=config.hidden_size,
            encoder_layers=config.num_hidden_layers,
            decoder_layers=config.num_decoder_layers,
            encoder_attention_heads=config.num_attention_heads,
            decoder_attention_heads=config.num_attention_heads,
            encoder_ffn_dim=config.intermediate_size,
            decoder_ffn_dim=config.intermediate_size,
            activation_function="relu",
            scale_embedding=True,
            max_position_embeddings=config.max_position_embeddings,
            pad_token_id=0,
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            decoder_start_token_id=bos_token_id,
            forced_eos_token_id=None,
        )
    ).eval()
    for half in (theirs.model.encoder, theirs.model.decoder):
        for layer in half.layers:
            norm = layer.self_attn_layer_norm
            norm.eps = layer.final_layer_norm.eps = config.layer_norm_eps
            if hasattr(layer, "encoder_attn_layer_norm"):
                layer.encoder_attn_layer_norm.eps = config.layer_norm_eps
        half.embed_positions.weight.data.copy_(
            sinusoids(torch.arange(config.max_position_embeddings), config.hidden_size)
        )
    theirs.load_state_dict(_their_names(ours, config) | _kept(theirs))
    return theirs


def _kept(theirs: Any) -> dict[str, torch.Tensor]:
    """The waves, and a bias of 0 on every logit but those that no answer has."""
    kept = {name: value for name, value in theirs.state_dict().items() if "embed_positions" in name}
    bias = torch.zeros_like(theirs.final_logits_bias)
    return kept | {"final_logits_bias": bias}


def _their_names(ours: Transformer, config: EncoderDecoderConfig) -> dict[str, torch.Tensor]:
    state, found = ours.state_dict(), {}
    for half, layers in (("encoder", config.num_hidden_layers), ("decoder", config.num_decoder_layers)):
        for i in range(layers):
            here, there = f"{half}.layers.{i}", f"model.{half}.layers.{i}"
            for kind in ("weight", "bias"):
                for part, value in zip("qkv", state[f"{here}.attention.query_key_value.{kind}"].chunk(3), strict=True):
                    found[f"{there}.self_attn.{part}_proj.{kind}"] = value
                names = {
                    "attention.output": "self_attn.out_proj",
                    "attention_norm": "self_attn_layer_norm",
                    "feed_forward.intermediate": "fc1",
                    "feed_forward.output": "fc2",
                    "feed_forward_norm": "final_layer_norm",
                }
                if half == "decoder":
                    found[f"{there}.encoder_attn.q_proj.{kind}"] = state[f"{here}.cross_attention.query.{kind}"]
                    both = state[f"{here}.cross_attention.key_value.{kind}"].chunk(2)
                    for part, value in zip("kv", both, strict=True):
                        found[f"{there}.encoder_attn.{part}_proj.{kind}"] = value
                    names["cross_attention.output"] = "encoder_attn.out_proj"
                    names["cross_attention_norm"] = "encoder_attn_layer_norm"
                found |= {f"{there}.{name}.{kind}": state[f"{here}.{ours}.{kind}"] for ours, name in names.items()}
    words = state["embeddings.words.words.weight"]
    tied = ("model.shared.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight")
    return found | dict.fromkeys((*tied, "lm_head.weight"), words)


def marian_method(
    theirs: Any, ids: Sequence[np.ndarray], folder: ModelFolder, beams: int, length: int, order: Any
) -> Callable[[], Answers]:
    """Batches of 32 through `generate`; at the last token an answer has to end, which costs what ending costs."""
    from transformers import LogitsProcessorList

    tokenizer = folder.tokenizer
    never = [[token] for token in (tokenizer.unk_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id)]

    def ending(input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        others = torch.arange(scores.size(1)) != tokenizer.eos_token_id
        return scores if input_ids.size(1) < length else scores.masked_fill(others, -torch.inf)

    def translate() -> Answers:
        answers: Answers = [[] for _ in ids]
        for start in range(0, len(order), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            batch = token_batch([ids[row] for row in rows])
            with torch.no_grad():
                written = theirs.generate(
                    input_ids=batch.input_ids.long(),
                    attention_mask=batch.attention_mask,
                    num_beams=beams,
                    max_new_tokens=length,
                    length_penalty=0.0,
                    early_stopping=False,
                    do_sample=False,
                    bad_words_ids=never,
                    logits_processor=LogitsProcessorList([ending]),
                )
            for row, each in zip(rows, written.tolist(), strict=True):
                answers[row] = [token for token in each[1:] if token not in (0, tokenizer.eos_token_id)]
        return answers

    return translate


def wenmo_method(folder: ModelFolder, ids: Sequence[np.ndarray], beams: int, precision: str) -> Callable[[], Answers]:
    """What `Translator` does with the ids of some texts."""
    translator = Translator(folder, precision=precision, device="cpu")
    return lambda: [hypotheses[0].ids for hypotheses in translator.answer_ids(ids, beams, 0.0)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--model", help="the folder of a trained seq2seq-transformer")
    parser.add_argument("--beams", type=int, default=4)
    asked = parser.parse_args()
    data = Path(os.environ["WENMO_DATA"]) / "multi30k_en_de"
    folder = load_folder(Path(asked.model)) if asked.model else random_folder(data)
    folder.task.eval()
    config = folder.task.extractor_config
    if not isinstance(config, EncoderDecoderConfig) or config.norm_first:
        raise SystemExit("--model: Marian has its layer norms behind each part; train with -o model.norm_first=false")
    texts = [row.text for row in read_parallel(data / "test.tsv").rows][: 200 if asked.quick else None]
    translator = Translator(folder, device="cpu")
    ids = translator.ids(texts)
    length = 100 if asked.model else RANDOM_LENGTH
    if not asked.model:
        folder.task.limits = lambda lengths: [RANDOM_LENGTH] * len(lengths)
    theirs = marian_of(folder.task.extractor, config, folder.tokenizer.eos_token_id, folder.tokenizer.bos_token_id)
    given = np.arange(len(ids))
    by_length = np.argsort([-len(each) for each in ids], kind="stable")
    methods = [
        Method("marian given", "float32", marian_method(theirs, ids, folder, asked.beams, length, given)),
        Method("marian sorted", "float32", marian_method(theirs, ids, folder, asked.beams, length, by_length)),
        Method("wenmo", "float32", wenmo_method(folder, ids, asked.beams, "float32")),
        Method("wenmo bf16", "bfloat16", wenmo_method(folder, ids, asked.beams, "bfloat16")),
    ]
    show(measure(methods, len(texts), rounds=1 if asked.quick else 3), asked.json)


def measure(methods: Sequence[Method], num_texts: int, rounds: int) -> list[dict[str, Any]]:
    """Texts a second of each method, the median of its rounds, and how its answers differ from the first one's."""
    answers = {method.name: method.translate() for method in methods}
    seconds: dict[str, list[float]] = {method.name: [] for method in methods}
    for _ in range(rounds):
        for method in methods:
            begun = time.perf_counter()
            method.translate()
            seconds[method.name].append(time.perf_counter() - begun)
    first = methods[0].name
    return [
        {
            "model": "seq2seq-transformer",
            "texts": num_texts,
            "method": method.name,
            "precision": method.precision,
            "texts_per_second": num_texts / statistics.median(seconds[method.name]),
            "ratio": statistics.median(seconds[first]) / statistics.median(seconds[method.name]),
            "same": sum(a == b for a, b in zip(answers[first], answers[method.name], strict=True)),
        }
        for method in methods
    ]


def show(rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    """One JSON document, or a table."""
    if as_json:
        print(json.dumps({"rows": list(rows)}))
        return
    print(f"{'method':16} {'texts/s':>8} {'ratio':>6} {'same':>12}")
    for row in rows:
        print(
            f"{row['method']:16} {row['texts_per_second']:8.1f} {row['ratio']:6.2f} {row['same']:6} of {row['texts']}"
        )


if __name__ == "__main__":
    main()
