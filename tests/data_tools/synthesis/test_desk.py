# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import io
import json

import pytest
from PIL import Image

from data_tools import rows as rows_lib
from data_tools.synthesis import asks, desk
from data_tools.synthesis import seeds as seeds_lib
from lingshu_jax.common import errors
from lingshu_jax.data import formats, readers, sources
from lingshu_jax.engines import protocol
from tests.data_tools.synthesis import stand_in

FIRST = asks.Prompt("first", "About $what?")
SECOND = asks.Prompt("second", "Is '$said' right?")


class Said(asks.Reply):
    said: str


class Verdict(asks.Reply):
    right: bool


@dataclasses.dataclass(frozen=True)
class Twice:
    """Asks what a thing is, and then whether that is right."""

    name: str = "twice"
    version: int = 1

    def settings(self):
        return {}

    def write(self, seed, draw):
        said = yield asks.Ask(
            prompt=FIRST,
            text=FIRST.fill(what=seed.question),
            media=seed.media,
            reply=Said,
            example=Said(said="a lung"),
        )
        verdict = yield asks.Ask(
            prompt=SECOND,
            text=SECOND.fill(said=said.said),
            reply=Verdict,
            example=Verdict(right=True),
        )
        if not verdict.right:
            raise asks.Lost("wrong", said.said)
        parts = [asks.picture(i) for i in range(len(seed.media))]
        draft = asks.Draft(
            kind="vqa",
            messages=(
                asks.turn("user", *parts, asks.text(seed.question)),
                asks.turn("assistant", asks.text(said.said)),
            ),
            media=seed.media,
            meta={"answer": said.said},
            checks={"draw": draw % 10},
        )
        return asks.Written(drafts=(draft,), losses=(asks.Loss("spare"),))


def picture(colour=(9, 9, 9)):
    file = io.BytesIO()
    info = Image.Exif()
    info[0x010E] = "Jane Roe"
    Image.new("RGB", (8, 8), colour).save(file, "JPEG", exif=info)
    return rows_lib.Medium(kind="image", data=file.getvalue())


def seed(name, **fields):
    return seeds_lib.Seed(id=f"s/{name}", source="s", question=name, **fields)


def well(request):
    text = request.messages[-1]["content"][-1]["text"]
    if text.startswith("About"):
        return json.dumps({"said": text[6:-1].upper()})
    return json.dumps({"right": True})


AUTHOR = desk.Author(model="m")


def write(tmp_path, seeds, answer=well, author=AUTHOR, **options):
    engine = stand_in.Engine(answer)
    counts = desk.write(
        Twice(), seeds, tmp_path, author=author, make_engine=lambda: engine, **options
    )
    return counts, engine


def rows_of(tmp_path):
    return list(desk.read_rows(tmp_path / "rows" / "twice.jsonl"))


def dropped_of(tmp_path):
    text = (tmp_path / "dropped" / "twice.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def snapshot(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "replies" not in path.parts
    }


def test_rows_come_in_the_order_of_the_seeds_with_their_provenance(tmp_path):
    counts, engine = write(tmp_path, [seed("b"), seed("a"), seed("c")])
    assert [row["answer"] for row in rows_of(tmp_path)] == ["B", "A", "C"]
    assert (counts.seeds, counts.rows, counts.asked, counts.again, counts.failed) == (3, 3, 6, 0, 0)
    assert counts.dropped == {"spare": 3}
    provenance = rows_of(tmp_path)[0]["provenance"]
    assert provenance["parents"] == ["s/b"] and provenance["model"] == "m"
    assert provenance["prompts"] == {"first": FIRST.digest, "second": SECOND.digest}
    assert len({row["id"] for row in rows_of(tmp_path)}) == 3
    assert all(request.sampling.json_schema for request in engine.asked)
    assert len({request.sampling.seed for request in engine.asked}) == 6


def test_a_round_asks_all_seeds_together(tmp_path):
    _, engine = write(tmp_path, [seed("a"), seed("b"), seed("c")], window=2)
    kinds = ["About" in request.messages[-1]["content"][-1]["text"] for request in engine.asked]
    assert kinds == [True, True, False, False, True, False]


