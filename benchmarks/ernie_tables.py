"""ERNIE 1.0's ablation and ERNIE 2.0's comparison of schedules, in the small.

    WENMO_DATA=... python benchmarks/ernie_tables.py knowledge --out runs/ernie1
    WENMO_DATA=... python benchmarks/ernie_tables.py schedules --out runs/ernie2

``knowledge``: an ERNIE of the size mini learns masked characters alone; characters, then phrases; characters, phrases,
then entities (Sun et al. 2019, table 2): the same text, updates and seed. ``schedules``: four objectives of ERNIE 2.0
one after the other, all at once, and as they arrive (Sun et al. 2020, table 7), with equal updates; and one, two and
four of them at equal tokens.

Each arm is then fine-tuned on 5,000 texts of tnews and 5,000 sentences of msra_ner, with three seeds, and asked for
entities: held-out sentences with one entity of the lists, 2 to 4 characters long, all of which is masked; an answer is
right if every character is the likeliest at its place (``cloze``). McNemar's test compares the arms on the same
sentences.

Sequences have 64 tokens. What is done stands in OUT/rows.jsonl; a script that was stopped goes on behind it.
"""

import argparse
import gzip
import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import wenmo
from finished import Finished
from wenmo.data.batching import token_batch
from wenmo.interchange.huggingface import read_checkpoint
from wenmo.models.pretraining_heads import MaskedLanguageModelHead
from wenmo.models.registry import build_model
from wenmo.pretraining.corpus import Corpus
from wenmo.pretraining.shards import ENTITY
from wenmo.tasks.metrics import mcnemar

DATA = Path(os.environ.get("WENMO_DATA", ""))
LEXICA = ("places", "food", "animals", "medical", "historical_people", "it", "law", "finance", "cars", "idioms")
TEXTS = ("app_descriptions_iflytek", "science_csl_abstracts", "science_csldcp_abstracts", "web_mixed_cluecorpussmall",
         "wiki_cmrc2018_contexts", "dialogues_and_essays_c3")  # fmt: skip
FOUR = ("knowledge_masking", "sentence_reordering", "sentence_distance", "discourse_relation")
NUM_CLOZE, ROWS = 1000, 5000


