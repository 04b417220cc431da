"""Text to words: a table of named, versioned segmenters.

A segmenter gives spans ``(start, end)`` into the text it was given: ordered, apart from each other, never empty. It
sees the text after width folding and conversion but before lower-casing, because dictionaries know "A股" and not "a股".

``words`` and ``characters`` keep URLs, e-mail addresses, web domains, numbers (3.5, 1,000), abbreviations (U.S.),
words of letters and digits (iPhone15), and emoji whole: flags, keycaps, skin tones, sequences with joiners. Scripts
written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) give one token a character with its marks. Every other
mark is a token of its own, so a hyphen splits (well - known); white space, control and invisible format characters
are dropped. Combining marks belong to the letter before them, so Arabic, Hebrew and Indic words stay whole.

- ``words``: contractions split as in the Penn Treebank and the vectors trained on it: do n't, it 's, we 'll.
- ``characters``: contractions stay whole: don't.
- ``rjieba``, ``jieba``: Chinese words by the library of that name; all that ``characters`` keeps whole stays whole.
- ``kim``: the cleaning of Kim 2014 (``clean_str`` in yoonkim/CNN_sentence): everything but ``A-Za-z0-9(),!?'` ``
  separates, and 's 've n't 're 'd 'll , ! ( ) ? are tokens or begin one. His code writes three of them with a
  backslash, ``\\(``, by mistake; here they are the bare marks.
- ``treebank``: as the Penn Treebank and the data sets in its style have words: what a hyphen, a slash or a full stop
  joins is one (6-2, well-known, 1996-08-31), and so is an abbreviation with its full stop (Mr., U.S.).
- ``whitespace``: what white space separates.
- ``graphemes``: every character by itself, with its marks; of what the others keep whole, only emoji stay so.
"""

import logging
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from itertools import accumulate, pairwise

from wenmo.errors import InputError

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Segmenter:
    """One way to cut a text, with the version that is recorded beside a model."""

    name: str
    version: str
    spans: Callable[[str], list[Span]]
    words: Callable[[str], list[str]]
    """The same cut as strings; faster where offsets are not needed."""


def load_segmenter(name: str) -> Segmenter:
    """The segmenter of that name.

    Raises:
        InputError: no such segmenter, or the library it needs is not installed.
    """
    if name in _registered:
        return _registered[name]
    if name not in _BUILT_IN:
        known = ", ".join([*_BUILT_IN, *_registered])
        raise InputError(
            f"no segmenter {name!r}; there are {known}. Make your own known with "
            "wenmo.text.segmentation.register_segmenter before the tokenizer is made or loaded"
        )
    return _BUILT_IN[name]()


def register_segmenter(name: str, version: str, function: Callable[[str], Iterable[Span]]) -> None:
    """Make a segmenter of your own known in this process, under a name that tokenizers can be given.

    ``function`` maps a text to spans ``(start, end)``; `locate_words` makes them from plain strings. A word may hold
    white space (Vietnamese): it stands as ``_`` in the token. Registering a name again replaces the earlier function.

    Raises:
        InputError: the name is one of wenmo's own, or name or version is empty.
    """
    if name in _BUILT_IN or name == "auto":
        raise InputError(f"{name!r} is a segmenter of wenmo's own; register yours under another name")
    if not name or not version:
        raise InputError(
            f"a segmenter needs a name and a version, both are kept with models; got {name!r}, {version!r}"
        )

    def spans(text: str) -> list[Span]:
        return _checked(name, text, function(text))

    def words(text: str) -> list[str]:
        return [token_text(text, start, end) for start, end in spans(text)]

    _registered[name] = Segmenter(name, version, spans, words)


def locate_words(text: str, words: Iterable[str]) -> list[Span]:
    """The spans of words that stand in the text in this order, with anything between them.

    Raises:
        InputError: a word does not stand in the text after the word before it.
    """
    spans = []
    position = 0
    for word in words:
        start = text.find(word, position)
        if start < 0:
            raise InputError(f"the word {word!r} does not stand in {text[position : position + 50]!r}")
        position = start + len(word)
        if word:
            spans.append((start, position))
    return spans


def token_text(text: str, start: int, end: int) -> str:
    """The token that stands at a span; white space inside becomes ``_``, so that no token holds a space."""
    return "_".join(text[start:end].split())


