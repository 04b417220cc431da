"""Which model to ship, and the sentences that say so."""

from collections.abc import Mapping, Sequence
from typing import Any

from wenmo.tasks.figures import Metric, chosen_by, metric_named

_WORTH_SAYING = 1.2
"""A model that is less than a fifth faster or smaller is no other choice: so much two measurements differ."""


def choose(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], str]:
    """The most accurate model, and the fastest and the smallest of those that do not differ from it beyond chance.

    Args:
        rows: the models that may win, the best on dev first; each tells whether it is tied with the best.
    """
    best = rows[0]
    tied = [row for row in rows if row["tied_with_best"]]
    fast = max(tied, key=lambda row: row["texts_per_second"])
    small = min(tied, key=lambda row: row["bytes"])
    winners = {"accurate": best["model"], "fast": fast["model"], "small": small["model"]}
    reason = f"{best['model']} has the best {_name(best)} on dev"
    others = [row["model"] for row in tied if row is not best]
    if others:
        reason += f", but {_list(others)} cannot be told from it (paired test, p at least 0.05)"
    return winners, reason + "."


def sentences(result: Mapping[str, Any]) -> list[str]:
    """The comparison in plain words."""
    rows = {row["model"]: row for row in result["rows"] if row["failed"] is None}
    winners = result["winners"]
    best = rows[winners["accurate"]]
    metric = chosen_by({"metric": best["metric"], **result["settings"]})
    said = [result["winner_reason"], _on_dev(best, metric, result)]
    for kind, word in (("fast", "faster"), ("small", "smaller")):
        other = rows[winners[kind]]
        times = _times(best, other, kind)
        if times >= _WORTH_SAYING:
            said.append(f"{other['model']} is {times:.1f} times {word} and no worse as far as dev can tell.")
    linear = max(
        (row for row in rows.values() if row["is_linear"]),
        key=lambda row: metric.goodness(row["value"]),
        default=None,
    )
    if linear is not None and linear is best:
        said.append("A linear model wins: on this data a network from scratch buys nothing.")
    elif linear is not None:
        surely = "no more than chance may give" if linear["tied_with_best"] else "more than chance gives"
        said.append(f"{_gain(metric, best, linear)} on dev, {surely}.")
    if result["test"]:
        value = result["test"]["metrics"][best["metric"]]
        said.append(
            f"On test, looked at once, it has {_name(best)} {metric.with_unit(value['value'])} "
            f"(95 % interval {metric.in_text(value['low'])} to {metric.in_text(value['high'])})."
        )
    too_large = [row["model"] for row in rows.values() if row["too_large"]]
    if too_large:
        said.append(f"{_list(too_large)} could not win: over the size that was asked for.")
    failed = [row["model"] for row in result["rows"] if row["failed"] is not None]
    if failed:
        said.append(f"{_list(failed)} could not be trained.")
    return said


def _on_dev(best: Mapping[str, Any], metric: Metric, result: Mapping[str, Any]) -> str:
    where = f"over {result['settings']['folds']} folds" if result["settings"]["folds"] else "on dev"
    return (
        f"Its {_name(best)} {where} is {metric.with_unit(best['value'])} "
        f"(95 % interval {metric.in_text(best['low'])} to {metric.in_text(best['high'])}); "
        f"it answers {best['texts_per_second']:,.0f} texts a second and takes {best['bytes'] / 1e6:.1f} MB."
    )


def _times(best: Mapping[str, Any], other: Mapping[str, Any], kind: str) -> float:
    if kind == "fast":
        return float(other["texts_per_second"] / best["texts_per_second"])
    return float(best["bytes"] / other["bytes"])


def _gain(metric: Metric, best: Mapping[str, Any], linear: Mapping[str, Any]) -> str:
    """What a network is worth: points more, or so much less where less is better."""
    difference = metric.goodness(best["value"]) - metric.goodness(linear["value"])
    if not metric.lower_is_better:
        return f"Over the best linear model, {linear['model']}, it gains {metric.figure(difference)} points"
    changes = "lowers" if difference >= 0 else "raises"
    amount = metric.with_unit(abs(difference))
    return f"Against the best linear model, {linear['model']}, it {changes} the {metric.name} by {amount}"


def _name(row: Mapping[str, Any]) -> str:
    """Of the metric: a share goes by the name that recipes have for it, such as macro_f1."""
    metric = metric_named(row["metric"])
    return str(row["metric"]) if metric.scale == "share" else metric.name


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
