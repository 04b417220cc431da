"""Long texts in use: the same answers as in training, alone and in company, by every engine, in flat memory."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from wenmo.data.batching import token_batch
from wenmo.inference import long_texts as module
from wenmo.inference.evaluation import evaluate
from wenmo.inference.loading import load
from wenmo.inference.predictor import Predictor

WORDS = "the film is a good bad long short story with great poor acting and no plot at all but fun"
IN_WINDOWS = {"max_length": 6, "long_texts": "windows", "window_overlap": 0.25}


def long_text(number: int, seed: int = 0) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS.split(" "), number))


TEXTS = [long_text(length, seed) for seed, length in enumerate((40, 3, 6, 7, 100, 1, 13))]


@pytest.mark.parametrize("model", ["textcnn", "bag"])
@pytest.mark.parametrize("runtime", ["torch", "auto"])
def test_the_answer_is_that_of_the_task_that_was_trained(
    model: str, runtime: str, make_folder: Callable[..., Path]
) -> None:
    used = load(make_folder(model, data=IN_WINDOWS), runtime=runtime)
    assert used.runtime == ("packed" if (model, runtime) == ("textcnn", "auto") else "torch")
    ids = used.tokenizer.encode_batch(TEXTS)
    with torch.no_grad():
        expected = used.task.answers(token_batch(ids)).numpy()
    np.testing.assert_allclose(used.probabilities(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize("pooling", [None, "mean", "max", "first", "last"])
def test_a_vector_is_the_mean_of_those_of_the_windows(pooling: str | None, make_folder: Callable[..., Path]) -> None:
    used = load(make_folder(data=IN_WINDOWS))
    plain = load(make_folder(data={"max_length": 0}, name="plain"))
    words = TEXTS[3].split()  # 7 words: the windows begin at 0 and 1
    windows = plain.embed([" ".join(words[:6]), " ".join(words[1:])], pooling=pooling)
    np.testing.assert_allclose(used.embed(TEXTS[3], pooling=pooling)[0], windows.mean(axis=0), atol=1e-6)
    short = used.embed(TEXTS[1], pooling=pooling)
    np.testing.assert_allclose(short, plain.embed(TEXTS[1], pooling=pooling), atol=1e-6)


def test_company_and_the_number_of_windows_at_once_change_nothing(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = load(make_folder(data=IN_WINDOWS))
    together = used.embed(TEXTS)
    alone = np.concatenate([used.embed(text) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    monkeypatch.setattr(module, "_WINDOWS_AT_ONCE", 3)
    np.testing.assert_allclose(used.embed(TEXTS), together, atol=1e-5)
    np.testing.assert_allclose(used.embed(TEXTS, pooling="mean"), load_vectors(used), atol=1e-5)


def load_vectors(used: Predictor) -> np.ndarray:
    return np.concatenate([used.embed(text, pooling="mean") for text in TEXTS])


def test_no_engine_sees_more_windows_at_once_than_it_should(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = load(make_folder(data=IN_WINDOWS))
    inner, seen = used.embedder._engine._engine, []  # type: ignore[attr-defined]
    pooled = inner.pooled
    monkeypatch.setattr(inner, "pooled", lambda rows, *how: seen.append(len(rows)) or pooled(rows, *how))
    monkeypatch.setattr(module, "_WINDOWS_AT_ONCE", 50)
    used.embed([long_text(2000)])
    assert max(seen) == 50 and sum(seen) == 1 + -(-(2000 - 6) // 4)


@pytest.mark.parametrize(
    ("how", "kept"), [("head", slice(0, 6)), ("tail", slice(-6, None)), ("head+tail", [0, 1, -4, -3, -2, -1])]
)
def test_what_is_read_of_a_text_that_is_cut(how: str, kept: object, make_folder: Callable[..., Path]) -> None:
    used = load(make_folder(data={"max_length": 6, "long_texts": how}))
    words = np.array(TEXTS[0].split())
    (whole,), (cut,) = used.predict(TEXTS[0]), used.predict(" ".join(words[kept]))  # type: ignore[index]
    assert whole.probabilities == pytest.approx(cut.probabilities, abs=1e-6)


@pytest.mark.parametrize(
    ("how", "said"),
    [("tail", "were cut to the last 6 tokens"), ("windows", "were read in windows of 6 tokens")],
)
def test_what_was_done_to_long_texts_is_said(
    how: str, said: str, make_folder: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_folder(data={**IN_WINDOWS, "long_texts": how}, labels=("bad", "good"))
    with caplog.at_level(logging.WARNING):
        load(folder).predict(TEXTS)
    assert f"4 of 7 texts {said}, as in training" in caplog.text
    table = tmp_path / "texts.tsv"
    table.write_text("label\ttext\n" + "".join(f"good\t{text}\n" for text in TEXTS))
    result = evaluate(folder, table)
    assert result["cut"] == 4 and any(said in note for note in result["notes"])
