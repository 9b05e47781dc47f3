# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Medical captions that the paper names (its Table 1)."""

from data_tools import registry_entry

_FORM = "https://docs.google.com/forms/d/e/1FAIpQLSdB6w2HHNtD-v6SJr3wFMQl8WxR-wigrfVJPvqI-RR50miI7w"
ENTRIES = (
    registry_entry.Entry(
        key="pmc_oa",
        title="PMC-OA",
        about="1.6 million figures of open-access papers, split into panels, with their captions",
        paper="PMC-OA",
        table="captions",
        repository="axiong/pmc_oa",
        address="https://huggingface.co/datasets/axiong/pmc_oa",
        licence=registry_entry.NOT_STATED,
        citation=(
            "Lin et al., PMC-CLIP: Contrastive Language-Image Pre-training using Biomedical"
            " Documents, MICCAI 2023, arXiv 2303.07240"
        ),
        files=("pmc_oa.jsonl", "pmc_oa_beta.jsonl", "images.zip"),
        format="pmc_oa",
        kind="captions",
        group="captions",
        schema="the hub's data card axiong/pmc_oa; older revisions have train.jsonl instead",
        unchecked="licence: the data card was seen without its head; each paper has its own",
    ),
    registry_entry.Entry(
        key="roco",
        title="ROCO",
        about="radiology figures of open-access papers with their captions",
        paper="ROCO",
        table="captions",
        address="https://github.com/razorx89/roco-dataset",
        licence="that of each paper (licences.txt)",
        citation=(
            "Pelka et al., Radiology Objects in COntext (ROCO): A Multimodal Image Dataset, LABELS"
            " 2018, LNCS 11043, doi 10.1007/978-3-030-01364-6_20"
        ),
        files=("data/train/radiology/{captions,dlinks}.txt", "data/train/radiology/images/"),
        format="roco",
        kind="captions",
        group="captions",
        schema=(
            "razorx89/roco-dataset@024433e scripts/fetch.py; the table radiologytraindata.csv (id,"
            " name, caption) is a copy's"
        ),
    ),
    registry_entry.Entry(
        key="rocov2",
        title="ROCOv2",
        about="radiology figures of open-access papers with captions and concepts",
        paper="ROCOv2",
        table="captions",
        repository="eltorio/ROCOv2-radiology",
        address="https://zenodo.org/records/8333645",
        licence="CC-BY-NC-SA-4.0 (the hub's copy)",
        citation=(
            "Rückert et al., ROCOv2: Radiology Objects in COntext Version 2, an Updated Multimodal"
            " Image Dataset, Scientific Data 11, 2024, arXiv 2405.10004"
        ),
        files=("train_captions.csv", "train_images.zip", "data/train-*.parquet"),
        format="rocov2",
        kind="captions",
        group="captions",
        schema=(
            "the hub's tree eltorio/ROCOv2-radiology@80ffeef (image, image_id, caption, cui);"
            " columns ID and Caption of train_captions.csv in public code that reads it"
        ),
        unchecked="licence of the Zenodo record: only that of the hub's copy was seen",
    ),
    registry_entry.Entry(
        key="llava_med_alignment",
        title="LLaVA-Med, alignment",
        about="500,000 figures of PubMed Central with their captions as answers",
        paper="LLaVA-Med Alignment",
        table="captions",
        address="https://github.com/microsoft/LLaVA-Med",
        licence="CC-BY-NC-4.0",
        terms="open, for research alone; the figures are fetched from PubMed Central by a script",
        citation=(
            "Li et al., LLaVA-Med: Training a Large Language-and-Vision Assistant for Biomedicine"
            " in One Day, NeurIPS 2023, arXiv 2306.00890"
        ),
        files=("alignment/llava_med_alignment_500k.json", "images/"),
        format="llava_med_alignment",
        kind="captions",
        group="captions",
        schema="microsoft/LLaVA-Med@0df99b2 README.md, download_data.sh",
        unchecked=(
            "keys of the rows: the file is stored there as a pointer; public code finds the"
            " conversation under `conversations` and under `conversatons`, and both are read"
        ),
    ),
    registry_entry.Entry(
        key="pubmedvision_alignment",
        title="PubMedVision, alignment",
        about="647,031 descriptions of figures of PubMed, rewritten by GPT-4V",
        paper="PubMedVision",
        table="captions",
        repository="FreedomIntelligence/PubMedVision",
        address="https://huggingface.co/datasets/FreedomIntelligence/PubMedVision",
        licence="Apache-2.0",
        citation=(
            "Chen et al., HuatuoGPT-Vision, Towards Injecting Medical Visual Knowledge into"
            " Multimodal LLMs at Scale, 2024, arXiv 2406.19280"
        ),
        files=("PubMedVision_Alignment_VQA.json", "images_*.zip"),
        format="pubmedvision_alignment",
        kind="captions",
        group="captions",
        schema=(
            "the hub's data card FreedomIntelligence/PubMedVision; keys image (a list),"
            " conversations, modality, body_part in public code that reads it"
        ),
    ),
    registry_entry.Entry(
        key="quilt_llava_pretrain",
        title="Quilt-LLaVA, pretraining",
        about="723,000 histopathology frames of teaching videos with what was said of them",
        paper="Quilt-LLaVA-Pretrain",
        table="captions",
        repository="wisdomik/Quilt-LLaVA-Pretrain",
        address="https://huggingface.co/datasets/wisdomik/Quilt-LLaVA-Pretrain",
        licence="CC-BY-NC-ND-3.0",
        access="registration",
        terms="whoever accepts the conditions (research alone, no passing on); images on request",
        apply="https://huggingface.co/datasets/wisdomik/Quilt-LLaVA-Pretrain",
        citation=(
            "Seyfioglu et al., Quilt-LLaVA: Visual Instruction Tuning by Extracting Localized"
            " Narratives from Open-Source Histopathology Videos, CVPR 2024, arXiv 2312.04746"
        ),
        files=("quilt_pretrain.json", "quilt_1m/"),
        format="quilt_llava_pretrain",
        kind="captions",
        group="captions",
        modality="histopathology",
        schema="the README of aldraus/quilt-llava (quilt_pretrain.json beside quilt_1m/)",
        unchecked="keys of the rows: behind the conditions; LLaVA's form is assumed",
    ),
    registry_entry.Entry(
        key="mimic_cxr_findings",
        title="MIMIC-CXR, findings as captions",
        about="chest radiographs of one hospital; caption is the Findings section alone",
        paper="MIMIC-CXR",
        table="captions",
        address="https://physionet.org/content/mimic-cxr-jpg/2.1.0/",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        access="credentialed",
        terms="who has a credentialed PhysioNet account, its training, and signed its agreement",
        apply="https://physionet.org/content/mimic-cxr-jpg/2.1.0/",
        citation=(
            "Johnson et al., MIMIC-CXR, a de-identified publicly available database of chest"
            " radiographs with free-text reports, Scientific Data 6, 2019"
        ),
        files=("files/p1*/p*/s*/*.jpg", "mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-reports/"),
        format="mimic_cxr_findings",
        kind="captions",
        group="captions",
        modality="X-ray",
        schema=(
            "mimic.mit.edu/docs/iv/modules/cxr (identifiers); names of files and columns in public"
            " code that reads them"
        ),
        unchecked="layout: the project's pages were not at hand; read of public code alone",
    ),
    registry_entry.Entry(
        key="medicat",
        title="MedICaT",
        about="217,060 figures of 131,410 open-access papers with captions and references",
        paper="MedICaT",
        table="captions",
        address="https://github.com/allenai/medicat",
        licence="that of each paper (oa_info of its row); the set for non-commercial use alone",
        access="registration",
        terms="who fills in the publisher's form",
        apply=f"{_FORM}/viewform",
        citation=(
            "Subramanian et al., MedICaT: A Dataset of Medical Images, Captions, and Textual"
            " References, Findings of EMNLP 2020"
        ),
        files=("release.jsonl", "figures/{pdf_hash}_{fig_uri}"),
        format="medicat",
        kind="captions",
        group="captions",
        schema="allenai/medicat@2a75c3c README.md",
        unchecked="the name release.jsonl: any .jsonl beside figures/ is read",
    ),
    registry_entry.Entry(
        key="fairvlmed",
        title="Harvard-FairVLMed",
        about="10,000 fundus pictures (SLO), each with a clinical note and its summary by GPT-4",
        paper="FairVLMed",
        table="captions",
        address="https://github.com/Harvard-Ophthalmology-AI-Lab/FairCLIP",
        licence="CC-BY-NC-ND-4.0",
        access="registration",
        terms="who asks for the shared folder; research alone, no clinical decisions",
        apply="https://github.com/Harvard-Ophthalmology-AI-Lab/FairCLIP",
        citation=(
            "Luo et al., FairCLIP: Harnessing Fairness in Vision-Language Learning, CVPR 2024"
        ),
        files=("Training/data_*.npz", "gpt-4_summarized_notes.csv"),
        format="fairvlmed",
        kind="captions",
        group="captions",
        modality="fundus",
        schema=(
            "Harvard-Ophthalmology-AI-Lab/FairCLIP@628b4ac FairCLIP/src/modules.py (slo_fundus;"
            " first and third column of the notes)"
        ),
    ),
    registry_entry.Entry(
        key="medpix_2",
        title="MedPix 2.0",
        about="CT and MR pictures of cases with captions, plane and place",
        paper="MedPix-2.0",
        table="captions",
        address="https://github.com/CHILab1/MedPix-2.0",
        licence=registry_entry.NOT_STATED,
        citation=(
            "Siragusa et al., MedPix 2.0: A Comprehensive Multimodal Biomedical Data set for"
            " Advanced AI Applications, Data Science and Engineering, 2025, arXiv 2407.02994"
        ),
        files=("Descriptions.json", "splitted_dataset/descriptions_train*.jsonl", "images/"),
        format="medpix_2",
        kind="captions",
        group="captions",
        schema=(
            "CHILab1/MedPix-2.0@7ba3dd1 splitted_dataset/descriptions_dev.jsonl, @0f26b94"
            " MedPix-2-0/README.md"
        ),
        unchecked="licence: the repository's texts that were at hand name none",
    ),
)
