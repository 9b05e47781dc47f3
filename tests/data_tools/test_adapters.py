# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Rows in the publishers' layouts, made here, good and broken."""

import gzip
import hashlib
import io
import json

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from data_tools import config, deidentify, ingest, source_rows, steps
from data_tools.adapters import prompts, table
from lingshu_jax.common import errors
from lingshu_jax.common import prompts as common_prompts
from lingshu_jax.data import formats, sources
from lingshu_jax.eval import question_formats


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), 9).save(path)
    return str(path)


def png():
    packed = io.BytesIO()
    Image.new("L", (8, 8), 9).save(packed, "PNG")
    return {"bytes": packed.getvalue(), "path": None}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def write_json(path, rows):
    write(path, json.dumps(rows))


def write_lines(path, rows):
    write(path, "\n".join(map(json.dumps, rows)) + "\n")


def write_parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def read(word, folder):
    """Good rows, and the reasons of the others."""
    rows = list(table.ADAPTERS[word].read(folder, formats.Options()))
    good = [row for row in rows if isinstance(row, formats.Record)]
    return good, [row.reason for row in rows if isinstance(row, formats.Refusal)]


def said(record):
    """What user and assistant say, and the pictures."""
    user, assistant = record.messages
    shown = [part["image"] for part in user["content"] if part["type"] == "image"]
    [asked] = [part["text"] for part in user["content"] if part["type"] == "text"]
    return asked, assistant["content"][0]["text"], shown


def is_prompt(asked):
    return asked in (*prompts.SHORT, *prompts.LONG)


def test_prompts_for_captions_are_many_and_stay_with_their_row():
    assert len({*prompts.SHORT, *prompts.LONG}) == 20
    asked = {prompts.for_caption(f"row {number}", "A lung.") for number in range(300)}
    assert asked == set(prompts.SHORT)
    assert prompts.for_caption("row 1", "A lung.") == prompts.for_caption("row 1", "A liver.")
    long = {prompts.for_caption(f"row {number}", "word " * 40) for number in range(300)}
    assert long == set(prompts.LONG)


def test_pmc_oa(tmp_path):
    file = picture(tmp_path / "images" / "PMC1_Fig1_2.jpg")
    rows = [
        {"image": "PMC1_Fig1_2.jpg", "caption": "A. A lung.", "alignment_type": "label"},
        {"image": "PMC9_Fig1_2.jpg", "caption": "Gone."},
        {"image": "PMC1_Fig1_2.jpg", "caption": " "},
    ]
    write_lines(tmp_path / "pmc_oa.jsonl", rows)
    [row], reasons = read("pmc_oa", tmp_path)
    asked, answer, shown = said(row)
    assert is_prompt(asked) and (answer, shown) == ("A. A lung.", [file])
    assert row.meta == {"alignment_type": "label", "image_id": "PMC1_Fig1_2.jpg"}
    assert "no such file: PMC9" in reasons[0] and reasons[1] == "caption is empty"


def test_roco_in_both_forms(tmp_path):
    folder = tmp_path / "publisher" / "data" / "train" / "radiology"
    file = picture(folder / "images" / "PMC77_a-b.jpg")
    write(folder / "captions.txt", "ROCO_1\t A liver.\n\nROCO_2\t Lost.\nROCO_3\t No link.\n")
    link = "wget -r ftp://x/y/PMC77.tar.gz -O PMC77.tar.gz"
    write(folder / "dlinks.txt", f"ROCO_1\t{link}\ta-b.jpg\nROCO_2\t{link}\tlost.jpg\n")
    [row], reasons = read("roco", tmp_path / "publisher")
    assert (row.row_id, said(row)[1:]) == ("ROCO_1", ("A liver.", [file]))
    assert reasons == ["its picture is not there", "dlinks.txt has no picture of it"]
    file = picture(tmp_path / "copy" / "train" / "radiology" / "images" / "PMC5_x.jpg")
    content = 'id,name,caption\nROCO_5,PMC5_x.jpg," A ""small"" cyst, left."\nROCO_6,PMC5_x.jpg\n'
    write(tmp_path / "copy" / "train" / "radiologytraindata.csv", content)
    [row], reasons = read("roco", tmp_path / "copy")
    assert said(row)[1:] == ('A "small" cyst, left.', [file])
    assert reasons == ["no cell of 'caption'"]