def test_a_second_run_asks_nothing_and_writes_the_same(tmp_path):
    seeds = [seed("a", media=(picture(),)), seed("b")]
    first, _ = write(tmp_path, seeds)
    before = snapshot(tmp_path)
    again, engine = write(tmp_path, seeds)
    assert not engine.asked
    assert snapshot(tmp_path) == before
    assert again == first


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.1},
        {"settings": {"weights": "other"}},
        {"is_guided": False},
    ],
)
def test_another_author_is_asked_again(tmp_path, change):
    write(tmp_path, [seed("a")])
    author = dataclasses.replace(desk.Author(model="m"), **change)
    _, engine = write(tmp_path, [seed("a")], author=author)
    assert len(engine.asked) == 2


def test_another_seed_of_the_run_draws_anew(tmp_path):
    write(tmp_path, [seed("a")])
    before = rows_of(tmp_path)[0]["provenance"]["checks"]
    draws = set()
    for number in range(1, 6):
        write(tmp_path, [seed("a")], author=desk.Author(model="m", seed=number))
        draws.add(rows_of(tmp_path)[0]["provenance"]["checks"]["draw"])
    assert draws != {before["draw"]}


def test_an_unreadable_reply_is_asked_for_again_with_another_seed(tmp_path):
    seen = []

    def answer(request):
        seen.append((request.id, request.sampling.seed))
        return well(request) if len(seen) > 1 else "no JSON"

    counts, _ = write(tmp_path, [seed("a")], answer)
    assert [name for name, _ in seen] == ["s/a 0", "s/a 0", "s/a 1"]
    assert len({number for _, number in seen}) == 3
    assert (counts.rows, counts.asked, counts.again) == (1, 3, 1)
    again, engine = write(tmp_path, [seed("a")])
    assert (again.asked, again.again, engine.asked) == (3, 1, [])


def test_what_stays_unreadable_is_a_counted_loss(tmp_path):
    def answer(request):
        return '{"said": 3}' if request.id.startswith("s/bad") else well(request)

    counts, engine = write(tmp_path, [seed("bad"), seed("good")], answer)
    assert counts.dropped == {desk.UNREADABLE: 1, "spare": 1}
    assert counts.asked == 5 and counts.again == 3
    assert dropped_of(tmp_path)[0]["detail"].startswith("first: said")
    assert len(rows_of(tmp_path)) == 1
    _, engine = write(tmp_path, [seed("bad"), seed("good")], answer)
    assert not engine.asked


@pytest.mark.parametrize("form", ["```json\n{}\n```", "Sure! {}", "{}\n", "{} Hope that helps."])
def test_json_among_words_is_found(tmp_path, form):
    counts, _ = write(tmp_path, [seed("a")], lambda request: form.replace("{}", well(request)))
    assert (counts.rows, counts.again) == (1, 0)


@pytest.mark.parametrize("said", ['{"said": "x", "more": 1}', "{}", "[]", '{"said": null}', ""])
def test_what_the_schema_does_not_say_is_refused(tmp_path, said):
    counts, _ = write(tmp_path, [seed("a")], lambda request: said)
    assert (counts.rows, counts.again) == (0, 1 + desk.RETRIES)


def test_a_recipe_may_lose_a_seed(tmp_path):
    def answer(request):
        return well(request).replace("true", "false")

    counts, _ = write(tmp_path, [seed("a")], answer)
    assert dropped_of(tmp_path) == [{"detail": "A", "id": "s/a", "reason": "wrong"}]
    assert counts.dropped == {"wrong": 1}


def test_who_gets_no_reply_is_asked_by_the_next_run(tmp_path, capsys):
    def answer(request):
        return protocol.Failure("too busy") if "b" in request.id else well(request)

    counts, _ = write(tmp_path, [seed("a"), seed("b")], answer)
    assert (counts.rows, counts.failed) == (1, 1)
    assert "'s/b' got no reply: too busy" in capsys.readouterr().err
    counts, engine = write(tmp_path, [seed("a"), seed("b")])
    assert (counts.rows, counts.failed, len(engine.asked)) == (2, 0, 2)


