# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The review page in a real browser, served by the real command."""

import contextlib
import os
import signal
import subprocess
import urllib.parse

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common import by, keys
from selenium.webdriver.support import wait

from data_tools.reviewing import decisions, items
from lingshu_jax.data import dicom
from tests.browser import test_evaluation_report as pages
from tests.data_tools.reviewing import small_review

pytestmark = pytest.mark.browser

DESKTOP, PHONE = pages.DESKTOP, pages.PHONE
# The gray levels that are drawn, one a pixel of the file.
PIXELS = """
const canvas = document.getElementById("canvas");
const { x, y, scale } = canvas.dataset;
const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
const found = [];
for (let row = 0; row < arguments[0]; row += 1) {
  for (let column = 0; column < arguments[1]; column += 1) {
    const [px, py] = [[column, x], [row, y]].map(([i, o]) => Math.floor(+o + (i + 0.5) * scale));
    found.push(data[4 * (py * canvas.width + px)]);
  }
}
return found;
"""


def enter(browser, address, name):
    """Opens the page as somebody new, and waits for the first item."""
    browser.get(address)
    site = urllib.parse.urljoin(address, "/app.css")
    browser.get(site)  # where no script of the page runs that knows the last name
    browser.execute_script("localStorage.clear()")
    pages.complaints(browser)  # it has no icon
    browser.get(address)
    until(browser, lambda: browser.find_elements(by.By.ID, "name"))
    browser.find_element(by.By.ID, "name").send_keys(name, keys.Keys.ENTER)
    until(browser, lambda: item(browser))


def until(browser, condition, seconds=30):
    return wait.WebDriverWait(browser, seconds, 0.05).until(lambda _: condition())


def item(browser):
    """The key of the item that is shown."""
    return browser.execute_script("return document.getElementById('main').dataset.item || ''")


def task(browser):
    return browser.execute_script("return document.getElementById('main').className").split()[0]


def text(browser, name="text"):
    return browser.execute_script(f"return document.getElementById({name!r}).textContent")


def canvas(browser):
    """What the canvas says of itself, numbers where it has some."""
    told = browser.execute_script("return {...document.getElementById('canvas').dataset}")
    return {key: value if key == "shown" else float(value) for key, value in told.items()}


def press(browser, *pressed):
    webdriver.ActionChains(browser).send_keys(*pressed).perform()


def decide(browser, *pressed):
    """Presses keys, the last of which decides, and waits for the next item."""
    before = item(browser)
    press(browser, *pressed)
    until(browser, lambda: item(browser) != before)


def save(browser):
    """Presses Ctrl+Enter, and waits for the next item."""
    before = item(browser)
    chord = webdriver.ActionChains(browser).key_down(keys.Keys.CONTROL)
    chord.send_keys(keys.Keys.ENTER).key_up(keys.Keys.CONTROL).perform()
    until(browser, lambda: item(browser) != before)


def tap(browser, selector):
    """Taps what decides, and waits for the next item."""
    before = item(browser)
    browser.find_element(by.By.CSS_SELECTOR, selector).click()
    until(browser, lambda: item(browser) != before)


def go(browser, key, arrow=keys.Keys.ARROW_RIGHT):
    """Goes to an item with an arrow key."""
    for _ in range(30):
        if item(browser) == key:
            return
        decide(browser, arrow)
    raise AssertionError(f"item {key} was not found")


def kept(folder, name):
    """The lines of a reviewer's file: decisions by number."""
    return decisions.read_all(folder / "decisions").get(decisions.key_of(name), {})


def saved(browser):
    until(browser, lambda: text(browser, "saved") == "saved", 60)


def kept_here(browser):
    """Waits until the page has a decision on its disk and has failed to send it."""
    told = "return document.getElementById('saved').title"
    until(browser, lambda: "kept in this browser" in browser.execute_script(told))
    assert text(browser, "saved") == "1 not yet saved"


