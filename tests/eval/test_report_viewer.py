# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import base64
import dataclasses
import gzip
import io
import json
import pathlib

import pytest
from PIL import Image

from lingshu_jax.eval import report_viewer
from tests.eval import evaluations


def with_picture(sample, *pictures, kind="image"):
    content = [{"type": kind, kind: picture} for picture in pictures]
    return dataclasses.replace(sample, messages=({"role": "user", "content": content},))


def draw(folder, name, shade):
    path = folder / f"{name}.png"
    Image.effect_noise((300, 200), shade).convert("RGB").save(path)
    return str(path)


def collect(rows, samples, *, first=(), budget=report_viewer.PICTURE_BYTES):
    chosen = {"set": first}
    return report_viewer.collect({"set": rows}, {"set": samples}, first=chosen, budget=budget)


def unpack(text):
    """The packed rows, as the page's script reads them."""
    content = json.loads(gzip.decompress(base64.b64decode(text)))
    columns = {
        name: column["values"]
        if column["index"] is None
        else [column["values"][i] for i in column["index"]]
        for name, column in content["columns"].items()
    }
    return content, columns


def test_rows_come_back_from_what_is_packed():
    samples = {"set": evaluations.yes_no(3), "letters": evaluations.choices("AB")}
    rows = {
        "set": evaluations.score(samples["set"], ["yes", "", "</script><b>no</b> 是"]),
        "letters": evaluations.score(samples["letters"], ["A", "A"]),
    }
    rows["set"][0]["judge"] = {"J": "correct"}
    pictures = report_viewer.collect(rows, samples, first={})
    packed = report_viewer.pack(rows, samples, pictures)
    assert "<" not in packed
    content, columns = unpack(packed)
    assert content["benchmarks"] == ["set", "letters"]
    assert columns["benchmark"] == ["set"] * 3 + ["letters"] * 2
    every = [*rows["set"], *rows["letters"]]
    for name in ("id", "question", "gold", "response", "options", "strata", "judge", "reason"):
        assert columns[name] == [row[name] for row in every], name
    for mode in ("compat", "strict"):
        assert columns[mode] == [row[mode]["correct"] for row in every]
    assert columns["status"] == [row["strict"]["status"] for row in every]
    assert columns["status"][1] == "empty"
    assert columns["pictures"] == [[]] * 5 and columns["media"] == [0] * 5
    assert len(content["columns"]["answer_type"]["values"]) == 2
    assert content["columns"]["id"]["index"] is None


def test_the_same_rows_give_the_same_bytes():
    samples = {"set": evaluations.yes_no(3)}
    rows = {"set": evaluations.score(samples["set"], ["yes", "no", ""])}
    pictures = report_viewer.collect(rows, samples, first={})
    first = report_viewer.pack(rows, samples, pictures)
    assert first == report_viewer.pack(rows, samples, pictures)
    rows["set"][1]["response"] = "No"
    assert first != report_viewer.pack(rows, samples, pictures)


def test_true_and_its_name_stay_apart():
    """Distinct values are told apart by their JSON, where True is not "true" and 1 not 1.0."""
    samples = evaluations.yes_no(2)
    rows = evaluations.score(samples, ["yes", "no"])
    rows[0]["gold"], rows[1]["gold"] = "true", True
    pictures = collect(rows, samples)
    _, columns = unpack(report_viewer.pack({"set": rows}, {"set": samples}, pictures))
    assert columns["gold"] == ["true", True] and columns["gold"][1] is True


def test_a_picture_is_small_has_pixels_alone_and_stands_there_once(tmp_path):
    one, copy = draw(tmp_path, "one", 50), tmp_path / "copy.png"
    copy.write_bytes((tmp_path / "one.png").read_bytes())
    two = draw(tmp_path, "two", 9)
    plain = evaluations.yes_no(4)
    samples = [
        with_picture(plain[0], one),
        with_picture(plain[1], one, two),
        with_picture(plain[2], str(copy)),
        plain[3],
    ]
    rows = evaluations.score(samples, ["yes"] * 4)
    found = collect(rows, samples, first=[0, 1, 2])
    assert found.of_rows == {"set": [[0], [0, 1], [0], []]}
    assert (len(found.texts), found.wanted, found.shown, found.unreadable) == (2, 3, 3, 0)
    shown = Image.open(io.BytesIO(base64.b64decode(found.texts[0])))
    assert (shown.format, max(shown.size)) == ("WEBP", report_viewer.SIDE)
    head, _, text = found.addresses("set", 1)[1].partition(",")
    assert (head, text) == ("data:image/webp;base64", found.texts[1])


