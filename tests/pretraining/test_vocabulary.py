"""Tokenizers of a corpus."""

from pathlib import Path

import pytest

from wenmo.errors import InputError
from wenmo.pretraining.documents import Document
from wenmo.pretraining.duplicates import NUM_HASHES, text_hash
from wenmo.pretraining.planning import NewDocument
from wenmo.pretraining.settings import CorpusSettings
from wenmo.pretraining.vocabulary import sample, train_corpus_tokenizer
from wenmo.text.tokenizer_config import TokenizerConfig


def test_a_sample_is_bounded_comes_from_everywhere_and_holds_nothing_that_is_held_out():
    documents = [Document((f"第{n}篇，" + "字" * 95,)) for n in range(2000)]
    new = [NewDocument(document, text_hash(document.text)) for document in documents]
    found = sample(new, 20_000, 0.1)
    size = sum(len(document.text) for document in found)
    assert 8_000 < size <= 20_000
    assert all(text_hash(document.text) >= 0.1 * NUM_HASHES for document in found)
    places = [documents.index(document) for document in found]
    assert places == sorted(places)
    assert 0.3 < sum(place < 1000 for place in places) / len(places) < 0.7
    backwards = sample(new[::-1], 20_000, 0.1)
    assert set(backwards) == set(found)
    assert sample(new[:50], 20_000, 0.0) == documents[:50]


@pytest.mark.parametrize("segmenter", ["wordpiece", "bpe", "unigram", "words", "characters"])
def test_every_kind_of_tokenizer_is_learnt_from_the_files(tmp_path: Path, segmenter: str):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"The {n} players play.\n我们在北京{n}。\n\n" for n in range(50)), encoding="utf-8")
    settings = CorpusSettings(held_out_share=0.1, fold_width=True)
    config = TokenizerConfig(segmenter=segmenter, vocab_size=300)
    tokenizer = train_corpus_tokenizer([str(path)], settings, config)
    (ids,) = tokenizer.encode_batch(["The players play 我们。"])
    assert len(ids) and (tokenizer.unk_token_id not in ids.tolist())


def test_nothing_to_learn_from_is_refused(tmp_path: Path):
    (tmp_path / "a.txt").write_text("\n")
    with pytest.raises(InputError, match="no text to learn a vocabulary from"):
        train_corpus_tokenizer([str(tmp_path / "a.txt")], CorpusSettings(), TokenizerConfig(segmenter="wordpiece"))
