# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0

import collections
import dataclasses

import pytest

from data_tools import rows
from data_tools.synthesis import asks, seeds, template_vqa, template_vqa_texts
from lingshu_jax.common import answers, errors
from lingshu_jax.data import sources

PICTURE = rows.Medium(kind="image", path="picture.png")
FINDINGS = ("melanoma", "naevus", "basal cell carcinoma", "dermatofibroma", "vascular lesion")


def seed(number=0, *, source="skin", modality="", **labels):
    return seeds.Seed(
        id=f"{source}/{number}", source=source, media=(PICTURE,), labels=labels, modality=modality
    )


def skin():
    return [seed(number, finding=FINDINGS[number % len(FINDINGS)]) for number in range(400)]


def recipe(known, **changes):
    return template_vqa.TemplateVqa(template_vqa.Config(**changes)).prepared(known)


def written(made, one, draw):
    with pytest.raises(StopIteration) as end:
        next(made.write(one, draw))
    return end.value.value


def drafts(made, known):
    return [draft for draw, one in enumerate(known) for draft in written(made, one, draw).drafts]


def asked(draft):
    return draft.messages[0]["content"][-1]["text"]


def said(draft):
    return draft.messages[1]["content"][0]["text"]


def judged(draft):
    meta = draft.meta
    return answers.judge(
        said(draft),
        gold=meta["answer"],
        answer_type=meta["answer_type"],
        options=meta.get("options", ()),
    )


def test_the_answer_of_a_choice_is_the_label_and_the_others_are_labels_of_the_set():
    made = recipe(skin(), forms=("choice",))
    for one, draft in zip(skin(), drafts(made, skin()), strict=True):
        options = draft.meta["options"]
        assert options[ord(draft.meta["answer"]) - ord("A")] == one.labels["finding"]
        assert len(set(options)) == 4
        assert set(options) <= set(FINDINGS)
        assert said(draft) == draft.meta["answer"]
        assert f"{draft.meta['answer']}. {one.labels['finding']}" in asked(draft)
        assert draft.messages[0]["content"][0] == asks.picture(0)
        assert draft.kind == "vqa"


def test_every_letter_is_right_equally_often_and_every_phrase_is_used():
    made = drafts(recipe(skin(), forms=("choice",)), skin())
    letters = collections.Counter(draft.meta["answer"] for draft in made)
    assert set(letters) == set("ABCD")
    assert all(70 <= count <= 130 for count in letters.values()), letters
    phrases = {asked(draft).splitlines()[0] for draft in made}
    assert phrases == set(template_vqa_texts.KINDS["finding"].ask)


def test_yes_is_right_as_often_as_no_and_always_true():
    made = drafts(recipe(skin(), forms=("yes_no",)), skin())
    counts = collections.Counter(draft.meta["answer"] for draft in made)
    assert all(160 <= count <= 240 for count in counts.values()), counts
    for one, draft in zip(skin(), made, strict=True):
        is_there = one.labels["finding"] in asked(draft)
        assert draft.meta["answer"] == ("yes" if is_there else "no")
        assert draft.meta["answer_type"] == "yes_no"


def test_every_row_is_right_by_the_judge_and_wrong_with_another_answer():
    known = [dataclasses.replace(one, modality="dermoscopy") for one in skin()]
    made = drafts(recipe(known, per_label=2), known)
    assert {draft.meta["answer_type"] for draft in made} == {"choice", "yes_no", "open"}
    assert {draft.checks["label"] for draft in made} == {"finding", "modality"}
    assert all(judged(draft).correct for draft in made)
    other = {"choice": "BCDA", "yes_no": {"yes": "no", "no": "yes"}}
    for draft in made:
        kind, gold = draft.meta["answer_type"], draft.meta["answer"]
        if kind == "open":
            continue
        wrong = other[kind]["ABCD".index(gold) if kind == "choice" else gold]
        assert not answers.judge(
            wrong, gold=gold, answer_type=kind, options=draft.meta.get("options", ())
        ).correct


