"""A Transformer through training: learnt, resumed, with word vectors, and its limit of tokens."""

from pathlib import Path

import numpy as np
import pytest
import torch

from wenmo.data.batching import token_batch
from wenmo.errors import InputError
from wenmo.folder import load_folder, weights_digest
from wenmo.inference.loading import load
from wenmo.training.progress import Silent
from wenmo.training.recipe import Recipe
from wenmo.training.run import run, train

NAMES = ["transformer", "bert", "ernie", "ernie2"]
SMALL = [
    "model.hidden_size=16",
    "model.num_attention_heads=2",
    "model.intermediate_size=24",
    "model.num_hidden_layers=1",
    "training.max_epochs=5",
    "training.batch_size=20",
    "training.warmup_steps=10",
    "training.learning_rate=0.01",
    "training.patience=0",
]


class StopAt(Silent):
    """Stops the run as a crash would, after a given step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def stepped(self, step: int, loss: float) -> None:
        if step == self._step:
            raise RuntimeError("killed")


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_which_word_decides_and_answers_from_its_folder(name: str, reviews: Path, tmp_path: Path) -> None:
    result = train(reviews, model=name, out=tmp_path / "m", overrides=SMALL)
    assert result.dev["accuracy"]["value"] > 0.9
    model = load(tmp_path / "m")
    assert [answer.label for answer in model.predict(["a great film", "the plot was awful"])] == ["good", "bad"]
    texts = ["the film was fine and the plot", "dull", "never seen words"]
    together = model.embed(texts)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(model.embed(text)[0], vector, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_pairs_as_one_text_and_knows_which_is_which(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["label\ttext_a\ttext_b"]
    for i in range(240):  # the label is told by where the word "yes" stands
        words = [" ".join(rng.choice(["a", "b", "c", "d"], 3)) for _ in range(2)]
        words[i % 2] += " yes"
        lines.append(f"{('first', 'second')[i % 2]}\t{words[0]}\t{words[1]}")
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = train(tmp_path / "pairs.tsv", model=name, out=tmp_path / "m", overrides=SMALL)
    assert result.dev["accuracy"]["value"] > 0.9
    folder = load_folder(tmp_path / "m")
    assert folder.task.config.pair == "joined" and folder.task.extractor.embeddings.segments is not None
    answers = load(tmp_path / "m").predict([("a b c yes", "d a b"), ("a b c", "d a b yes")])
    assert [answer.label for answer in answers] == ["first", "second"]


def test_a_killed_run_ends_with_the_very_weights_of_one_that_was_not(reviews: Path, tmp_path: Path) -> None:
    overrides = [*SMALL, "training.max_epochs=2", "training.save_steps=5", "model.attention_probs_dropout_prob=0.1"]
    recipe = Recipe.build(model="transformer", values={"data": {"train": str(reviews)}}, overrides=overrides)
    run(recipe, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        run(recipe, tmp_path / "killed", observers=[StopAt(17)])
    run(recipe, tmp_path / "killed", resume=True)
    whole, resumed = (weights_digest(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert whole == resumed


def test_word_vectors_of_another_width_are_projected(reviews: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("fine 1 0 0 0\nbad -1 0 0 0\nthe 0 1 0 0\n")
    overrides = [*SMALL, "training.max_epochs=1", "model.channels=static"]
    train(reviews, model="transformer", out=tmp_path / "m", overrides=overrides, vectors=vectors)
    folder = load_folder(tmp_path / "m")
    config = folder.task.extractor_config.to_dict()
    assert (config["embedding_size"], config["hidden_size"], config["channels"]) == (4, 16, "static")
    extractor = folder.task.extractor
    row = folder.tokenizer.vocabulary.index("fine")
    assert extractor.embeddings.words.words.weight[row].tolist() == [1, 0, 0, 0]  # type: ignore[union-attr]
    with torch.no_grad():
        features = extractor(token_batch(folder.tokenizer.encode_batch(["fine film"])))
    assert features.last_hidden_state.shape == (1, 2, 16)


def test_the_length_of_texts_and_that_of_the_model_have_to_agree(reviews: Path, tmp_path: Path) -> None:
    for length, said in ((513, "data.max_length is 513"), (0, "no text is cut")):
        with pytest.raises(InputError, match=rf"{said}.*max_position_embeddings=512.*set data.max_length=512"):
            Recipe.build(model="transformer", overrides=[f"data.max_length={length}"])
    longer = ["data.max_length=600", "model.max_position_embeddings=600"]
    assert Recipe.build(model="transformer", overrides=longer).data.max_length == 600
    short = [*SMALL, "training.max_epochs=1", "data.max_length=3", "model.max_position_embeddings=3"]
    result = train(reviews, model="transformer", out=tmp_path / "m", overrides=short)
    assert any("cut behind 3 tokens" in note for note in result.notes)
    assert len(load(tmp_path / "m").predict(["a text of more than three words"])) == 1
