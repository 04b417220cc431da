"""Raw texts to answers: in order, in flat memory, the same alone and in company."""

import itertools
import json
import logging
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import wenmo
from wenmo.data.batching import store_batch, token_batch
from wenmo.data.long_texts import LongTexts
from wenmo.data.store import TokenStore
from wenmo.errors import InputError
from wenmo.inference.loading import load, loaded
from wenmo.inference.predictor import Prediction, Predictor, TextCounts
from wenmo.tasks.pairs import encode_texts

MODELS = ["textcnn", "bag", "linear", "recurrent", "transformer", "elmo"]


def test_every_text_gets_the_likeliest_label_with_all_probabilities(make_folder, some_texts):
    model = wenmo.load(make_folder())
    texts = some_texts(50)
    predictions = model.predict(texts)
    with torch.no_grad():
        answers = model.task.answers(token_batch(model.tokenizer.encode_batch(texts)))
    assert len({p.label for p in predictions}) == 3, "a model with one answer proves nothing"
    for prediction, row in zip(predictions, answers.tolist(), strict=True):
        assert list(prediction.probabilities) == ["negative", "neutral", "positive"]
        assert list(prediction.probabilities.values()) == pytest.approx(row, abs=1e-5)
        assert prediction.label == max(prediction.probabilities, key=prediction.probabilities.__getitem__)
        assert prediction.probability == prediction.probabilities[prediction.label]
        assert math.fsum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-6)


def test_a_list_a_generator_and_single_texts_are_answered_alike(make_folder, some_texts):
    model = load(make_folder())
    texts = some_texts(5)
    as_list = model.predict(texts)
    assert model.predict(iter(texts)) == as_list
    assert list(model.stream(text for text in texts)) == as_list
    alone = model.predict(texts[0])
    assert [prediction.label for prediction in alone] == [as_list[0].label]
    assert [prediction.label for prediction in model.stream(texts[0])] == [as_list[0].label]
    assert model.predict([]) == []
    assert model.probabilities([]).shape == (0, 3)


@pytest.mark.parametrize("runtime", ["auto", "torch"])
@pytest.mark.parametrize("name", MODELS)
def test_a_text_gets_the_same_answer_alone_and_in_company(make_folder, some_texts, name, runtime):
    model = load(make_folder(name), runtime=runtime)
    texts = [*some_texts(50), "", "a " * 300]
    together = model.probabilities(texts)
    for number, text in enumerate(texts):
        np.testing.assert_allclose(model.probabilities(text)[0], together[number], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(model.probabilities(texts), together)


def test_packed_and_torch_answer_alike(make_folder, some_texts):
    folder = make_folder(padding="wide", pooling="average")
    packed, torch_itself = load(folder), load(folder, runtime="torch")
    assert (packed.runtime, torch_itself.runtime) == ("packed", "torch")
    texts = [*some_texts(300), "", "entirely unheard of"]
    np.testing.assert_allclose(packed.probabilities(texts), torch_itself.probabilities(texts), rtol=0, atol=1e-5)


def test_more_texts_than_are_in_memory_at_a_time_keep_their_order(make_folder, some_texts):
    model = load(make_folder())
    texts = some_texts(20_000)
    together = model.probabilities(iter(texts))
    assert together.shape == (20_000, 3)
    for number in (0, 8191, 8192, 16_383, 16_384, 19_999):
        np.testing.assert_allclose(model.probabilities(texts[number])[0], together[number], rtol=0, atol=1e-5)


def test_a_stream_reads_no_further_ahead_than_some_thousand_texts(make_folder):
    model = load(make_folder())
    read = itertools.count()
    endless = (f"good {next(read)}" for _ in itertools.repeat(None))
    assert isinstance(next(model.stream(endless)), Prediction)
    assert next(read) <= 10_000


def test_a_stream_of_long_texts_is_read_in_smaller_steps(make_folder):
    model = load(make_folder(data={"max_length": 5}))
    read = itertools.count()
    endless = (f"{next(read)} " + "good " * 20_000 for _ in itertools.repeat(None))
    next(model.stream(endless))
    assert next(read) <= 100


def test_a_long_text_is_cut_as_in_training_and_counted(make_folder, caplog):
    model = load(make_folder(data={"max_length": 4}))
    beginning = "a good story with"
    texts = [beginning, beginning + " poor acting", beginning + " no plot at all"]
    with caplog.at_level(logging.WARNING, logger="wenmo"):
        first, *others = model.probabilities(texts)
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 3 texts were cut behind 4 tokens, as in training"
    ]
    for other in others:
        np.testing.assert_allclose(other, first, rtol=0, atol=1e-5)


