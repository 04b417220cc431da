"""Words that join a sentence to the one before, and the relation that they tell.

ERNIE 2.0 (Sun et al., AAAI 2020) learns the relation of two sentences from such markers, after Sileo et al., NAACL 2019
(Discovery), who take two neighbouring sentences of which the second begins with one of 174 markers and cut it off. The
lists here are ours. Their relations are those of the Penn Discourse Treebank 2.0 (Prasad et al., LREC 2008) as far as
they hold between sentences; what a Chinese marker tells follows the Chinese Discourse Treebank (Zhou and Xue, ACL
2012). Markers that mostly join two halves of one sentence (because, if, although; 因为, 如果, 虽然) are left out, and
those that are also other words count only with a comma behind them (结果, so, that is).
"""

import re
from functools import cache
from typing import NamedTuple

RELATIONS = (
    "contrast",
    "concession",
    "result",
    "conjunction",
    "alternative",
    "example",
    "restatement",
    "summary",
    "specification",
    "succession",
    "synchrony",
)
"""By their numbers in the column of a shard."""

_MARKERS: dict[str, tuple[str, ...]] = {
    # Behind the bar: only with a comma behind them.
    "contrast": (
        "但是 但 可是 不过 然而 而是 相反 反之 与此相反 相比之下 相较之下 | 反过来 另一方面",
        "but; however; by contrast; in contrast; on the contrary; on the other hand; conversely | yet; instead; "
        "alternatively; rather",
    ),
    "concession": (
        "尽管如此 虽然如此 即便如此 即使如此 话虽如此 话虽这么说 | 诚然 当然",
        "nevertheless; nonetheless; even so; despite this; despite that; in spite of this; having said that; "
        "that said; admittedly | regardless; still; of course; granted",
    ),
    "result": (
        "因此 所以 因而 于是 从而 为此 故而 这样一来 如此一来 由此可见 由此看来 正因如此 正因为如此 | 结果 这样 可见",
        "therefore; thus; hence; consequently; as a result; as a consequence; accordingly; for this reason; "
        "for that reason; because of this; because of that | so; then",
    ),
    "conjunction": (
        "此外 而且 并且 况且 再说 再者 何况 除此之外 除此以外 不仅如此 不但如此 更重要的是 与之相应 同样地 | "
        "另外 同样 加之 还有",
        "moreover; furthermore; in addition; additionally; what is more; what's more; likewise; similarly; "
        "not only that; more importantly; and | besides; also; again; plus",
    ),
    "alternative": (
        "否则 不然 不然的话 要不然 要不 或者 或者说 要么 | 或",
        "otherwise; or else; if not; or | alternatively",
    ),
    "example": (
        "例如 比如 譬如 比如说 譬如说 举例来说 举个例子 拿这个来说 | 像",
        "for example; for instance; to illustrate; as an example | say",
    ),
    "restatement": (
        "换句话说 换言之 也就是说 这就是说 即是说 简单地说 简单来说 具体来说 具体地说 具体说来 确切地说 准确地说",
        "in other words; that is to say; i.e.; put differently; to put it another way; more precisely; to be precise; "
        "put simply; simply put; namely | that is",
    ),
    "summary": (
        "总之 总而言之 总的来说 总体来说 总体而言 总的来看 综上所述 综上 一句话 归根结底 说到底 由上可知 概括地说",
        "in short; in sum; in summary; to sum up; in conclusion; to conclude; all in all; in brief; "
        "summing up; on the whole | overall; altogether; finally",
    ),
    "specification": (
        "其实 事实上 实际上 确实 的确 尤其是 特别是 尤其 甚至 毕竟 说实话 显然 很明显 显而易见",
        "in fact; indeed; as a matter of fact; actually; in particular; particularly; especially; specifically; "
        "in reality; clearly; obviously; evidently; after all",
    ),
    "succession": (
        "然后 接着 随后 后来 之后 此后 随即 紧接着 接下来 其后 其次 最终 不久之后 过了一会儿 从此 从那以后 终于 | "
        "最后 再次 不久",
        "afterwards; afterward; after that; thereafter; subsequently; later on; soon after; eventually; since then; "
        "from then on; then; lastly; secondly; thirdly | next; later; soon; ultimately",
    ),
    "synchrony": (
        "同时 与此同时 此时 这时 那时 这时候 那时候 正在这时 就在这时 此刻 | 当时",
        "meanwhile; at the same time; in the meantime; simultaneously; at that moment; at this point; at that time | "
        "meantime",
    ),
}

_OTHER_WORD = "[的愿凡丁]"
"""What makes another word of a marker: 后来的, 但愿."""
_PREPOSITION = r"\s+(?:of|to)\b"
"""What makes a preposition of a marker: as a result of, in addition to."""
_COMMA = r"[ \t]*[，,]"


class Connective(NamedTuple):
    """What a sentence begins with."""

    end: int
    """The character behind it, with the comma and the white space that follow it."""
    relation: int
    """Its place in `RELATIONS`."""


def leading_connective(sentence: str) -> Connective | None:
    """The longest marker that a sentence begins with, if there is one and more than it is there."""
    found = _pattern().match(sentence)
    if found is None or not sentence[found.end() :].strip():
        return None
    marker = (found["chinese"] or found["english"]).lower().replace("’", "'")
    free, with_comma = _table()
    relation = free.get(marker)
    if relation is None and found["comma"]:
        relation = with_comma.get(marker)
    return None if relation is None else Connective(found.end(), relation)


def markers() -> dict[str, str]:
    """Every marker with the name of its relation."""
    free, with_comma = _table()
    return {marker: RELATIONS[relation] for marker, relation in {**with_comma, **free}.items()}


@cache
def _table() -> tuple[dict[str, int], dict[str, int]]:
    """The number of the relation of each marker, and of each that wants a comma."""
    free: dict[str, int] = {}
    with_comma: dict[str, int] = {}
    for number, relation in enumerate(RELATIONS):
        for listed, separator in zip(_MARKERS[relation], (None, ";"), strict=True):
            for table, part in zip((free, with_comma), listed.partition("|")[::2], strict=True):
                for marker in part.split(separator):
                    if marker.strip():
                        table.setdefault(marker.strip(), number)
    return free, with_comma


@cache
def _pattern() -> re.Pattern[str]:
    longest_first = sorted(markers(), key=lambda marker: (-len(marker), marker))
    english = "|".join(re.escape(marker).replace("'", "['’]") for marker in longest_first if marker.isascii())
    chinese = "|".join(marker for marker in longest_first if not marker.isascii())
    marker = rf"(?:(?P<chinese>{chinese})(?!{_OTHER_WORD})|(?P<english>(?i:{english}))(?![\w’'-])(?!{_PREPOSITION}))"
    return re.compile(rf"{marker}(?P<comma>{_COMMA})?[ \t]*")
