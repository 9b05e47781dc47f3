# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import base64
import dataclasses
import io
import os
import random
import shutil
import time
import types

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common import by, keys
from selenium.webdriver.support import wait

from lingshu_jax.eval import compare, report, report_viewer
from tests.eval import evaluations

pytestmark = pytest.mark.browser

DESKTOP, PHONE = (1440, 900), (390, 844)
EVIL = '</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">'

COUNT = "return document.getElementById('viewer-count').textContent"
IDS = "return [...document.querySelectorAll('#viewer-cards article')].map(a => a.ariaLabel)"
# Sets a control as a reader does, and returns the milliseconds until the page is laid out again.
SET = """
const control = document.getElementById(arguments[0]);
const start = performance.now();
control.value = arguments[1];
control.dispatchEvent(new Event("change"));
document.body.offsetHeight;
return performance.now() - start;
"""
# Beside the screen as well: a phone's window grows with a page that is too wide.
OVERFLOW = """
const { scrollWidth, clientWidth } = document.documentElement;
return scrollWidth - Math.min(clientWidth, screen.width);
"""


def find(*names):
    return next(filter(None, map(shutil.which, names)), None)


def start(size):
    """A headless browser of this size, which logs what a page complains of."""
    programs = find("chromium", "chromium-browser", "google-chrome"), find("chromedriver")
    if None in programs:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    flags = ("headless=new", "disable-gpu", "disable-dev-shm-usage")
    for flag in (*flags, "force-prefers-reduced-motion"):
        options.add_argument(f"--{flag}")
    if os.geteuid() == 0:  # Chromium's sandbox refuses root
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1]))
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
    metrics |= {"screenWidth": size[0], "screenHeight": size[1], "mobile": size == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    return driver


@pytest.fixture(scope="module", params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def browser(request):
    driver = start(request.param)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def desktop():
    driver = start(DESKTOP)
    yield driver
    driver.quit()


def show(browser, page, view=""):
    """Opens a page and waits until its answers are there."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(f"{page.as_uri()}{view}")
    is_ready = "return document.getElementById('viewer-controls').hidden === false"
    wait.WebDriverWait(browser, 60, 0.02).until(lambda b: b.execute_script(is_ready))


def complaints(browser):
    return [entry["message"] for entry in browser.get_log("browser")]


def matching(browser):
    """How many answers the page says there are."""
    return int(browser.execute_script(COUNT).split(" of ")[0].replace(",", ""))


def choose(browser, **values):
    for name, value in values.items():
        browser.execute_script(SET, f"filter-{name}", value)


def search(browser, text):
    field = browser.find_element(by.By.ID, "filter-q")
    field.clear()
    field.send_keys(text or keys.Keys.BACKSPACE)
    wanted = "return new URLSearchParams(location.hash.slice(8)).get('q')"
    wait.WebDriverWait(browser, 5).until(lambda b: (b.execute_script(wanted) or "") == text)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """An evaluation of 266 questions in three benchmarks, with its rows: `page`, `every`."""
    folder = tmp_path_factory.mktemp("evaluation")
    Image.effect_noise((400, 300), 60).convert("RGB").save(folder / "x.png")
    picture = {"type": "image", "image": str(folder / "x.png")}
    yes_no = [
        dataclasses.replace(s, messages=({"role": "user", "content": [picture]},))
        for s in evaluations.yes_no(120)
    ]
    samples = {
        "yes & no": yes_no,
        "letters": evaluations.choices("ABCD" * 36),
        "odd": [
            dataclasses.replace(evaluations.yes_no(1)[0], question=EVIL, id=EVIL),
            evaluations.report_sample(),
        ],
    }
    rng = random.Random(0)
    said = {
        "yes & no": rng.choices(["yes", "no", "", "unknown", "I am unable to answer"], k=120),
        "letters": rng.choices(["A", "B", "", "A, B", "dog, of course"], k=144),
        "odd": [EVIL, "Clear."],
    }
    rows = {name: evaluations.score(samples[name], said[name]) for name in samples}
    for row in rows["yes & no"][::2]:
        row["judge"] = {"J": rng.choice(["correct", "incorrect", "ungradable", "failed"])}
    summary = evaluations.summarise(samples, rows, data_dir="x" * 200)
    report.write(folder, summary, rows=rows, samples=samples, published={"letters": {"P": 1.0}})
    every = [{"benchmark": name, **row} for name in rows for row in rows[name]]
    return types.SimpleNamespace(page=folder / "report.html", every=every)


def test_the_page_opens_without_a_complaint_and_fits(browser, evaluation):
    show(browser, evaluation.page)
    assert matching(browser) == len(evaluation.every) == 266
    assert complaints(browser) == []
    assert browser.execute_script(OVERFLOW) <= 0
    assert browser.execute_script("return document.getElementById('viewer-static')") is None
    choose(browser, benchmark="odd")
    assert browser.execute_script(OVERFLOW) <= 0


def test_what_is_too_wide_would_be_noticed(browser, evaluation, tmp_path):
    page = tmp_path / "wide.html"
    text = evaluation.page.read_text()
    page.write_text(text.replace("<h1>", '<div style="width: 1500px">wide</div><h1>', 1))
    show(browser, page)
    assert browser.execute_script(OVERFLOW) > 0


def opposite(row, mode):
    told = (row["judge"] or {}).get("J")
    return {"correct": False, "incorrect": True}.get(told, "") == row[mode]["correct"]


@pytest.mark.parametrize(
    ("chosen", "accepts"),
    [
        ({"benchmark": "letters"}, lambda r: r["benchmark"] == "letters"),
        ({"verdict": "strict wrong"}, lambda r: r["strict"]["correct"] is False),
        ({"verdict": "compat right"}, lambda r: r["compat"]["correct"] is True),
        (
            {"verdict": "compat and strict differ"},
            lambda r: r["compat"]["correct"] != r["strict"]["correct"],
        ),
        ({"verdict": "no verdict"}, lambda r: r["strict"]["correct"] is None),
        ({"status": "refusal"}, lambda r: r["strict"]["status"] == "refusal"),
        ({"type": "choice"}, lambda r: r["answer_type"] == "choice"),
        ({"reason": "empty_is_first_option"}, lambda r: r["reason"] == "empty_is_first_option"),
        ({"stratum": "modality: CT"}, lambda r: r["strata"].get("modality") == "CT"),
        ({"judge": "J: ungradable"}, lambda r: (r["judge"] or {}).get("J") == "ungradable"),
        ({"judge": "J and strict differ"}, lambda r: opposite(r, "strict")),
        ({"judge": "J and compat differ"}, lambda r: opposite(r, "compat")),
        (
            {"benchmark": "yes & no", "verdict": "strict wrong", "status": "empty"},
            lambda r: r["benchmark"] == "yes & no" and r["strict"]["status"] == "empty",
        ),
    ],
    ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else "",
)
def test_filters_show_as_many_answers_as_there_are(desktop, evaluation, chosen, accepts):
    show(desktop, evaluation.page)
    choose(desktop, **chosen)
    expected = [row for row in evaluation.every if accepts(row)]
    assert 0 < len(expected) < len(evaluation.every)
    assert matching(desktop) == len(expected)
    shown = [f"{row['benchmark']} {row['id']}" for row in expected[:50]]
    assert desktop.execute_script(IDS) == shown
    desktop.find_element(by.By.ID, "viewer-clear").click()
    assert matching(desktop) == len(evaluation.every)


def test_pages_of_answers_follow_each_other(browser, evaluation):
    show(browser, evaluation.page)
    every = [f"{row['benchmark']} {row['id']}" for row in evaluation.every]
    before, after = browser.find_elements(by.By.CSS_SELECTOR, ".pager:first-of-type button")[:2]
    seen = browser.execute_script(IDS)
    assert not before.is_enabled()
    while after.is_enabled():
        after.click()
        seen += browser.execute_script(IDS)
    assert seen == every
    before.click()
    assert browser.execute_script(IDS) == every[200:250]
    assert browser.execute_script("return location.hash") == "#viewer?at=201"


def test_keys_go_from_answer_to_answer(desktop, evaluation):
    show(desktop, evaluation.page)
    every = [f"{row['benchmark']} {row['id']}" for row in evaluation.every]
    focused = "return document.activeElement.ariaLabel"

    def press(key):
        webdriver.ActionChains(desktop).send_keys(key).perform()
        return desktop.execute_script(focused)

    assert [press("j"), press("j"), press("k")] == [every[0], every[1], every[0]]
    assert press(keys.Keys.ARROW_RIGHT) == every[1]
    assert press(keys.Keys.ARROW_LEFT) == every[0]
    for _ in range(50):
        press("j")
    assert desktop.execute_script(focused) == every[50]
    assert desktop.execute_script("return location.hash") == "#viewer?at=51"
    assert press("k") == every[49]
    press("/")
    assert desktop.execute_script("return document.activeElement.id") == "filter-q"
    press("j")  # a letter of the search now
    assert desktop.find_element(by.By.ID, "filter-q").get_attribute("value") == "j"
    assert press(keys.Keys.ESCAPE) != every[49]
    assert desktop.execute_script("return document.activeElement.id") != "filter-q"


@pytest.mark.parametrize("text", ["OF COURSE", "is it 7", "cow", "q11", "(", "nothing of this"])
def test_a_search_finds_text_whatever_its_case(desktop, evaluation, text):
    show(desktop, evaluation.page)
    search(desktop, text)
    fields = ("id", "question", "gold", "response")
    expected = [
        row
        for row in evaluation.every
        if any(text.lower() in part.lower() for part in [*map(row.get, fields), *row["options"]])
    ]
    assert matching(desktop) == len(expected)
    assert len(desktop.execute_script(IDS)) == min(50, len(expected))


def test_an_address_opens_the_view_that_it_was_copied_from(browser, evaluation):
    show(browser, evaluation.page)
    choose(browser, benchmark="yes & no", verdict="strict wrong")
    browser.execute_script("document.querySelector('[data-page=\"1\"]').click()")
    view = browser.execute_script("return location.hash")
    shown, count = browser.execute_script(IDS), matching(browser)
    assert count > 50 and view.endswith("&at=51")
    show(browser, evaluation.page, view)
    assert (browser.execute_script(IDS), matching(browser)) == (shown, count)
    value = "return document.getElementById('filter-verdict').value"
    assert browser.execute_script(value) == "strict wrong"
    top = browser.execute_script(
        "return document.getElementById('viewer').getBoundingClientRect().top"
    )
    assert abs(top) < 5
    show(browser, evaluation.page, "#viewer?benchmark=unknown&at=-5")
    assert matching(browser) == len(evaluation.every)
    show(browser, evaluation.page, "#viewer?at=60")
    every = [f"{row['benchmark']} {row['id']}" for row in evaluation.every]
    assert browser.execute_script("return document.activeElement.ariaLabel") == every[59]


def test_tables_lead_to_the_answers_they_count(desktop, evaluation):
    show(desktop, evaluation.page)
    link = desktop.find_element(
        by.By.CSS_SELECTOR, 'a[href="#viewer?benchmark=yes%20%26%20no&status=empty"]'
    )
    count = int(link.text)
    desktop.execute_script("arguments[0].click()", link)
    wait.WebDriverWait(desktop, 5).until(lambda b: matching(b) == count)
    assert complaints(desktop) == []


def test_what_a_model_says_stays_text(browser, evaluation):
    show(browser, evaluation.page)
    choose(browser, benchmark="odd")
    assert browser.execute_script("return window.hacked") is None
    card = browser.find_element(by.By.CSS_SELECTOR, "#viewer-cards article")
    assert card.text.count(EVIL) >= 3
    inside = "return document.querySelectorAll('#viewer-cards :is(script, img)').length"
    assert browser.execute_script(inside) == 0
    assert complaints(browser) == []


def test_no_other_script_runs(desktop, evaluation, tmp_path):
    """What would stand in the page as markup: the policy stops it, and the log says so."""
    page = tmp_path / "broken.html"
    page.write_text(evaluation.page.read_text().replace("<h1>", f"<p>{EVIL}</p><h1>", 1))
    show(desktop, page)
    assert desktop.execute_script("return window.hacked") is None
    assert any("Content Security Policy" in text for text in complaints(desktop))
    open_page = tmp_path / "open.html"
    text = page.read_text()
    start_, end = text.index("<meta http-equiv"), text.index("<title>")
    open_page.write_text(text[:start_] + text[end:])
    show(desktop, open_page)
    assert desktop.execute_script("return window.hacked") in (1, 2)


def test_pictures_are_shown(browser, evaluation):
    show(browser, evaluation.page)
    widths = browser.execute_script(
        "return [...document.querySelectorAll('#viewer-cards img')].map(i => i.naturalWidth)"
    )
    assert widths == [report_viewer.SIDE] * 50


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """The page of two evaluations of 60 questions."""
    folder = tmp_path_factory.mktemp("comparison")
    samples = {"set": evaluations.yes_no(60)}
    for name, said in (("one", ["yes", "no", EVIL] * 20), ("two", ["yes", "yes", ""] * 20)):
        evaluations.finish(folder / name, samples, {"set": said})
    compare.run(folder / "one", folder / "two", folder / "compared")
    return folder / "compared" / "compare.html"


def test_a_comparison_shows_both_answers(browser, comparison):
    show(browser, comparison)
    assert matching(browser) == 60 and complaints(browser) == []
    assert browser.execute_script(OVERFLOW) <= 0
    counts = {}
    for change in ("strict gained", "strict lost", "strict right in both", "another text"):
        choose(browser, change=change)
        counts[change] = matching(browser)
    assert counts == {
        "strict gained": 20,
        "strict lost": 0,
        "strict right in both": 20,
        "another text": 40,
    }
    assert "strict right 0 \u2192 20" in browser.execute_script(COUNT)
    card = browser.find_elements(by.By.CSS_SELECTOR, "#viewer-cards article")[1].text
    assert EVIL in card and "(nothing)" in card
    assert browser.execute_script("return window.hacked") is None
    search(browser, "hacked")
    assert matching(browser) == 20


def timed(call, *args):
    """The seconds that a call takes."""
    begun = time.monotonic()
    call(*args)
    return time.monotonic() - begun


def large(count):
    """Answers with texts of their own, some hundred letters each, and many pictures."""
    rng = np.random.default_rng(0)
    words = np.array("the a left lung lesion mass no evidence of acute mild liver normal".split())

    def text(row):
        return " ".join(words[row])

    questions = rng.integers(0, len(words), (count, 20))
    responses = rng.integers(0, len(words), (count, 30))
    pictures = []
    for _ in range(600):
        file = io.BytesIO()
        noise = rng.integers(0, 255, (256, 256, 3), np.uint8)
        Image.fromarray(noise).save(file, "JPEG")
        pictures.append({"type": "image", "image": file.getvalue()})
    samples = [
        dataclasses.replace(
            sample,
            question=f"{sample.question} {text(question)}",
            messages=({"role": "user", "content": [pictures[i % len(pictures)]]},),
        )
        for i, (sample, question) in enumerate(
            zip(evaluations.yes_no(count), questions, strict=True)
        )
    ]
    said = [f"{'yes' if row[0] % 3 else 'no'}, {text(row)}" for row in responses]
    return samples, evaluations.score(samples, said)


def test_a_hundred_thousand_answers_stay_usable(desktop, tmp_path, reduced):
    count = 10_000 if reduced else 100_000
    samples, rows = large(count)
    summary = evaluations.summarise({"set": samples[:10]}, {"set": rows[:10]})
    report.write(tmp_path, summary, rows={"set": rows}, samples={"set": samples}, published={})
    page = tmp_path / "report.html"
    size = page.stat().st_size
    pictures = report_viewer.PICTURE_BYTES
    assert 0.9 * pictures < size < 60_000_000
    # Of three: the machine has other work.
    loading = min(timed(show, desktop, page) for _ in range(3))
    assert matching(desktop) == count
    filtering = min(desktop.execute_script(SET, "filter-verdict", v) for v in ("strict wrong", ""))
    time.sleep(2)  # the texts are made ready for searches meanwhile
    words = ("lesion mass lesion", "normal mass acute")
    searching = [timed(search, desktop, text) for text in words]
    expected = sum(words[-1] in r["question"] + "|" + r["response"] for r in rows)
    assert matching(desktop) == expected > 0
    print(f"{count} answers, {size / 1e6:.1f} MB: loaded in {loading:.2f} s, filtered in", end=" ")
    print(f"{filtering / 1000:.3f} s, searched in {min(searching):.2f} s with the typing")
    assert loading < 5 and filtering < 500


def test_the_pictures_of_the_page_are_those_of_the_data(evaluation):
    text = evaluation.page.read_text()
    packed = text.split('id="viewer-pictures">')[1].split("</script>")[0].split()
    assert len(packed) == 1
    assert Image.open(io.BytesIO(base64.b64decode(packed[0]))).size == (256, 192)