def test_the_same_draw_gives_the_same_rows_and_another_one_others():
    made = recipe(skin())
    first = [written(made, skin()[0], draw) for draw in range(20)]
    assert first == [written(made, skin()[0], draw) for draw in range(20)]
    assert len({str(one) for one in first}) > 10


def test_spaces_of_two_sources_do_not_mix():
    known = [*skin(), *(seed(n, source="eye", finding=f"grade {n % 3}") for n in range(9))]
    made = recipe(known, forms=("choice",))
    options = {one for draft in drafts(made, known[-9:]) for one in draft.meta["options"]}
    assert options == {"grade 0", "grade 1", "grade 2"}


def test_a_given_space_stands_in_place_of_the_gathered_one():
    made = recipe(skin(), forms=("choice",), spaces={"skin/finding": ("melanoma", "wart", "scar")})
    [draft] = written(made, seed(finding="melanoma"), 0).drafts
    assert sorted(draft.meta["options"]) == ["melanoma", "scar", "wart"]
    assert made.settings()["spaces"] == {"skin/finding": ["melanoma", "wart", "scar"]}
    assert recipe(skin()).settings() != made.settings()


def test_a_wrong_option_never_says_what_the_right_one_says():
    names = ("pneumonia", "Pneumonia", "viral pneumonia", "a pneumonia", "edema", "oedema", "mass")
    known = [seed(number, finding=name) for number, name in enumerate(names)]
    made = recipe(known, forms=("choice",), options=10)
    for draw in range(20):
        [draft] = written(made, known[0], draw).drafts
        wrong = {*draft.meta["options"]} - {"pneumonia"}
        assert wrong in ({"edema", "mass"}, {"oedema", "mass"}), wrong


def test_what_else_is_in_the_picture_is_no_wrong_option():
    known = [seed(n, source="chest", finding=name) for n, name in enumerate(("a", "b", "c", "d"))]
    one = seed(9, source="chest", finding="a, b, c")
    made = recipe([*known, one], forms=("choice", "yes_no", "open"), per_label=3)
    for draw in range(30):
        for draft in written(made, one, draw).drafts:
            form, answer = draft.checks["form"], draft.meta["answer"]
            if form == "choice":
                assert sorted({*draft.meta["options"]} - {"a", "b", "c"}) == ["d"]
                assert draft.meta["options"]["AB".index(answer)] != "d"
            elif form == "yes_no":
                assert (answer == "no") == (" d " in asked(draft).replace("?", " "))
            else:
                assert answer == "a, b, c"
                assert asked(draft).splitlines()[0] in template_vqa_texts.KINDS["finding"].ask_all


def test_grades_exclude_each_other_though_one_holds_the_words_of_another():
    grades = ("none", "mild, not proliferative", "proliferative")
    known = [seed(number, grade=grade) for number, grade in enumerate(grades)]
    [draft] = written(recipe(known, forms=("choice",)), known[1], 0).drafts
    assert sorted(draft.meta["options"]) == sorted(grades)


def test_structures_are_counted_where_their_number_is_known():
    known = [
        seed(0, structures="platelet (2), red blood cell (17)"),
        seed(1, structures="white blood cell (1)"),
    ]
    made = recipe(known, forms=("count",))
    [draft] = written(made, known[0], 0).drafts
    assert "platelet" in asked(draft), "17 are too many"
    assert (draft.meta["answer"], draft.meta["answer_type"]) == ("2", "number")
    assert made.spaces["skin/structures"] == ("platelet", "red blood cell", "white blood cell")
    with pytest.raises(asks.Lost, match=template_vqa.NO_LABEL):
        next(recipe(known, forms=("count",), most_counted=1).write(known[0], 0))


