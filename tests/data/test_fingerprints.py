# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import io
import json

import numpy as np
import pyarrow
import pytest
import scipy.fft
from PIL import Image
from pyarrow import parquet

from lingshu_jax.common import errors, prompts
from lingshu_jax.data import fingerprint_files, fingerprints, sources


def smooth(seed: int = 0, side: int = 192) -> Image.Image:
    """Large soft shapes, as a radiograph has them."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6), np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).convert("RGB")


def as_file(picture: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def bits_apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def example(*content, answer: str = "yes", row_id: str = "r1") -> sources.Example:
    messages = (
        {"role": "system", "content": [{"type": "text", "text": "You are a doctor."}]},
        {"role": "user", "content": list(content)},
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    )
    return sources.Example(id=row_id, source="s", messages=messages)


def text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}


def test_a_hash_is_16_digits_and_the_same_for_path_bytes_and_picture(tmp_path):
    picture = smooth()
    picture.save(tmp_path / "a.png")
    found = {
        fingerprints.image_hash(str(tmp_path / "a.png")),
        fingerprints.image_hash((tmp_path / "a.png").read_bytes()),
        fingerprints.image_hash(picture),
    }
    assert len(found) == 1
    (only,) = found
    assert len(only) == 16
    assert int(only, 16)


def test_the_hash_says_which_low_frequencies_are_above_their_median():
    pixels = np.asarray(smooth(2, side=32).convert("L"))
    cosines = scipy.fft.dctn(pixels.astype(float))[:8, :8]
    bits = "".join("01"[int(value > np.median(cosines))] for value in cosines.reshape(-1))
    assert fingerprints.image_hash(Image.fromarray(pixels)) == f"{int(bits, 2):016x}"


def test_the_hash_of_a_picture_is_as_it_always_was():
    pixels = np.array(Image.radial_gradient("L"))
    pixels[40:90, 20:200] //= 3
    pixels[150:, 130:160] = 200
    assert fingerprints.image_hash(Image.fromarray(pixels)) == "bb268cd1e2d0992f"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: as_file(p, "JPEG", quality=60), id="compressed"),
        pytest.param(lambda p: p.resize((384, 384), Image.Resampling.BICUBIC), id="twice the size"),
        pytest.param(lambda p: p.convert("L"), id="grey"),
    ],
)
def test_a_soft_picture_changed_without_new_content_stays_within_four_bits(change):
    picture = smooth()
    found = fingerprints.image_hash(change(picture))
    assert bits_apart(found, fingerprints.image_hash(picture)) <= 4


def test_a_block_of_other_pixels_is_another_picture():
    picture = smooth()
    changed = picture.copy()
    changed.paste((255, 255, 255), (0, 0, 96, 96))
    assert fingerprints.image_hash(changed) != fingerprints.image_hash(picture)
    assert fingerprints.image_hash(smooth(1)) != fingerprints.image_hash(picture)


def test_pictures_of_one_colour_have_one_hash():
    found = {fingerprints.image_hash(Image.new("RGB", (50, 40), c)) for c in ("red", "white")}
    assert len(found) == 1


def test_a_version_names_library_release_and_settings():
    assert fingerprints.image_version().startswith("ImageHash 4.")
    assert "phash" in fingerprints.image_version()


@pytest.mark.parametrize(
    "one, other",
    [
        ("Is there a fracture?", "is there  a\nFRACTURE ？"),
        ("ＣＴ scan", "CT scan"),
        ("右肺有积液吗？", "右肺 有积液吗"),
        ("T2-weighted", "T2 weighted"),
        ("Café", "Cafe\N{COMBINING ACUTE ACCENT}"),
    ],
)
def test_layout_and_punctuation_make_no_other_text(one, other):
    assert fingerprints.text_key(one) == fingerprints.text_key(other)


@pytest.mark.parametrize(
    "one, other",
    [
        ("Is there a fracture?", "Is there no fracture?"),
        ("右肺有积液吗？", "左肺有积液吗？"),
        ("T1", "T2"),
        ("Café", "Cafe"),
        ("α", "β"),
    ],
)
def test_other_words_are_another_text(one, other):
    assert fingerprints.text_key(one) != fingerprints.text_key(other)


def test_words_are_letters_and_digits_and_single_chinese_characters():
    assert fingerprints.words("CT显示_3.5 cm") == ["ct", "显", "示", "3", "5", "cm"]


def test_runs_of_words_are_counted_and_short_texts_have_none():
    said = " ".join(f"w{number}" for number in range(15))
    assert len(fingerprints.ngrams(said)) == 3
    assert fingerprints.ngrams(said)[0] == fingerprints.text_key(" ".join(said.split()[:13]))
    assert fingerprints.ngrams(" ".join(said.split()[:12])) == ()
    assert len(fingerprints.ngrams("a " * 40)) == 1, "each once"
    changed = said.replace("w7", "other")
    assert not set(fingerprints.ngrams(changed)) & set(fingerprints.ngrams(said))


@pytest.mark.parametrize(
    "prompt, forms",
    [
        ("Is it?", ["is it"]),
        (prompts.ask("Is it?", prompts.YES_NO), ["is it"]),
        ("<image>\nIs it?\nAnswer the question using a single word or phrase.", ["is it"]),
        ("<image_1>: \n右肺？\n请用一个单词或者短语回答该问题。", ["右 肺"]),
        (
            prompts.ask("\nQuestion: Which?\nOptions: \nA. left\nB. right", prompts.CHOICE),
            ["which a left b right", "which"],
        ),
        ("Which?\n(A) left\n(B) right", ["which a left b right", "which"]),
        (
            "A. first line is no option\nB. but what is asked",
            ["a first line is no option b but what is asked"],
        ),
        ("Select the best answer", ["select the best answer"]),
        ("???", []),
    ],
)
def test_what_a_prompt_asks_is_found_with_and_without_its_options(prompt, forms):
    assert fingerprints.question_forms(prompt) == forms


def test_a_row_has_keys_of_its_pictures_questions_and_words():
    picture = smooth()
    asked = "Is there a fracture?"
    long = "one two three four five six seven eight nine ten eleven twelve thirteen"
    row = example(
        {"type": "image", "image": picture}, text(f"{asked}\n{prompts.YES_NO}"), answer=long
    )
    found = fingerprints.of_example(row)
    assert found.images == (fingerprints.image_hash(picture),)
    assert found.texts == (fingerprints.text_key(asked),)
    assert found.ngrams == (fingerprints.text_key(long),)
    assert (found.id, found.source) == ("r1", "s")


def test_each_frame_of_a_video_has_a_key():
    frames = [smooth(0), smooth(1)]
    row = example({"type": "video", "video": frames, "fps": 1.0}, text("What?"))
    assert fingerprints.of_example(row).images == tuple(map(fingerprints.image_hash, frames))


def test_a_row_whose_picture_does_not_decode_is_refused_and_the_others_stay():
    bad = example({"type": "image", "image": b"no picture"}, text("What?"), row_id="bad")
    good = example(text("What?"), row_id="good")
    dropped, kept = fingerprints.of_examples([bad, good])
    assert isinstance(dropped, sources.Dropped)
    assert dropped.id == "bad"
    assert "does not decode" in dropped.reason
    assert kept.id == "good"


def make_prints(count: int) -> list[fingerprints.Fingerprint]:
    key = fingerprints.text_key
    return [
        fingerprints.Fingerprint(
            f"id{number}",
            f"source {number % 2}",
            (key(f"image {number}"),) * (number % 3),
            (key(f"text {number}"),),
            (),
        )
        for number in range(count)
    ]


def test_a_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "new" / "f.parquet"
    prints = make_prints(5)
    note = fingerprint_files.write(path, iter(prints), meta=lambda: {"dropped": 2})
    assert (note["rows"], note["rows_with_images"], note["images"]) == (5, 3, 5 - 1)
    assert fingerprint_files.read_note(path) == note
    assert note["dropped"] == 2
    (batch,) = fingerprint_files.read(path)
    assert [batch.sources[place] for place in batch.source_of] == [p.source for p in prints]
    for name in ("images", "texts", "ngrams"):
        keys = getattr(batch, name)
        wanted = [(row, key) for row, p in enumerate(prints) for key in getattr(p, name)]
        assert list(keys.rows) == [row for row, _ in wanted]
        assert list(keys.values) == list(fingerprint_files.as_numbers([k for _, k in wanted]))


def test_a_file_is_read_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint_files, "BATCH_ROWS", 4)
    fingerprint_files.write(tmp_path / "f.parquet", make_prints(10), meta=dict)
    sizes = [len(batch.source_of) for batch in fingerprint_files.read(tmp_path / "f.parquet")]
    assert sizes == [4, 4, 2]
    ends = [b.texts.values[-1] for b in fingerprint_files.read(tmp_path / "f.parquet")]
    assert ends == [int(make_prints(10)[place].texts[0], 16) for place in (3, 7, 9)]


def test_nothing_stays_of_a_file_that_was_not_finished(tmp_path):
    def broken():
        yield from make_prints(3)
        raise errors.UserError("the source ends in the middle")

    with pytest.raises(errors.UserError, match="in the middle"):
        fingerprint_files.write(tmp_path / "f.parquet", broken(), meta=dict)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["image_version", "text_version", "format"])
def test_keys_of_other_rules_are_refused(tmp_path, name):
    path = tmp_path / "f.parquet"
    fingerprint_files.write(path, make_prints(3), meta=lambda: {name: "older"})
    with pytest.raises(errors.UserError, match=f"{name} 'older'.*make the file again"):
        list(fingerprint_files.read(path))


def test_without_pictures_their_version_does_not_matter(tmp_path):
    path = tmp_path / "f.parquet"
    prints = make_prints(1)
    fingerprint_files.write(path, prints, meta=lambda: {"image_version": "older"})
    assert len(list(fingerprint_files.read(path))) == 1


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 but no more")
    parquet.write_table(pyarrow.table({"id": ["a"]}), tmp_path / "b.parquet")
    with pytest.raises(errors.UserError, match="no Parquet file"):
        fingerprint_files.read_note(tmp_path / "a.parquet")
    with pytest.raises(errors.UserError, match=r"holds no fingerprints; `python -m data_tools"):
        fingerprint_files.read_note(tmp_path / "b.parquet")


def test_the_note_is_plain_json(tmp_path):
    note = fingerprint_files.write(tmp_path / "f.parquet", make_prints(2), meta=dict)
    assert json.loads(json.dumps(note)) == note