def test_rocov2_in_both_forms(tmp_path):
    file = picture(tmp_path / "zenodo" / "train" / "ROCOv2_2023_train_000001.jpg")
    content = "ID,Caption\nROCOv2_2023_train_000001,A stent.\nROCOv2_2023_train_9,Gone.\n"
    write(tmp_path / "zenodo" / "train_captions.csv", content)
    [row], reasons = read("rocov2", tmp_path / "zenodo")
    assert said(row)[1:] == ("A stent.", [file]) and reasons == ["its picture is not there"]
    rows = [{"image": png(), "image_id": "r1", "caption": "A stent.", "cui": ["C1"]}]
    write_parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet", rows)
    [row], reasons = read("rocov2", tmp_path / "hub")
    assert said(row)[2] == [png()["bytes"]] and row.meta == {"image_id": "r1", "cui": ["C1"]}


def test_medicat_and_medpix(tmp_path):
    row = {"pdf_hash": "ab", "fig_uri": "2-Figure1-1.png", "s2_caption": "", "s2orc_caption": "A."}
    row = row | {"oa_info": {"oa": {"license": "cc-by"}}}
    file = picture(tmp_path / "m" / "figures" / "ab_2-Figure1-1.png")
    write_lines(tmp_path / "m" / "release.jsonl", [row, {**row, "s2orc_caption": None}])
    [record], reasons = read("medicat", tmp_path / "m")
    assert said(record)[1:] == ("A.", [file]) and record.meta["licence"] == "cc-by"
    assert reasons == ["s2orc_caption must be a text, got NoneType"]
    about = {"Caption": "A mass.", "Age": "73", "Sex": "male", "Modality": "CT", "Plane": "Axial"}
    row = {"Type": "CT", "U_id": "MPX1", "image": "MPX1_synpic1", "Description": about}
    unwritten = {
        **row,
        "Description": {**about, "Caption": "Replace this - DESCRIPTION OF THE IMAGE OR FINDINGS."},
    }
    file = picture(tmp_path / "p" / "images" / "MPX1_synpic1.png")
    write_json(tmp_path / "p" / "Descriptions.json", [row, unwritten, {**row, "Description": 1}])
    [record], reasons = read("medpix_2", tmp_path / "p")
    assert said(record)[1:] == ("A mass.", [file])
    assert record.meta["case"] == "MPX1" and not {"Age", "Sex", "73"} & {
        *record.meta,
        *map(str, record.meta.values()),
    }
    assert reasons == ["the caption was never written", "Description must be an object"]


def test_fairvlmed_takes_picture_and_summary_alone(tmp_path):
    training = tmp_path / "Training"
    training.mkdir()
    grey = np.linspace(0, 255, 64).reshape(8, 8)
    np.savez(training / "data_00001.npz", slo_fundus=grey, age=71, race=1, note="born 1950-01-02")
    np.savez(training / "data_00002.npz", other=grey)
    (tmp_path / "Test").mkdir()
    np.savez(tmp_path / "Test" / "data_00004.npz", slo_fundus=grey)
    np.savez(training / "data_00003.npz", slo_fundus=np.array([{"a": 1}], dtype=object))
    notes = "".join(
        f"data_0000{n}.npz,long note,Cup enlarged. Seen by Dr. Jane Roe.\n" for n in "12347"
    )
    write(tmp_path / "gpt-4_summarized_notes.csv", "filename,note,summary\n" + notes)
    [row], reasons = read("fairvlmed", tmp_path)
    _, answer, [shown] = said(row)
    assert answer == "Cup enlarged. Seen by [removed]."
    with Image.open(io.BytesIO(shown)) as image:
        assert (image.size, image.getpixel((7, 7))) == ((8, 8), 255)
    assert set(row.meta) == {"patient"} and "00001" not in f"{row.row_id} {row.meta}"
    assert reasons == ["its archive holds no slo_fundus that can be read"] * 3