def arms_of(what: str, steps: int) -> dict[str, dict[str, Any]]:
    """Schedules and settings of each arm."""
    if what == "knowledge":
        half, third = steps // 2, steps // 3
        return {
            "characters": {"schedule": {"knowledge_masking": [steps]}, "objectives": {"knowledge_units": ["token"]}},
            "and phrases": {
                "schedule": {"knowledge_masking": [half, steps - half]},
                "objectives": {"knowledge_units": ["token", "phrase"]},
            },
            "and entities": {
                "schedule": {"knowledge_masking": [third, third, steps - 2 * third]},
                "objectives": {"knowledge_units": ["token", "phrase", "entity"]},
            },
        }
    each = dict.fromkeys(FOUR, steps // 4)
    found: dict[str, dict[str, Any]] = {
        rule: {"schedule": {"rule": rule, "one_at_a_time": True, "updates": each}}
        for rule in ("continual", "multitask", "continual_multitask")
    }
    for number in (1, 2):
        names = FOUR[:number]
        table = {name: [steps // number] for name in names}
        found[f"{number} of four"] = {"schedule": {"one_at_a_time": True, **table}}
    return found


def pretrain(out: Path, what: str, arm: str, settings: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """One arm."""
    result = wenmo.pretrain(
        [DATA / "raw_zh" / f"{name}.txt.gz" for name in TEXTS],
        out=out / arm.replace(" ", "-"),
        model="ernie" if what == "knowledge" else "ernie2",
        size="mini",
        values={
            **settings,
            "corpus": {
                "folder": str(out / "corpus"),
                "lexica": [str(DATA / "lexica_zh" / f"{name}.tsv") for name in LEXICA],
                "length": 64,
                "long_share": 0.0,
                "held_out_share": 0.05,
                "connectives": True,
                "capitals": False,
                "tokenizer": {"segmenter": "wordpiece", "vocab_size": 8000},
                "workers": 2,
            },
            "training": {"max_steps": steps, "precision": "bfloat16", "batch_size": 32},
        },
        resume=True,
    )
    return {"steps": result.steps, "dev": result.dev}


def cloze_sentences(corpus: Corpus) -> list[tuple[np.ndarray, int, int]]:
    """Ids of held-out sentences, and where their one entity stands."""
    vocabulary = corpus.tokenizer().vocabulary
    known = {
        line.split("\t")[0]
        for name in LEXICA
        for line in (DATA / "lexica_zh" / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    }
    shard = corpus.held_out()
    if shard is None:
        raise SystemExit("the corpus holds no documents out; raise corpus.held_out_share")
    found = []
    for row in range(len(shard)):
        ids = shard.store["input_ids"][row]
        spans = [span for span in shard.spans(row).tolist() if span[2] == ENTITY]
        words = ["".join(vocabulary[i] for i in ids[begin:end]) for begin, end, _ in spans]
        chosen = [(b, e) for (b, e, _), word in zip(spans, words, strict=True) if word in known and 2 <= e - b <= 4]
        if len(chosen) == 1 and 10 <= len(ids) <= 60:
            found.append((ids, *chosen[0]))
    random.Random(0).shuffle(found)
    return found[:NUM_CLOZE]


@torch.inference_mode()
def cloze(folder: Path, corpus: Corpus) -> list[bool]:
    """Whether every character of the entity is the likeliest, sentence by sentence."""
    checkpoint = read_checkpoint(folder)
    config: Any = checkpoint.config
    model = build_model(config)
    model.load_state_dict(checkpoint.weights, strict=False)
    head = MaskedLanguageModelHead(
        config.hidden_size, config.vocab_size, hidden_act=config.hidden_act, layer_norm_eps=config.layer_norm_eps
    )
    heads = {name.removeprefix("masked_lm."): weight for name, weight in checkpoint.heads.items()}
    head.load_state_dict({name: weight for name, weight in heads.items() if name in head.state_dict()})
    model.eval()
    head.eval()
    tokenizer: Any = corpus.tokenizer()
    mask, around = tokenizer.vocabulary.index("[MASK]"), tokenizer.surroundings()
    right = []
    for ids, begin, end in cloze_sentences(corpus):
        asked = ids.copy()
        asked[begin:end] = mask
        batch = token_batch([around.around(asked)])
        states = model(batch).last_hidden_state[0, begin + len(around.before) : end + len(around.before)]
        said = head(states, model.word_table()).argmax(dim=-1).numpy()
        right.append(bool((said == ids[begin:end]).all()))
    return right


def few(place: Path) -> dict[str, tuple[Path, Path, Path]]:
    """5,000 rows each to fine-tune on, and what the sets have for dev and test."""
    place.mkdir(parents=True, exist_ok=True)
    lines = (DATA / "tnews" / "train.tsv").read_text(encoding="utf-8").splitlines()
    rows = random.Random(0).sample(lines[1:], ROWS + 1000)
    parts = {"train": rows[:ROWS], "dev": rows[ROWS:]}
    for name, chosen in parts.items():
        (place / f"tnews-{name}.tsv").write_text("\n".join([lines[0], *chosen]) + "\n", encoding="utf-8")
    with gzip.open(DATA / "msra_ner" / "train.conll.gz", "rt", encoding="utf-8") as file:
        sentences = file.read().strip().split("\n\n")
    chosen = random.Random(0).sample(sentences, ROWS)
    (place / "msra-train.conll").write_text("\n\n".join(chosen) + "\n", encoding="utf-8")
    return {
        "tnews": (place / "tnews-train.tsv", place / "tnews-dev.tsv", DATA / "tnews" / "dev.tsv"),
        "msra_ner": (place / "msra-train.conll", DATA / "msra_ner" / "dev.conll", DATA / "msra_ner" / "test.conll"),
    }


def tune(base: Path, name: str, files: Sequence[Path], out: Path, seed: int) -> dict[str, Any]:
    """One fine-tuning."""
    train, dev, test = files
    settings = ["data.max_length=64", "training.max_epochs=3", "training.learning_rate=1e-4"]
    if name == "msra_ner":
        settings += ["task.repair=true", "data.long_texts=windows"]
    result = wenmo.train(train, dev=dev, test=test, model=str(base), out=out, overrides=settings, seed=seed,
                         precision="bfloat16")  # fmt: skip
    metric = "accuracy" if name == "tnews" else "f1"
    return {f"{part}_{metric}": getattr(result, part)[metric] for part in ("dev", "test")}


def main() -> None:
    """Run what is not done yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["knowledge", "schedules"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True, help="of each arm")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    finished = Finished(asked.out / "rows.jsonl")

    def once(arm: str, what: str, seed: int, run: Callable[[], Any]) -> None:
        finished.once({"arm": arm, "what": what, "seed": seed}, lambda: {"found": run()})

    for arm, settings in arms_of(asked.what, asked.steps).items():
        base = asked.out / arm.replace(" ", "-")
        once(
            arm,
            "pretraining",
            0,
            lambda arm=arm, said=settings: pretrain(asked.out, asked.what, arm, said, asked.steps),
        )
        once(arm, "cloze", 0, lambda base=base: cloze(base, Corpus.open(asked.out / "corpus")))
        for name, files in few(asked.out / "few").items():
            for seed in range(asked.seeds):
                place = asked.out / f"{arm.replace(' ', '-')}-{name}-{seed}"
                once(arm, name, seed, lambda b=base, n=name, f=files, p=place, s=seed: tune(b, n, f, p, s))
    show(finished.rows)


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """A line for each arm."""
    asked = {row["arm"]: row["found"] for row in rows if row["what"] == "cloze"}
    first = next(iter(asked), "")
    for arm in dict.fromkeys(row["arm"] for row in rows):
        parts = []
        for name, metric in (("tnews", "test_accuracy"), ("msra_ner", "test_f1")):
            values = [100 * row["found"][metric]["value"] for row in rows if (row["arm"], row["what"]) == (arm, name)]
            if values:
                parts.append(f"{name} {np.mean(values):.1f} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.1f}")
        if arm in asked:
            p = mcnemar(np.array(asked[first]), np.array(asked[arm]))
            parts.append(f"cloze {100 * np.mean(asked[arm]):.1f} (p {p:.3f} against {first})")
        print(f"{arm:20} {'  '.join(parts)}")


if __name__ == "__main__":
    main()
