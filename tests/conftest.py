"""What tests in every folder share: the data sets, and the command run as a person runs it."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from wenmo.features import TokenBatch
    from wenmo.models.seq2seq import Seq2Seq
    from wenmo.models.transformer import Transformer

# Before anything imports torch or numpy, which read these once. One thread each under pytest-xdist: its processes
# already use every core, and threads on top of them make all of them slower.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"  # a test that reaches for a hub fails at once instead of waiting for it

# The time of one example says how busy the machine is, not whether the code is right. In CI, the same examples always.
settings.register_profile("wenmo", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("wenmo")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets that WENMO_DATA names; without it the test is skipped.

    With WENMO_REQUIRE_DATA=1 it fails instead, for places where the data has to be there. A test that needs one data
    set asks ``data_folder`` and reads it; it does not skip by itself.
    """
    named = os.environ.get("WENMO_DATA", "")
    if named and Path(named).is_dir():
        return Path(named)
    reason = f"no data: WENMO_DATA={named!r} is not a folder" if named else "no data: WENMO_DATA is not set"
    if os.environ.get("WENMO_REQUIRE_DATA") == "1":
        pytest.fail(f"{reason}, and WENMO_REQUIRE_DATA=1 wants every test to run", pytrace=False)
    pytest.skip(reason)


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


class RunWenmo(Protocol):
    def __call__(
        self,
        *arguments: str | Path,
        stdin: str | bytes = "",
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 300,
    ) -> Finished: ...


@pytest.fixture
def run_wenmo(tmp_path: Path) -> RunWenmo:
    """Run ``wenmo ARGUMENTS...`` in a process of its own, in ``tmp_path`` unless ``cwd`` says otherwise."""

    def run(
        *arguments: str | Path,
        stdin: str | bytes = "",
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 300,
    ) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "wenmo", *map(str, arguments)],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            cwd=cwd or tmp_path,
            # A wide terminal without colours: what is printed does not depend on who runs the tests.
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **(environment or {})},
            timeout=timeout_seconds,
            check=False,
        )
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


class MakeWriter(Protocol):
    def __call__(
        self, kind: str, *, vocab_size: int = 9, seed: int = 0, **settings: Any
    ) -> "Seq2Seq | Transformer": ...


@pytest.fixture(scope="session")
def tiny_writer() -> MakeWriter:
    """Make a small ``recurrent`` or ``transformer`` that writes: float64, not training, with opinions of its own."""
    import torch

    from wenmo.models.seq2seq import Seq2Seq, Seq2SeqConfig
    from wenmo.models.transformer import EncoderDecoderConfig, Transformer

    sizes: dict[str, dict[str, Any]] = {
        "recurrent": {"embedding_size": 6, "num_units": 4},
        "transformer": {
            "hidden_size": 8,
            "num_hidden_layers": 2,
            "num_decoder_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 12,
            "max_position_embeddings": 32,
        },
    }

    def make(kind: str, *, vocab_size: int = 9, seed: int = 0, **settings: Any) -> Seq2Seq | Transformer:
        values = {"vocab_size": vocab_size, **sizes[kind], **settings}
        model: Seq2Seq | Transformer
        model = Seq2Seq(Seq2SeqConfig(**values)) if kind == "recurrent" else Transformer(EncoderDecoderConfig(**values))
        generator = torch.Generator().manual_seed(seed)
        model.initialize(generator)
        model = model.double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        return model

    return make


class MakeTexts(Protocol):
    def __call__(self, *lengths: int, vocab_size: int = 9, seed: int = 1) -> "TokenBatch": ...


@pytest.fixture(scope="session")
def random_texts() -> MakeTexts:
    """Make texts of random ids, none of them one of the first four, padded to the longest."""
    import torch

    from wenmo.features import TokenBatch

    def make(*lengths: int, vocab_size: int = 9, seed: int = 1) -> TokenBatch:
        mask = (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).long()
        ids = torch.randint(4, vocab_size, mask.shape, generator=torch.Generator().manual_seed(seed))
        return TokenBatch(input_ids=ids * mask, attention_mask=mask)

    return make


_NAMES = {
    "PER": [("Anna",), ("Bob",), ("Carl", "Smith"), ("Dora", "van", "Jones")],
    "LOC": [("Bonn",), ("New", "York"), ("Oslo",)],
}
_FILLING = ["saw", "met", "near", "the", "old", "bridge", "of", "and", "in", "1996"]


def make_sentences(number: int, seed: int = 0) -> list[list[tuple[str, str]]]:
    """Tokens with their tags in BIO; no two sentences are equal."""
    rng = random.Random(seed)
    sentences = []
    for i in range(number):
        sentence = [(f"n{i}", "O")]
        for _ in range(rng.randint(1, 3)):
            sentence += [(rng.choice(_FILLING), "O") for _ in range(rng.randint(1, 3))]
            kind = rng.choice(["PER", "LOC"])
            name = rng.choice(_NAMES[kind])
            sentence += [(word, f"{'I' if place else 'B'}-{kind}") for place, word in enumerate(name)]
        sentences.append([*sentence, (".", "O")])
    return sentences


@pytest.fixture
def tagged_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a CoNLL file of so many sentences, whose names can be learnt."""

    def write(name: str = "train.conll", number: int = 60, seed: int = 0) -> Path:
        path = tmp_path / name
        sentences = make_sentences(number, seed)
        path.write_text("\n".join("".join(f"{word} {tag}\n" for word, tag in each) for each in sentences))
        return path

    return write


LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
WORDS = ["good", "bad", "great", "poor", "film", "plot", "story", "the", "a", "is", "and", "好", "坏", "看", "片"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS[1:], *(f"##{letter}" for letter in LETTERS)]
SIZES = {
    "vocab_size": len(PIECES) + 3,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}


class SaveBert(Protocol):
    def __call__(self, folder: Path, architecture: str = "BertModel", **fields: Any) -> Any: ...


@pytest.fixture
def save_bert() -> SaveBert:
    """Save a tiny BERT with random weights, of this class of transformers, with its tokenizer, and give it back."""

    def save(folder: Path, architecture: str = "BertModel", **fields: Any) -> Any:
        import torch
        import transformers

        torch.manual_seed(0)
        config = transformers.BertConfig(**{**SIZES, **fields})
        model = getattr(transformers, architecture)(config).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.normal_(std=0.3)
                if "LayerNorm.weight" in name:
                    parameter.add_(1)
        model.save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
        return model

    return save
