"""Is memory flat when a corpus is made? Peak memory at several sizes of the same kind of text.

    python benchmarks/corpus_memory.py [--megabytes 20 400] [--workers 1] [--language zh|en] [--annotate] [--json]

For each size a file of random sentences is written, about so many megabytes of it, with a blank line behind every
forty; of twenty documents one came before. A process of its own then makes the corpus with word pieces, and with
parts of speech where ``--annotate`` asks for them. Its peak is that of the process and of each worker as the system has
counted it (``ru_maxrss``), so nothing is missed between two looks. Memory is flat if the peak at the largest size is no
more than a tenth above that at the smallest.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MEGABYTE = 1 << 20
SENTENCES = 40
"""Of a document."""
SAMPLE_CHARACTERS = 5_000_000
"""Of the text that the tokenizer is learnt from."""

_CHINESE = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面"
_ENGLISH = "the of and to in a is that for it as was with be by on not he i this are or his from at which but have"


def main() -> None:
    arguments = _arguments()
    if arguments.child:
        _make(Path(arguments.child), arguments.workers, arguments.annotate, arguments.shard_characters)
        return
    rows = [_measured(size, arguments) for size in arguments.megabytes]
    flat = max(row["peak_mb"] for row in rows) <= 1.1 * rows[0]["peak_mb"]
    if arguments.json:
        print(json.dumps({"rows": rows, "flat": flat}))
        return
    for row in rows:
        print(
            f"{row['megabytes']:>6} MB of text: peak {row['peak_mb']:.0f} MB, of the largest worker "
            f"{row['worker_peak_mb']:.0f} MB, {row['seconds']:.1f} s, {row['shards']} shards, {row['tokens']:,} tokens"
        )
    print("memory is flat" if flat else "memory grows with the text")


def _measured(megabytes: float, arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _write_text(place / "text.txt", int(megabytes * MEGABYTE), arguments.language)
        command = [sys.executable, __file__, "--child", folder, "--workers", str(arguments.workers)]
        command += ["--shard-characters", str(arguments.shard_characters)]
        command += ["--annotate"] if arguments.annotate else []
        begun = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.monotonic() - begun
    return {"megabytes": megabytes, **json.loads(done.stdout.splitlines()[-1]), "seconds": round(seconds, 1)}


def _make(folder: Path, workers: int, annotate: bool, shard_characters: int) -> None:
    from wenmo.pretraining.corpus import make_corpus
    from wenmo.pretraining.settings import CorpusSettings
    from wenmo.pretraining.vocabulary import train_corpus_tokenizer
    from wenmo.text.parts_of_speech import PartsOfSpeech
    from wenmo.text.tokenizer_config import TokenizerConfig

    source, settings = str(folder / "text.txt"), CorpusSettings(shard_characters=shard_characters)
    config = TokenizerConfig(segmenter="wordpiece", fold_width=False, vocab_size=4000)
    # A sample that twenty megabytes fill as well, so that all sizes learn from equally much.
    tokenizer = train_corpus_tokenizer([source], settings, config, characters=SAMPLE_CHARACTERS)
    annotator = PartsOfSpeech() if annotate else None
    corpus = make_corpus([source], folder / "corpus", tokenizer, settings, annotator, workers=workers)
    peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    told = {"peak_mb": round(peaks[0], 1), "worker_peak_mb": round(peaks[1], 1)}
    print(json.dumps({**told, "shards": len(corpus.shards), "tokens": corpus.tokens, "dropped": corpus.dropped}))


def _write_text(path: Path, size: int, language: str) -> None:
    generator = random.Random(0)
    words, between, stop = (_ENGLISH.split(), " ", ".") if language == "en" else (list(_CHINESE), "", "。")
    documents: list[str] = []
    with open(path, "w", encoding="utf-8") as file:
        while file.tell() < size:
            lengths = [generator.randint(5, 40) for _ in range(SENTENCES)]
            sentences = [between.join(generator.choices(words, k=length)) + stop for length in lengths]
            document = "\n".join(sentences)
            if documents and generator.random() < 0.05:
                document = generator.choice(documents)
            documents = [*documents[-99:], document]
            file.write(document + "\n\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[20, 400])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--shard-characters", type=int, default=2_000_000)
    parser.add_argument("--language", choices=["zh", "en"], default="zh")
    parser.add_argument("--annotate", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
