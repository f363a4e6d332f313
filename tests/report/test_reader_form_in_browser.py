import pytest
from report_browser import CHROMIUM, Browser

from dgsweep.report.reader_form import write_study

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
)


@pytest.fixture(scope="module")
def form(full, tmp_path_factory):
    folder = tmp_path_factory.mktemp("form") / "study"
    return write_study(full, folder, readers=("ann", "ben"), cases=2).forms[0]


@pytest.fixture
def browser(tmp_path, form):
    opened = Browser(tmp_path / "profile")
    opened.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    opened.open(form)
    yield opened
    opened.close()


def press(browser, key):
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key)


def test_a_form_is_filled_by_keyboard_without_a_request_or_an_error(browser):
    for key in ("a", "r", "ArrowLeft", "c"):
        press(browser, key)
    browser.call("Input.insertText", text='tail, "cut"')
    press(browser, "Escape")
    answers = browser.value("answersAsCsv()").splitlines()
    assert answers[0] == "item,reader,accept,comment"
    assert [line.split(",", 1)[1] for line in answers[1:4]] == ["ann,accept,", 'ann,reject,"tail, ""cut"""', "ann,,"]
    assert browser.value("document.getElementById('progress').textContent") == "2 of 4 answered"
    assert (browser.requests(), browser.complaints()) == ([], [])


def test_the_line_can_be_hidden_and_comes_back_with_the_next_item(browser):
    outline = "getComputedStyle(document.querySelector('section:not([hidden]) path')).visibility"
    press(browser, "h")
    assert browser.value(outline) == "hidden"
    press(browser, "ArrowRight")
    assert browser.value(outline) == "visible"


def test_on_a_phone_the_form_does_not_scroll_sideways(browser):
    assert browser.value("document.documentElement.scrollWidth") <= 360
    assert browser.value("document.querySelectorAll('section:not([hidden]) img').length") >= 5
