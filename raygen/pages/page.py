"""A page that holds all it shows: one base template, one stylesheet, and what the page may do.

In: the name of a template that extends ``page_parts/page.html.j2``, what every page has (``Page``), and the values of that
template. Out: HTML. Text of a user's tables goes through Jinja's escaping, into JSON in which ``<`` is spelled out, or into
charts as data. Beyond that a page forbids itself any network and every script but those it was given (by their hashes), with
a Content-Security-Policy: what slipped in could not run. A page without scripts allows none.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from raygen.pages.palette import css_variables
from raygen.version import __version__

_HASH = "'sha256-{}'"


@dataclass(frozen=True)
class Page:
    """What every page has around its own sections.

    Attributes:
        command: the command of raygen that makes such pages; above the heading.
        title: the title on the browser's tab.
        under: the line below the heading.
        sections: (id, title) of each in order, for the list of links; the first is where the skip link leads.
        notices: what to know before any number is read, the gravest first.
        source: after the version in the last line: what it was made from, and when.
    """

    command: str
    title: str
    heading: str
    under: str
    sections: Sequence[tuple[str, str]]
    notices: Sequence[str] = ()
    source: str = ""


def render(
    template: str,
    page: Page,
    *,
    scripts: Sequence[str] = (),
    data: Sequence[Mapping[str, Any]] = (),
    **values: Any,
) -> str:
    """A page as HTML, its parts filled into a template.

    Args:
        template: a file of ``page_parts``.
        scripts: of raygen or of a library, never of a user; they run in this order and may read ``data``.
        data: for the scripts, as JSON.
    """
    return (
        _environment()
        .get_template(template)
        .render(
            page=page,
            policy=_policy(scripts),
            style=Markup(css_variables() + page_part("page.css")),
            scripts=[Markup(script) for script in scripts],
            data=Markup(_json(data)),
            version=__version__,
            **values,
        )
    )


def page_part(name: str) -> str:
    """A file of ``page_parts`` as text."""
    return (files("raygen.pages") / "page_parts" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    """Jinja's environment: values are escaped, and a value that is missing is an error of ours."""
    return Environment(
        loader=FunctionLoader(page_part),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _policy(scripts: Sequence[str]) -> str:
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(map(_HASH.format, hashes)) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _json(values: Sequence[Mapping[str, Any]]) -> str:
    """Values as JSON that cannot end the script element it stands in."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
