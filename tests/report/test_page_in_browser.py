import pytest
from report_browser import CHROMIUM

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
)


@pytest.fixture
def page(full_report):
    return full_report


def test_page_works_without_a_network_request_or_a_console_error(browser, page):
    browser.open(page)
    browser.wait("document.querySelectorAll('.plot .main-svg').length >= 3")
    assert browser.value("document.querySelectorAll('table.heat').length") >= 2
    assert browser.value("document.querySelector('table.heat td.cell b').innerText").startswith("0.")
    drawn = browser.value("document.querySelectorAll('.plot .main-svg').length")
    browser.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    browser.wait(f"document.querySelectorAll('.plot .main-svg').length > {drawn}")
    browser.wait(
        "[...document.images].every(one => { one.loading = 'eager'; return one.complete && one.naturalWidth })"
    )
    assert browser.requests() == []
    assert browser.complaints() == []


def test_the_probes_notice_a_request_and_an_error(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://127.0.0.1:9/x.png'><script>undefinedName()</script>")
    browser.open(bad)
    browser.wait("document.readyState === 'complete'")
    assert browser.requests() == ["http://127.0.0.1:9/x.png"]
    assert browser.complaints()


def test_the_page_itself_forbids_requests(browser, page):
    browser.open(page)
    browser.value("refused = false")
    browser.value("Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png', onerror: () => { refused = true }})")
    browser.wait("refused")
    assert browser.blocked() == ["csp"]


def test_on_a_phone_only_tables_scroll_sideways_and_the_page_does_not(browser, page):
    browser.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    browser.open(page)
    browser.wait("document.querySelectorAll('.plot .main-svg').length >= 3")
    browser.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.value("document.documentElement.scrollWidth") <= 360
    assert browser.value("[...document.querySelectorAll('.scroll')].some(one => one.scrollWidth > one.clientWidth)")


OVERFLOWING = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth).length"


def test_tables_of_two_networks_fit_a_laptop_screen(browser, written):
    browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=800, deviceScaleFactor=1, mobile=False)
    browser.open(written(networks=("unet_tiny", "nnunet")))
    browser.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.value(OVERFLOWING) == 0
    browser.value("document.querySelectorAll('.fit').forEach(one => one.classList.remove('fit'))")
    assert browser.value(OVERFLOWING) > 0


def test_dark_and_light_follow_the_reader(browser, page):
    browser.open(page)
    browser.wait("document.querySelectorAll('.plot .main-svg').length >= 3")
    seen = {}
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        ink = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
        browser.wait(f"{ink} === getComputedStyle(document.body).color")
        seen[scheme] = browser.value("getComputedStyle(document.body).backgroundColor")
    assert seen["light"] != seen["dark"]


def test_every_section_is_reached_by_the_keyboard(browser, page):
    browser.open(page)
    targets = "[...document.querySelectorAll('nav a')].map(link => link.getAttribute('href'))"
    assert browser.value(f"{targets}.every(id => document.querySelector(id))")
    reached = set()
    for _ in range(browser.value(f"{targets}.length") + 8):  # the filters stand between sections and tables
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        browser.call("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(browser.value("document.activeElement.getAttribute('href') || document.activeElement.className"))
    assert {"#answer", "#matrix", "#provenance", "scroll"} <= reached
