"""How fast a GPT-2 writes on behind prompts, the likeliest token each time, against transformers.

    python benchmarks/generate.py [--quick] [--json] [--sizes 1,8]

GPT-2 small with random weights; prompts of 32 tokens, 96 new ones, from text to text. The methods take turns in one
process, after a round that does not count:

- transformers: `GPT2LMHeadModel.generate` with its cache, float32 and bfloat16;
- wenmo: `wenmo.load(...).predict`, float32 and bfloat16, with runtime packed, which `auto` takes.

``texts`` is how many prompts are written on at once. ``same`` is the share of them behind which a method wrote the same
as transformers in float32: with random weights the likeliest tokens are nearly as likely as others, so that bfloat16
soon takes another way. ``ratio_to_transformers`` divides by transformers in float32.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

import wenmo
from wenmo.interchange.huggingface import to_huggingface
from wenmo.models.gpt import Gpt, gpt2_small

PROMPT, NEW = 32, 96
Write = Callable[[list[str]], list[str]]


def make_folder(folder: Path) -> None:
    """GPT-2 small as transformers keeps it, with a vocabulary of made-up words."""
    config = gpt2_small()
    model = Gpt(config)
    model.initialize(torch.Generator().manual_seed(0))
    described, weights = to_huggingface(config, model.state_dict())
    (folder / "config.json").write_text(json.dumps(described))
    save_file({name: weight.contiguous() for name, weight in weights.items()}, folder / "model.safetensors")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"Ġ{word(i)}" for i in range(config.vocab_size - len(letters) - 1)), "<|endoftext|>"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    end = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **end).save_pretrained(folder)


def word(number: int) -> str:
    """A made-up word of letters, a different one for each number."""
    letters = ""
    while number or not letters:
        number, rest = divmod(number, 26)
        letters += chr(ord("a") + rest)
    return letters


def transformers_method(folder: Path, dtype: torch.dtype) -> Write:
    """Its tokenizer, `generate`, and its tokenizer again."""
    model: Any = GPT2LMHeadModel.from_pretrained(folder, dtype=dtype).eval()
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    never = [tokenizer.eos_token_id]

    def write(prompts: list[str]) -> list[str]:
        asked = tokenizer(prompts, return_tensors="pt")
        with torch.inference_mode():
            ids = model.generate(
                asked.input_ids,
                attention_mask=asked.attention_mask,
                max_new_tokens=NEW,
                min_new_tokens=NEW,
                do_sample=False,
                suppress_tokens=never,
            )
        written: list[str] = tokenizer.batch_decode(ids[:, asked.input_ids.size(1) :])
        return written

    return write


def wenmo_method(folder: Path, precision: str) -> Write:
    """`wenmo.load` and `predict`."""
    model = wenmo.load(folder, precision=precision)
    return lambda prompts: [each.text for each in model.predict(prompts, temperature=0, max_new_tokens=NEW)]


def measured(methods: dict[tuple[str, str], Write], prompts: list[str], rounds: int) -> list[dict[str, Any]]:
    """A row for each method."""
    texts: dict[tuple[str, str], list[str]] = {}
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in methods}
    for number in range(rounds + 1):
        for name, write in methods.items():
            begun = time.perf_counter()
            texts[name] = write(prompts)
            if number:
                seconds[name].append(time.perf_counter() - begun)
    first = next(iter(methods))
    usual = statistics.median(seconds[first])
    return [
        {
            "model": "gpt2-small",
            "texts": len(prompts),
            "method": name,
            "precision": precision,
            "tokens_per_second": round(len(prompts) * NEW / statistics.median(seconds[name, precision]), 1),
            "ratio_to_transformers": round(usual / statistics.median(seconds[name, precision]), 2),
            "same": sum(a.strip() == b.strip() for a, b in zip(texts[first], texts[name, precision], strict=True))
            / len(prompts),
        }
        for name, precision in methods
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round in the place of three")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sizes", default="1,8", help="how many prompts are written on at once")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_folder(folder)
        methods = {
            ("transformers", "float32"): transformers_method(folder, torch.float32),
            ("transformers", "bfloat16"): transformers_method(folder, torch.bfloat16),
            ("wenmo", "float32"): wenmo_method(folder, "float32"),
            ("wenmo", "bfloat16"): wenmo_method(folder, "bfloat16"),
        }
        for size in map(int, asked.sizes.split(",")):
            words = torch.randint(0, 50_000, (size, PROMPT), generator=torch.Generator().manual_seed(size)).tolist()
            prompts = [" ".join(map(word, text)) for text in words]
            rows += measured(methods, prompts, 1 if asked.quick else 3)
    if asked.json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
