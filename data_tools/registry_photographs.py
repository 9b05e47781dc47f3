# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled images of skin, eyes, tissue and cells that the paper writes about (its Table 3)."""

import dataclasses

from data_tools import registry_entry

_KAGGLE = "https://www.kaggle.com/datasets/"
_PAGE = "openmedlab/Awesome-Medical-Dataset, its page of the set"
_LICENCE = "licence: the publisher's page was not at hand"
_SEEN_ELSEWHERE = "licence: seen in a project that uses it; its own page was not at hand"

_DERMOSCOPY = (
    registry_entry.labelled(
        "ham10000",
        "HAM10000",
        "dermoscopy: 10,015 pictures of 7,470 pigmented lesions of seven kinds",
        paper="HAM10000",
        address="https://doi.org/10.7910/DVN/DBW86T",
        licence="CC-BY-NC-4.0",
        citation=(
            "Tschandl et al., The HAM10000 dataset, a large collection of multi-source"
            " dermatoscopic images of common pigmented skin lesions, Scientific Data 5, 2018"
        ),
        files=("HAM10000_metadata.csv", "HAM10000_images_part_*.zip"),
        schema="names of the files in public code that reads them",
        unchecked=_SEEN_ELSEWHERE,
    ),
    registry_entry.labelled(
        "isic_2020",
        "ISIC challenge 2020",
        "dermoscopy: 33,126 pictures of benign and malignant lesions",
        paper="ISIC-2020",
        address="https://challenge2020.isic-archive.com/",
        citation=(
            "Kurtansky et al., ISIC 2024 - Skin Cancer Detection with 3D-TBP, Kaggle, 2024 (so the"
            " paper cites it)"
        ),
    ),
    registry_entry.labelled(
        "fitzpatrick17k",
        "Fitzpatrick17k",
        "dermoscopy: 16,577 clinical photographs of 114 skin conditions with skin types",
        paper="Fitzpatrick17k",
        address="https://github.com/mattgroh/fitzpatrick17k",
        licence="CC-BY-NC-SA-3.0",
        citation=(
            "Groh et al., Evaluating Deep Neural Networks Trained on Clinical Images in Dermatology"
            " with the Fitzpatrick 17k Dataset, CVPR Workshops 2021, arXiv 2104.09957"
        ),
        files=("fitzpatrick17k.csv",),
        schema="mattgroh/fitzpatrick17k@020bb37 README.md",
        unchecked="",
    ),
    registry_entry.labelled(
        "pad_ufes_20",
        "PAD-UFES-20",
        "dermoscopy: 2,298 photographs of skin lesions taken with telephones",
        paper="PAD-UFES-20",
        address="https://data.mendeley.com/datasets/zr7vgbcyr2/1",
        citation=(
            "Pacheco et al., PAD-UFES-20: A skin lesion dataset composed of patient data and"
            " clinical images collected from smartphones, Data in Brief 32, 2020"
        ),
        files=("metadata.csv", "images/imgs_part_*.zip"),
        schema="names of the files in public code that reads them",
        unchecked=_LICENCE,
    ),
)
_FUNDUS = (
    registry_entry.labelled(
        "brset",
        "BRSET",
        "fundus: 16,266 pictures of the retina with labels of disease and quality",
        paper="BRSET",
        address="https://physionet.org/content/brazilian-ophthalmological/",
        citation=(
            "Nakayama et al., BRSET: A Brazilian Multilabel Ophthalmological Dataset of Retina"
            " Fundus Photos, PLOS Digital Health, 2024"
        ),
        files=("fundus_photos/*.jpg", "labels_brset.csv"),
        schema="names of the files in public code that reads them",
        unchecked=_LICENCE,
    ).asked("credentialed", "who has a credentialed PhysioNet account and its training"),
    registry_entry.labelled(
        "papila",
        "PAPILA",
        "fundus: 488 pictures of both eyes of 244 people with outlines of disc and cup",
        paper="PAPILA",
        address="https://doi.org/10.1038/s41597-022-01388-1",
        citation=(
            "Kovalyk et al., PAPILA: Dataset with fundus images and clinical data of both eyes of"
            " the same patient for glaucoma assessment, Scientific Data 9, 2022"
        ),
    ),
    registry_entry.labelled(
        "diabetic_retinopathy_2015_2019",
        "Diabetic Retinopathy Detection 2015 and 2019, resized",
        "fundus: pictures of two challenges with grades of diabetic retinopathy",
        paper="2015 & 2019 Diabetic Retinopathy Detection",
        address=f"{_KAGGLE}c7934597/resized-2015-2019-diabetic-retinopathy-detection",
        citation="Lin, Resized 2015-2019 Diabetic Retinopathy Detection, Kaggle, 2022",
    ),
)
_HISTOPATHOLOGY = (
    registry_entry.labelled(
        "cpd",
        "CPD",
        "histopathology: stained sections of skin with scores of damage by ultraviolet light",
        paper="CPD",
        address="https://doi.org/10.1038/s41598-023-35370-7",
        citation=(
            "Wagner et al., Semantic modeling of cell damage prediction: a machine learning"
            " approach at human-level performance in dermatology, Scientific Reports 13, 2023"
        ),
    ),
    registry_entry.labelled(
        "breast_cancer_snow",
        "Breast-Cancer (synthetic pathology)",
        "histopathology: synthetic tiles of breast cancer with masks of nuclei",
        paper="Breast-Cancer",
        address="https://doi.org/10.1038/s41597-023-02125-y",
        citation=(
            "Ding et al., A large-scale synthetic pathological dataset for deep learning-enabled"
            " segmentation of breast cancer, Scientific Data 10, 2023"
        ),
    ),
    registry_entry.labelled(
        "pannuke",
        "PanNuke",
        "histopathology: tiles of 19 tissues with masks of nuclei of five kinds",
        paper="PanNuke",
        address="https://arxiv.org/abs/2003.10778",
        citation=(
            "Gamper et al., PanNuke Dataset Extension, Insights and Baselines, 2020,"
            " arXiv 2003.10778"
        ),
    ),
    registry_entry.labelled(
        "ebhi_seg",
        "EBHI-Seg",
        "histopathology: 4,456 tiles of colorectal biopsies of six stages with masks",
        paper="EBHI-Seg",
        address="https://figshare.com/articles/dataset/EBHI-SEG/21540159/1",
        citation=(
            "Shi et al., EBHI-Seg: A novel enteroscope biopsy histopathological hematoxylin and"
            " eosin image dataset for image segmentation tasks, Frontiers in Medicine 10, 2023"
        ),
        schema=_PAGE,
        unchecked=_LICENCE,
    ),
)
_MICROSCOPY = (
    dataclasses.replace(
        registry_entry.labelled(
            "bccd",
            "BCCD (Blood Cell Image)",
            "microscopy: pictures of blood smears with boxes of red and white cells and platelets",
            paper="Blood Cell Image",
            address="https://github.com/Shenggan/BCCD_Dataset",
            licence="MIT",
            citation="Gan, BCCD Dataset, GitHub, 2018",
            files=("BCCD/Annotations/*.xml", "BCCD/JPEGImages/*.jpg"),
            schema="Shenggan/BCCD_Dataset@d272fb1",
            unchecked="",
        ),
        format="bccd",
        kind="instructions",
        group="medical_multimodal",
    ),
    registry_entry.labelled(
        "biomeditech_rpe",
        "BioMediTech RPE",
        "microscopy: 195 pictures of retinal pigment epithelium in four stages, 1,862 tiles",
        paper="BioMediTech RPE",
        address="https://figshare.com/s/d6fb591f1beb4f8efa6f",
        citation=(
            "Nanni et al., Texture Descriptors Ensembles Enable Image-Based Classification of"
            " Maturation of Human Stem Cell-Derived Retinal Pigmented Epithelium, PLoS One 11, 2016"
        ),
        files=("RPE_dataset/Images/*.tif", "RPE_dataset/Subwindows/*.tif"),
        schema=_PAGE,
        unchecked="licence: it is in license.txt of the archive, which was not at hand",
    ),
    registry_entry.labelled(
        "mhsma",
        "MHSMA",
        "microscopy: 1,540 pictures of sperm with labels of acrosome, head, vacuole and tail",
        paper="mhsma-dataset",
        address="https://github.com/soroushj/mhsma-dataset",
        licence="CC-BY-NC-SA-4.0",
        citation=(
            "Javadi and Mirroshandel, A novel deep learning method for automatic assessment of"
            " human sperm images, Computers in Biology and Medicine 109, 2019"
        ),
        files=("x_{64,128}_{train,valid,test}.npy", "y_*_{train,valid,test}.npy"),
        schema="soroushj/mhsma-dataset@03044f1 README.md",
        unchecked="",
    ),
)
ENTRIES = (*_DERMOSCOPY, *_FUNDUS, *_HISTOPATHOLOGY, *_MICROSCOPY)
