# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Small open sets that the paper does not name and that can be trained on."""

from data_tools import registry_entry

ENTRIES = (
    registry_entry.Entry(
        key="mts_dialog",
        title="MTS-Dialog",
        about="1,701 dialogues of doctor and patient with a section of the note each",
        address="https://github.com/abachaa/MTS-Dialog",
        licence="CC-BY-4.0",
        citation=(
            "Ben Abacha et al., An Empirical Study of Clinical Note Generation from Doctor-Patient"
            " Encounters, EACL 2023"
        ),
        files=("Main-Dataset/MTS-Dialog-TrainingSet.csv",),
        format="mts_dialog",
        kind="text",
        group="medical_text",
        schema="abachaa/MTS-Dialog@3ff0801 Main-Dataset",
    ),
    registry_entry.Entry(
        key="pubmedqa",
        title="PubMedQA, PQA-L without its test questions",
        about="500 questions about abstracts of PubMed, answered with yes, no or maybe",
        address="https://github.com/pubmedqa/pubmedqa",
        licence="MIT",
        citation=(
            "Jin et al., PubMedQA: A Dataset for Biomedical Research Question Answering, EMNLP"
            " 2019, arXiv 1909.06146"
        ),
        files=("data/ori_pqal.json", "data/test_ground_truth.json"),
        format="pubmedqa",
        kind="text",
        group="medical_text",
        schema="pubmedqa/pubmedqa@1cbae8e data",
    ),
    registry_entry.Entry(
        key="hannover_covid_cxr",
        title="COVID-19 Image Repository (Hannover)",
        about="243 chest radiographs of patients with COVID-19 with a table of clinical values",
        address="https://github.com/ml-workgroup/covid-19-image-repository",
        licence="CC-BY-3.0",
        citation=(
            "Winther et al., COVID-19 Image Repository, Hannover Medical School, 2020,"
            " doi 10.25835/0090041"
        ),
        files=("data.csv", "png/*.png"),
        format="hannover_covid_cxr",
        kind="captions",
        group="captions",
        modality="X-ray",
        schema="ml-workgroup/covid-19-image-repository@ad7ab09 data.csv",
        unchecked="citation: the repository's own text was not at hand",
    ),
    registry_entry.Entry(
        key="covid_chestxray_open",
        title="COVID-19 image data collection, freely licensed rows",
        about="chest radiographs of the web and of papers with the notes beside them",
        address="https://github.com/ieee8023/covid-chestxray-dataset",
        licence="that of each picture (license of its row)",
        citation=(
            "Cohen et al., COVID-19 Image Data Collection: Prospective Predictions Are the Future,"
            " 2020, arXiv 2006.11988"
        ),
        files=("captions.jsonl", "images/"),
        format="covid_chestxray_open",
        kind="captions",
        group="captions",
        modality="X-ray",
        schema="raiprabh/covid-chestxray-dataset@0e8f80a metadata.csv, rows as JSON",
        unchecked="address and citation: the copy's text names another repository",
    ),
    registry_entry.Entry(
        key="pocus_lung_us_ccby",
        title="POCUS lung ultrasound, rows under CC BY",
        about="lung ultrasound pictures with diagnosis, findings and remarks of two physicians",
        address="https://github.com/jannisborn/covid19_ultrasound",
        licence="CC-BY-4.0",
        citation=(
            "Born et al., Accelerating Detection of Lung Pathologies with Explainable Ultrasound"
            " Image Analysis, Applied Sciences 11, 2021"
        ),
        files=("captions.jsonl", "images/"),
        format="pocus_lung_us_ccby",
        kind="captions",
        group="captions",
        modality="ultrasound",
        schema="Stroeber/covid19_ultrasound@298046a data/dataset_metadata.csv, rows as JSON",
        unchecked="address and citation: a copy was at hand, not the publisher's repository",
    ),
    registry_entry.Entry(
        key="skimage_bundled",
        title="Medical pictures of scikit-image",
        about="a fundus photograph, stained colonic glands and a cell in saline",
        address="https://github.com/scikit-image/scikit-image",
        licence="CC0-1.0 (retina.jpg, cell.png); no known restrictions (ihc.png)",
        citation=(
            "van der Walt et al., scikit-image: image processing in Python, PeerJ 2, 2014; its"
            " pictures: Häggström, WikiJournal of Medicine 1(2), 2014; Center for Microscopy And"
            " Molecular Imaging; Müller et al., Optics Express 26(8), 2018"
        ),
        files=("retina.jpg", "ihc.png", "cell.png"),
        format="skimage_bundled",
        kind="captions",
        group="captions",
        schema="scikit-image/scikit-image@cd0a3d2 src/_skimage2/data; what its texts say of each",
    ),
    registry_entry.Entry(
        key="chexpert_labeler_sample",
        title="Sample of CheXpert's labeller",
        about="4 impressions of chest radiographs with labels of 14 observations",
        address="https://github.com/stanfordmlgroup/chexpert-labeler",
        licence="MIT",
        citation=(
            "Irvin et al., CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and"
            " Expert Comparison, AAAI 2019"
        ),
        files=("labeled_reports.csv",),
        format="chexpert_labeler_sample",
        kind="text",
        group="medical_text",
        schema="stanfordmlgroup/chexpert-labeler@44ddeb3 labeled_reports.csv",
    ),
)
