"""Which model is named the winner, and in which words."""

from typing import Any

import pytest

from wenmo.errors import InputError
from wenmo.experiments.budget import parse_bytes, parse_seconds
from wenmo.experiments.choosing import choose, sentences


def row(model: str, value: float, *, tied: bool, rate: float, size: float, linear: bool = False) -> dict[str, Any]:
    return {
        "model": model, "metric": "accuracy", "value": value, "low": value - 0.02, "high": value + 0.02, "failed": None,
        "tied_with_best": tied, "texts_per_second": rate, "bytes": size, "is_linear": linear, "too_large": False,
    }  # fmt: skip


def told(rows: list[dict[str, Any]]) -> str:
    winners, reason = choose(rows)
    result = {
        "rows": rows, "winners": winners, "winner_reason": reason, "settings": {"folds": None},
        "test": {"metrics": {"accuracy": {"value": 0.9, "low": 0.88, "high": 0.92}}},
    }  # fmt: skip
    return " ".join(sentences(result))


def test_the_fast_and_the_small_winner_are_no_worse_than_chance_allows() -> None:
    rows = [
        row("textcnn", 0.93, tied=True, rate=1000, size=20e6),
        row("bag", 0.925, tied=True, rate=9000, size=26e6),
        row("tfidf", 0.90, tied=False, rate=20000, size=1e6, linear=True),
    ]
    winners, reason = choose(rows)
    assert winners == {"accurate": "textcnn", "fast": "bag", "small": "textcnn"}
    assert "bag cannot be told from it" in reason and "tfidf" not in reason
    text = told(rows)
    assert "bag is 9.0 times faster" in text
    assert "Over the best linear model, tfidf, it gains 3.0 points on dev, more than chance gives." in text
    assert "On test, looked at once, it has accuracy 90.0 %" in text


def test_a_linear_model_that_wins_is_said_so() -> None:
    rows = [
        row("nbsvm", 0.93, tied=True, rate=9000, size=1e6, linear=True),
        row("textcnn", 0.92, tied=False, rate=900, size=2e7),
    ]
    assert "A linear model wins" in told(rows)


def test_a_difference_that_measuring_may_make_is_not_told() -> None:
    rows = [
        row("nbsvm", 0.93, tied=True, rate=9000, size=1.0e6, linear=True),
        row("tfidf", 0.93, tied=True, rate=9900, size=0.95e6, linear=True),
    ]
    assert "times" not in told(rows)


def test_models_over_the_size_and_those_that_failed_are_named() -> None:
    large = row("textcnn", 0.95, tied=False, rate=10, size=9e9) | {"too_large": True}
    failed = row("bag", 0.0, tied=False, rate=0, size=0) | {"failed": "the loss is nan"}
    small = row("tfidf", 0.9, tied=True, rate=10, size=1e6, linear=True)
    winners, reason = choose([small])
    result = {"rows": [large, small, failed], "winners": winners, "winner_reason": reason, "test": None}
    result["settings"] = {"folds": 5}
    text = " ".join(sentences(result))
    assert "textcnn could not win" in text and "bag could not be trained" in text and "over 5 folds" in text


def test_times_and_sizes_are_read_with_their_units() -> None:
    assert (parse_seconds("90s"), parse_seconds("10m"), parse_seconds("1.5h"), parse_seconds(7)) == (90, 600, 5400, 7)
    assert (parse_bytes("20MB"), parse_bytes("1KiB"), parse_bytes(None)) == (20e6, 1024, None)
    for wrong in ("ten minutes", "10x", "-5m", "0m"):
        with pytest.raises(InputError, match="--budget 10m"):
            parse_seconds(wrong)


def test_where_lower_is_better_a_network_lowers_the_figure_of_the_best_linear_model() -> None:
    def of(model: str, value: float, *, tied: bool, linear: bool) -> dict[str, Any]:
        return row(model, value, tied=tied, rate=1000, size=2e7, linear=linear) | {"metric": "cross_entropy"}

    rows = [
        of("gpt2", 2.619, tied=True, linear=False),
        of("close", 2.742, tied=False, linear=True),
        of("far", 3.5, tied=False, linear=True),
    ]
    winners, reason = choose(rows)
    assert reason == "gpt2 has the best cross entropy on dev."
    test = {"metrics": {"cross_entropy": {"value": 2.7, "low": 2.6, "high": 2.8}}}
    settings = {"folds": None, "metric": "cross_entropy", "lower_is_better": True}
    result = {"rows": rows, "winners": winners, "winner_reason": reason, "settings": settings, "test": test}
    text = " ".join(sentences(result))
    assert "Its cross entropy on dev is 2.619 nats a token (95 % interval 2.599 to 2.639); it answers" in text
    assert (
        "Against the best linear model, close, it lowers the cross entropy by 0.123 nats a token on dev, "
        "more than chance gives." in text
    )
    assert "it has cross entropy 2.700 nats a token (95 % interval 2.600 to 2.800)" in text
    rows[0] |= {"value": 2.8}  # the better linear model was too large to win
    assert "it raises the cross entropy by 0.058 nats a token" in " ".join(sentences(result))


def test_bleu_is_told_in_points_of_its_own_scale() -> None:
    rows = [
        row("seq2seq", 34.1, tied=True, rate=10, size=2e7),
        row("words", 32.8, tied=False, rate=9, size=3e7, linear=True),
    ]
    rows = [each | {"metric": "bleu"} for each in rows]
    winners, reason = choose(rows)
    settings = {"folds": None, "metric": "bleu", "lower_is_better": False}
    result = {"rows": rows, "winners": winners, "winner_reason": reason, "settings": settings, "test": None}
    text = " ".join(sentences(result))
    assert (
        "seq2seq has the best BLEU on dev." in text and "Its BLEU on dev is 34.1 (95 % interval 34.1 to 34.1)" in text
    )
    assert "Over the best linear model, words, it gains 1.3 points on dev" in text
