"""Pages in a headless Chromium: they fit a phone and run nothing that they were given; the report draws, sorts and searches, too."""

import shutil
from pathlib import Path

import pytest

from raygen.classes.words import all_class_words
from raygen.pages.report import write_report
from tests.pages.test_page import MAKERS
from tests.run_folders import made_manifest, row, run_folder

HOSTILE = "</script></td><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'><b onclick=1>"
CONSEQUENCES = ("stop_gained", "missense_variant", "synonymous_variant")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium with a log of its console."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no Chromium with its driver here (Debian: chromium and chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    started.set_script_timeout(60)
    yield started
    started.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """Some of everything: three contigs, both strands, indels, consequences, flags, and one row of hostile text."""
    rows = [
        row(
            chrom,
            pos,
            "A",
            "C",
            pos % 23 - 12.0,
            delta_rev=pos % 19 - 10.0,
            gene=f"GENE{pos}",
            consequence=CONSEQUENCES[pos % 3],
        )
        for chrom in ("1", "2", "X")
        for pos in range(1000, 1040)
    ]
    rows += [
        row(
            "2",
            2000 + pos,
            "AT",
            "A",
            -15.0 - pos,
            delta_rev=-15.0 - pos,
            gene="INDEL",
            consequence="frameshift_variant",
        )
        for pos in range(3)
    ]
    rows.append(row(HOSTILE, 7, "A", "C", -30.0, delta_rev=-30.0, gene=HOSTILE, consequence=HOSTILE, flags=[HOSTILE]))
    manifest = made_manifest(len(rows), (), {"warnings": [HOSTILE]})
    manifest["model"]["name"] = HOSTILE
    return Path(write_report(run_folder(tmp_path_factory.mktemp("report"), rows, manifest=manifest)))