def test_an_engine_that_gives_up_leaves_the_rows_of_before(tmp_path):
    write(tmp_path, [seed("a")])
    before = snapshot(tmp_path)

    def answer(request):
        raise errors.UserError("the budget is spent")

    with pytest.raises(errors.UserError, match="budget"):
        write(tmp_path, [seed("a"), seed("b")], answer)
    assert snapshot(tmp_path) == before


def test_pictures_are_kept_once_without_what_is_beside_their_pixels(tmp_path):
    seeds = [seed("a", media=(picture(),)), seed("b", media=(picture(), picture((200, 0, 0))))]
    assert b"Jane Roe" in seeds[0].media[0].data
    _, engine = write(tmp_path, seeds)
    files = sorted((tmp_path / "rows" / "pictures").iterdir())
    assert len(files) == 2
    assert not any(b"Jane Roe" in path.read_bytes() for path in files)
    asked = engine.asked[0].messages[0]["content"][0]["image"]
    assert asked in map(str, files)
    options = formats.Options(image_root=None)
    (one, two) = readers.FORMATS["messages"].read(tmp_path / "rows" / "twice.jsonl", options)
    images = [part["image"] for part in two.messages[0]["content"] if part["type"] == "image"]
    assert [str(path) for path in images] and len(images) == 2
    assert one.meta["provenance"]["recipe"] == "twice"


def test_a_broken_picture_loses_its_seed_alone(tmp_path):
    broken = rows_lib.Medium(kind="image", data=b"\x89PNG no picture")
    counts, engine = write(tmp_path, [seed("a", media=(broken,)), seed("b")])
    assert counts.dropped == {desk.BROKEN: 1, "spare": 1} and counts.rows == 1
    assert len(engine.asked) == 2


def test_clips_and_refused_rows_are_counted(tmp_path):
    clip = rows_lib.Medium(kind="video", path="a.mp4")
    refused = sources.Dropped(id="x", source="s", line=3, reason="no messages")
    counts, _ = write(tmp_path, [seed("a", media=(clip,)), refused])
    assert counts.seeds == 2 and counts.rows == 0
    assert counts.dropped == {desk.CLIP: 1, desk.REFUSED: 1}
    assert [row["id"] for row in dropped_of(tmp_path)] == ["s/a", "s/x"]


def test_ids_of_publishers_stay_out_of_the_rows_ids(tmp_path):
    write(tmp_path, [seed("Jane-Roe-1950")])
    (row,) = rows_of(tmp_path)
    assert "Jane" not in row["id"]


def test_seeds_of_one_id_have_a_reply_each(tmp_path):
    seeds = [seed("a"), seed("a"), seed("a")]
    counts, engine = write(tmp_path, seeds)
    assert (counts.rows, counts.asked) == (3, 6)
    assert len({row["id"] for row in rows_of(tmp_path)}) == 3
    _, engine = write(tmp_path, seeds)
    assert not engine.asked


def test_a_greedy_reply_is_not_asked_for_again_as_it_was(tmp_path):
    author = desk.Author(model="m", temperature=0.0)
    _, engine = write(tmp_path, [seed("a")], lambda request: "no JSON", author)
    assert [request.sampling.temperature for request in engine.asked] == [0, desk.AGAIN, desk.AGAIN]


def test_fields_are_asked_for_in_the_order_of_the_class():
    class Ordered(asks.Reply):
        why: str
        answer: str

    assert list(json.loads(asks.schema(Ordered))["properties"]) == ["why", "answer"]


def test_schemas_name_every_field_and_no_default():
    class Nested(asks.Reply):
        title: str = "x"
        items: list[Said]

    found = json.loads(asks.schema(Nested))
    assert found["required"] == ["title", "items"]
    assert "default" not in json.dumps(found) and found["properties"]["title"] == {"type": "string"}
    assert found["additionalProperties"] is False


def test_options_are_listed_by_letters():
    assert asks.listed(["one", "two"]) == "A. one\nB. two"


def test_a_place_that_is_not_filled_is_an_error():
    with pytest.raises(KeyError):
        FIRST.fill(other="x")
