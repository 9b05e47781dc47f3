# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Sets of labelled pictures that the paper writes about (arXiv 2506.07044, Table 3), ready to read.

The layout of each was read in what its entry of the registry names, or in public code that reads
the set: the comment above a preset says where. Sets whose layout could not be read, or that need
more than a layout (arrays of numpy, outlines, values to be windowed), have none.
"""

import dataclasses

from data_tools.synthesis import label_files, labelled
from lingshu_jax.common import errors

_GRADES = {  # International Clinical Diabetic Retinopathy scale
    "0": "none",
    "1": "mild, not proliferative",
    "2": "moderate, not proliferative",
    "3": "severe, not proliferative",
    "4": "proliferative",
}
_VIEWS = {"PA": "posteroanterior", "AP": "anteroposterior", "Lateral": "lateral"}


def _preset(key: str, layout: str, **fields: object) -> labelled.LabelledSource:
    return dataclasses.replace(
        labelled.LabelledSource(name=key, layout=layout, path=key, dataset=key), **fields
    )


PRESETS: dict[str, labelled.LabelledSource] = {
    preset.name: preset
    for preset in (
        # Class folders with `images`: read in public code (CLASS_NAMES, DATA_DIR / cls / "images").
        _preset(
            "covid19_radiography",
            label_files.FOLDERS,
            files=r"(?:.*/)?(?P<kind>COVID|Lung_Opacity|Normal|Viral Pneumonia)/images/[^/]+\.png",
            label_columns={"kind": "finding"},
            words={
                "finding": {
                    "COVID": "COVID-19 pneumonia",
                    "Lung_Opacity": "lung opacity that is not due to COVID-19",
                    "Normal": "no abnormality",
                    "Viral Pneumonia": "viral pneumonia",
                }
            },
        ),
        # Data_Entry_2017(_v2020).csv: mlmed/torchxrayvision@00ebc95 torchxrayvision/datasets.py.
        _preset(
            "nih_chest_xray",
            label_files.CSV,
            table="Data_Entry_2017*.csv",
            image_column="Image Index",
            image_pattern="images/{Image Index}|images_*/images/{Image Index}",
            label_columns={"Finding Labels": "finding", "View Position": "view"},
            separator="|",
            words={
                "view": {name: _VIEWS[name] for name in ("PA", "AP")},
                "finding": {
                    "No Finding": "no finding",
                    "Atelectasis": "atelectasis",
                    "Cardiomegaly": "cardiomegaly",
                    "Consolidation": "consolidation",
                    "Edema": "pulmonary edema",
                    "Effusion": "pleural effusion",
                    "Emphysema": "emphysema",
                    "Fibrosis": "fibrosis",
                    "Hernia": "hernia",
                    "Infiltration": "infiltration",
                    "Mass": "mass",
                    "Nodule": "nodule",
                    "Pleural_Thickening": "pleural thickening",
                    "Pneumonia": "pneumonia",
                    "Pneumothorax": "pneumothorax",
                },
            },
            group="Patient ID",
        ),
        # Header of train.csv, read in public code; openmedlab/Awesome-Medical-Dataset@907be4c.
        _preset(
            "chexpert",
            label_files.CSV,
            table="CheXpert-v1.0*/train.csv",
            image_column="Path",
            label_columns={"Frontal/Lateral": "view"},
            words={"view": {"Frontal": "frontal", "Lateral": "lateral"}},
            present={
                "No Finding": "no finding",
                "Enlarged Cardiomediastinum": "enlarged cardiomediastinum",
                "Cardiomegaly": "cardiomegaly",
                "Lung Opacity": "lung opacity",
                "Lung Lesion": "lung lesion",
                "Edema": "edema",
                "Consolidation": "consolidation",
                "Pneumonia": "pneumonia",
                "Atelectasis": "atelectasis",
                "Pneumothorax": "pneumothorax",
                "Pleural Effusion": "pleural effusion",
                "Pleural Other": "another pleural abnormality",
                "Fracture": "fracture",
                "Support Devices": "support devices",
            },
        ),
        # MedicalExpert-I/0Normal ... 4Severe: read in public code. The first expert's grades.
        _preset(
            "mendeley_knee_xray",
            label_files.FOLDERS,
            files=r"(?:.*/)?MedicalExpert-I/(?P<kind>[0-4])(?:Normal|Doubtful|Mild|Moderate|Severe)/"
            r"[^/]+\.png",
            label_columns={"kind": "grade"},
            words={
                "grade": {
                    "0": "grade 0, none",
                    "1": "grade 1, doubtful",
                    "2": "grade 2, mild",
                    "3": "grade 3, moderate",
                    "4": "grade 4, severe",
                }
            },
            labels={"body_part": "knee"},
        ),
        # openmedlab/Awesome-Medical-Dataset@9c5b030 resources/ChestCT-Scan_images.md. What follows
        # the cancer in names of folders is a stage, which no slice shows.
        _preset(
            "chest_ctscan",
            label_files.FOLDERS,
            files=r"(?:.*/)?(?:train|valid?|test)/(?P<kind>adenocarcinoma|large\.cell\.carcinoma|"
            r"normal|squamous\.cell\.carcinoma)[^/]*/[^/]+\.(?:png|jpg)",
            label_columns={"kind": "finding"},
            words={
                "finding": {
                    "adenocarcinoma": "adenocarcinoma of the lung",
                    "large.cell.carcinoma": "large cell carcinoma of the lung",
                    "squamous.cell.carcinoma": "squamous cell carcinoma of the lung",
                    "normal": "no cancer",
                }
            },
        ),
        # Training/ and Testing/ with four folders: read in public code.
        _preset(
            "brain_tumor_mri",
            label_files.FOLDERS,
            files=r"(?:.*/)?(?:Training|Testing)/(?P<kind>glioma|meningioma|notumor|pituitary)/"
            r"[^/]+\.jpg",
            label_columns={"kind": "finding"},
            words={
                "finding": {
                    "glioma": "glioma",
                    "meningioma": "meningioma",
                    "pituitary": "pituitary tumour",
                    "notumor": "no tumour",
                }
            },
        ),
        # <case>/<case>-t1c.nii.gz beside <case>-seg.nii.gz: read in public code, as are the values.
        _preset(
            "brats2024",
            label_files.VOLUME,
            files=r"(?:.*/)?(?P<patient>BraTS-GLI-\d+)-\d+/(?P<case>BraTS-GLI-\d+-\d+)-t1c\.nii\.gz",
            mask_pattern="{dir}/{case}-seg.nii.gz",
            structures={
                "1": "non-enhancing tumour core",
                "2": "surrounding non-enhancing FLAIR hyperintensity",
                "3": "enhancing tissue",
                "4": "resection cavity",
            },
            group="patient",
        ),
        # images/<CASE>/<case>_0001.nii.gz, the first phase after contrast, and
        # segmentations/expert/<case>.nii.gz: read in public code.
        _preset(
            "mama_mia",
            label_files.VOLUME,
            files=r"(?:.*/)?images/[^/]+/(?P<case>[A-Za-z0-9_]+)_0001\.nii\.gz",
            mask_pattern="segmentations/expert/{case}.nii.gz",
            structures={"any": "breast tumour"},
            group="case",
        ),
        # Folders and colours: read in public code that reads the set from Kaggle.
        _preset(
            "abdomen_us",
            label_files.MASKS,
            files=r"(?:.*/)?RUS/images/(?P<part>train|test)/[^/]+\.png",
            mask_pattern="{dir}/../../annotations/{part}/{stem}.png",
            structures={
                "#640064": "liver",
                "#ffff00": "kidney",
                "#0000ff": "pancreas",
                "#ff0000": "vessels",
                "#00ffff": "adrenal gland",
                "#00ff00": "gallbladder",
                "#ffffff": "bone",
                "#ff00ff": "spleen",
            },
        ),
        # openmedlab/Awesome-Medical-Dataset@7252e64 resources/BUSI.md.
        _preset(
            "busi",
            label_files.MASKS,
            files=r"(?:.*/)?(?P<kind>benign|malignant|normal)/[^/]+\(\d+\)\.png",
            mask_pattern="{dir}/{stem}_mask*.png",
            structures={"any": "breast mass"},
            label_columns={"kind": "finding"},
            words={
                "finding": {
                    "benign": "benign mass",
                    "malignant": "malignant mass",
                    "normal": "no mass",
                }
            },
        ),
        # Header of HAM10000_metadata.csv and names of folders: read in public code.
        _preset(
            "ham10000",
            label_files.CSV,
            table="HAM10000_metadata*",
            image_column="image_id",
            image_pattern="HAM10000_images_part_*/{image_id}.jpg|images/{image_id}.jpg|{image_id}.jpg",
            label_columns={"dx": "finding"},
            words={
                "finding": {
                    "akiec": "actinic keratosis or intraepithelial carcinoma",
                    "bcc": "basal cell carcinoma",
                    "bkl": "a benign keratosis-like lesion",
                    "df": "a dermatofibroma",
                    "mel": "a melanoma",
                    "nv": "a melanocytic naevus",
                    "vasc": "a vascular lesion",
                }
            },
            group="lesion_id",
        ),
        # Header of train.csv and jpeg/train: read in public code.
        _preset(
            "isic_2020",
            label_files.CSV,
            table="train.csv",
            image_column="image_name",
            image_pattern="jpeg/train/{image_name}.jpg|train/{image_name}.jpg",
            label_columns={"benign_malignant": "malignancy"},
            group="patient_id",
        ),
        # mattgroh/fitzpatrick17k@020bb37 README.md; the pictures are fetched by their addresses.
        _preset(
            "fitzpatrick17k",
            label_files.CSV,
            table="fitzpatrick17k.csv",
            image_column="md5hash",
            image_pattern="images/{md5hash}.jpg|{md5hash}.jpg",
            label_columns={"label": "finding"},
            modality="digital photography",
        ),
        # Header of metadata.csv and images/imgs_part_*: read in public code.
        _preset(
            "pad_ufes_20",
            label_files.CSV,
            table="metadata.csv",
            image_column="img_id",
            image_pattern="images/imgs_part_*/{img_id}|images/imgs_part_*/imgs_part_*/{img_id}|"
            "images/{img_id}",
            label_columns={"diagnostic": "finding", "region": "site"},
            words={
                "finding": {
                    "ACK": "an actinic keratosis",
                    "BCC": "a basal cell carcinoma",
                    "MEL": "a melanoma",
                    "NEV": "a naevus",
                    "SCC": "a squamous cell carcinoma",
                    "SEK": "a seborrhoeic keratosis",
                }
            },
            group="patient_id",
            modality="digital photography",
        ),
        # labels_brset.csv and fundus_photos/: names of columns read in public code.
        _preset(
            "brset",
            label_files.CSV,
            table="labels*.csv",
            image_column="image_id",
            image_pattern="fundus_photos/{image_id}.jpg",
            label_columns={"DR_ICDR": "grade"},
            words={"grade": {**_GRADES, **{f"{k}.0": v for k, v in _GRADES.items()}}},
            present={
                "macular_edema": "macular edema",
                "scar": "scar",
                "nevus": "naevus",
                "amd": "age-related macular degeneration",
                "vascular_occlusion": "vascular occlusion",
                "hypertensive_retinopathy": "hypertensive retinopathy",
                "drusens": "drusen",
                "drusen": "drusen",
                "hemorrhage": "hemorrhage",
                "retinal_detachment": "retinal detachment",
                "myopic_fundus": "myopic fundus",
                "increased_cup_disc": "increased cup-to-disc ratio",
            },
            group="patient_id",
        ),
        # labels/trainLabels19.csv and "resized train 19": read in public code. The year 2015 is the
        # same with trainLabels15.csv, image_column "image" and the column "level".
        _preset(
            "diabetic_retinopathy_2015_2019",
            label_files.CSV,
            table="labels/trainLabels19.csv",
            image_column="id_code",
            image_pattern="resized train 19/{id_code}.jpg",
            label_columns={"diagnosis": "grade"},
            words={"grade": _GRADES},
        ),
        # openmedlab/Awesome-Medical-Dataset@c308fa0 resources/EBHI-Seg.md.
        _preset(
            "ebhi_seg",
            label_files.MASKS,
            files=r"(?:.*/)?(?P<kind>Adenocarcinoma|High-grade IN|Low-grade IN|Normal|Polyp|"
            r"Serrated adenoma)/image/[^/]+\.png",
            mask_pattern="{dir}/../label/{stem}.png",
            structures={"any": "labelled tissue"},
            label_columns={"kind": "finding"},
            words={
                "finding": {
                    "Adenocarcinoma": "adenocarcinoma",
                    "High-grade IN": "high-grade intraepithelial neoplasia",
                    "Low-grade IN": "low-grade intraepithelial neoplasia",
                    "Normal": "normal mucosa",
                    "Polyp": "polyp",
                    "Serrated adenoma": "serrated adenoma",
                }
            },
        ),
        # Shenggan/BCCD_Dataset@d272fb1.
        _preset(
            "bccd",
            label_files.VOC,
            structures={
                "RBC": "red blood cell",
                "WBC": "white blood cell",
                "Platelets": "platelet",
            },
        ),
        # ml-workgroup/covid-19-image-repository@ad7ab09 data.csv.
        _preset(
            "hannover_covid_cxr",
            label_files.CSV,
            table="data.csv",
            image_column="image_id",
            image_pattern="png/{image_id}.png|{image_id}.png",
            label_columns={"projection": "view"},
            words={"view": {"pa": "posteroanterior", "ap": "anteroposterior"}},
            labels={"finding": "COVID-19 pneumonia"},
            group="patient_id",
        ),
    )
}


def get(key: str, **fields: object) -> labelled.LabelledSource:
    """A set of the paper.

    Args:
      key: Of `PRESETS`.
      **fields: What is different, as `path`.

    Raises:
      UserError: If there is none.
    """
    if key not in PRESETS:
        raise errors.UserError(
            f"no preset {key!r}{errors.suggest(key, PRESETS)}; there are {', '.join(PRESETS)}"
        )
    return dataclasses.replace(PRESETS[key], **fields)
