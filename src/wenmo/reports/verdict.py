"""The top of the page: which model to ship and why, in sentences and in a card."""

from collections.abc import Sequence
from typing import Any

from wenmo.reports import quantities
from wenmo.reports.charts import Row
from wenmo.reports.markup import Markup, element, joined, quoted
from wenmo.reports.measure import Measure
from wenmo.reports.quantities import Metric


def winner_of(result: dict[str, Any]) -> str | None:
    """The model whose folder is ready for use: the one scored on test, else the most accurate; None if all failed."""
    tested = (result.get("test") or {}).get("model")
    chosen = tested or (result.get("winners") or {}).get("accurate")
    return str(chosen) if chosen else None


def verdict(result: dict[str, Any], winner: str | None, measure: Measure, title: str) -> Markup:
    """Heading, sentences, the winner's card and the other choices."""
    row = next((row for row in result["rows"] if row["model"] == winner), None)
    eyebrow = element("p", quoted(title), class_="eyebrow")
    if row is None:
        return joined(
            [
                eyebrow,
                element("h1", "No model finished"),
                *(element("p", quoted(str(sentence))) for sentence in result.get("sentences") or []),
                element("p", "The table says what stopped each of them."),
            ]
        )
    sentences = [result.get("winner_reason"), *(result.get("sentences") or [])]
    words = [element("p", quoted(str(sentence))) for sentence in dict.fromkeys(sentences) if sentence]
    if words:
        words[0] = element("div", words[0], class_="reason")
    return joined(
        [
            eyebrow,
            element("h1", "Ship ", element("span", quoted(str(winner)), class_="seal")),
            element("div", *words, _ties(result, str(winner)), class_="sentences"),
            _card(result, row, measure),
            _choices(result, row, measure),
        ]
    )


def _ties(result: dict[str, Any], winner: str) -> Markup | None:
    """What a tie means, where there is one."""
    tied = [
        row["model"]
        for row in result["rows"]
        if row.get("tied_with_best") and row["model"] != winner and not row.get("too_large")
    ]
    if not tied:
        return None
    return element(
        "p",
        "Tied with the best: ",
        *_listed(tied),
        f". A tie means that {_texts(result, 'dev')} are too few to tell these models apart: the difference can be "
        f"luck, and {'it' if len(tied) == 1 else 'each'} is as sound a choice where it is smaller, faster or simpler.",
    )


def _texts(result: dict[str, Any], part: str) -> str:
    """1,200 texts; a single one is a stream of text, and not counted.

    With folds every text of train and dev is once among those that decide.
    """
    sizes = result["data"].get("sizes") or {}
    parts = ("train", "dev") if part == "dev" and result["settings"].get("folds") else (part,)
    size = sum(quantities.number(sizes.get(each)) or 0 for each in parts)
    return f"{quantities.count(size)} texts" if size > 1 else "the texts"


def _listed(names: Sequence[str]) -> list[object]:
    """a, b and c."""
    parts: list[object] = []
    for i, name in enumerate(names):
        parts += [(" and " if i == len(names) - 1 else ", ") if i else "", element("strong", quoted(name))]
    return parts


def _card(result: dict[str, Any], row: Row, measure: Measure) -> Markup:
    metric = measure.metric
    test = ((result.get("test") or {}).get("metrics") or {}).get(result["settings"]["metric"])
    figures = []
    if test:
        below = f"{_texts(result, 'test')} never seen before"
        figures.append(_score(f"{metric.name} on test", metric, test, below))
    figures.append(_score(str(measure), metric, row, f"{_texts(result, 'dev')} on which it was chosen"))
    facts = [
        ("one text", f"{quantities.milliseconds(row.get('latency_ms_p50'))} ms"),
        ("per second", f"{quantities.rate(row.get('texts_per_second'))} texts"),
        ("file", quantities.large(row.get("bytes"), "B")),
        ("parameters", quantities.large(row.get("parameters"))),
        ("training", quantities.seconds(row.get("train_seconds"))),
        ("folder", result.get("winner_folder") or row.get("folder") or quantities.MISSING),
    ]
    listed = [element("div", element("dt", name), element("dd", quoted(str(value)))) for name, value in facts]
    unseen = None
    if not test:
        unseen = element(
            "p",
            "No test set was scored. The winner was chosen on the dev texts, so its figure there is a little too good.",
            class_="quiet",
        )
    return element(
        "section",
        element("div", *figures, class_="figures"),
        element("dl", *listed, class_="facts"),
        unseen,
        class_="card",
        aria_label="The winner in figures",
    )


def _score(name: str, metric: Metric, score: dict[str, Any], below: str) -> Markup:
    unit = metric.sign or metric.unit
    return element(
        "div",
        element("p", name, class_="figure-name"),
        element(
            "p", metric.figure(score.get("value")), element("small", f"\u202f{unit}") if unit else None, class_="figure"
        ),
        element("p", f"95 % interval {metric.interval(score.get('low'), score.get('high'))}", class_="range"),
        element("p", below, class_="quiet"),
    )


def _choices(result: dict[str, Any], row: Row, measure: Measure) -> Markup | None:
    """The fastest and the smallest model, where they are others than the winner."""
    by_name = {each["model"]: each for each in result["rows"]}
    winners = result.get("winners") or {}
    tiles = []
    first = "The lowest figure" if measure.metric.lower_is_better else "The highest figure"
    for key, wish in (("accurate", first), ("fast", "If speed counts"), ("small", "If size counts")):
        other = by_name.get(winners.get(key))
        if other is None or other is row:
            continue
        tiles.append(
            element(
                "div",
                element("p", wish, class_="figure-name"),
                element("p", quoted(other["model"]), class_="choice"),
                element("p", _difference(row, other, measure), class_="quiet"),
            )
        )
    return element("section", *tiles, class_="choices", aria_label="Other choices") if tiles else None


def _difference(row: Row, other: Row, measure: Measure) -> str:
    parts = []
    here, there = quantities.number(row.get("value")), quantities.number(other.get("value"))
    if here is not None and there is not None:
        parts.append(f"{measure} {measure.metric.in_text(there)} ({measure.metric.difference(there - here)})")
    parts.append(f"{quantities.milliseconds(other.get('latency_ms_p50'))} ms a text")
    parts.append(quantities.large(other.get("bytes"), "B"))
    return ", ".join(parts)
