"""What is odd about a data set, before a model learns it: ``check_data``.

Each finding is a sentence with a count and a few examples. An error makes the numbers meaningless, a warning bends
them, a note is good to know.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wenmo.data.rows import Row, RowSet
from wenmo.data.splits import row_key

if TYPE_CHECKING:
    from wenmo.text.loading import AnyTokenizer

NUM_EXAMPLES = 5
FEW_ROWS = 10
"""A label with fewer rows to train on is hardly learnt."""
HIGH_SHARE = 0.9
"""Where the commonest label has this share, accuracy is high without any learning."""
LONG_TEXT_CHARACTERS = 100_000


@dataclass(frozen=True)
class Finding:
    """One oddity."""

    kind: str
    """A stable name, such as ``overlap``."""
    severity: Literal["error", "warning", "note"]
    message: str
    """A plain sentence that begins with the name of the part."""
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lengths:
    """Half of the texts are no longer than ``p50``, 95 % no longer than ``p95``."""

    p50: int
    p95: int
    max: int


@dataclass(frozen=True)
class PartSummary:
    """The plain figures of one part."""

    rows: int
    dropped: int
    labels: dict[str, int]
    """Rows of each label, the commonest first; a row with several labels counts for each."""
    characters: Lengths
    tokens: Lengths | None
    """None without a tokenizer."""


@dataclass(frozen=True)
class CheckReport:
    """What ``check_data`` found, the gravest first."""

    findings: list[Finding]
    parts: dict[str, PartSummary]

    def to_dict(self) -> dict[str, Any]:
        """The report in the types of JSON."""
        return {
            "findings": [{**asdict(finding), "examples": list(finding.examples)} for finding in self.findings],
            "parts": {name: asdict(part) for name, part in self.parts.items()},
        }


def check_data(sources: Mapping[str, RowSet], tokenizer: "AnyTokenizer | None" = None) -> CheckReport:
    """Look at each part, and at the parts together.

    Args:
        sources: the parts by name; the one named ``train``, else the first, is what models would learn from.
        tokenizer: adds the lengths in tokens, and texts in which it knows nothing.
    """
    train = "train" if "train" in sources else next(iter(sources), "")
    parts: dict[str, PartSummary] = {}
    findings: list[Finding] = []
    for name, row_set in sources.items():
        rows = row_set.rows
        ids = None if tokenizer is None else _ids(rows, tokenizer)
        parts[name] = _summary(row_set, ids)
        findings += _from_reading(name, row_set)
        findings += _repeated_texts(name, rows)
        findings += _contradictions(name, rows)
        findings += _odd_texts(name, rows)
        if ids is not None and tokenizer is not None:
            findings += _unknown_texts(name, rows, ids, tokenizer.unk_token_id)
        if name == train:
            findings += _labels_to_learn(name, parts[name].labels)
        else:
            findings += _unseen_labels(name, rows, train, parts[train].labels)
    findings += _spellings(parts)
    findings += _overlaps(sources)
    gravity = {"error": 0, "warning": 1, "note": 2}
    return CheckReport(sorted(findings, key=lambda finding: gravity[finding.severity]), parts)


def _summary(row_set: RowSet, ids: list[np.ndarray] | None) -> PartSummary:
    return PartSummary(
        rows=len(row_set.rows),
        dropped=len(row_set.dropped),
        labels=dict(Counter(label for row in row_set.rows for label in _labels(row)).most_common()),
        characters=_lengths([len(row.text) + len(row.text_b or "") for row in row_set.rows]),
        tokens=None if ids is None else _lengths([len(one) for one in ids]),
    )


def _lengths(lengths: list[int]) -> Lengths:
    ordered = sorted(lengths) or [0]
    median, nearly_all = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
    return Lengths(median, nearly_all, ordered[-1])


def _ids(rows: Sequence[Row], tokenizer: "AnyTokenizer") -> list[np.ndarray]:
    """The ids of each row, of a pair those of both texts."""
    ids = tokenizer.encode_batch([row.text for row in rows])
    second = tokenizer.encode_batch([row.text_b or "" for row in rows])
    return [np.concatenate([a, b]) for a, b in zip(ids, second, strict=True)]


def _from_reading(name: str, row_set: RowSet) -> Iterator[Finding]:
    for note in row_set.notes:
        yield Finding("reading", "note", f"{name}: {note}", 1)
    if row_set.dropped:
        reasons = Counter(entry.reason for entry in row_set.dropped)
        said = ", ".join(f"{_count(number, 'row')} with {reason}" for reason, number in reasons.most_common())
        examples = tuple(f"{entry.source}: {entry.reason}" for entry in row_set.dropped[:NUM_EXAMPLES])
        yield Finding("dropped", "warning", f"{name}: left out: {said}", len(row_set.dropped), examples)


def _repeated_texts(name: str, rows: Sequence[Row]) -> Iterator[Finding]:
    times = Counter(_texts(row) for row in rows)
    repeats = len(rows) - len(times)
    if repeats:
        text_of = {_texts(row): row for row in reversed(rows)}
        examples = tuple(f"{n} times: {_example(text_of[key])}" for key, n in times.most_common(NUM_EXAMPLES) if n > 1)
        message = f"{name}: the {_noun(rows)} of an earlier row comes again in {repeats:,} of {len(rows):,} rows"
        yield Finding("duplicates", "note", message, repeats, examples)


def _contradictions(name: str, rows: Sequence[Row]) -> Iterator[Finding]:
    labels_of: dict[Hashable, set[tuple[str, ...]]] = {}
    for row in rows:
        if row.label is not None:
            labels_of.setdefault(_texts(row), set()).add(tuple(sorted(_labels(row))))
    odd = {texts for texts, labels in labels_of.items() if len(labels) > 1}
    if odd:
        first = list({_texts(row): row for row in reversed(rows) if _texts(row) in odd}.values())[::-1]
        examples = tuple(
            f"{_example(row)} ({' / '.join(sorted(', '.join(labels) for labels in labels_of[_texts(row)]))})"
            for row in first[:NUM_EXAMPLES]
        )
        message = (
            f"{name}: different labels on the same {_noun(rows)}, {_count(len(odd), 'time')}; "
            "no model can be right there"
        )
        yield Finding("contradictions", "warning", message, len(odd), examples)


def _odd_texts(name: str, rows: Sequence[Row]) -> Iterator[Finding]:
    long = [row for row in rows if max(len(row.text), len(row.text_b or "")) > LONG_TEXT_CHARACTERS]
    if long:
        examples = tuple(f"{row.source}: {len(row.text):,} characters" for row in long[:NUM_EXAMPLES])
        message = (
            f"{name}: over {LONG_TEXT_CHARACTERS:,} characters in {_count(len(long), 'row')}; is each a single text?"
        )
        yield Finding("long_texts", "warning", message, len(long), examples)
    lost = [row for row in rows if "\ufffd" in row.text or "\ufffd" in (row.text_b or "")]
    if lost:
        message = f"{name}: U+FFFD in {_count(len(lost), 'row')}: characters were lost before the file was written"
        yield Finding("lost_characters", "warning", message, len(lost), _examples(lost))


def _unknown_texts(name: str, rows: Sequence[Row], ids: Sequence[np.ndarray], unk_token_id: int) -> Iterator[Finding]:
    unknown = [row for row, one in zip(rows, ids, strict=True) if (one == unk_token_id).all()]
    if unknown:
        message = (
            f"{name}: no token that the tokenizer knows in {_count(len(unknown), 'row')}; they look alike to a model"
        )
        yield Finding("unknown_texts", "warning", message, len(unknown), _examples(unknown))


_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")


def _labels_to_learn(name: str, labels: Mapping[str, int]) -> Iterator[Finding]:
    """What the labels of the training part promise; they come with the commonest first."""
    if not labels:
        return
    commonest, rows = next(iter(labels.items()))
    if len(labels) == 1:
        message = f"{name}: every row has the label {commonest!r}; there is nothing to tell apart"
        yield Finding("one_class", "error", message, rows)
        return
    single = [label for label, count in labels.items() if count == 1]
    few = [label for label, count in labels.items() if 1 < count < FEW_ROWS]
    if single:
        message = f"{name}: a single row for {_count(len(single), 'label')}; it can be learnt or tested, not both"
        yield Finding("single_example", "warning", message, len(single), tuple(single[:NUM_EXAMPLES]))
    if few:
        message = f"{name}: fewer than {FEW_ROWS} rows for {_count(len(few), 'label')}; collect more, or join some"
        examples = tuple(f"{label}: {labels[label]}" for label in few[:NUM_EXAMPLES])
        yield Finding("few_examples", "warning", message, len(few), examples)
    share = rows / sum(labels.values())
    if share >= HIGH_SHARE:
        message = f"{name}: {share:.0%} of the labels are {commonest!r}; accuracy says little here, look at macro_f1"
        yield Finding("imbalance", "warning", message, rows)
    if message := look_like_measurements(labels):
        examples = tuple(islice(labels, NUM_EXAMPLES))
        yield Finding("number_labels", "warning", f"{name}: {message}", len(labels), examples)


def look_like_measurements(labels: Iterable[str]) -> str:
    """What to say about labels that are numbers, and not all of them whole; empty for any others."""
    labels = list(labels)
    if not all(_NUMBER.fullmatch(label) for label in labels) or all(_WHOLE.fullmatch(label) for label in labels):
        return ""
    return (
        f"the labels look like measurements ({_listed(labels)}); numbers are predicted by regression; here each of "
        "them becomes a class of its own; if that is not meant, round them to a few grades"
    )


def _unseen_labels(name: str, rows: Sequence[Row], train: str, known: Mapping[str, int]) -> Iterator[Finding]:
    if not known:
        return
    unseen = [row for row in rows if not known.keys() >= set(_labels(row))]
    labels = sorted({label for row in unseen for label in _labels(row)} - known.keys())
    if labels:
        message = (
            f"{name}: {_count(len(labels), 'label')} on {_count(len(unseen), 'row')} not seen in {train} "
            f"({_listed(labels)}); no model trained there can give them"
        )
        yield Finding("unseen_labels", "error", message, len(labels), _examples(unseen))


def _spellings(parts: Mapping[str, PartSummary]) -> Iterator[Finding]:
    """Labels that differ in case, width or white space alone, anywhere."""
    written: dict[str, set[str]] = {}
    for label in {label for part in parts.values() for label in part.labels}:
        plain = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
        written.setdefault(plain, set()).add(label)
    several = sorted(" / ".join(sorted(labels)) for labels in written.values() if len(labels) > 1)
    if several:
        message = (
            f"{', '.join(parts)}: several spellings of {_count(len(several), 'label')}; each becomes a class of its own"
        )
        yield Finding("label_spellings", "warning", message, len(several), tuple(several[:NUM_EXAMPLES]))


def _overlaps(sources: Mapping[str, RowSet]) -> Iterator[Finding]:
    """Texts and groups that stand in two parts, for every two parts in their order."""
    texts = {name: {_texts(row) for row in row_set.rows} for name, row_set in sources.items()}
    keys = {name: {row_key(row) for row in row_set.rows} for name, row_set in sources.items()}
    groups = {name: {row.group for row in row_set.rows} - {None} for name, row_set in sources.items()}
    for one, other in combinations(sources, 2):
        rows = sources[other].rows
        same = [row for row in rows if _texts(row) in texts[one]]
        alike = [row for row in rows if _texts(row) not in texts[one] and row_key(row) in keys[one]]
        swapped = [row for row in rows if _texts(row) not in texts[one] and (row.text_b, row.text) in texts[one]]
        if same:
            count = len({_texts(row) for row in same})
            message = (
                f"{other}: also in {one}, word for word: {_count(count, f'different {_noun(rows)}')}, {len(same):,} of "
                f"{len(rows):,} rows; figures on them show memory"
            )
            yield Finding("overlap", "warning", message, count, _examples(same))
        if alike:
            count = len({_texts(row) for row in alike})
            message = (
                f"{other}: also in {one} but for punctuation, white space, case or width: "
                f"{_count(count, f'different {_noun(rows)}')}, {len(alike):,} of {len(rows):,} rows"
            )
            yield Finding("near_overlap", "warning", message, count, _examples(alike))
        if swapped:
            message = (
                f"{other}: also in {one} with the two texts the other way round: {len(swapped):,} of {len(rows):,} "
                "rows; where their order does not matter, figures on them show memory"
            )
            yield Finding("swapped_overlap", "warning", message, len(swapped), _examples(swapped))
        if shared := groups[one] & groups[other]:
            message = f"{other}: rows in {one} too for {_count(len(shared), 'group')}"
            yield Finding(
                "group_overlap", "warning", message, len(shared), tuple(sorted(map(str, shared))[:NUM_EXAMPLES])
            )


def _labels(row: Row) -> tuple[str, ...]:
    return (row.label,) if isinstance(row.label, str) else row.label or ()


def _noun(rows: Sequence[Row]) -> str:
    return "text" if not rows or rows[0].text_b is None else "pair"


def _texts(row: Row) -> Hashable:
    return row.text if row.text_b is None else (row.text, row.text_b)


def _example(row: Row) -> str:
    text = row.text if row.text_b is None else f"{row.text} | {row.text_b}"
    return f"{row.source}: {text[:60]}{'…' if len(text) > 60 else ''}"


def _examples(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(_example(row) for row in rows[:NUM_EXAMPLES])


def _listed(labels: Iterable[str]) -> str:
    shown = list(islice(labels, NUM_EXAMPLES + 1))
    return ", ".join(shown[:NUM_EXAMPLES]) + (" ..." if len(shown) > NUM_EXAMPLES else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"