def test_a_picture_that_shows_all_there_is_has_open_questions_alone():
    known = [seed(0, structures="platelet (2), red blood cell (17)")]
    made = written(recipe(known, per_label=4), known[0], 0)
    assert sorted(draft.checks["form"] for draft in made.drafts) == ["count", "open"]


def test_a_set_of_one_modality_is_asked_about_against_all_others():
    known = [seed(number, modality="CT", finding="mass") for number in range(3)]
    made = written(recipe(known, forms=("choice",)), known[0], 0)
    [draft] = made.drafts
    assert "CT" in draft.meta["options"]
    assert len(draft.meta["options"]) == 4
    assert made.losses == (asks.Loss(template_vqa.NO_OTHER, "finding"),)


def test_normal_findings_are_asked_about_in_other_words():
    known = [seed(0, finding="no abnormality"), seed(1, finding="edema")]
    made = recipe(known, forms=("yes_no",))
    lines = {asked(draft).splitlines()[0] for draft in drafts(made, known * 50)}
    normal = {text.format(value="no abnormality") for text in template_vqa_texts.YES_NO_NORMAL}
    shown = {t.format(value="edema") for t in template_vqa_texts.KINDS["finding"].yes_no}
    assert lines == normal | shown


def test_nothing_is_asked_about_what_pixels_do_not_show_or_nobody_knows():
    one = seed(0, age="50", sex="f", diagnosis="unknown", own="x")
    known = [one, seed(1, age="40", sex="m", own="y")]
    with pytest.raises(asks.Lost) as lost:
        next(recipe(known).write(one, 0))
    assert lost.value.loss == asks.Loss(template_vqa.NO_LABEL, "age, sex, diagnosis, own")
    assert written(recipe(known, names={"own": "finding"}), one, 0).drafts


def test_a_seed_without_a_picture_is_lost():
    with pytest.raises(asks.Lost, match=template_vqa.NO_PICTURE):
        next(recipe(skin()).write(dataclasses.replace(skin()[0], media=()), 0))


def test_without_a_first_pass_there_is_nothing_to_choose_from():
    made = template_vqa.TemplateVqa(template_vqa.Config())
    assert written(made, skin()[0], 0).losses == (asks.Loss(template_vqa.NO_OTHER, "finding"),)


def test_refused_rows_are_passed_over_and_free_text_is_no_label():
    gone = sources.Dropped(id="1", source="skin", line=1, reason="broken")
    assert recipe([gone, *skin()]).spaces["skin/finding"] == tuple(sorted(FINDINGS))
    many = [seed(number, finding=f"text {number}") for number in range(1001)]
    with pytest.raises(errors.UserError, match="label 'finding' of source 'skin' has over 1000"):
        recipe(many)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forms": ()}, "forms must be some of choice"),
        ({"forms": ("essay",)}, "forms must be some of choice"),
        ({"options": 1}, "options must be 2 to 10, got 1"),
        ({"per_label": 5}, "per_label must be 1 to 4, got 5"),
        ({"most_counted": 0}, "most_counted must be 1 to 1000"),
        ({"names": {"own": "findin"}}, "names: 'own' must be one of .*; did you mean 'finding'"),
        ({"spaces": {"skin/finding": ("a",)}}, "spaces: 'skin/finding' must have 2 values"),
    ],
)
def test_a_config_out_of_range_is_told(changes, message):
    template_vqa.Config().validate()
    with pytest.raises(errors.UserError, match=message):
        template_vqa.Config(**changes).validate()


def test_every_kind_has_several_phrasings_and_a_place_for_the_value():
    for kind in template_vqa_texts.KINDS.values():
        assert len(set(kind.ask)) >= 3
        assert len(set(kind.yes_no)) >= 3
        assert all("{value}" in text for text in kind.yes_no)
        assert not any("{" in text for text in (*kind.ask, *kind.ask_all))
    assert set(template_vqa_texts.NAMES.values()) == set(template_vqa_texts.KINDS)
