"""What a browser would make of the html: its tags, attributes and text."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = ("br", "img", "meta")
JUPYTERLAB_TAGS = frozenset(
    [
        "a",
        "b",
        "br",
        "caption",
        "code",
        "col",
        "colgroup",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "li",
        "mark",
        "ol",
        "p",
        "pre",
        "s",
        "section",
        "small",
        "span",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "u",
        "ul",
    ]
)
"""Of the tags that JupyterLab's sanitizer keeps (`apputils/src/sanitizer.ts`), those that make sense here."""

JUPYTERLAB_ATTRIBUTES = {
    "*": {"class", "id", "style", "title", "lang", "hidden"},
    "img": {"alt", "src", "width", "height"},
    "td": {"align", "colspan", "rowspan", "scope"},
    "th": {"align", "colspan", "rowspan", "scope"},
    "details": {"open"},
}


class Reading(HTMLParser):
    """The tags, attributes, text and nesting errors of a piece of html."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.prose = ""
        self.errors: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.errors += [f"<{tag}> is never closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.errors.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        self.text += data
        if not {"code", "style", "span"}.intersection(self._open):
            self.prose += data