def written_without_spaces(character: str) -> bool:
    """Whether a character is of a script that puts no spaces between words: Han, kana, Thai, Lao, Khmer, Burmese."""
    return bool(_UNSPACED.match(character))


def holds_han(text: str) -> bool:
    """Whether a text has a Chinese character."""
    return bool(_HAN_CHARACTER.search(text))


def choose_segmenter(texts: Iterable[str], spaced: str = "words") -> str:
    """What ``auto`` means for these texts: ``characters`` if over half of their letters are Han, else ``spaced``."""
    han = letters = 0
    for text in texts:
        han += len(_HAN_CHARACTER.findall(text))
        letters += sum(map(str.isalpha, text))
    return "characters" if 2 * han > letters else spaced


_HAN = "\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Thai, Lao, Burmese, Khmer (their digits apart, which are numbers), kana, Bopomofo.
_OTHER_UNSPACED = (
    "\u0e01-\u0e4e\u0e80-\u0ece\u1000-\u103f\u104a-\u108f\u109a-\u109f\u1780-\u17d3\u3031-\u3035\u3041-\u312f"
    "\u31a0-\u31bf\u31f0-\u31ff\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f\uff66-\uff9f\U0001aff0-\U0001b16f"
)
# Arrows, signs, boxes, dingbats, circled and squared characters, pictographs: wider than Unicode's list of emoji,
# which makes no difference, because a mark outside that list is a token of its own as well.
_PICTURE = "©®\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3200-\u33ff\U0001f000-\U0001faff"
# Text or picture style, keycap, skin tones, the tags of regional flags.
_PICTURE_MODIFIER = "\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
# White space, controls, soft hyphen, zero-width and direction marks, variation selectors, tags.
_DROPPED = (
    r"\s\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e0fff"
)
_APOSTROPHE = "['’]"
_LETTER = rf"[^\W_{_HAN}{_OTHER_UNSPACED}{_PICTURE}]"  # and digit

_URL_CHARACTER = r"[A-Za-z0-9_.~:/?#\[\]@!$&'*+,;=%-]"
# Parentheses only in pairs, and no mark at the end that belongs to the sentence.
_URL_REST = rf"(?:{_URL_CHARACTER}*+\({_URL_CHARACTER}*+\))*+{_URL_CHARACTER}*(?<=[A-Za-z0-9_/=#&%+~)-])"
# The lengths are bounded so that a long text without spaces is not searched to its end at every token.
_WEB_ADDRESS = rf"""
    (?:[Hh][Tt][Tt][Pp][Ss]?://|[Ff][Tt][Pp]://|[Ww]{{3}}\.){_URL_REST}
    | [A-Za-z0-9][A-Za-z0-9._%+-]{{0,63}}+@(?:[A-Za-z0-9-]{{1,63}}\.){{1,8}}[A-Za-z]{{2,24}}
    | (?:[A-Za-z0-9][A-Za-z0-9-]{{0,62}}+\.){{1,8}}
      (?i:com|net|org|edu|gov|cn)(?i:\.(?:au|cn|hk|jp|tw|uk))?(?![A-Za-z0-9_-])(?:/{_URL_REST})?
"""
_EMOJI = rf"""
    [0-9#*]\ufe0f?\u20e3
    | [\U0001f1e6-\U0001f1ff]{{2}}
    | [{_PICTURE}][{_PICTURE_MODIFIER}]*+(?:\u200d[{_PICTURE}][{_PICTURE_MODIFIER}]*+)*+
"""
_ABBREVIATION = r"(?:[A-Za-z]\.){2,}+[A-Za-z]?(?![A-Za-z0-9])"
_NOT = rf"[Nn]{_APOSTROPHE}[Tt](?!{_LETTER})"
_CLITIC = rf"{_APOSTROPHE}(?:[SsMmDd]|[Ll][Ll]|[RrVv][Ee])(?!{_LETTER})"
_CLITICS = "'(?:s|ve|re|d|ll)"
_SHORTENED = (
    "Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Gen|Gov|Sen|Rep|Lt|Col|Capt|Co|Corp|Inc|Ltd|Bros|No|vs|etc|"
    "Jan|Feb|Aug|Sept|Oct|Nov|Dec|Calif|Conn|Mass|Pa|Va"
)
_KIM = re.compile(rf"[,!()?]|[A-Za-z0-9'`](?:[A-Za-mo-z0-9`]++|n(?!'t)|(?!{_CLITICS})')*+")
_HAN_CHARACTER = re.compile(f"[{_HAN}]")
_UNSPACED = re.compile(f"[{_HAN}{_OTHER_UNSPACED}]")


