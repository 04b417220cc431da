"""An ELMo of another system in use: texts and words to vectors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wenmo
from wenmo.errors import InputError
from wenmo.features import TokenBatch
from wenmo.inference.elmo_embedder import ElmoEmbedder
from wenmo.inference.loading import load
from wenmo.interchange.checkpoint import Checkpoint
from wenmo.models.elmo import Elmo, ElmoConfig
from wenmo.text.word_bytes import word_byte_ids

TEXTS = ["The cat didn't sit.", "", "naïve 文墨", "a"]
WORDS = [["The", "cat", "did", "n't", "sit", "."], [], ["naïve", "文", "墨"], ["a"]]


@pytest.fixture(scope="module")
def embedder() -> ElmoEmbedder:
    config = ElmoConfig(num_units=6, projection_size=4, filters=((1, 3), (2, 4)), character_embedding_size=3)
    model = Elmo(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    return ElmoEmbedder(Checkpoint(config=config, weights=model.state_dict()), "options.json")


def states_of(embedder: ElmoEmbedder, words: list[str]) -> tuple[Any, Any]:
    """Layers and mixture by the model itself."""
    ids = torch.from_numpy(word_byte_ids(words)).long().unsqueeze(0)
    batch = TokenBatch(character_ids=ids, attention_mask=torch.ones(1, len(words), dtype=torch.long))
    with torch.no_grad():
        features = embedder.extractor(batch, output_hidden_states=True)
    return torch.cat(features.hidden_states).numpy(), features.last_hidden_state[0].numpy()


def test_texts_are_cut_into_words_and_have_the_mean_of_all_layers_alike(embedder: ElmoEmbedder) -> None:
    assert [embedder.words(text) for text in TEXTS] == WORDS
    vectors = embedder.embed(iter(TEXTS))
    assert vectors.shape == (4, 8) and vectors.dtype == np.float32
    for row, words in enumerate(WORDS):
        mean = states_of(embedder, words)[0].mean(axis=0)
        np.testing.assert_allclose(vectors[row], mean.mean(0) if words else mean.sum(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(embedder.embed(TEXTS[row])[0], vectors[row], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(embedder.embed_words(WORDS), vectors)
    np.testing.assert_array_equal(embedder.embed(TEXTS, "mix"), vectors)
    assert embedder.embed([]).shape == (0, 8)


@pytest.mark.parametrize("pooling", ["mean", "max", "first", "cls", "last", "layer:0", "layer:1", "layer:-1", "last4"])
def test_poolings_are_of_the_mixture_or_of_layers(embedder: ElmoEmbedder, pooling: str) -> None:
    vectors = embedder.embed(TEXTS, pooling)
    for row, words in enumerate(WORDS):
        layers, mixture = states_of(embedder, words)
        if not words:
            assert not vectors[row].any()
            continue
        expected = {
            "mean": mixture.mean(0),
            "max": mixture.max(0),
            "first": mixture[0],
            "cls": mixture[0],
            "last": mixture[-1],
            "layer:0": layers[0].mean(0),
            "layer:1": layers[1].mean(0),
            "layer:-1": layers[2].mean(0),
            "last4": np.concatenate([layers[1].mean(0), layers[2].mean(0)]),
        }[pooling]
        np.testing.assert_allclose(vectors[row], expected, rtol=1e-5, atol=1e-6)


def test_vectors_of_length_1(embedder: ElmoEmbedder) -> None:
    lengths = np.linalg.norm(embedder.embed(TEXTS, normalize=True), axis=1)
    np.testing.assert_allclose(lengths, [1, 0, 1, 1], atol=1e-6)


def test_every_layer_of_every_word(embedder: ElmoEmbedder) -> None:
    for found, words in zip(embedder.layers(WORDS), WORDS, strict=True):
        assert found.shape == (3, len(words), 8)
        np.testing.assert_allclose(found, states_of(embedder, words)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("pooling", "message"),
    [
        ("median", "no pooling 'median'"),
        ("layer:x", "no pooling"),
        ("layer:3", "layers 0 .* to 2"),
        ("layer:-4", "to 2"),
    ],
)
def test_a_pooling_that_is_not_there_is_refused(embedder: ElmoEmbedder, pooling: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        embedder.embed(TEXTS, pooling)


def test_what_it_cannot_do_is_refused(embedder: ElmoEmbedder) -> None:
    with pytest.raises(InputError, match="gives texts vectors"):
        embedder.predict(TEXTS)
    with pytest.raises(InputError, match="runs on the CPU"):
        ElmoEmbedder(embedder.checkpoint, device="cuda")
    with pytest.raises(InputError, match="run by packed"):
        ElmoEmbedder(embedder.checkpoint, runtime="torch")
    with pytest.raises(InputError, match="text 1"):
        embedder.embed([("a", "b")])


def test_the_published_files_open_like_a_model(data_folder: Path) -> None:
    folder = data_folder.parent / "reference" / "elmo"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs of ELMo: {folder} is not a folder")
    by_folder, by_options = wenmo.load(folder), load(folder / "options.json", precision="bfloat16")
    vectors = by_folder.embed("Why employment?")
    assert vectors.shape == (1, 32) and np.isfinite(vectors).all()
    rough = by_options.embed("Why employment?")
    assert not np.array_equal(rough, vectors)
    np.testing.assert_allclose(rough, vectors, atol=0.1)