def test_files_and_bytes_of_one_picture_are_one(tmp_path):
    path = draw(tmp_path, "one", 50)
    content = pathlib.Path(path).read_bytes()
    plain = evaluations.yes_no(3)
    sources = (content, path, content[:])
    samples = [with_picture(s, source) for s, source in zip(plain, sources, strict=True)]
    found = collect(evaluations.score(samples, ["yes"] * 3), samples)
    assert len(found.texts) == 1 and found.of_rows["set"] == [[0]] * 3


def test_a_video_is_shown_by_its_first_frame(tmp_path):
    frames = [draw(tmp_path, str(i), 20 * i + 5) for i in range(3)]
    (sample,) = evaluations.yes_no(1)
    video = with_picture(sample, frames, kind="video")
    still = with_picture(sample, frames[0])
    rows = evaluations.score([sample], ["yes"])
    assert collect(rows, [video]).texts == collect(rows, [still]).texts


def test_the_budget_is_kept_and_failures_come_first(tmp_path):
    plain = evaluations.yes_no(12)
    samples = [with_picture(s, draw(tmp_path, s.id, 5 * i + 5)) for i, s in enumerate(plain)]
    said = ["yes"] * 12
    said[7] = said[10] = ""
    rows = evaluations.score(samples, said)
    everything = collect(rows, samples)
    assert everything.shown == everything.wanted == 12
    budget = sum(map(len, everything.texts)) // 3
    found = collect(rows, samples, first=[2], budget=budget)
    assert sum(map(len, found.texts)) <= budget
    shown = [place for place, pictures in enumerate(found.of_rows["set"]) if pictures]
    assert {2, 7, 10} <= set(shown) and found.shown == len(shown) < 12
    assert found.wanted == 12
    nothing = collect(rows, samples, budget=0)
    assert (nothing.texts, nothing.shown, nothing.wanted) == ([], 0, 12)


def test_a_question_shows_all_its_pictures_or_none(tmp_path):
    one, two = draw(tmp_path, "one", 5), draw(tmp_path, "two", 99)
    plain = evaluations.yes_no(2)
    samples = [with_picture(plain[0], one), with_picture(plain[1], one, two)]
    rows = evaluations.score(samples, ["yes"] * 2)
    size = len(collect(rows, samples[:1] + plain[1:]).texts[0])
    found = collect(rows, samples, first=[0, 1], budget=size)
    assert found.of_rows["set"] == [[0], []] and found.shown == 1


def test_what_cannot_be_read_any_more_is_counted(tmp_path):
    plain = evaluations.yes_no(3)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    samples = [
        with_picture(plain[0], str(tmp_path / "gone.png")),
        with_picture(plain[1], str(broken)),
        with_picture(plain[2], draw(tmp_path, "there", 9)),
    ]
    rows = evaluations.score(samples, ["yes"] * 3)
    found = collect(rows, samples)
    assert (found.wanted, found.shown, found.unreadable) == (3, 1, 2)
    assert found.of_rows["set"] == [[], [], [0]]
    _, columns = unpack(report_viewer.pack({"set": rows}, {"set": samples}, found))
    assert columns["media"] == [1, 1, 1]


def test_rows_without_their_questions_have_no_pictures():
    rows = evaluations.score(evaluations.yes_no(2), ["yes"] * 2)
    found = report_viewer.collect({"set": rows}, {}, first={})
    assert (found.wanted, found.of_rows) == (0, {"set": [[], []]})
    _, columns = unpack(report_viewer.pack({"set": rows}, {}, found))
    assert columns["media"] == [0, 0]


@pytest.mark.parametrize("count", [40, 1000])
def test_pictures_are_spread_whatever_the_budget(count):
    samples = evaluations.yes_no(count)
    rows = {"set": evaluations.score(samples, ["yes"] * count)}
    order = [place for _, place in report_viewer._order(rows, {})]
    assert sorted(order) == list(range(count))
    quarters = [4 * place // count for place in order[: count // 2]]
    assert all(quarters.count(i) >= count // 10 for i in range(4))


def test_the_script_writes_text_only_and_stays_in_its_tag():
    script = report_viewer.script()
    assert "</script" not in script and "<!--" not in script and "{{" not in script
    for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert unsafe not in script