def opened(browser, page, width=1280, dark=False):
    """Open the page at a width, in light or dark, and wait until every chart is drawn."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(page.as_uri())
    browser.execute_async_script("""
        const done = arguments[0];
        const look = () => {
            dispatchEvent(new Event("beforeprint"));  // draws what is far from the screen, too
            document.querySelectorAll(".chart[data-chart]:not([data-drawn=yes], [data-drawn=failed])").length ? setTimeout(look, 20) : done();
        };
        look();""")
    return browser


def js(browser, code):
    return browser.execute_script(code)


def shown_rows(browser) -> list[str]:
    """Gene of every row that is shown, from above."""
    return js(
        browser,
        "return [...document.querySelectorAll('#worst tbody:not([hidden])')].map(body => body.rows[0].cells[2].textContent)",
    )


def typed(browser, name, value):
    js(
        browser,
        f"const field = document.getElementById({name!r}); field.value = {value!r}; field.dispatchEvent(new Event('input'));",
    )


def test_it_opens_draws_every_chart_and_asks_for_nothing(browser, page):
    opened(browser, page)
    assert (
        js(browser, "return document.querySelectorAll('.chart svg').length")
        == js(browser, "return document.querySelectorAll('.chart').length")
        > 8
    )
    assert (
        js(
            browser,
            "return performance.getEntriesByType('resource').map(one => one.name).filter(name => !name.startsWith('data:'))",
        )
        == []
    )
    assert [line for line in browser.get_log("browser") if line["level"] in ("SEVERE", "WARNING")] == []


def test_hostile_text_is_text(browser, page):
    opened(browser, page)
    typed(browser, "search", "onerror")
    js(browser, "document.querySelector('#worst tbody:not([hidden]) th button').click()")
    assert js(browser, "return window.hacked") is None
    assert js(
        browser,
        "return [document.scripts.length, document.images.length, document.querySelectorAll('main b[onclick]').length]",
    ) == [3, 0, 0]
    assert "<img src=x" in js(browser, "return document.querySelector('h1').textContent")
    assert shown_rows(browser) == [HOSTILE]


def test_the_table_sorts_both_ways(browser, page):
    opened(browser, page)
    first = shown_rows(browser)
    assert first[:3] == [HOSTILE, "INDEL", "INDEL"]
    head = "[...document.querySelectorAll('#worst thead button')].find(one => one.textContent === 'delta_llr')"
    assert js(browser, f"return {head}.parentElement.getAttribute('aria-sort')") == "ascending"
    js(browser, f"{head}.click()")
    assert js(browser, f"return {head}.parentElement.getAttribute('aria-sort')") == "descending"
    deltas = js(
        browser,
        "return [...document.querySelectorAll('#worst tbody:not([hidden])')].map(body => Number(body.rows[0].cells[4].dataset.v))",
    )
    assert deltas == sorted(deltas, reverse=True)
    assert len(deltas) == 25
    js(browser, "document.querySelector('#worst thead button').click(); document.getElementById('more').click()")
    ids = js(
        browser, "return [...document.querySelectorAll('#worst tbody:not([hidden]) th')].map(one => one.textContent)"
    )
    assert ids[0] == "1-1000-A-C"
    assert ids.index("2-1039-A-C") < ids.index("2-2000-AT-A") < ids.index("X-1000-A-C")


def test_the_table_searches_and_filters(browser, page):
    opened(browser, page)
    typed(browser, "search", "gene1003 STOP")
    assert shown_rows(browser) == []
    typed(browser, "search", "gene1002 STOP")
    assert shown_rows(browser) == ["GENE1002"] * 3
    assert js(browser, "return document.getElementById('found').textContent") == "3 of 124"
    typed(browser, "search", "")
    typed(browser, "type", "deletion")
    assert shown_rows(browser) == ["INDEL"] * 3
    typed(browser, "class", "benign")
    assert shown_rows(browser) == []


def test_a_variant_opens_in_words(browser, page):
    opened(browser, page)
    typed(browser, "search", "GENE1002")
    button = "document.querySelector('#worst tbody:not([hidden]) th button')"
    js(browser, f"{button}.click()")
    assert js(browser, f"return {button}.getAttribute('aria-expanded')") == "true"
    said = js(browser, "return document.querySelector('#worst tbody:not([hidden]) .words:not([hidden])').innerText")
    assert "C in the place of A" in said
    assert "not a clinical finding" in said


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_a_phone(browser, page, dark):
    opened(browser, page, width=390, dark=dark)
    js(
        browser,
        "document.getElementById('more').click(); document.querySelectorAll('#worst th button').forEach(one => one.click())",
    )
    assert js(browser, "return document.documentElement.scrollWidth") == 390
    wide = js(
        browser,
        """return [...document.querySelectorAll('main *')].filter(one => !one.closest('.unseen, svg')
        && one.getBoundingClientRect().right > 390).map(one => one.tagName + '.' + one.className)""",
    )
    assert wide == []


def test_dark_and_light_have_their_own_colours_in_the_charts_too(browser, page):
    found = {}
    for dark in (False, True):
        opened(browser, page, dark=dark)
        found[dark] = js(
            browser,
            """const bar = document.querySelector('.chart svg [fill="var(--pathogenic)"]');
            return [getComputedStyle(document.body).backgroundColor, getComputedStyle(bar).fill]""",
        )
    assert found[False][0] != found[True][0]
    for dark, (_, fill) in found.items():
        hexed = "#" + "".join(f"{int(part):02x}" for part in fill.strip("rgb()").split(","))
        assert hexed == (all_class_words()[0].dark if dark else all_class_words()[0].light)


def test_tables_have_heads_charts_have_words_and_fields_have_labels(browser, page):
    opened(browser, page)
    assert js(browser, "return document.documentElement.lang") == "en"
    assert (
        js(
            browser,
            "return [...document.querySelectorAll('table')].filter(one => one.closest('main') && (!one.caption || !one.tHead)).length",
        )
        == 0
    )
    assert js(browser, "return [...document.querySelectorAll('main table th')].filter(one => !one.scope).length") == 0
    assert (
        js(
            browser,
            "return [...document.querySelectorAll('.chart')].filter(one => one.getAttribute('aria-label').length < 30).length",
        )
        == 0
    )
    assert (
        js(browser, "return [...document.querySelectorAll('input, select')].filter(one => !one.labels.length).length")
        == 0
    )
    assert js(
        browser,
        "return [...document.querySelectorAll('h1, h2, h3')].map(one => Number(one.tagName[1])).every((level, at, all) => at === 0 ? level === 1 : level - all[at - 1] <= 1)",
    )


@pytest.fixture(scope="module")
def still_pages(tmp_path_factory) -> dict[str, Path]:
    """The pages without scripts, of hostile data."""
    pages = {}
    for command in set(MAKERS) - {"report"}:
        folder = tmp_path_factory.mktemp(command)
        pages[command] = folder / "page.html"
        pages[command].write_text(MAKERS[command](folder), encoding="utf-8")
    return pages


@pytest.mark.parametrize("command", sorted(set(MAKERS) - {"report"}))
def test_pages_without_scripts_ask_for_nothing_run_nothing_and_fit_a_phone(browser, still_pages, command):
    browser.get_log("browser")
    opened(browser, still_pages[command], width=390)
    assert js(browser, "return performance.getEntriesByType('resource').length") == 0
    assert js(browser, "return [window.hacked, document.scripts.length, document.images.length]") == [None, 0, 0]
    assert js(browser, "return document.documentElement.scrollWidth") == 390
    assert [line for line in browser.get_log("browser") if line["level"] in ("SEVERE", "WARNING")] == []
    small = js(
        browser,
        "return [...document.querySelectorAll('.still')].filter(one => one.querySelector('svg').getBoundingClientRect().width < 260).length",
    )
    assert small == 0, "a chart is as wide as the phone lets it be"


def test_a_still_chart_follows_the_dark(browser, still_pages):
    colours = []
    for dark in (False, True):
        opened(browser, still_pages["evaluate"], dark=dark)
        bar = "document.querySelector('.still svg [fill=\"var(--series-2)\"]')"
        colours.append(js(browser, f"return getComputedStyle({bar}).fill"))
    assert colours == ["rgb(213, 94, 0)", "rgb(230, 159, 0)"]
