"""Which column is what: given by name, or found by the names that people give them."""

import difflib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

from wenmo.data.encoding import Tell
from wenmo.errors import InputError

SAMPLE_RECORDS = 1000
"""Rows that are looked at before the first one is given."""

# The likelier name first: where several are there, the first is taken and the reader says so.
TEXT_NAMES = (
    *("text", "sentence", "review", "content", "comment", "document", "body", "message", "tweet", "utterance"),
    *("reviewtext", "review_text", "review_body", "question", "query", "headline", "title", "texts", "sentences"),
    *("文本", "评论", "内容", "句子", "正文", "评价", "留言", "问题", "标题", "文本内容", "评论内容"),
)
LABEL_NAMES = (
    *("label", "labels", "class", "category", "sentiment", "polarity", "intent", "topic", "tag", "tags"),
    *("rating", "stars", "score", "y", "classes", "categories", "label_desc"),
    *("标签", "类别", "分类", "情感", "情感倾向", "类目", "意图", "评分", "星级"),
)
PAIR_NAMES = (
    *(("text_a", "text_b"), ("text1", "text2"), ("sentence1", "sentence2"), ("sentence_a", "sentence_b")),
    *(("question1", "question2"), ("premise", "hypothesis"), ("query", "response"), ("问题1", "问题2")),
    *(("句子1", "句子2"), ("文本1", "文本2")),
)
_KNOWN_NAMES = {*TEXT_NAMES, *LABEL_NAMES, *(name for pair in PAIR_NAMES for name in pair)}


