"""HTML that nothing written into it can break.

`element` escapes every child and every attribute value that is not `Markup` already, so a text is safe without anybody
remembering to make it so. The names of elements and attributes, and the addresses of links, are ours alone.
"""

import html
import re
from collections.abc import Iterable

_NOT_IN_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_VOID = frozenset({"br", "link", "meta"})

_KANA = re.compile("[\u3040-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7af]")
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


class Markup(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """The text as HTML. Characters that HTML forbids (control characters, lone surrogates) become U+FFFD."""
    return Markup(html.escape(_NOT_IN_HTML.sub("\ufffd", text), quote=True))


def element(name: str, *children: object, **attributes: object) -> Markup:
    """One element: ``element("td", 3, class_="number")`` is ``<td class="number">3</td>``.

    Args:
        name: such as ``"td"``.
        children: escaped unless they are `Markup`; None leaves nothing.
        attributes: an underscore stands for a hyphen, one at the end is dropped; None and False leave the attribute
            out, True writes it without a value.
    """
    given = {key: value for key, value in attributes.items() if value is not None and value is not False}
    written = "".join(_attribute(key, value) for key, value in given.items())
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(children)}</{name}>")


def joined(children: Iterable[object]) -> Markup:
    """The children one after the other."""
    return Markup("".join(_child(each) for each in children if each is not None))


def quoted(text: str, *, limit: int | None = None) -> Markup:
    """A person's own words: isolated, so that their direction does not reorder ours, and marked with their language.

    Args:
        text: a review, a label, a file name.
        limit: characters to show; what is cut is counted.
    """
    rest = len(text) - limit if limit is not None else 0
    if rest > 0:
        text = text[:limit] + "\u2026"
    words = element("bdi", text, lang=language_of(text))
    return joined([words, " ", element("small", f"({rest:,} characters more)")]) if rest > 0 else words


def language_of(text: str) -> str | None:
    """The language tag by which a browser picks the shapes of Han characters; None where the script does not say."""
    if _KANA.search(text):
        return "ja"
    if _HANGUL.search(text):
        return "ko"
    return "zh" if _HAN.search(text) else None


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{_child(value)}"'


def _child(value: object) -> str:
    if isinstance(value, Markup):
        return value
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")  # of coordinates: a hundredth of a pixel is enough
    return escape(str(value))
