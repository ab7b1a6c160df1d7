"""What a page is made of, for tests: ``read_page(html)`` gives its tags, what it would fetch, its scripts and its policy."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

_FETCHING = ("src", "srcset", "href", "xlink:href", "action", "formaction", "data", "poster", "background", "ping")


class ReadPage(HTMLParser):
    """A page that was read.

    Attributes:
        tags, handlers: every element, and every attribute that would run something.
        outside: what attributes and styles refer to that is not on the page.
        scripts: texts of those that would run. styles: texts of the stylesheets.
        lines: text of the body, a line for each stretch.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.outside: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.lines: list[str] = []
        self.policy = ""
        self._inside: str | None = None
        self.feed(text)
        self.outside += [reference for style in self.styles for reference in _from_style(style)]

    def handle_starttag(self, tag, attrs):
        named = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.handlers += [name for name in named if name.startswith("on")]
        self.outside += [named[name] for name in _FETCHING if not named.get(name, "#").startswith(("#", "data:"))]
        self.outside += _from_style(
            " ".join(value for name, value in named.items() if name not in ("title", "content"))
        )
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"]
        if tag in ("script", "style"):
            self._inside = "data" if "type" in named else tag

    def handle_endtag(self, tag):
        self._inside = None if tag in ("script", "style") else self._inside

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside == "style":
            self.styles.append(data)
        elif self._inside is None and "body" in self.tags and data.strip():
            self.lines.append(data.strip())

    def holds_all_it_shows(self) -> bool:
        """Nothing is fetched, nothing runs but its own scripts, and the policy says so."""
        scripts = " ".join(map(_allowed, self.scripts)) or "'none'"
        return (
            not self.outside
            and not self.handlers
            and not {"img", "iframe", "object", "embed", "base", "form"} & set(self.tags)
            and self.policy.startswith(f"default-src 'none'; script-src {scripts}; ")
        )


def read_page(text: str) -> ReadPage:
    """Read a page's HTML."""
    return ReadPage(text)


def _allowed(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _from_style(style: str) -> list[str]:
    return re.findall(r"@import|url\((?!['\"]?(?:#|data:))", style)