def test_pixmo_pictures_lie_under_the_hash_of_their_address(tmp_path):
    address = "https://example.org/cat.jpg"
    file = picture(
        tmp_path / "pixmo_images" / f"{hashlib.sha256(address.encode()).hexdigest()}.png"
    )
    rows = [
        {"image_url": one, "caption": "A cat.", "transcripts": []} for one in (address, "http://x")
    ]
    write_parquet(tmp_path / "data" / "train-00000-of-00001.parquet", rows)
    [row], reasons = read("pixmo", tmp_path)
    assert said(row)[1:] == ("A cat.", [file]) and reasons == ["its picture has not been fetched"]


def turn(asked, answer):
    return [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]


def test_llava_med_in_both_spellings(tmp_path):
    file = picture(tmp_path / "images" / "1_F2.jpg")
    rows = [
        {
            "id": "1_F2",
            "image": "1_F2.jpg",
            "domain": {"mri": True},
            "conversatons": turn("<image>\nQ?", "A."),
        },
        {"id": "2", "image": "1_F2.jpg", "conversations": turn("Q?\n<image>", "A.")},
        {"id": "3", "image": "1_F2.jpg", "talk": turn("Q?", "A.")},
    ]
    write_json(tmp_path / "instruct" / "llava_med_instruct_60k_inline_mention.json", rows)
    good, reasons = read("llava_med_en", tmp_path)
    name = "llava_med_instruct_60k_inline_mention"
    assert [row.row_id for row in good] == [f"{name}:1", f"{name}:2"]
    assert said(good[0])[2] == [file]
    assert good[0].meta == {"domain": {"mri": True}}
    assert reasons == ["the conversation must be a list with at least one turn"]


def test_pubmedvision_and_chinese_llava_med_show_pictures_without_tags_first(tmp_path):
    files = [picture(tmp_path / "p" / "images" / f"pmc_1_{n}.jpg") for n in range(2)]
    row = {"id": "A_1", "image": ["images/pmc_1_0.jpg", "images/pmc_1_1.jpg"], "modality": "CT"}
    row["conversations"] = turn("What?", "Two slices.")
    write_json(tmp_path / "p" / "PubMedVision_Alignment_VQA.json", [row])
    [record], _ = read("pubmedvision_alignment", tmp_path / "p")
    user = record.messages[0]["content"]
    assert [part.get("image") or part["text"] for part in user] == [
        files[0],
        "\n",
        files[1],
        "\nWhat?",
    ]
    assert record.meta == {"modality": "CT"}
    messages = [{"role": "user", "content": "问?"}, {"role": "assistant", "content": "答。"}]
    rows = [{"messages": messages, "images": [png()]}, {"messages": messages[:1], "images": []}]
    write_parquet(tmp_path / "z" / "data" / "train-00000-of-00001.parquet", rows)
    good, reasons = read("llava_med_zh", tmp_path / "z")
    assert said(good[0]) == ("\n问?", "答。", [png()["bytes"]])


def test_llava_1_5_is_parted_into_text_and_pictures(tmp_path):
    picture(tmp_path / "coco" / "1.jpg")
    rows = [
        {"id": "1", "image": "coco/1.jpg", "conversations": turn("<image>\nQ?", "A.")},
        {"id": "2", "conversations": turn("Q?", "A.")},
    ]
    write_json(tmp_path / "llava_v1_5_mix665k.json", rows)
    [text], [left] = read("llava_1_5_text", tmp_path)
    [shown], [right] = read("llava_1_5_multimodal", tmp_path)
    assert (text.line, shown.line) == (2, 1)
    assert left == "the row has a picture; this source is of text alone"
    assert right == "the row has no picture; this source is of such rows"