@contextlib.contextmanager
def opened(size):
    browser = pages.start(size)
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture(scope="module")
def desktop():
    with opened(DESKTOP) as browser:
        yield browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder and the address at which it is reviewed."""
    folder = small_review.write_data(tmp_path_factory.mktemp("served"))
    with small_review.serving(folder) as (_, address):
        yield folder, address, items.read(folder)


def edit_and_reject(browser):
    """Edits an item and rejects the next one; returns both."""
    edited = item(browser)
    press(browser, "e")
    press(browser, " And more.")
    save(browser)
    rejected = item(browser)
    press(browser, "r", keys.Keys.ENTER)
    assert item(browser) == rejected  # without a reason nothing is decided
    press(browser, "1", "4", "4", "8", "n")
    press(browser, "because n u s")
    save(browser)
    return edited, rejected


def skip_and_undo(browser):
    """Skips an item, approves the next one and takes that back; returns both."""
    skipped = item(browser)
    decide(browser, "s")
    undone = item(browser)
    decide(browser, "a")
    press(browser, "u")
    until(browser, lambda: item(browser) == undone)
    return skipped, undone


def test_a_review_by_keys_alone(desktop, site):
    folder, address, data = site
    enter(desktop, address, "Keys")
    assert task(desktop) == "compare"
    sides = desktop.find_elements(by.By.CSS_SELECTOR, ".side")
    better = sides[1].text.removeprefix("B").strip()
    first = item(desktop)
    decide(desktop, "b")
    decide(desktop, "n")
    assert task(desktop) == "approve"
    edited, rejected = edit_and_reject(desktop)
    skipped, undone = skip_and_undo(desktop)
    while task(desktop) == "approve" and item(desktop) != skipped:
        decide(desktop, "a")
    traces = []
    for marks in ("yyyyn", "ynyyn"):
        assert task(desktop) == "verify"
        traces.append(item(desktop))
        decide(desktop, *marks, keys.Keys.ENTER)
    assert item(desktop) == skipped  # comes last
    decide(desktop, "a")
    assert "All is decided." in text(desktop) and text(desktop, "count") == "13 of 13"
    saved(desktop)
    press(desktop, "t")
    until(desktop, lambda: "compare: 2 decided" in text(desktop, "dialog"))
    press(desktop, keys.Keys.ESCAPE)
    press(desktop, "?")
    assert "next undecided" in text(desktop, "dialog")
    press(desktop, keys.Keys.ESCAPE)
    assert pages.complaints(desktop) == []

    lines = kept(folder, "Keys")
    standing = decisions.replay(lines).decided
    assert set(standing) == set(data.items)
    side = standing[first]["verdict"]
    assert data.items[first].rows[side == "second"].answer == better
    [[_, _, changed]] = standing[edited]["texts"]
    assert changed == f"{data.items[edited].rows[0].answer} And more."
    assert standing[rejected]["reasons"] == ["wrong finding", "other"]
    assert standing[rejected]["note"] == "because n u s"
    assert standing[undone]["verdict"] == "approve" and not standing[undone]["is_blind"]
    assert [standing[key]["verdict"] for key in traces] == ["approve", "reject"]
    verdicts = [given["verdict"] for given in lines.values()]
    assert verdicts.count("undo") == 1 and verdicts.count("skip") == 1 and len(verdicts) == 16


def test_a_picture_is_zoomed_and_moved(desktop, site):
    _, address, data = site
    enter(desktop, address, "Zoom")
    key = small_review.find(data, 5).key
    go(desktop, key)
    until(desktop, lambda: canvas(desktop)["shown"] == f"{key}/0/0")
    whole = canvas(desktop)
    press(desktop, "+", "+")
    larger = canvas(desktop)
    assert larger["scale"] == pytest.approx(whole["scale"] * 1.69)
    press(desktop, "h", "k")
    moved = canvas(desktop)
    assert (moved["x"] - larger["x"], moved["y"] - larger["y"]) == (60, 60)
    surface = desktop.find_element(by.By.ID, "canvas")
    webdriver.ActionChains(desktop).drag_and_drop_by_offset(surface, -40, 25).perform()
    dragged = canvas(desktop)
    assert dragged["x"] - moved["x"] == pytest.approx(-40, abs=1)
    assert dragged["y"] - moved["y"] == pytest.approx(25, abs=1)
    origin = webdriver.common.actions.wheel_input.ScrollOrigin.from_element(surface)
    webdriver.ActionChains(desktop).scroll_from_origin(origin, 0, 200).perform()
    until(desktop, lambda: canvas(desktop)["scale"] < dragged["scale"])
    press(desktop, "0")
    assert canvas(desktop) == whole
    press(desktop, "]")
    until(desktop, lambda: canvas(desktop)["shown"] == f"{key}/1/0")
    assert "picture 2 of 2" in text(desktop, "right")


def shown(browser, key, shape, frame=0):
    until(browser, lambda: canvas(browser)["shown"] == f"{key}/0/{frame}")
    return np.array(browser.execute_script(PIXELS, *shape)).reshape(shape)


def test_windows_change_a_dicom_file(desktop, site):
    folder, address, data = site
    enter(desktop, address, "Window")
    found = small_review.find(data, 6)
    go(desktop, found.key)
    expected = dicom.read(folder / "rows/pictures/ct.dcm").frames[0, :, :, 0].astype(int)
    first = shown(desktop, found.key, expected.shape)
    assert np.abs(first - expected).mean() < 1  # edges are smoothed
    assert (canvas(desktop)["center"], canvas(desktop)["width"]) == (40, 400)
    names = desktop.execute_script(
        "return [...document.getElementById('windows').options].map(o => o.text)"
    )
    while "lung" not in text(desktop, "left"):
        press(desktop, "w")
    assert (canvas(desktop)["center"], canvas(desktop)["width"]) == (-600, 1500)
    lung = shown(desktop, found.key, expected.shape)
    air = expected == 0
    assert lung[air].mean() > first[air].mean() + 40
    press(desktop, "i")
    assert np.abs(shown(desktop, found.key, expected.shape) - (255 - lung)).mean() < 1
    press(desktop, "i")
    chord = webdriver.ActionChains(desktop).key_down(keys.Keys.SHIFT)
    chord.send_keys(keys.Keys.ARROW_RIGHT, keys.Keys.ARROW_UP).key_up(keys.Keys.SHIFT).perform()
    by_keys = canvas(desktop)
    assert by_keys["width"] > 1500 and by_keys["center"] < -600
    assert item(desktop) == found.key  # arrows alone would have gone on
    surface = desktop.find_element(by.By.ID, "canvas")
    pointer = webdriver.ActionChains(desktop)
    pointer.w3c_actions.pointer_action.move_to(surface).pointer_down(button=2)
    pointer.w3c_actions.pointer_action.move_to(surface, 30, 50).pointer_up(button=2)
    pointer.perform()
    by_drag = canvas(desktop)
    assert by_drag["width"] > by_keys["width"] and by_drag["center"] > by_keys["center"]
    assert "by hand" in text(desktop, "left") and names[-1] == "by hand"
    press(desktop, "0")
    assert np.array_equal(shown(desktop, found.key, expected.shape), first)


def test_frames_of_a_clip_are_stepped_through(desktop, site):
    _, address, data = site
    enter(desktop, address, "Clip")
    key = small_review.find(data, 10).key
    go(desktop, key)
    means = [shown(desktop, key, (32, 48)).mean()]
    for place in range(1, 5):
        press(desktop, ".")
        means.append(shown(desktop, key, (32, 48), place).mean())
    assert means == pytest.approx([0, 40, 80, 120, 160], abs=1)
    assert "frame 5 of 5" in text(desktop, "right")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_what_a_row_says_stays_text(site, size):
    _, address, data = site
    with opened(size) as browser:
        enter(browser, address, small_review.EVIL.replace("<", "x "))
        key = small_review.find(data, 5).key
        go(browser, key)
        assert small_review.EVIL in text(browser)
        inside = "return document.querySelectorAll('#panel :is(script, img)').length"
        assert browser.execute_script(inside) == 0
        press(browser, "e")
        areas = browser.find_elements(by.By.CSS_SELECTOR, "textarea")
        assert [area.get_property("value") for area in areas] == [small_review.EVIL] * 2
        assert browser.execute_script("return window.hacked") is None
        assert pages.complaints(browser) == []
        assert browser.execute_script(pages.OVERFLOW) <= 0


def test_no_other_script_runs(desktop, site):
    """What would stand in the page as markup: the policy stops it, and the log says so."""
    _, address, _ = site
    enter(desktop, address, "Policy")
    pages.complaints(desktop)
    desktop.execute_script(
        "document.body.insertAdjacentHTML('beforeend', arguments[0])",
        '<img src="/none" onerror="window.hacked = 1">',
    )
    until(desktop, lambda: any("Content Security" in x for x in pages.complaints(desktop)))
    assert desktop.execute_script("return window.hacked") is None


def test_a_phone_has_all_of_it(site):
    folder, address, _ = site
    with opened(PHONE) as browser:
        enter(browser, address, "Phone")
        assert browser.execute_script(pages.OVERFLOW) <= 0
        for kind in ("compare", "approve", "verify"):
            while task(browser) != kind:
                tap(browser, "#actions .good")
            buttons = browser.find_elements(by.By.CSS_SELECTOR, "#actions button")
            for made in buttons:
                box = made.rect
                assert 0 <= box["x"] and box["x"] + box["width"] <= PHONE[0]
                assert box["y"] + box["height"] <= PHONE[1]
            has_picture = not browser.find_elements(by.By.CSS_SELECTOR, "main.plain")
            height = browser.find_element(by.By.ID, "canvas").rect["height"]
            assert height > 250 if has_picture else height == 0
        for row in browser.find_elements(by.By.CSS_SELECTOR, ".check button.yes"):
            browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", row)
            row.click()
        browser.find_element(by.By.CSS_SELECTOR, "#actions .good").click()
        saved(browser)
        assert pages.complaints(browser) == []
    assert "approve" in [given["verdict"] for given in kept(folder, "Phone").values()]


def test_two_reviewers_are_blind_and_go_their_own_ways(site):
    folder, address, data = site
    with opened(DESKTOP) as ann, opened(DESKTOP) as bob:
        orders = []
        for browser, name in ((ann, "Ann"), (bob, "Bob")):
            enter(browser, address, name)
            seen = [item(browser)]
            for _ in range(len(data.items) - 1):
                decide(browser, keys.Keys.ARROW_RIGHT)
                seen.append(item(browser))
                page = browser.page_source
                assert not [secret for secret in small_review.SECRETS if secret in page]
            orders.append(seen)
        assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])

        key = small_review.find(data, 4).key
        go(ann, key, keys.Keys.ARROW_LEFT)
        decide(ann, "a")
        saved(ann)
        go(bob, key, keys.Keys.ARROW_LEFT)
        assert "approve" not in text(bob)
        assert small_review.SECRETS[0] not in bob.page_source
        decide(bob, "r", "1", keys.Keys.ENTER)
        saved(bob)
        until(bob, lambda: f"{small_review.SECRETS[0]}-0" in text(bob, "toast"))
        go(bob, key, keys.Keys.ARROW_LEFT)
        until(bob, lambda: "Other reviewers: approve" in text(bob))
        assert f"{small_review.SECRETS[1]}-0" in text(bob) and "wrong finding" in text(bob)
        assert pages.complaints(ann) == pages.complaints(bob) == []
    assert [kept(folder, name) != {} for name in ("Ann", "Bob")] == [True, True]


def test_without_the_token_there_is_no_page(desktop, site):
    site_ = site[1].partition("?")[0]
    desktop.delete_all_cookies()
    desktop.get(site_)
    assert "the address that was printed" in desktop.page_source
    desktop.get(f"{site_}?token=wrong")
    assert not desktop.find_elements(by.By.ID, "canvas")


def test_a_killed_server_loses_nothing_and_the_open_page_goes_on(tmp_path):
    folder = small_review.write_data(tmp_path / "data")
    with opened(DESKTOP) as browser:
        with small_review.serving(folder) as (process, address):
            enter(browser, address, "Ann")
            decided = [item(browser)]
            decide(browser, "a")
            saved(browser)
            until(browser, lambda: canvas(browser)["shown"])
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            decided.append(item(browser))
            press(browser, "b")
            kept_here(browser)
            assert len(kept(folder, "Ann")) == 1
        until(browser, lambda: "not reachable" in text(browser) or task(browser) == "approve")
        with small_review.serving(folder) as (process, again):
            assert again == address
            saved(browser)
            until(browser, lambda: task(browser) == "approve", 60)
            lines = kept(folder, "Ann")
            assert [given["item"] for given in lines.values()] == decided
            decided.append(item(browser))
            decide(browser, "a")
            saved(browser)
    assert [given["item"] for given in kept(folder, "Ann").values()] == decided


def start_with(profile):
    """A browser with a profile that outlives it."""
    options = webdriver.ChromeOptions()
    options.binary_location = pages.find("chromium", "chromium-browser", "google-chrome")
    for flag in ("headless=new", "disable-gpu", "disable-dev-shm-usage", "no-sandbox"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={profile}")
    service = webdriver.ChromeService(pages.find("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


def kill_browser(browser, profile):
    """SIGKILL to the browser, so that it writes nothing more."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        number, _, command = line.strip().partition(" ")
        if f"--user-data-dir={profile}" in command:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
    browser.service.process.kill()
    browser.service.process.wait()
    for lock in profile.glob("Singleton*"):  # a person answers that it is unlocked
        lock.unlink()


@pytest.mark.usefixtures("desktop")  # skips where there is no browser
def test_a_killed_browser_and_server_lose_nothing_and_nothing_counts_twice(tmp_path):
    folder, profile = small_review.write_data(tmp_path / "data"), tmp_path / "profile"
    decided = []
    with small_review.serving(folder) as (process, address):
        browser = start_with(profile)
        enter(browser, address, "Ann")
        decided.append(item(browser))
        decide(browser, "a")
        saved(browser)
        until(browser, lambda: canvas(browser)["shown"])
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        decided.append(item(browser))
        press(browser, "b")
        kept_here(browser)
        kill_browser(browser, profile)
    assert len(kept(folder, "Ann")) == 1
    with small_review.serving(folder) as (process, address):
        browser = start_with(profile)
        try:
            enter(browser, address, "Ann")
            saved(browser)
            until(browser, lambda: len(kept(folder, "Ann")) == 2)
            # What was sent goes on being sent once, whatever the page does.
            browser.refresh()
            until(browser, lambda: item(browser))
            saved(browser)
            assert text(browser, "count").startswith("2 of")
        finally:
            browser.quit()
    lines = kept(folder, "Ann")
    assert [given["item"] for given in lines.values()] == decided