def test_without_a_limit_nothing_is_cut(make_folder, caplog):
    model = load(make_folder(data={"max_length": 0}))
    model.predict("good " * 5000)
    assert caplog.records == []


def test_texts_of_unknown_words_are_answered_and_named_once(make_folder, caplog):
    model = load(make_folder())
    with caplog.at_level(logging.WARNING, logger="wenmo"):
        answers = model.predict(["good", "", "zwyx qwv", "好看", "good zwyx"])
    assert len(answers) == 5
    assert all(math.isfinite(answer.probability) for answer in answers)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("3 of 5 texts have no token that the model knows; the first is text 2")


def test_counts_that_a_caller_brings_are_filled_and_not_logged(make_folder, caplog):
    model = load(make_folder(data={"max_length": 2}))
    counts = TextCounts()
    list(model.stream(["good"] * 9000 + ["unheard", "good bad fun"], counts=counts))
    assert counts == TextCounts(texts=9002, cut=1, unknown=1, first_unknown=9001)
    assert caplog.records == []


def test_what_is_no_text_is_refused_with_its_number(make_folder):
    model = load(make_folder())
    with pytest.raises(InputError, match=r"text 3 is None, a NoneType; texts are strings"):
        model.predict(["good", "bad", None])


def test_several_labels_are_those_of_at_least_one_half(make_folder):
    model = load(make_folder(labels=("acting", "fun", "plot"), multi_label=True))
    with torch.no_grad():
        model.task.classifier.weight.zero_()
        model.task.classifier.bias.copy_(torch.tensor([0.0, -2.0, 3.0]))
    (prediction,) = model.predict("a good film")
    # sigmoid: 0.5, 0.1192, 0.9526. The least certain decision is the yes to the first, with 0.5.
    assert prediction.label == ("acting", "plot")
    assert prediction.probability == pytest.approx(0.5)
    assert prediction.probabilities == pytest.approx({"acting": 0.5, "fun": 0.1192, "plot": 0.9526}, abs=1e-4)
    assert prediction.to_dict()["label"] == ["acting", "plot"]
    with torch.no_grad():
        model.task.classifier.bias.copy_(torch.tensor([-1.0, -2.0, -3.0]))
    (prediction,) = model.predict("a good film")
    assert prediction.label == ()
    assert prediction.probability == pytest.approx(1 - 0.2689, abs=1e-4)


def test_a_prediction_becomes_plain_values(make_folder):
    (prediction,) = load(make_folder(labels=("差", "好"))).predict("good")
    values = json.loads(json.dumps(prediction.to_dict()))
    assert values == {
        "label": prediction.label,
        "probability": prediction.probability,
        "probabilities": {"差": prediction.probabilities["差"], "好": prediction.probabilities["好"]},
    }


@pytest.mark.parametrize("name", MODELS)
def test_several_threads_predict_at_once(make_folder, some_texts, name):
    model = load(make_folder(name))
    texts = some_texts(1600)
    parts = [texts[start : start + 100] for start in range(0, 1600, 100)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(model.probabilities, parts))
    for part, answer in zip(parts, answers, strict=True):
        np.testing.assert_array_equal(answer, model.probabilities(part))


@pytest.mark.parametrize("name", MODELS)
def test_the_embedding_is_the_models_own_sentence_vector(make_folder, some_texts, name):
    model = load(make_folder(name))
    texts = some_texts(30)
    with torch.no_grad():
        store = TokenStore.from_rows(**encode_texts(texts, model.tokenizer, "none", LongTexts()).columns)
        features = model.extractor(store_batch(store, np.arange(30)))
    vectors = model.embed(texts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, features.pooler_output, rtol=0, atol=1e-5)
    assert model.embed(texts[0]).shape == (1, model.embedding_size())
    assert model.embed([]).shape == (0, model.embedding_size())