def test_path_vqa_kvasir_vqa_and_vqa_med_2019(tmp_path):
    rows = [
        {"image": png(), "question": "is it?", "answer": "yes"},
        {"image": png(), "question": "what is it?", "answer": "a cyst"},
        {"image": png(), "question": "what is it?", "answer": ""},
    ]
    write_parquet(tmp_path / "p" / "data" / "train-00000-of-00001.parquet", rows)
    good, reasons = read("path_vqa", tmp_path / "p")
    assert [said(row)[0] for row in good] == [
        f"is it?\n{common_prompts.YES_NO}",
        f"what is it?\n{common_prompts.OPEN}",
    ]
    assert good[0].meta == {"answer": "yes", "answer_type": "yes_no"} and reasons == [
        "answer is empty"
    ]
    write_parquet(
        tmp_path / "k" / "data" / "0.parquet", [{**rows[1], "source": "HyperKvasir", "img_id": "i"}]
    )
    [row], _ = read("kvasir_vqa", tmp_path / "k")
    assert row.meta["image_id"] == "i" and said(row)[0].endswith(common_prompts.CLOSED)
    base = tmp_path / "v" / "ImageClef-2019-VQA-Med-Training"
    file = picture(base / "Train_images" / "synpic1.jpg")
    write(
        base / "All_QA_Pairs_train.txt",
        'synpic1|is it "large"?|no\nsynpic2|what?|ct\nsynpic1|what?\na|b|c|d\n',
    )
    [row], reasons = read("vqa_med_2019", tmp_path / "v")
    assert said(row) == (f'is it "large"?\n{common_prompts.YES_NO}', "no", [file])
    assert reasons == ["its picture is not there", "no cell of 'answer'", "more cells than columns"]


def test_pmc_vqa_in_both_versions(tmp_path):
    choices = ",".join(f"Choice {letter}" for letter in "ABCD")
    file = picture(tmp_path / "2" / "figures" / "PMC1.jpg")
    cells = " A:Lung , B:Liver , C:Skin , D:Bone "
    content = f"index,Figure_path,Caption,Question,{choices},Answer,split\n"
    content += f"0,PMC1.jpg,c, Where?,{cells},B,train\n1,PMC1.jpg,c,Where?,{cells},E,train\n"
    write(tmp_path / "2" / "train_2.csv", content)
    [row], reasons = read("pmc_vqa", tmp_path / "2")
    options = ("A:Lung", "B:Liver", "C:Skin", "D:Bone")
    assert said(row) == (question_formats.ask_choice("Where?", options), "B", [file])
    assert row.meta["options"] == ["Lung", "Liver", "Skin", "Bone"]
    assert reasons == ["the answer must be A, B, C or D, got 'E'"]
    picture(tmp_path / "1" / "figures" / "PMC1.jpg")
    content = (
        f"Figure_path,Question,Answer,{choices},Answer_label\nPMC1.jpg,Where?,Liver,{cells},B\n"
    )
    write(tmp_path / "1" / "train.csv", content)
    [row], _ = read("pmc_vqa", tmp_path / "1")
    assert row.meta["answer"] == "B"


def test_slake_asks_in_the_language_of_the_row(tmp_path):
    picture(tmp_path / "imgs" / "xmlab1" / "source.jpg")
    row = {"qid": 7, "img_name": "xmlab1/source.jpg", "question": "是吗？", "answer": "是的"}
    row |= {"q_lang": "zh", "answer_type": "CLOSED", "modality": "CT", "triple": ["vhead"]}
    write_json(tmp_path / "train.json", [row, {**row, "qid": 8, "q_lang": "fr"}])
    [record], reasons = read("slake", tmp_path)
    assert (record.row_id, record.meta["modality"]) == ("7", "CT")
    assert said(record)[0] == question_formats.ask("是吗？", "closed", "zh")
    assert reasons == ["q_lang must be en or zh, got 'fr'"]