def _word(apostrophe: str) -> str:
    """The pattern of a word or number, whose letters and digits have their marks with them."""
    near, far = _combining_marks()
    letters = rf"(?:{_LETTER}++[{near}]*+[{far}]*+)++"
    # Hebrew abbreviations are written with a quotation mark; joiners and soft hyphens only count inside a word.
    joint = rf"{apostrophe}|[\u05f3\u05f4]|(?<=[\u0590-\u05ff])\"(?=[\u0590-\u05ff])|_++|[\u00ad\u200c\u200d\u2060]++"
    return rf"""
        [0-9]{{1,3}}(?:,[0-9]{{3}})++(?![0-9])(?:\.[0-9]++)?
        | {letters}(?:(?:{joint}){letters})*+(?:(?<=\d)[.\u066b]\d++)*+
    """


@cache
def _token_pattern(split_contractions: bool) -> re.Pattern[str]:
    near, _ = _combining_marks()
    contractions = rf"{_NOT} | {_CLITIC} | [A-Za-z]+(?={_NOT}) |" if split_contractions else ""
    apostrophe = rf"(?!{_CLITIC}){_APOSTROPHE}" if split_contractions else _APOSTROPHE
    return re.compile(
        rf"""
        [{_HAN}{_OTHER_UNSPACED}][{near}]*+
        | [A-Za-z]++(?=[ ,;?!)"]|\Z)  # most English words; nothing below could take more
        | {_WEB_ADDRESS} | {_ABBREVIATION} | {_EMOJI}
        | {contractions} {_word(apostrophe)}
        | [^{_DROPPED}][{near}]*+
        """,
        re.VERBOSE,
    )


@cache
def _treebank_pattern() -> re.Pattern[str]:
    near, far = _combining_marks()
    letters = rf"(?:{_LETTER}++[{near}]*+[{far}]*+)++"
    joint = rf"(?!{_CLITIC}){_APOSTROPHE}|[-/.&@+=]|\\/|_++|(?<=\d)[,:](?=\d)|[\u00ad\u200c\u200d\u2060]++"
    return re.compile(
        rf"""
        [{_HAN}{_OTHER_UNSPACED}][{near}]*+
        | {_WEB_ADDRESS} | {_ABBREVIATION} | {_EMOJI}
        | (?:{_SHORTENED})\. | [A-Z]\.(?=\s) | -[LR][RCS]B- | \.{{2,}}+ | -{{2,}}+ | `` | ''
        | {_NOT} | {_CLITIC} | [A-Za-z]+(?={_NOT})
        | {letters}(?:(?:{joint}){letters})*+
        | [^{_DROPPED}][{near}]*+
        """,
        re.VERBOSE,
    )


@cache
def _whole_pattern() -> re.Pattern[str]:
    """What a segmenter for Chinese words must not cut."""
    near, _ = _combining_marks()
    words = _word(_APOSTROPHE)
    whole = rf"{_WEB_ADDRESS} | {_ABBREVIATION} | {_EMOJI} | {words} | [{_OTHER_UNSPACED}][{near}]++"
    return re.compile(rf"(?![{_HAN}])(?:{whole})", re.VERBOSE)  # one look is enough at most characters


@cache
def _combining_marks() -> tuple[str, str]:
    """Unicode's combining marks as ranges for a regular expression: the common ones, and those beyond U+FFFF.

    The first are found by one look into a table; the others would be tried range by range after each character.
    """
    ranges: list[list[int]] = []
    for code in range(0x20000):
        if unicodedata.category(chr(code)).startswith("M"):
            if ranges and ranges[-1][1] == code - 1 and code != 0x10000:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    near = [f"{chr(first)}-{chr(last)}" for first, last in ranges if last < 0x10000]
    far = [f"{chr(first)}-{chr(last)}" for first, last in ranges if last >= 0x10000]
    return "".join(near) + "\U000e0100-\U000e01ef", "".join(far)


@cache
def _dropped_characters() -> frozenset[str]:
    dropped = re.compile(f"[{_DROPPED}]")
    return frozenset(filter(dropped.match, map(chr, [*range(0x10000), *range(0xE0000, 0xE1000)])))


