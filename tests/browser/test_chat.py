# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The chat page in a real browser, on the JAX engine and before a server that is known by URL."""

import base64
import contextlib
import json
import re
import signal
import subprocess
import types

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common import by, keys
from selenium.webdriver.support import wait

from lingshu_jax import generate
from lingshu_jax.engines import protocol
from tests import small
from tests.browser import test_evaluation_report as pages
from tests.data import dicom_files
from tests.engines import bad_server

pytestmark = pytest.mark.browser

EVIL = '<img src=x onerror="window.hacked = 1"> **bold** `code`'
KEYS = keys.Keys
# Each control that has the focus in turn, with how it shows that; "" where the page ends.
FOCUSED = """
const active = document.activeElement;
if (active === document.body) return ["", true];
const shown = active.id === "question" ? active.closest(".box") : active;
const { outlineStyle, outlineWidth } = getComputedStyle(shown);
return [active.id || active.ariaLabel || active.textContent.trim(),
        outlineStyle !== "none" && parseFloat(outlineWidth) >= 2];
"""
# The least contrast of any text that is seen, by WCAG 2.2.
CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
function rgba(color) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
}
function light(color) {
  const parts = color.slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}
function ground(element) {
  for (let at = element; at; at = at.parentElement) {
    const color = rgba(getComputedStyle(at).backgroundColor);
    if (color[3] === 255) return color;
  }
  return [255, 255, 255, 255];
}
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const hasText = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  const isLeftOut = element.closest(":disabled, .badge, .skip"); // or lies on a picture
  if (!hasText || isLeftOut || !element.checkVisibility()) continue;
  const pair = [light(rgba(getComputedStyle(element).color)), light(ground(element))];
  const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  found.push([ratio, element.outerHTML.slice(0, 80)]);
}
return found.sort((a, b) => a[0] - b[0])[0];
"""


@contextlib.contextmanager
def chatting(*arguments):
    """The command while it serves; its `url`, and its `process`."""
    with small.start("chat", *arguments) as process:
        try:
            said = process.stdout.readline()
            assert said.startswith("loading "), said or process.stderr.read()
            said = process.stdout.readline()
            found = re.fullmatch(r"chat, for research use only: (http://127\.0\.0\.1:\S+)\n", said)
            assert found, said or process.stderr.read()
            yield types.SimpleNamespace(url=found[1], process=process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def jax_chat(small_folder):
    with chatting(f"--model={small_folder}") as found:
        yield found


@pytest.fixture(scope="module", params=[pages.DESKTOP, pages.PHONE], ids=["desktop", "phone"])
def browser(request):
    driver = pages.start(request.param)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def desktop():
    driver = pages.start(pages.DESKTOP)
    yield driver
    driver.quit()


@pytest.fixture
def files(tmp_path):
    """A `picture`, a `scan` of three frames that names a person, and all `secrets` in it."""
    pixels = np.random.default_rng(0).integers(0, 256, (56, 84, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    values = np.random.default_rng(1).integers(-1000, 1000, (3, 56, 56), dtype=np.int16)
    fields = {"WindowCenter": 40, "WindowWidth": 400, "BodyPartExamined": "CHEST"}
    scan = dicom_files.write(tmp_path / "DOE_JANE.dcm", values, **fields)
    return types.SimpleNamespace(
        picture=tmp_path / "picture.png", scan=scan, secrets=(*dicom_files.SECRETS, "DOE_JANE")
    )


def show(browser, chat):
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(chat.url)
    until(browser, "document.body.dataset.ready === 'yes'")


def until(browser, condition, seconds=120):
    wait.WebDriverWait(browser, seconds, 0.02).until(
        lambda b: b.execute_script(f"return {condition}"), f"never: {condition}"
    )


def one(browser, selector):
    return browser.find_element(by.By.CSS_SELECTOR, selector)


def texts(browser, selector):
    return [found.text for found in browser.find_elements(by.By.CSS_SELECTOR, selector)]


def add(browser, *paths):
    before = len(browser.find_elements(by.By.CSS_SELECTOR, "#tray .thumb"))
    one(browser, "#files").send_keys("\n".join(map(str, paths)))
    count = before + len(paths)
    until(browser, f"document.querySelectorAll('#tray .thumb').length === {count}")


def set_longest(browser, tokens):
    script = "const f = document.getElementById('max_new_tokens'); f.value = arguments[0];"
    browser.execute_script(script, tokens)


def ask(browser, text):
    """Asks, and waits for the whole answer."""
    before = len(browser.find_elements(by.By.CSS_SELECTOR, ".turn.model .below"))
    one(browser, "#question").send_keys(text, KEYS.ENTER)
    until(
        browser,
        "document.getElementById('problem').textContent"
        f" || document.querySelectorAll('.turn.model .below').length > {before}",
    )
    assert one(browser, "#problem").text == ""


def press(browser, *pressed):
    webdriver.ActionChains(browser).send_keys(*pressed).perform()


def known(browser, secrets):
    """Which secrets stand anywhere on the page."""
    return [secret for secret in secrets if secret in browser.page_source]


def test_two_turns_with_a_picture_and_a_scan(browser, jax_chat, files):
    show(browser, jax_chat)
    set_longest(browser, 6)
    add(browser, files.picture)
    ask(browser, "What is it?")
    add(browser, files.scan)
    one(browser, "#tray .thumb").click()
    until(browser, "document.getElementById('viewer-image').naturalWidth > 0")
    assert "DICOM · CT · CHEST" in one(browser, "#viewer-title").text
    assert browser.execute_script(pages.OVERFLOW) <= 0
    one(browser, "#preset").send_keys("Lung")
    assert one(browser, "#width-says").text == "1500"
    one(browser, "#viewer-done").click()
    ask(browser, "And this one?")
    assert len(texts(browser, ".turn.user")) == len(texts(browser, ".turn.model")) == 2
    assert texts(browser, ".turn.user .badge") == ["1 of 3"]
    for note in texts(browser, ".turn.model .note"):
        assert re.fullmatch(r"first token after [\d.]+ s · 6 tokens · [\d.]+ tokens/s", note)
    assert texts(browser, ".mark-text") == ["cut at the longest answer"] * 2
    widths = "[...document.querySelectorAll('.turn img')].map(i => i.naturalWidth)"
    until(browser, f"{widths}.join() === '84,56'")
    assert known(browser, files.secrets) == []
    assert one(browser, ".notice").is_displayed()
    assert browser.execute_script(pages.OVERFLOW) <= 0
    assert pages.complaints(browser) == []


def test_a_windowed_frame_of_several_is_what_is_shown(desktop, jax_chat, files):
    show(desktop, jax_chat)
    add(desktop, files.scan)
    one(desktop, "#tray .thumb").click()
    one(desktop, "#frame").send_keys(KEYS.ARROW_RIGHT)
    one(desktop, "#preset").send_keys("Bone")
    webdriver.ActionChains(desktop).drag_and_drop_by_offset(
        one(desktop, "#viewer-image"), 30, 0
    ).perform()
    assert one(desktop, "#frame-says").text == "2 of 3"
    assert one(desktop, "#center-says").text == "400"
    assert int(one(desktop, "#width-says").text) > 1800
    assert one(desktop, "#preset").get_attribute("value") == "Own"
    assert "frame=1" in one(desktop, "#viewer-image").get_attribute("src")
    one(desktop, "input[value=clip]").click()
    press(desktop, KEYS.ESCAPE)
    assert texts(desktop, "#tray .badge") == ["clip of 3"]
    one(desktop, "#tray .remove").click()
    assert texts(desktop, "#tray .thumb") == [] and not one(desktop, "#tray").is_displayed()
    assert pages.complaints(desktop) == []


def test_an_answer_stops_where_one_wishes(browser, jax_chat):
    show(browser, jax_chat)
    set_longest(browser, 900)
    one(browser, "#question").send_keys("go on", KEYS.ENTER)
    until(browser, "document.querySelector('.turn.model .says')?.textContent.length > 0")
    press(browser, KEYS.ESCAPE)
    until(browser, "!document.getElementById('send').hidden")
    assert texts(browser, ".mark-text") == ["stopped"]
    one(browser, "#new").click()
    set_longest(browser, 4)
    ask(browser, "again")  # the engine is free
    assert pages.complaints(browser) == []


def test_everything_is_reached_by_keys(desktop, jax_chat):
    show(desktop, jax_chat)
    set_longest(desktop, 4)
    new_line = webdriver.ActionChains(desktop).send_keys("one").key_down(KEYS.SHIFT)
    new_line.send_keys(KEYS.ENTER).key_up(KEYS.SHIFT).send_keys("two").perform()
    assert one(desktop, "#question").get_attribute("value") == "one\ntwo"
    press(desktop, KEYS.ENTER)
    until(desktop, "document.querySelector('.again')")
    assert texts(desktop, ".turn.user .says") == ["one\ntwo"]
    press(desktop, "x")
    seen = []
    while (focused := desktop.execute_script(FOCUSED))[0] not in seen:
        assert focused[1], focused
        seen.append(focused[0])
        press(desktop, KEYS.TAB)
    expected = {"question", "attach", "send", "new", "download", "settings-button", "system"}
    expected |= {"max_new_tokens", "temperature", "repetition_penalty", "settings-close"}
    expected |= {"Copy", "Regenerate", "Edit this question and send it again"}
    assert expected <= set(seen), seen
    one(desktop, ".edit").send_keys(KEYS.ENTER)
    assert one(desktop, "#question").get_attribute("value") == "one\ntwo"
    press(desktop, KEYS.ESCAPE)
    assert not one(desktop, "#editing").is_displayed()
    assert pages.complaints(desktop) == []


def test_editing_replaces_what_follows_and_a_new_chat_all(desktop, jax_chat, files):
    show(desktop, jax_chat)
    set_longest(desktop, 4)
    add(desktop, files.picture)
    for text in ("first", "second"):
        ask(desktop, text)
    one(desktop, ".edit").click()
    assert len(texts(desktop, "#tray .thumb")) == 1
    one(desktop, "#question").send_keys(" again", KEYS.ENTER)
    until(desktop, "document.querySelectorAll('.turn.model .below').length === 1")
    assert texts(desktop, ".turn.user .says") == ["first again"]
    desktop.execute_script(
        "const t = document.getElementById('temperature'); t.value = 1;"
        "t.dispatchEvent(new Event('input'));"
    )
    one(desktop, ".again").click()
    until(desktop, "document.querySelector('.again')")
    assert one(desktop, "#seed").get_attribute("value") == "1"
    assert len(texts(desktop, ".turn.model")) == 1
    one(desktop, "#new").click()
    assert texts(desktop, ".turn") == [] and one(desktop, "#welcome").is_displayed()
    assert pages.complaints(desktop) == []


def test_a_download_gives_generate_the_same_question(
    desktop, jax_chat, files, tmp_path, small_folder
):
    desktop.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    show(desktop, jax_chat)
    set_longest(desktop, 5)
    add(desktop, files.picture, files.scan)
    ask(desktop, "Which?")
    one(desktop, "#download").click()
    source, target = tmp_path / "conversation.jsonl", tmp_path / "answers.jsonl"
    wait.WebDriverWait(desktop, 20).until(lambda _: source.exists() and source.stat().st_size)
    sampling = protocol.SamplingParams(max_new_tokens=5)
    assert generate.run(small_folder, source, target, sampling=sampling) == (1, 0)
    row, answer = (json.loads(path.read_text()) for path in (source, target))
    assert row["said"] == answer["text"] != ""
    assert not [secret for secret in files.secrets if secret in source.read_text()]


def test_who_leaves_takes_the_files_along(desktop, jax_chat, files):
    show(desktop, jax_chat)
    add(desktop, files.picture)
    address = one(desktop, "#tray img").get_attribute("src")
    status = "const done = arguments[1]; fetch(arguments[0]).then((r) => done(r.status));"
    assert desktop.execute_async_script(status, address) == 200
    show(desktop, jax_chat)
    wait.WebDriverWait(desktop, 10).until(
        lambda b: b.execute_async_script(status, address) == 400, "it is still held"
    )


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_pictures_are_dropped_and_pasted(browser, jax_chat, files, how):
    show(browser, jax_chat)
    data = base64.b64encode(files.picture.read_bytes()).decode()
    kinds = {
        "drop": "DragEvent('drop', {dataTransfer",
        "paste": "ClipboardEvent('paste', {clipboardData",
    }
    browser.execute_script(
        "const bytes = Uint8Array.from(atob(arguments[0]), c => c.charCodeAt(0));"
        "const given = new DataTransfer(); given.items.add(new File([bytes], 'a.png'));"
        f"document.dispatchEvent(new {kinds[how]}: given, bubbles: true, cancelable: true}}))",
        data,
    )
    until(browser, "document.querySelectorAll('#tray img').length === 1")
    until(browser, "document.querySelector('#tray img').naturalWidth === 84")
    assert pages.complaints(browser) == []


def test_what_is_no_picture_is_said_on_the_page(browser, jax_chat, tmp_path):
    show(browser, jax_chat)
    (tmp_path / "a.png").write_bytes(b"no picture")
    one(browser, "#files").send_keys(str(tmp_path / "a.png"))
    until(browser, "!document.getElementById('problem').hidden")
    assert "image does not decode" in one(browser, "#problem").text
    assert browser.execute_script(pages.OVERFLOW) <= 0
    one(browser, "#question").send_keys("x" * 2000, KEYS.ENTER)
    until(browser, "document.getElementById('problem').textContent.includes('context is 1024')")
    # What could not be asked is there to be mended.
    assert one(browser, "#question").get_attribute("value") == "x" * 2000
    assert texts(browser, ".turn") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_read_in_either_scheme(browser, jax_chat, files, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    show(browser, jax_chat)
    set_longest(browser, 4)
    ground = browser.execute_script(
        "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (max(ground) < 60) == (scheme == "dark")
    add(browser, files.picture)
    ask(browser, "What?")
    add(browser, files.scan)
    if not one(browser, "#settings").is_displayed():
        one(browser, "#settings-button").click()
    ratio, where = browser.execute_script(CONTRAST)
    assert ratio >= 4.5, where
    browser.execute_script("document.querySelector('#tray .thumb').click()")
    ratio, where = browser.execute_script(CONTRAST)
    assert ratio >= 4.5, where
    browser.execute_script("document.body.style.color = '#888'")
    assert browser.execute_script(CONTRAST)[0] < 4.5  # would be noticed
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


# Before a server.


@pytest.fixture(scope="module")
def echo():
    """A server that says what it is asked, and the page before it."""
    with bad_server.running() as server:
        arguments = f"--server={server.url}", f"--model={bad_server.MODEL}", "--max_retries=0"
        with chatting(*arguments) as found:
            yield types.SimpleNamespace(url=found.url, server=server, process=found.process)


def test_a_server_gets_pictures_and_no_more(browser, echo, files):
    show(browser, echo)
    add(browser, files.picture, files.scan)
    ask(browser, "What is it?")
    assert texts(browser, ".turn.model .says") == ["to What is it?"]
    sent = echo.server.bodies[-1]
    *images, said = sent["messages"][-1]["content"]
    assert said == {"type": "text", "text": "What is it?"} and sent["stream"] is True
    assert (sent["temperature"], sent["max_completion_tokens"]) == (0, 512)
    for image in images:
        head, _, data = image["image_url"]["url"].partition(",")
        file = base64.b64decode(data)
        assert head == "data:image/png;base64" and file.startswith(b"\x89PNG")
        assert not [secret for secret in files.secrets if secret.encode() in file]
    assert len(images) == 2
    assert browser.find_elements(by.By.CSS_SELECTOR, "[data-field]:not([hidden])") == []
    assert "4 tokens" in texts(browser, ".note")[-1]
    assert known(browser, files.secrets) == []
    ask(browser, f"Who is {files.secrets[0]}?")
    assert known(browser, files.secrets) == [files.secrets[0]]  # it would be noticed
    assert pages.complaints(browser) == []


def test_what_a_model_says_stays_text(desktop, echo):
    show(desktop, echo)
    ask(desktop, EVIL)
    says = one(desktop, ".turn.model .says")
    assert says.text == 'to <img src=x onerror="window.hacked = 1"> bold code'
    assert texts(desktop, ".says strong") == ["bold"] and texts(desktop, ".says code") == ["code"]
    assert desktop.find_elements(by.By.CSS_SELECTOR, ".says img") == []
    assert desktop.execute_script("return window.hacked") is None
    assert pages.complaints(desktop) == []


def test_what_a_server_refuses_is_one_line_and_the_question_stays(desktop, echo):
    show(desktop, echo)
    echo.server.plan["mend me"] = [bad_server.error(400, "too much of it")]
    one(desktop, "#question").send_keys("mend me", KEYS.ENTER)
    until(desktop, "!document.getElementById('problem').hidden")
    assert "too much of it" in one(desktop, "#problem").text
    assert one(desktop, "#question").get_attribute("value") == "mend me"
    ask(desktop, "")
    assert texts(desktop, ".turn.model .says") == ["to mend me"]


def test_a_question_that_is_stopped_early_comes_back(desktop, echo):
    show(desktop, echo)
    echo.server.plan["slow"] = [bad_server.Act(seconds=60)]
    one(desktop, "#question").send_keys("slow", KEYS.ENTER)
    until(desktop, "!document.getElementById('stop').hidden")
    one(desktop, "#stop").click()
    until(desktop, "document.getElementById('question').value === 'slow'")
    assert texts(desktop, ".turn") == []
    assert desktop.switch_to.active_element.get_attribute("id") == "question"


def test_ctrl_c_ends_it_and_nothing_was_said(small_folder, desktop, files):
    with chatting(f"--model={small_folder}") as chat:
        show(desktop, chat)
        set_longest(desktop, 4)
        add(desktop, files.scan)
        ask(desktop, "a question of mine")
        chat.process.send_signal(signal.SIGINT)
        try:
            out, err = chat.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            pytest.fail("it goes on after Ctrl-C")
    assert chat.process.returncode == 130
    said = ("a question of mine", *files.secrets)
    assert out == "" and not [text for text in said if text in err]
    one(desktop, "#question").send_keys("still there?", KEYS.ENTER)
    until(desktop, "!document.getElementById('problem').hidden")
    assert one(desktop, "#problem").text == "the server does not answer: was it stopped?"