TEXTS = {
    "medqa": (
        "questions/US/train.jsonl",
        {"question": "Which?", "options": {"A": "this", "B": "that"}, "answer_idx": "B"},
        ("Which?", "B"),
        {"answer_idx": "C"},
        "answer_idx must be one of A, B",
    ),
    "medthoughts_8k": (
        "MedThoughts-8K.jsonl",
        {"question": "Which?", "options": {"A": "x", "B": "y"}, "answer_idx": "A"}
        | {"ds_think": "Hm.", "ds_answer": "A, x."},
        ("Which?", "<think>\nHm.\n</think>\n\nA, x."),
        {"options": ["x", "y"]},
        "options must be an object, got list",
    ),
    "medreason": (
        "ours_quality_33000.jsonl",
        {"question": "Which?", "options": "A. x\nB. y", "reasoning": "So.", "answer": "x"},
        ("Which?\nA. x\nB. y", "<think>\nSo.\n</think>\n\nx"),
        {"reasoning": ""},
        "reasoning is empty",
    ),
    "medical_o1_reasoning_sft": (
        "medical_o1_sft.json",
        {"Question": "Why?", "Complex_CoT": "Hm.", "Response": "So."},
        ("Why?", "<think>\nHm.\n</think>\n\nSo."),
        {"Response": 3},
        "Response must be a text, got int",
    ),
    "medical_o1_verifiable_problem": (
        "medical_o1_verifiable_problem.json",
        {"Open-ended Verifiable Question": "Why?", "Ground-True Answer": "iron"},
        ("Why?", "iron"),
        {"Ground-True Answer": ""},
        "Ground-True Answer is empty",
    ),
    "medical_r1_distill": (
        "data.json",
        {"question": "Why?", "reasoning (reasoning_content)": "Hm.", "response (content)": "So."},
        ("Why?", "<think>\nHm.\n</think>\n\nSo."),
        {"question": None},
        "question must be a text, got NoneType",
    ),
    "pmc_llama": (
        "release.json",
        {"source": "umls", "instruction": "Explain.", "input": "Iron", "output": "A metal."},
        ("Explain.\n\nIron", "A metal."),
        {"output": " "},
        "output is empty",
    ),
    "alpacare": (
        "data/MedInstruct-52k.json",
        {"instruction": "Explain iron.", "input": "<noinput>", "output": "A metal."},
        ("Explain iron.", "A metal."),
        {"instruction": ""},
        "the user message is empty",
    ),
    "healthcaremagic": (
        "HealthCareMagic-100k.json",
        {"instruction": "You are a doctor.", "input": "I cough.", "output": "Rest."},
        ("You are a doctor.\n\nI cough.", "Rest."),
        {"output": None},
        "output must be a text, got NoneType",
    ),
    "icliniq": (
        "iCliniq.json",
        {"input": "I cough.", "answer_icliniq": "Rest.", "answer_chatgpt": "x"},
        ("I cough.", "Rest."),
        {"answer_icliniq": ""},
        "answer_icliniq is empty",
    ),
    "apollo_corpus": (
        "train/sft/medicalExam_en.json",
        ["Why?", "So."],
        ("Why?", "So."),
        ["Why?"],
        "a row must be a list of questions and answers in turn",
    ),
}


@pytest.mark.parametrize("word", TEXTS)
def test_texts(tmp_path, word):
    file, row, (asked, answer), change, reason = TEXTS[word]
    broken = {**row, **change} if isinstance(row, dict) else change
    (write_lines if file.endswith("l") else write_json)(tmp_path / file, [row, broken])
    [record], reasons = read(word, tmp_path)
    user, assistant, _ = said(record)
    assert asked in user and assistant == answer
    assert reasons == [reason]