def _checked(name: str, text: str, spans: Iterable[Span]) -> list[Span]:
    """The spans of a registered segmenter, if they are what spans must be."""
    spans = list(spans)
    before = 0
    for start, end in spans:
        if not before <= start < end <= len(text) or text[start:end].isspace():
            raise InputError(
                f"segmenter {name!r} gave the span ({start}, {end}) after one that ends at {before}, in a text of "
                f"{len(text)} characters; spans are ordered, apart, inside the text, and hold more than white space"
            )
        before = end
    return spans


def _pattern_segmenter(name: str, version: str, pattern: re.Pattern[str]) -> Segmenter:
    def spans(text: str) -> list[Span]:
        return [match.span() for match in pattern.finditer(text)]

    return Segmenter(name, version, spans, pattern.findall)


def _chinese_segmenter(name: str, cut: Callable[[str], list[str]]) -> Segmenter:
    """Chinese words by a library whose words, put together, are the text."""
    whole = _whole_pattern()
    dropped = _dropped_characters()

    def moved_cuts(text: str, words: list[str]) -> list[int] | None:
        """Where to cut the text if not between these words."""
        wholes = [match.span() for match in whole.finditer(text) if match.end() - match.start() > 1]
        if not wholes:
            return None
        cuts = {0, *accumulate(map(len, words))}
        wrong: set[int] = set()
        missing: set[int] = set()
        for start, end in wholes:
            inside = cuts.intersection(range(start + 1, end))
            if inside:  # otherwise it stands within one word of the dictionary: the A of "A股"
                wrong |= inside
                missing |= {start, end}
        return sorted((cuts - wrong) | missing) if wrong else None

    def spans(text: str) -> list[Span]:
        words = cut(text)
        cuts = moved_cuts(text, words) or [0, *accumulate(map(len, words))]
        return [span for span in pairwise(cuts) if text[span[0]] not in dropped]

    def words(text: str) -> list[str]:
        words = cut(text)
        cuts = moved_cuts(text, words)
        if cuts:
            words = [text[start:end] for start, end in pairwise(cuts)]
        return [word for word in words if word[0] not in dropped]

    return Segmenter(name, metadata.version(name), spans, words)


@cache
def _words() -> Segmenter:
    return _pattern_segmenter("words", "1", _token_pattern(split_contractions=True))


@cache
def _characters() -> Segmenter:
    return _pattern_segmenter("characters", "1", _token_pattern(split_contractions=False))


@cache
def _rjieba() -> Segmenter:
    try:
        from rjieba import Jieba
    except ImportError as error:
        raise InputError('the segmenter rjieba needs the package of that name; pip install "wenmo[zh]"') from error
    # An instance of our own: words that a program adds to the library's shared one must not change a model's input.
    return _chinese_segmenter("rjieba", Jieba().cut)


@cache
def _jieba() -> Segmenter:
    try:
        import jieba
    except ImportError as error:
        raise InputError('the segmenter jieba needs the package of that name; pip install "wenmo[zh]"') from error
    jieba.setLogLevel(logging.WARNING)  # it reports on standard error that it reads its dictionary
    return _chinese_segmenter("jieba", jieba.Tokenizer().lcut)


@cache
def _kim() -> Segmenter:
    return _pattern_segmenter("kim", "1", _KIM)


@cache
def _whitespace() -> Segmenter:
    return _pattern_segmenter("whitespace", "1", re.compile(r"\S+"))


@cache
def _treebank() -> Segmenter:
    return _pattern_segmenter("treebank", "1", _treebank_pattern())


@cache
def _graphemes() -> Segmenter:
    near, far = _combining_marks()
    marks = f"[{near}]*+[{far}]*+"
    return _pattern_segmenter("graphemes", "1", re.compile(rf"{_EMOJI} | [^{_DROPPED}]{marks}", re.VERBOSE))


_BUILT_IN: dict[str, Callable[[], Segmenter]] = {
    "words": _words,
    "characters": _characters,
    "rjieba": _rjieba,
    "jieba": _jieba,
    "kim": _kim,
    "whitespace": _whitespace,
    "treebank": _treebank,
    "graphemes": _graphemes,
}
_registered: dict[str, Segmenter] = {}
