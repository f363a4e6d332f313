import pytest
from report_browser import CHROMIUM

from dgsweep.report.reader_form import write_study

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
)


@pytest.fixture(scope="module")
def form(full, tmp_path_factory):
    folder = tmp_path_factory.mktemp("form") / "study"
    return write_study(full, folder, readers=("ann", "ben"), cases=2).forms[0]


@pytest.fixture
def phone(browser, form):
    browser.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    browser.open(form)
    return browser


def press(browser, key):
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key)


def test_a_form_is_filled_by_keyboard_without_a_request_or_an_error(phone):
    for key in ("a", "r", "ArrowLeft", "c"):
        press(phone, key)
    phone.call("Input.insertText", text='tail, "cut"')
    press(phone, "Escape")
    answers = phone.value("answersAsCsv()").splitlines()
    assert answers[0] == "item,reader,accept,comment"
    assert [line.split(",", 1)[1] for line in answers[1:4]] == ["ann,accept,", 'ann,reject,"tail, ""cut"""', "ann,,"]
    assert phone.value("document.getElementById('progress').textContent") == "2 of 4 answered"
    assert (phone.requests(), phone.complaints()) == ([], [])


def test_the_line_can_be_hidden_and_comes_back_with_the_next_item(phone):
    outline = "getComputedStyle(document.querySelector('section:not([hidden]) path')).visibility"
    press(phone, "h")
    assert phone.value(outline) == "hidden"
    press(phone, "ArrowRight")
    assert phone.value(outline) == "visible"


def test_on_a_phone_the_form_does_not_scroll_sideways(phone):
    assert phone.value("document.documentElement.scrollWidth") <= 360
    assert phone.value("document.querySelectorAll('section:not([hidden]) img').length") >= 5