def test_medquad_xml(tmp_path):
    pairs = "".join(
        f'<QAPair pid="{n}"><Question qid="1-{n}" qtype="outlook">How ?</Question>'
        f"<Answer>{a}</Answer></QAPair>"
        for n, a in ((1, "Well,\n  mostly."), (2, ""))
    )
    write(
        tmp_path / "1_X_QA" / "1.xml",
        f'<Document source="NIH" url="u"><QAPairs>{pairs}</QAPairs></Document>',
    )
    write(tmp_path / "2_Y_QA" / "2.xml", "<Document><QAPairs>")
    [row], reasons = read("medquad", tmp_path)
    assert (row.row_id, said(row)[:2]) == ("1_X_QA/1-1", ("How?", "Well, mostly."))
    assert row.meta == {"qid": "1-1", "source": "NIH", "url": "u", "qtype": "outlook"}
    assert reasons[0] == "answer is empty" and reasons[1].startswith("broken XML")


def test_what_is_damaged_or_missing_is_named(tmp_path):
    with pytest.raises(
        errors.UserError, match=r"holds no pmc_oa.jsonl or train.jsonl or pmc_oa_beta"
    ):
        read("pmc_oa", tmp_path)
    packed = gzip.compress(b'{"image": "x", "caption": "y"}\n' * 99)
    (tmp_path / "pmc_oa.jsonl.gz").write_bytes(packed[:-9])
    with pytest.raises(errors.UserError, match="pmc_oa.jsonl.gz is damaged"):
        read("pmc_oa", tmp_path)
    (tmp_path / "train_captions.csv").write_bytes(b"ID,Caption\na,\xff\xfe\n")
    assert read("rocov2", tmp_path) == ([], ["bytes that are no UTF-8"])


def test_a_curation_reads_a_publishers_layout(tmp_path):
    picture(tmp_path / "data" / "PMC" / "images" / "a.jpg")
    write_lines(
        tmp_path / "data" / "PMC" / "pmc_oa.jsonl", [{"image": "a.jpg", "caption": "A."}, {}]
    )
    write_lines(
        tmp_path / "data" / "own.jsonl",
        [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}],
    )
    found = [
        config.CuratedSource(name="pmc", publisher="pmc_oa", path="PMC"),
        config.CuratedSource(name="own", path="own.jsonl", kind="text"),
    ]
    settings = config.CurationConfig(sources=found, root=str(tmp_path / "data"), workers=1)
    settings.validate()
    cleaning = deidentify.Deidentify(settings.deidentify, b"0" * 16)
    folder = ingest.run(settings, steps.Run(output=tmp_path / "out", workers=1), cleaning).folder
    assert steps.read_counts(folder) == {
        "own": {"in": 1, "out": 1, "dropped": {}},
        "pmc": {"in": 2, "out": 1, "dropped": {"refused": 1}},
    }


def test_a_folder_that_is_not_there_says_where_the_set_is(tmp_path):
    source = config.CuratedSource(name="m", publisher="mimic_cxr", path="nowhere")
    with pytest.raises(errors.UserError, match=r"nowhere; MIMIC-CXR.* apply at https://physionet"):
        source_rows.row_files(source, str(tmp_path))
    source = config.CuratedSource(name="m", publisher="medquad", path="nowhere")
    with pytest.raises(errors.UserError, match=r"MedQuAD is at https://github.com/abachaa/MedQuAD"):
        list(source_rows.stream(source, str(tmp_path)))
    source = config.CuratedSource(name="m", publisher="mimic_cxr", path=".", fetch=True)
    with pytest.raises(errors.UserError, match="fetch is for open sets"):
        source_rows.row_files(source, str(tmp_path))
    source = config.CuratedSource(name="m", publisher="pmc_oa", path=".", fetch=True)
    with pytest.raises(errors.UserError, match="has archives, which are unpacked by hand: `hf"):
        source_rows.row_files(source, str(tmp_path))


def test_refused_rows_keep_their_place(tmp_path):
    write_lines(tmp_path / "pmc_oa.jsonl", [{"id": "one", "image": "a.jpg", "caption": "A."}])
    source = config.CuratedSource(name="pmc", publisher="pmc_oa", path=".")
    [row] = source_rows.stream(source, str(tmp_path))
    assert isinstance(row, sources.Dropped)
    assert (row.id, row.source, row.line) == ("one", "pmc", 1)
