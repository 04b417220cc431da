"""What the models learnt from and were measured on."""

from typing import Any

from wenmo.reports import quantities
from wenmo.reports.charts import bar
from wenmo.reports.markup import Markup, element, joined, quoted

_PARTS = ("train", "dev", "test")


def data_section(data: dict[str, Any]) -> Markup:
    """Sources, sizes, lengths, notes of the readers, and how often each label occurs in each part."""
    halves = [element("div", _facts(data), _notes(data)), _label_balance(data)]
    return element("div", *(half for half in halves if half), class_="halves")


def _facts(data: dict[str, Any]) -> Markup:
    sources, sizes = data.get("sources") or {}, data.get("sizes") or {}
    noun = "pair" if data.get("pairs") else "text"
    facts: list[tuple[str, object]] = []
    for part in _PARTS:
        source = quoted(str(sources[part])) if sources.get(part) else None
        size = f"{quantities.count(sizes[part])} {noun}{'s' * (sizes[part] != 1)}" if sizes.get(part) else "none"
        origin = source or (element("span", "split off from train", class_="quiet") if sizes.get(part) else None)
        facts.append((part, joined([size, element("br"), origin] if origin else [size])))
    for unit in ("token", "character"):
        if lengths := data.get(f"{unit}_lengths"):
            amounts = [f"{name} {quantities.count(lengths.get(name))}" for name in ("p50", "p95", "max")]
            facts.append((f"{unit}s a {noun}", ", ".join(amounts)))
    if data.get("sha256"):
        facts.append(("SHA-256", element("code", str(data["sha256"]), class_="hash")))
    rows = [element("div", element("dt", name), element("dd", value)) for name, value in facts]
    return element("dl", *rows, class_="listed")


def _notes(data: dict[str, Any]) -> Markup | None:
    notes = [element("li", quoted(str(note), limit=600)) for note in data.get("notes") or []]
    return joined([element("h3", "Noticed on reading"), element("ul", *notes)]) if notes else None


def _label_balance(data: dict[str, Any]) -> Markup | None:
    counts: dict[str, dict[str, int]] = data.get("label_counts") or {}
    parts = [part for part in _PARTS if counts.get(part)]
    if not parts:
        return None
    labels = list(dict.fromkeys([*(data.get("labels") or []), *(label for part in parts for label in counts[part])]))
    first = counts[parts[0]]
    total, largest = sum(first.values()) or 1, max(first.values(), default=0) or 1
    rows = [
        element(
            "tr",
            element("th", element("span", quoted(label), class_="cut", title=label), scope="row"),
            element("td", bar(first.get(label, 0) / largest, of_whole=False), class_="drawing"),
            element("td", quantities.percent(first.get(label, 0) / total), class_="number main"),
            *(element("td", quantities.count(counts[part].get(label, 0)), class_="number") for part in parts),
        )
        for label in labels
    ]
    heads = [
        element("th", "Label", scope="col"),
        element("th", element("span", "bar against the most frequent label", class_="unseen"), scope="col"),
        element("th", f"{parts[0]}, %", scope="col", class_="number"),
        *(element("th", part, scope="col", class_="number") for part in parts),
    ]
    table = element(
        "table",
        element("caption", "How often each label occurs", class_="unseen"),
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
        class_="classes",
    )
    scroll = element("div", table, class_="scroll", tabindex=0, role="region", aria_label="Label balance")
    return element("div", element("h3", "Label balance"), scroll)
