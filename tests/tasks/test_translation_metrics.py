"""BLEU and chrF are sacreBLEU's, and each figure says what it is."""

import math

import pytest

from wenmo.tasks.translation_metrics import bleu, chrf, differs_by_chance, signatures, translation_metrics

REFERENCES = ["Ein Hund läuft über die Wiese.", "Zwei Kinder spielen im Park mit einem Ball."] * 10
SAID = ["Ein Hund läuft über das Gras.", "zwei Kinder spielen im Park mit einem Ball."] * 10


def test_bleu_worked_by_hand():
    # "the cat is on the mat" against "the cat sat on the mat": 5 of 6 words, 3 of 5 pairs, 1 of 4 triples and 0 of 3
    # runs of four stand in the reference; sacreBLEU smooths the first 0 as half a match (exp): 1 / (2 * 3).
    by_hand = 100 * math.prod([5 / 6, 3 / 5, 1 / 4, 1 / 6]) ** (1 / 4)
    assert bleu(["the cat sat on the mat"], ["the cat is on the mat"]) == pytest.approx(by_hand)
    # And shorter than the reference: the brevity penalty exp(1 - 6 / 5).
    assert bleu(["the cat sat on the mat"], ["the cat sat on the"]) == pytest.approx(100 * math.exp(1 - 6 / 5))


def test_capitals_count_unless_they_are_left_out():
    metrics = translation_metrics(REFERENCES, SAID)
    assert metrics["bleu"]["value"] == bleu(REFERENCES, SAID)
    assert metrics["chrf"]["value"] == chrf(REFERENCES, SAID)
    assert metrics["bleu_lowercase"]["value"] == pytest.approx(
        bleu([text.lower() for text in REFERENCES], [text.lower() for text in SAID])
    )
    assert metrics["bleu"]["value"] < metrics["bleu_lowercase"]["value"] < 100
    for interval in metrics.values():
        assert 0 <= interval["low"] < interval["value"] < interval["high"] <= 100


def test_signatures_say_what_was_computed():
    said = signatures(REFERENCES)
    assert said["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert "case:lc" in said["bleu_lowercase"]
    assert said["chrf"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0")


def test_chinese_is_compared_by_characters():
    references = ["一只狗跑过草地。", "两个孩子在公园里玩球。"]
    assert "tok:zh" in signatures(references)["bleu"]
    assert 30 < bleu(references, ["一只狗跑过草原。", "两个孩子在公园里玩。"]) < 100


def test_only_a_difference_that_is_large_enough_is_no_chance():
    worse = ["Ein Hund.", "Kinder im Park."] * 10
    assert differs_by_chance("bleu", REFERENCES, SAID, SAID) > 0.9
    assert differs_by_chance("bleu", REFERENCES, SAID, worse) < 0.01
    assert differs_by_chance("chrf", REFERENCES, SAID, worse) < 0.01
