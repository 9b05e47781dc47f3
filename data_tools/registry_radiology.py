# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled radiology images that the paper writes captions and questions about (its Table 3)."""

from data_tools import registry_entry

_NIH = "https://nihcc.app.box.com/v/"
_KAGGLE = "https://www.kaggle.com/datasets/"
_PAGE = "openmedlab/Awesome-Medical-Dataset, its page of the set"
_LICENCE = "licence: the publisher's page was not at hand"


_X_RAY = (
    registry_entry.labelled(
        "covid19_radiography",
        "COVID-19 Radiography Database",
        "X-ray: chest radiographs of COVID-19, lung opacity, viral pneumonia and no finding",
        paper="COVID19-Radiography",
        address=f"{_KAGGLE}tawsifurrahman/covid19-radiography-database",
        citation=(
            "Chowdhury et al., Can AI Help in Screening Viral and COVID-19 Pneumonia?, IEEE Access"
            " 8, 2020"
        ),
    ),
    registry_entry.labelled(
        "nih_chest_xray",
        "NIH ChestX-ray14",
        "X-ray: 112,120 chest radiographs with labels of 14 findings",
        paper="NIH-Chest-X-Ray",
        address=f"{_NIH}ChestXray-NIHCC",
        citation=(
            "Wang et al., ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on"
            " Weakly-Supervised Classification and Localization of Common Thorax Diseases, CVPR"
            " 2017"
        ),
    ),
    registry_entry.labelled(
        "chexpert",
        "CheXpert",
        "X-ray: 224,316 chest radiographs with labels of 14 observations",
        paper="CheXpert",
        address="https://aimi.stanford.edu/datasets/chexpert-chest-x-rays",
        licence="Stanford University School of Medicine research use agreement",
        citation=(
            "Irvin et al., CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels"
            " and Expert Comparison, AAAI 2019"
        ),
    ).asked(
        "registration", "who has an account of Stanford AIMI and accepts its research use agreement"
    ),
    registry_entry.labelled(
        "mendeley_knee_xray",
        "Digital Knee X-ray Images",
        "X-ray: 1,650 radiographs of the knee with grades of osteoarthritis by two experts",
        paper="Mendeley Digital Knee X-ray",
        address="https://data.mendeley.com/datasets/t9ndx37v5h/1",
        licence="CC-BY-4.0",
        citation="Gornale and Patravali, Digital Knee X-ray Images, Mendeley Data, 2020",
        unchecked="licence: seen in a project that uses it; its own page was not at hand",
    ),
)
_CT = (
    registry_entry.labelled(
        "kipa22",
        "KiPA22",
        "CT: 130 angiographies of kidneys with masks of kidney, tumour, artery and vein",
        paper="KIPA22",
        address="https://kipa22.grand-challenge.org/",
        citation=(
            "He et al., Meta grayscale adaptive network for 3D integrated renal structures"
            " segmentation, Medical Image Analysis 71, 2021"
        ),
        files=("train/image/*.nii.gz", "train/label/*.nii.gz"),
        schema=_PAGE,
        unchecked=_LICENCE,
    ).asked("registration", "who joins the challenge"),
    registry_entry.labelled(
        "deeplesion",
        "DeepLesion",
        "CT: 32,735 lesions in slices of 10,594 examinations, with boxes",
        paper="DeepLesion",
        address=f"{_NIH}DeepLesion",
        citation=(
            "Yan et al., DeepLesion: Automated Deep Mining, Categorization and Detection of"
            " Significant Radiology Image Findings using Large-Scale Clinical Lesion Annotations,"
            " 2017, arXiv 1710.01766"
        ),
    ),
    registry_entry.labelled(
        "chest_ctscan",
        "Chest CT-Scan images",
        "CT: 1,000 slices of the chest of three cancers and no finding",
        paper="chest-ctscan",
        address="https://tianchi.aliyun.com/dataset/93929",
        citation="Yi, Chest CT-Scan Images Dataset, Tianchi, 2021",
        files=("train/*/*.png", "val/*/*.png", "test/*/*.png"),
        schema=_PAGE,
        unchecked=_LICENCE,
    ),
)
_MRI = (
    registry_entry.labelled(
        "brain_tumor_mri",
        "Brain Tumor MRI Dataset",
        "MRI: slices of the brain with glioma, meningioma, pituitary tumour and no tumour",
        paper="Brain-Tumor-MRI",
        address=f"{_KAGGLE}masoudnickparvar/brain-tumor-mri-dataset",
        citation="Nickparvar, Brain Tumor MRI Dataset, Kaggle, 2021",
    ),
    registry_entry.labelled(
        "brats2024",
        "BraTS 2024",
        "MRI: volumes of the brain after treatment of glioma, with masks",
        paper="BraTS2024",
        address="https://www.synapse.org/brats2024",
        citation=(
            "de Verdier et al., The 2024 Brain Tumor Segmentation (BraTS) Challenge: Glioma"
            " Segmentation on Post-treatment MRI, 2024, arXiv 2405.18368"
        ),
    ).asked("registration", "who has an account of Synapse and joins the challenge"),
    registry_entry.labelled(
        "lld_mmri",
        "LLD-MMRI",
        "MRI: multi-phase volumes of liver lesions",
        paper="LLD-MMRI",
        address="https://github.com/LMMMEng/LLD-MMRI-Dataset",
        licence="non-commercial research alone, no passing on (the publisher's words)",
        citation=(
            "Lou et al., SDR-Former: A Siamese Dual-Resolution Transformer for Liver Lesion"
            " Classification Using 3D Multi-Phase Imaging, Neural Networks 185, 2025"
        ),
        schema="LMMMEng/LLD-MMRI-Dataset@08eee65 README.md",
        unchecked="layout: the archive was not at hand",
    ),
    registry_entry.labelled(
        "mama_mia",
        "MAMA-MIA",
        "MRI: 1,506 contrast-enhanced volumes of breast cancer with masks",
        paper="MAMA-MIA",
        address="https://doi.org/10.7303/syn60868042",
        licence="CC-BY-NC-4.0",
        citation=(
            "Garrucho et al., A large-scale multicenter breast cancer DCE-MRI benchmark dataset"
            " with expert segmentations, Scientific Data 12, 2025"
        ),
        schema="LidiaGarrucho/MAMA-MIA@05a695e README.md",
        unchecked="layout: the files are behind the account",
    ).asked("registration", "who has an account of Synapse"),
)
_ULTRASOUND = (
    registry_entry.labelled(
        "abdomen_us",
        "US simulation & segmentation (AbdomenUS)",
        "ultrasound: real and simulated pictures of the abdomen with masks of organs",
        paper="AbdomenUS",
        address=f"{_KAGGLE}ignaciorlando/ussimandsegm",
        citation=(
            "Vitale et al., Improving realism in patient-specific abdominal ultrasound simulation"
            " using CycleGANs, International Journal of Computer Assisted Radiology and Surgery"
            " 15, 2020"
        ),
    ),
    registry_entry.labelled(
        "busi",
        "Breast Ultrasound Images (BUSI)",
        "ultrasound: 780 pictures of breasts, normal, benign and malignant, with masks",
        paper="Breast Ultrasound Images",
        address="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
        citation="Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 28, 2020",
        files=("{benign,malignant,normal}/*.png",),
        schema=_PAGE,
        unchecked=_LICENCE,
    ),
    registry_entry.labelled(
        "annotated_us_liver",
        "Annotated Ultrasound Liver images",
        "ultrasound: 735 pictures of livers with outlines of liver and mass",
        paper="Annotated Ultrasound Liver",
        address="https://doi.org/10.5281/zenodo.7272660",
        citation="Xu et al., Annotated Ultrasound Liver images, Zenodo, 2022",
    ),
    registry_entry.labelled(
        "radimagenet_us",
        "RadImageNet, ultrasound",
        "ultrasound: the pictures of that modality of 1.35 million radiology pictures",
        paper="RadImageNet (US subset)",
        address="https://www.radimagenet.com",
        citation=(
            "Mei et al., RadImageNet: An Open Radiologic Deep Learning Research Dataset for"
            " Effective Transfer Learning, Radiology: Artificial Intelligence 4, 2022"
        ),
    ).asked("registration", "who sends the publisher a signed agreement"),
)
ENTRIES = (*_X_RAY, *_CT, *_MRI, *_ULTRASOUND)
