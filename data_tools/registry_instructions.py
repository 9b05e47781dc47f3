# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Medical multimodal instructions that the paper names (its Tables 1 and 5)."""

from data_tools import registry_entry

_PHYSIONET = "who has a credentialed PhysioNet account, its training, and signed its agreement"
ENTRIES = (
    registry_entry.Entry(
        key="path_vqa",
        title="PathVQA",
        about="questions about pathology pictures of textbooks and a digital library",
        paper="PathVQA",
        table="instructions",
        repository="flaviagiammarino/path-vqa",
        revision="1685832883334b5bb5beaf4e4b333fdeecaa4ad9",
        address="https://github.com/UCSD-AI4H/PathVQA",
        licence="MIT",
        citation=(
            "He et al., PathVQA: 30000+ Questions for Medical Visual Question Answering, 2020,"
            " arXiv 2003.10286"
        ),
        files=("data/train-*.parquet",),
        format="path_vqa",
        kind="instructions",
        group="medical_multimodal",
        modality="histopathology",
        schema="the hub's data card flaviagiammarino/path-vqa (image, question, answer)",
    ),
    registry_entry.Entry(
        key="pmc_vqa",
        title="PMC-VQA",
        about="questions with four options that a language model made of captions of papers",
        paper="PMC-VQA",
        table="instructions",
        repository="RadGenome/PMC-VQA",
        revision="b56ae594f794867893143b337b4118a835794647",
        address="https://github.com/xiaoman-zhang/PMC-VQA",
        licence="CC-BY-SA (the data), MIT (the repository)",
        citation=(
            "Zhang et al., PMC-VQA: Visual Instruction Tuning for Medical Visual Question"
            " Answering, 2023, arXiv 2305.10415"
        ),
        files=("train_2.csv", "images_2.zip", "train.csv", "images.zip"),
        format="pmc_vqa",
        kind="instructions",
        group="medical_multimodal",
        schema=(
            "MedEvalKit@9b12e3b utils/PMC_VQA/PMC_VQA.py and"
            " EvolvingLMMs-Lab/lmms-eval@5a58626 lmms_eval/tasks/medevalkit/pmc_vqa, of version 2"
        ),
        unchecked="columns of version 1 (train.csv) and the version of the licence",
    ),
    registry_entry.Entry(
        key="slake",
        title="SLAKE",
        about="questions in English and Chinese about radiology pictures",
        paper="SLAKE",
        table="instructions",
        repository="BoKelvin/SLAKE",
        revision="a9083ce6c34ac3ffb17671a605962924d8a8f9e9",
        address="https://www.med-vqa.com/slake/",
        licence="CC-BY-4.0",
        citation=(
            "Liu et al., SLAKE: A Semantically-Labeled Knowledge-Enhanced Dataset for Medical"
            " Visual Question Answering, ISBI 2021"
        ),
        files=("train.json", "imgs.zip"),
        format="slake",
        kind="instructions",
        group="medical_multimodal",
        schema="the same file's test split: xiaoman-zhang/PMC-VQA@1678ec2 Slake1.0/test.json",
    ),
    registry_entry.Entry(
        key="quilt_llava_instruct",
        title="Quilt-LLaVA, instructions",
        about="107,000 conversations about histopathology frames of teaching videos",
        paper="Quilt-LLaVA Instruct",
        table="instructions",
        repository="wisdomik/QUILT-LLaVA-Instruct-107K",
        address="https://huggingface.co/datasets/wisdomik/QUILT-LLaVA-Instruct-107K",
        licence="CC-BY-NC-ND-3.0",
        access="registration",
        terms="whoever accepts the conditions (research alone, no passing on); images on request",
        apply="https://huggingface.co/datasets/wisdomik/QUILT-LLaVA-Instruct-107K",
        citation=(
            "Seyfioglu et al., Quilt-LLaVA: Visual Instruction Tuning by Extracting Localized"
            " Narratives from Open-Source Histopathology Videos, CVPR 2024, arXiv 2312.04746"
        ),
        files=("quilt_instruct_107k.json", "quilt_instruct/"),
        format="quilt_llava_instruct",
        kind="instructions",
        group="medical_multimodal",
        modality="histopathology",
        schema="openmedlab/Awesome-Medical-Dataset, its page of Quilt-LLaVA (names of the files)",
        unchecked="keys of the rows: behind the conditions; LLaVA's form is assumed",
    ),
    registry_entry.Entry(
        key="vqa_med_2019",
        title="VQA-Med 2019",
        about="12,792 questions about 3,200 radiology pictures: modality, plane, organ, finding",
        paper="VQA-Med-2019",
        table="instructions",
        address="https://github.com/abachaa/VQA-Med-2019",
        licence="CC-BY-4.0",
        citation=(
            "Ben Abacha et al., VQA-Med: Overview of the Medical Visual Question Answering Task at"
            " ImageCLEF 2019, CLEF 2019 Working Notes"
        ),
        files=("ImageClef-2019-VQA-Med-Training/{All_QA_Pairs_train.txt,Train_images/}",),
        format="vqa_med_2019",
        kind="instructions",
        group="medical_multimodal",
        schema=(
            "abachaa/VQA-Med-2019@14990ea README-VQA-Med-2019-Data.txt; names inside the archive in"
            " public code that reads it and in openmedlab/Awesome-Medical-Dataset"
        ),
    ),
    registry_entry.Entry(
        key="pubmedvision_instruct",
        title="PubMedVision, instructions",
        about="647,031 questions about figures of PubMed with answers by GPT-4V",
        paper="PubMedVision",
        table="instructions",
        repository="FreedomIntelligence/PubMedVision",
        address="https://huggingface.co/datasets/FreedomIntelligence/PubMedVision",
        licence="Apache-2.0",
        citation=(
            "Chen et al., HuatuoGPT-Vision, Towards Injecting Medical Visual Knowledge into"
            " Multimodal LLMs at Scale, 2024, arXiv 2406.19280"
        ),
        files=("PubMedVision_InstructionTuning_VQA.json", "images_*.zip"),
        format="pubmedvision_instruct",
        kind="instructions",
        group="medical_multimodal",
        schema=(
            "the hub's data card FreedomIntelligence/PubMedVision; keys image (a list),"
            " conversations, modality, body_part in public code that reads it"
        ),
    ),
    registry_entry.Entry(
        key="llava_med_en",
        title="LLaVA-Med, instructions",
        about="60,000 conversations about figures of PubMed Central, written by GPT-4",
        paper="LLaVA-Med",
        table="instructions",
        address="https://github.com/microsoft/LLaVA-Med",
        licence="CC-BY-NC-4.0",
        terms="open, for research alone; the figures are fetched from PubMed Central by a script",
        citation=(
            "Li et al., LLaVA-Med: Training a Large Language-and-Vision Assistant for Biomedicine"
            " in One Day, NeurIPS 2023, arXiv 2306.00890"
        ),
        files=("instruct/llava_med_instruct_60k_inline_mention.json", "images/"),
        format="llava_med_en",
        kind="instructions",
        group="medical_multimodal",
        schema=(
            "microsoft/LLaVA-Med@0df99b2 README.md; keys image, domain, conversations in public"
            " code that reads it"
        ),
        unchecked="whether all rows spell `conversations`: both spellings are read",
    ),
    registry_entry.Entry(
        key="llava_med_zh",
        title="LLaVA-Med in Chinese",
        about="the 60,000 conversations of LLaVA-Med, translated into Chinese",
        paper="LLaVA-Med-zh",
        table="instructions",
        repository="BUAADreamer/llava-med-zh-instruct-60k",
        address="https://huggingface.co/datasets/BUAADreamer/llava-med-zh-instruct-60k",
        licence="not stated",
        citation="BUAADreamer, llava-med-zh-instruct-60k, Hugging Face, 2024",
        files=("data/train-*.parquet",),
        format="llava_med_zh",
        kind="instructions",
        group="medical_multimodal",
        schema="columns messages, images ({bytes, path}) in public code that reads them",
        unchecked="licence and columns: the data card was not at hand",
    ),
    registry_entry.Entry(
        key="vqa_rad",
        title="VQA-RAD",
        about="2,248 questions of clinicians about 315 radiology pictures",
        paper="VQA-RAD",
        table="instructions",
        address="https://osf.io/89kps",
        licence="CC0-1.0",
        citation=(
            "Lau et al., A dataset of clinically generated visual questions and answers about"
            " radiology images, Scientific Data 5, 2018"
        ),
        files=("trainset.json", "images/"),
        format="vqa_rad",
        kind="instructions",
        group="medical_multimodal",
        schema="the files themselves; every test picture also occurs in the training split",
    ),
    registry_entry.Entry(
        key="mimic_ext_mimic_cxr_vqa",
        title="MIMIC-Ext-MIMIC-CXR-VQA",
        about="378,000 questions of 48 templates about chest radiographs of MIMIC-CXR",
        paper="MIMIC-Ext-MIMIC-CXR-VQA",
        table="instructions",
        address="https://physionet.org/content/mimic-ext-mimic-cxr-vqa/1.0.0/",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        access="credentialed",
        terms=_PHYSIONET,
        apply="https://physionet.org/content/mimic-ext-mimic-cxr-vqa/1.0.0/",
        citation=(
            "Bae et al., MIMIC-Ext-MIMIC-CXR-VQA: A Complex, Diverse, And Large-Scale Visual"
            " Question Answering Dataset for Chest X-ray Images, PhysioNet, 2024"
        ),
        files=("MIMIC-Ext-MIMIC-CXR-VQA/dataset/train.json",),
        format="mimic_ext_mimic_cxr_vqa",
        kind="instructions",
        group="medical_multimodal",
        modality="X-ray",
        schema="baeseongsu/mimic-cxr-vqa@225b938 README.md",
        unchecked="whether answer is a text or a list of texts: both are read",
    ),
    registry_entry.Entry(
        key="chexpert_plus",
        title="CheXpert Plus",
        about="chest radiographs of one hospital with the sections of their reports",
        paper="CheXpert Plus",
        table="instructions",
        address="https://aimi.stanford.edu/datasets/chexpert-plus",
        licence="Stanford University School of Medicine research use agreement",
        access="registration",
        terms="who has an account of Stanford AIMI and accepts its research use agreement",
        apply="https://aimi.stanford.edu/datasets/chexpert-plus",
        citation=(
            "Chambon et al., CheXpert Plus: Augmenting a Large Chest X-ray Dataset with Text"
            " Radiology Reports, Patient Demographics and Additional Image Formats, 2024,"
            " arXiv 2405.19538"
        ),
        files=("df_chexpert_plus_240401.csv", "PNG/train/patient*/study*/*.png"),
        format="chexpert_plus",
        kind="instructions",
        group="medical_multimodal",
        modality="X-ray",
        schema="columns of df_chexpert_plus_240401 in public code that reads them",
        unchecked="columns: the table is behind the agreement; read of public code alone",
    ),
    registry_entry.Entry(
        key="mimic_cxr",
        title="MIMIC-CXR, reports",
        about="227,835 studies of chest radiographs of one hospital with their reports",
        paper="MIMIC-CXR",
        table="instructions",
        address="https://physionet.org/content/mimic-cxr-jpg/2.1.0/",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        access="credentialed",
        terms=_PHYSIONET,
        apply="https://physionet.org/content/mimic-cxr-jpg/2.1.0/",
        citation=(
            "Johnson et al., MIMIC-CXR, a de-identified publicly available database of chest"
            " radiographs with free-text reports, Scientific Data 6, 2019"
        ),
        files=("files/p1*/p*/s*/*.jpg", "mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-reports/"),
        format="mimic_cxr",
        kind="instructions",
        group="medical_multimodal",
        modality="X-ray",
        schema=(
            "mimic.mit.edu/docs/iv/modules/cxr (identifiers, counts); names of files and columns in"
            " public code that reads them"
        ),
        unchecked="layout: the project's pages were not at hand; read of public code alone",
    ),
    registry_entry.Entry(
        key="iu_xray",
        title="IU X-Ray (Open-i)",
        about="reports of chest radiographs with 7,470 pictures",
        paper="IU-Xray",
        table="instructions",
        address="https://openi.nlm.nih.gov/faq",
        licence="not stated",
        citation=(
            "Demner-Fushman et al., Preparing a collection of radiology examinations for"
            " distribution and retrieval, JAMIA 23, 2016"
        ),
        files=(
            "ecgen-radiology/*.xml",
            "NLMCXR_png/*.png",
            "indiana_{reports,projections}.csv",
            "images/images_normalized/*.png",
        ),
        format="iu_xray",
        kind="instructions",
        group="medical_multimodal",
        modality="X-ray",
        schema=(
            "columns of indiana_reports.csv and indiana_projections.csv in public code that reads"
            " them; elements of the XML as public code reads them"
        ),
        unchecked="licence and XML: the publisher's page was not at hand",
    ),
    registry_entry.Entry(
        key="kvasir_vqa",
        title="Kvasir-VQA",
        about="58,800 questions about endoscopy pictures; the paper's stage 4 names it",
        paper="Kvasir-VQA",
        table="stages",
        repository="SimulaMet-HOST/Kvasir-VQA",
        address="https://huggingface.co/datasets/SimulaMet-HOST/Kvasir-VQA",
        licence="CC-BY-NC-4.0",
        citation=(
            "Gautam et al., Kvasir-VQA: A Text-Image Pair GI Tract Dataset, 2024, arXiv 2409.01437"
        ),
        files=("data/*.parquet",),
        format="kvasir_vqa",
        kind="instructions",
        group="medical_multimodal",
        modality="endoscopy",
        schema="columns source, question, answer, img_id, image in public code that reads them",
    ),
)
