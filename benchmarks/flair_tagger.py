"""What `benchmarks/tagging.py --flair PYTHON` runs: flair's SequenceTagger, in an environment of its own.

    PYTHON benchmarks/flair_tagger.py ROUNDS THREADS < sentences

A BiLSTM with a CRF of the shape there: words of 100 numbers, characters by an LSTM of 2 x 15 units (flair has no CNN
for them), 200 units each way, entities of four types in BIOES, random weights. One sentence a line on standard input,
with spaces between its tokens; the seconds of each round on standard output, behind one that does not count.
"""

import sys
import time

import flair
import torch
from flair.data import Dictionary, Sentence
from flair.embeddings import CharacterEmbeddings, OneHotEmbeddings, StackedEmbeddings
from flair.models import SequenceTagger


def main() -> None:
    """Tag the same sentences again and again."""
    rounds, threads = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    flair.device = torch.device("cpu")
    lines = [line.rstrip("\n") for line in sys.stdin]
    words, characters = Dictionary(add_unk=True), Dictionary(add_unk=True)
    for word in sorted({word for line in lines for word in line.split(" ")}):
        words.add_item(word)
        for character in word:
            characters.add_item(character)
    spans = Dictionary(add_unk=False)
    for name in ("LOC", "MISC", "ORG", "PER"):
        spans.add_item(name)
    spans.span_labels = True
    embeddings = StackedEmbeddings(
        [
            OneHotEmbeddings(words, field="text", embedding_length=100),
            CharacterEmbeddings(characters, char_embedding_dim=30, hidden_size_char=15),
        ]
    )
    tagger = SequenceTagger(
        embeddings, spans, tag_type="ner", hidden_size=200, use_crf=True, reproject_embeddings=False
    ).eval()
    for number in range(rounds + 1):
        begun = time.perf_counter()
        sentences = [Sentence(line, use_tokenizer=False) for line in lines]
        tagger.predict(sentences, mini_batch_size=32)
        for sentence in sentences:
            sentence.get_spans("ner")
        if number:
            print(time.perf_counter() - begun, flush=True)


if __name__ == "__main__":
    main()
