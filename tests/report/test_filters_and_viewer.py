"""The page's filters, its tables of many rows and its 3D view, driven in a browser at desk and phone width."""

import json
import re
import time

import pytest
import report_browser
from report_browser import CHROMIUM, Browser

from dgsweep.report.grid import ROWS_AT_ONCE

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
)

DESK, PHONE = (1280, 900), (390, 844)
SOFTWARE_GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
FIRST_COLUMN = "[...document.querySelectorAll('#methods .grid')].at(-1).querySelectorAll('tbody th')"
SHOWN = "document.getElementById('shown').textContent"
SLOW = 120
"""Seconds: WebGL without a graphics card compiles its programs slowly."""


@pytest.fixture(scope="module")
def page(full_report):
    return full_report


@pytest.fixture(scope="module")
def long_page(page, tmp_path_factory):
    """The same with the waiting rows that thousands of shifts would leave: no bootstrap has to be drawn for them."""
    text = page.read_text(encoding="utf-8")
    rows = [
        [("erm", "gin")[index % 2], f"C9/T1W → C{index}/T2W", "<b>0.5</b>", "<div></div>", "", "", "", "1 / 1"]
        for index in range(3000)
    ]
    waiting = f'<script type="application/json" class="waiting">{json.dumps(rows)}</script>'
    at = text.index("</div>", text.index('class="pager"', text.index("<caption>Each shift</caption>"))) + len("</div>")
    path = tmp_path_factory.mktemp("long") / "report.html"
    path.write_text(text[:at] + waiting + text[at:], encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One browser with WebGL in software for the whole module."""
    yield from started(tmp_path_factory, SOFTWARE_GL)


@pytest.fixture(scope="module")
def flat_browser(tmp_path_factory):
    """One that has no WebGL."""
    yield from started(tmp_path_factory, ("--disable-gpu", "--disable-3d-apis"))


def started(tmp_path_factory, flags):
    plain = report_browser.FLAGS
    report_browser.FLAGS = (*(flag for flag in plain if flag != "--disable-gpu"), *flags)
    opened = Browser(tmp_path_factory.mktemp("profile"))
    report_browser.FLAGS = plain
    yield opened
    opened.close()


def show(browser, page, size=DESK, fragment=""):
    width, height = size
    browser.events.clear()
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=size == PHONE
    )
    browser.call("Page.navigate", url="about:blank")
    browser.call("Page.navigate", url=page.as_uri() + fragment)
    browser.wait("typeof Filters === 'object' && document.readyState === 'complete'", SLOW)


def tick(browser, facet, value):
    browser.value(f"document.querySelector('[data-facet={facet}] input[value=\"{value}\"]').click()")


def methods_shown(browser):
    return set(browser.value(f"[...{FIRST_COLUMN}].map(cell => cell.textContent)"))


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_a_ticked_method_is_the_only_one_in_the_tables(browser, page, size):
    show(browser, page, size)
    assert methods_shown(browser) == {"erm", "gin"}
    whole = browser.value(SHOWN)
    tick(browser, "method", "gin")
    assert methods_shown(browser) == {"gin"}
    found = re.match(r"([\d ]+) of ([\d ]+) rows shown", browser.value(SHOWN))
    fitting, rows = (int(part.replace(" ", "")) for part in found.groups())
    assert 0 < fitting < rows
    assert whole.startswith(f"{rows} of {rows}")
    assert browser.complaints() == []


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_filters_and_open_choices_make_nothing_wider_than_the_window(browser, page, size):
    show(browser, page, size)
    browser.value("document.querySelectorAll('.pick').forEach(one => one.open = true)")
    tick(browser, "target", "T2W")
    browser.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.value("document.documentElement.scrollWidth") <= size[0]


def test_the_address_holds_the_filters_and_brings_them_back(browser, page):
    show(browser, page)
    tick(browser, "method", "gin")
    tick(browser, "source", "T1W")
    fragment = browser.value("location.hash")
    assert fragment == "#method=gin&source=T1W"
    seen = browser.value(SHOWN)
    show(browser, page, fragment=fragment)
    assert browser.value(SHOWN) == seen
    assert methods_shown(browser) == {"gin"}
    show(browser, page)
    assert browser.value(SHOWN) != seen


def test_a_link_to_a_section_keeps_the_filters(browser, page):
    show(browser, page)
    tick(browser, "method", "gin")
    browser.value("document.querySelector('nav a[href=\"#costs\"]').click()")
    browser.wait("location.hash === '#costs&method=gin'")
    assert methods_shown(browser) == {"gin"}


def test_an_unknown_filter_in_the_address_hides_nothing(browser, page):
    show(browser, page, fragment="#method=none-such&colour=red")
    assert methods_shown(browser) == {"erm", "gin"}


def test_a_target_leaves_its_column_of_the_maps(browser, page):
    show(browser, page)
    cells = "[...document.querySelector('table.heat').tHead.rows[0].cells].slice(1)"
    heads = f"{cells}.filter(one => !one.hidden).map(one => one.textContent)"
    assert len(browser.value(heads)) > 1
    tick(browser, "target", "T2W")
    assert browser.value(heads) == ["T2W"]


def test_pictures_of_other_methods_go_and_come_back(browser, page):
    show(browser, page)
    counted = "[...document.querySelectorAll('.case')].filter(one => !one.hidden).length"
    every = browser.value(counted)
    tick(browser, "method", "gin")
    assert 0 < browser.value(counted) < every
    browser.value("document.getElementById('clear').click()")
    assert browser.value(counted) == every


def test_thousands_of_rows_are_turned_over_by_fifties(browser, long_page):
    show(browser, long_page)
    grid = "[...document.querySelectorAll('#methods .grid')].at(-1)"
    rows = f"{grid}.querySelectorAll('tbody tr').length"
    browser.value(f"{grid}.querySelector('.turn-on').click()")
    assert browser.value(rows) == ROWS_AT_ONCE
    assert browser.value(f"{grid}.querySelector('.rows').textContent").startswith(f"Rows {ROWS_AT_ONCE + 1} to ")
    tick(browser, "method", "gin")
    assert browser.value(rows) == ROWS_AT_ONCE
    assert "filtered out" in browser.value(f"{grid}.querySelector('.rows').textContent")
    assert browser.value("document.querySelectorAll('tbody tr').length") < 1500


def test_choices_are_reached_and_closed_by_the_keyboard(browser, page):
    show(browser, page)
    browser.value("document.querySelector('.pick summary').focus()")
    for key in ("Enter", "Tab", " "):
        press(browser, key)
    assert methods_shown(browser) == {"erm"}
    press(browser, "Escape")
    assert browser.value("document.querySelectorAll('.pick[open]').length") == 0
    assert browser.value("document.activeElement.tagName") == "SUMMARY"


def press(browser, key):
    codes = {"Enter": (13, "\r"), "Tab": (9, ""), " ": (32, " "), "Escape": (27, "")}
    code, text = codes[key]
    common = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code}
    browser.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
    browser.call("Input.dispatchKeyEvent", type="keyUp", **common)


def seen(browser):
    """What the canvas shows, as PNG."""
    rectangle = "document.getElementById('viewer-canvas').getBoundingClientRect().toJSON()"
    found = browser.value(rectangle)
    box = {name: found[name] for name in ("width", "height")}
    box |= {"x": found["x"] + browser.value("scrollX"), "y": found["y"] + browser.value("scrollY")}
    time.sleep(0.2)
    return browser.call("Page.captureScreenshot", clip={**box, "scale": 1})["data"]


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_a_case_opens_in_3d_without_a_request_and_closes_by_the_keyboard(browser, page, size):
    show(browser, page, size)
    browser.value("document.querySelector('.turn').focus()")
    press(browser, "Enter")
    browser.wait(
        "document.querySelector('#viewer[open]') && !document.getElementById('viewer-state').textContent", SLOW
    )
    assert browser.value("document.getElementById('viewer-title').textContent").startswith("erm on ")
    assert browser.value("document.querySelector('.viewer-slice').getAttribute('aria-valuetext')").startswith("slice ")
    assert browser.value("document.documentElement.scrollWidth") <= size[0]
    before = seen(browser)
    assert seen(browser) == before
    browser.value("document.getElementById('viewer-prediction').click()")
    assert any(seen(browser) != before for _ in range(50))
    assert browser.requests() == []
    assert browser.complaints() == []
    press(browser, "Escape")
    assert browser.value("document.activeElement.className") == "turn"


def test_without_webgl_a_sentence_stands_where_the_view_would_open(flat_browser, page):
    show(flat_browser, page)
    flat_browser.value("document.querySelector('.turn').click()")
    assert "no WebGL 2" in flat_browser.value("document.querySelector('.unable').textContent")
    assert not flat_browser.value("document.getElementById('viewer').open")
    assert flat_browser.value("document.querySelector('.case img').src").startswith("data:image/png")


def test_without_images_neither_viewer_nor_volume_is_in_the_page(page, for_papers):
    held = ("viewer-library", "<dialog", '"masks"', "niivue")
    assert [name for name in held if name in (for_papers / "report.html").read_text(encoding="utf-8")] == []
    assert [name for name in held if name not in page.read_text(encoding="utf-8")] == []
