"""``wenmo models`` from the command line."""

import json
import re

import pytest

from wenmo.cli.model_pages import field_meanings
from wenmo.models.registry import presets
from wenmo.models.textcnn import TextCnnConfig


def test_every_model_is_listed_with_parameters_paper_and_use(wenmo):
    answer = wenmo("models", "--json")
    listed = json.loads(answer.stdout)
    assert [model["name"] for model in listed] == list(presets())
    for model in listed:
        assert model["parameters"] > 0 and model["paper"] and model["use"]
    shown = wenmo("models").stdout
    assert all(name in shown for name in presets())


def test_the_parameters_of_a_textcnn_are_those_of_the_paper(wenmo):
    (textcnn,) = [m for m in json.loads(wenmo("models", "--json").stdout) if m["name"] == "textcnn"]
    # 10,000 words and filters of 3, 4 and 5 words over 300 numbers, 100 of each width, with a bias each
    assert textcnn["parameters"] == 10_000 * 300 + (3 + 4 + 5) * 300 * 100 + 300
    described = json.loads(wenmo("models", "textcnn", "--json").stdout)
    assert described["parameters"] == textcnn["parameters"] and described["parameters_per_token"] == 300


@pytest.mark.parametrize("name", presets())
def test_every_setting_of_a_model_is_shown_with_its_value(wenmo, name):
    described = json.loads(wenmo("models", name, "--json").stdout)
    shown = wenmo("models", name)
    assert shown.code == 0
    for setting in described["settings"]:
        assert setting["field"] in shown.stdout


def test_a_setting_shows_what_may_be_chosen_and_follows_the_command_line(wenmo):
    described = json.loads(wenmo("models", "textcnn", "-o", "model.padding=wide", "--json").stdout)
    (padding,) = [setting for setting in described["settings"] if setting["field"] == "model.padding"]
    assert padding["value"] == "wide"
    assert padding["choices"] == ["valid", "same", "wide"]
    assert "zero vectors" in padding["meaning"]


def test_the_meaning_of_a_field_is_the_string_under_it():
    meanings = field_meanings(TextCnnConfig)
    assert meanings["kernel_sizes"] == "Widths of the filters, in tokens."
    assert "embedding_size" not in meanings  # its name says it


@pytest.mark.parametrize("name", presets())
def test_every_model_shows_its_steps_up_to_the_vector_of_the_text(wenmo, name):
    traced = json.loads(wenmo("models", name, "--trace", "房间 very 干净", "--json").stdout)
    assert traced["tokens"]
    assert traced["steps"]
    for step in traced["steps"]:
        assert len(step["axes"]) == len(step["shape"])


def test_the_trace_of_a_textcnn_goes_from_word_vectors_to_the_sentence_vector(wenmo):
    answer = wenmo("models", "textcnn", "--trace", "not bad at all", "-o", "model.num_filters=7")
    assert answer.code == 0
    assert "not | bad | at | all" in answer.stdout
    shapes = [tuple(map(int, re.findall(r"\d+", shape))) for shape in re.findall(r"\([\d, ]+\)", answer.stdout)]
    assert 4 in shapes[0] and shapes[0][-1] == 300  # (length, embedding_size)
    assert shapes[-1][-1] == 21  # 7 filters of each of 3 widths


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["textcn"], "textcnn"),
        (["--trace", "a text"], "wenmo models textcnn --trace"),
        (["textcnn", "--trace", "  "], "no word"),
        (["textcnn", "-o", "model.paddin=wide"], "padding"),
    ],
)
def test_a_wrong_question_is_a_wrong_call(wenmo, arguments, said):
    answer = wenmo("models", *arguments)
    assert (answer.code, answer.stdout) == (2, "")
    assert said in answer.stderr