def test_an_embedding_can_be_pooled_from_the_tokens(make_folder):
    model = load(make_folder("bag", max_ngram=1))
    good, bad, fun = (model.embed(word, "first")[0] for word in ("good", "bad", "fun"))
    texts = ["good bad fun", "bad"]
    pooled = {how: model.embed(texts, pooling=how) for how in ("mean", "max", "first", "cls", "last")}
    np.testing.assert_allclose(pooled["mean"], [(good + bad + fun) / 3, bad], rtol=0, atol=1e-6)
    np.testing.assert_allclose(pooled["max"], [np.maximum(good, np.maximum(bad, fun)), bad], rtol=0, atol=1e-6)
    np.testing.assert_allclose(pooled["first"], [good, bad], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(pooled["cls"], pooled["first"])
    np.testing.assert_allclose(pooled["last"], [fun, bad], rtol=0, atol=1e-6)
    assert model.embed([], "mean").shape == (0, 6)


def test_normalised_embeddings_have_length_1_or_0(make_folder):
    model = load(make_folder("bag"))
    norms = np.linalg.norm(model.embed(["good", "bad fun", ""], normalize=True), axis=1)
    np.testing.assert_allclose(norms, [1, 1, 0], rtol=0, atol=1e-6)


def test_the_width_of_kmax_vectors_is_that_of_the_pooling(make_folder):
    model = load(make_folder(pooling="kmax", num_maxima=2))
    assert model.embed("a good film").shape == (1, 30) == (1, model.embedding_size())
    assert model.embed("a good film", "mean").shape == (1, 15) == (1, model.embedding_size("mean"))


@pytest.mark.parametrize("runtime", ["packed", "torch"])
def test_bfloat16_points_the_same_way(make_folder, some_texts, runtime):
    folder = make_folder(embedding_size=60, num_filters=40)
    texts = some_texts(50)
    exact = load(folder).embed(texts, normalize=True)
    rough = load(folder, precision="bfloat16", runtime=runtime).embed(texts, normalize=True)
    assert rough.dtype == np.float32
    assert not np.array_equal(exact, rough)
    assert (exact * rough).sum(axis=1).min() > 0.999


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "float16"}, "the precisions are float32, bfloat16"),
        ({"runtime": "onnx"}, "the runtimes are auto, torch, packed"),
        ({"device": "toaster"}, "'toaster' cannot be used"),
    ],
)
def test_settings_that_cannot_work_are_refused(make_folder, settings, message):
    with pytest.raises(InputError, match=message):
        load(make_folder(), **settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(make_folder):
    with pytest.raises(InputError, match=r"'cuda' cannot be used: .* name cpu"):
        load(make_folder(), device="cuda")


def test_an_unknown_pooling_is_refused_with_those_there_are(make_folder):
    with pytest.raises(InputError, match="the poolings are mean, max, first, cls, last"):
        load(make_folder()).embed("good", pooling="median")


def test_a_loaded_model_is_taken_as_it_is(make_folder):
    folder = make_folder()
    model = loaded(folder, runtime="torch")
    assert isinstance(model, Predictor)
    assert loaded(model) is model
    assert model.runtime == "torch"


FORBIDDEN = {
    "datasets",
    "jieba",
    "pandas",
    "pyarrow",
    "pydantic",
    "rich",
    "rjieba",
    "scipy",
    "sklearn",
    "tomli_w",
    "typer",
}


def test_predicting_imports_torch_tokenizers_safetensors_and_numpy_alone(make_folder):
    """What these four import themselves is theirs."""
    needed = modules_after("import torch, tokenizers, safetensors.torch, numpy")
    imported = modules_after("import wenmo; wenmo.load(sys.argv[1]).predict('a good film')", make_folder())
    assert "wenmo.inference.engines" in imported
    assert sorted(name for name in imported - needed if name.partition(".")[0] in FORBIDDEN) == []


def modules_after(program, *arguments):
    """The modules that a fresh process has imported in the end."""
    program = f"import json, sys; {program}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))