@dataclass(frozen=True, kw_only=True)
class AskedColumns:
    """The columns a person named; None where the reader is to find them."""

    text: str | None = None
    text_b: str | None = None
    label: str | None = None
    group: str | None = None
    time: str | None = None

    def names(self) -> list[str]:
        return [name for name in astuple(self) if name is not None]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where in a record each thing stands; None where the source does not have it."""

    columns: Sequence[str]
    text: int
    text_b: int | None = None
    label: int | None = None
    group: int | None = None
    time: int | None = None

    def named(self) -> dict[str, str]:
        """``{"text": "review", "label": "stars"}``."""
        roles = {field.name: getattr(self, field.name) for field in fields(AskedColumns)}
        return {role: self.columns[index] for role, index in roles.items() if index is not None}


def _plain(cell: object) -> str:
    return cell.strip().casefold() if isinstance(cell, str) else ""


def has_known_name(cells: Sequence[object], asked: Sequence[str] = ()) -> bool:
    """Whether one of the cells is a column name we know, or one of those asked for."""
    known = _KNOWN_NAMES | {name.casefold() for name in asked}
    return any(_plain(cell) in known for cell in cells)


def settle_header(
    first: Sequence[object], below: Sequence[Sequence[object]], asked: AskedColumns, source: str, tell: Tell
) -> tuple[list[str], bool]:
    """Decide whether the first record names the columns or is data already.

    It names them when a person named columns, and when it holds two names we know, or one that does not come again
    below in its column. Without a name we know it is data if one of its cells comes again below, as a label does; a
    single column is data anyway. Else it is taken for names, which ``find_layout`` refuses with the list of them.

    Returns:
        The names of the columns, and whether the first record is data.

    Raises:
        InputError: three columns or more of data without names.
    """
    names = ["" if cell is None else str(cell).strip() for cell in first]
    known = sum(has_known_name([cell]) for cell in first)
    if asked.names() or known >= 2:
        return names, False
    comes_again = any(cell == row[index] for index, cell in enumerate(first) for row in below if index < len(row))
    if known and not comes_again:
        return names, False
    if len(first) == 1:
        tell(f"{source}: no column name, read as a text; if it is a name, ask for the column by it")
        return ["text"], True
    if not comes_again:
        return names, False
    if len(first) > 2:
        raise InputError(
            f"{source}: this line seems to be data, not the names of {len(first)} columns; add a first line with "
            "names, such as label and text"
        )
    # Labels repeat, texts seldom do.
    variety = [len({row[index] for row in [first, *below] if index < len(row)}) for index in (0, 1)]
    names = ["label", "text"] if variety[0] <= variety[1] else ["text", "label"]
    tell(f"{source}: no column names; the columns were taken for {names[0]} and {names[1]}")
    return names, True


def find_layout(columns: Sequence[str], asked: AskedColumns, *, need_label: bool, name: str, tell: Tell) -> Layout:
    """Find each column, those asked for first.

    Args:
        columns: the names in the source.
        asked: what a person named.
        need_label: whether a source without labels is an error.
        name: how messages call the source.
        tell: hears what was chosen among several, and what was concluded.

    Raises:
        InputError: a name that is not there, with the nearest that is; no column for the text, or for the label.
    """
    group = _index_of(columns, asked.group, name)
    time = _index_of(columns, asked.time, name)
    text = _index_of(columns, asked.text, name)
    text_b = _index_of(columns, asked.text_b, name)
    label = _index_of(columns, asked.label, name)
    if text is None and text_b is None:
        text, text_b = _find_pair(columns)
    taken = {text, text_b, label, group, time}
    if text is None:
        text = _find(columns, TEXT_NAMES, taken, "text", name, tell)
        taken.add(text)
    if label is None:
        label = _find(columns, LABEL_NAMES, taken, "label", name, tell)
        taken.add(label)
    free = [index for index in range(len(columns)) if index not in taken]
    if text is None and len(free) == 1:
        text = free.pop()
        if len(columns) > 1:
            tell(f"{name}: the column {columns[text]!r} is read as the text, being the only one left")
    if label is None and need_label and text is not None and text_b is None and len(free) == 1:
        label = free.pop()
        tell(f"{name}: the column {columns[label]!r} is read as the label, being the only one left")
    if text is not None and label is None and need_label and len(columns) == 1:
        raise InputError(
            f"{name} has texts and no labels; labelled text has two columns: a .tsv with label and text, csv or jsonl"
        )
    if text is None or (label is None and need_label):
        missing = "text" if text is None else "label"
        raise InputError(
            f"{name}: which column is the {missing}? There are {_listed(columns)}; name it with {missing}_column "
            f"(--{missing}-column); if these are no names, add a first line with names"
        )
    return Layout(columns=columns, text=text, text_b=text_b, label=label, group=group, time=time)


def _listed(columns: Sequence[str]) -> str:
    shown = [repr(column if len(column) <= 40 else column[:39] + "…") for column in columns[:20]]
    return ", ".join(shown) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")


def _index_of(columns: Sequence[str], wanted: str | None, name: str) -> int | None:
    if wanted is None:
        return None
    places = [index for index, column in enumerate(columns) if column == wanted]
    places = places or [index for index, column in enumerate(columns) if column.casefold() == wanted.casefold()]
    if len(places) > 1:
        raise InputError(f"{name}: {len(places)} columns are named {wanted!r}; give them different names")
    if not places:
        nearest = difflib.get_close_matches(wanted, columns, n=1, cutoff=0.0)  # never empty
        raise InputError(f"{name} has no column {wanted!r}; did you mean {nearest[0]!r}? There are {_listed(columns)}")
    return places[0]


def _find_pair(columns: Sequence[str]) -> tuple[int | None, int | None]:
    plain = [_plain(column) for column in columns]
    for first, second in PAIR_NAMES:
        if plain.count(first) == plain.count(second) == 1:
            return plain.index(first), plain.index(second)
    return None, None


def _find(
    columns: Sequence[str], names: Sequence[str], taken: set[int | None], role: str, name: str, tell: Tell
) -> int | None:
    plain = [_plain(column) for column in columns]
    found = [i for known in names for i, column in enumerate(plain) if column == known and i not in taken]
    if not found:
        return None
    if len(found) > 1:
        if plain[found[0]] == plain[found[1]]:
            raise InputError(f"{name}: two columns are named {columns[found[0]]!r}; give them different names")
        others = ", ".join(repr(columns[index]) for index in found[1:])
        tell(f"{name}: {columns[found[0]]!r} is read as the {role}, not {others}; {role}_column says otherwise")
    return found[0]
