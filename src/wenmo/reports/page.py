"""One HTML file that needs nothing else: no script, no font, no picture, no address.

Its Content-Security-Policy forbids the browser to load or run anything, and every text is escaped on its way in
(`wenmo.reports.markup`).
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from wenmo.reports.markup import Markup, element
from wenmo.reports.style import STYLE_SHEET

Section = tuple[str, str, Markup]
"""Address within the page, heading, the whole."""


def section(key: str, heading: str, *content: object) -> Section:
    """A part of a page under its heading."""
    title = element("h2", heading, id=f"{key}-heading")
    return key, heading, element("section", title, *content, id=key, aria_labelledby=f"{key}-heading")


def page(title: str, header: Markup, sections: Sequence[Section], footer: Markup) -> str:
    """The whole page."""
    body = element(
        "body",
        element("header", header),
        element("nav", *(element("a", name, href=f"#{key}") for key, name, _ in sections), aria_label="On this page"),
        element("main", *(markup for _, _, markup in sections)),
        element("footer", footer),
    )
    return f"<!DOCTYPE html>\n{element('html', _head(title), body, lang='en')}\n"


def write_page(text: str, path: Path) -> None:
    """Write a page; it appears whole or not at all, and one that is there already is replaced.

    Raises:
        OSError: the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _head(title: str) -> Markup:
    # The policy names the one style sheet by its hash: not even a style attribute would get past it.
    digest = base64.b64encode(hashlib.sha256(STYLE_SHEET.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("meta", name_="referrer", content="no-referrer"),
        element("title", title),
        element("style", Markup(STYLE_SHEET)),
    )
