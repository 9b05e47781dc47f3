# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The modalities of the paper's chart (arXiv 2506.07044, 2.3), and other names of them.

DICOM's codes are the defined terms of the attribute Modality, (0008,0060), PS3.3 C.7.3.1.1.1.
"""

import re

MODALITIES = (
    "X-ray",
    "CT",
    "MRI",
    "ultrasound",
    "histopathology",
    "microscopy",
    "OCT",
    "dermoscopy",
    "fundus",
    "endoscopy",
    "PET",
    "digital photography",
)
TEXT_ONLY = "text-only"
OTHER = "other"  # said by the file, and none of the above

# Mammography, angiography and the like are X-ray; a whole slide is histopathology.
_CODES = {
    "X-ray": "CR DX RG MG XA RF IO PX DF XF DG",
    "CT": "CT",
    "MRI": "MR",
    "ultrasound": "US IVUS DD",
    "histopathology": "SM HC",
    "microscopy": "GM",
    "OCT": "OCT OPT IVOCT OPTBSV OPTENF",
    "dermoscopy": "DMS",
    "fundus": "OP FA",
    "endoscopy": "ES CP LP",
    "PET": "PT",
    "digital photography": "XC",
    OTHER: "NM ST BI TG LS EC ECG EPS HD BMD BDUS OPM OPV LEN KER AR IOL RTIMAGE",
}
_WORDS = {
    "X-ray": (
        "xray radiograph radiography plainfilm chestxray mammography mammogram angiography "
        "fluoroscopy xrayangiography"
    ),
    "CT": "computedtomography ctscan cta",
    "MRI": "magneticresonanceimaging magneticresonance mrscan mra mri",
    "ultrasound": "ultrasonography sonography echocardiography echocardiogram",
    "histopathology": "pathology histology histopathologicalimage histopathologyslide wsi",
    "microscopy": "microscope lightmicroscopy cellmicroscopy fluorescencemicroscopy",
    "OCT": "opticalcoherencetomography",
    "dermoscopy": "dermatoscopy dermoscopicimage",
    "fundus": "fundusphotography colourfundus colorfundus fundusphoto retinalphotography",
    "endoscopy": "colonoscopy gastroscopy laparoscopy bronchoscopy",
    "PET": "positronemissiontomography petscan",
    "digital photography": "digitalphotograph clinicalphotograph photograph photography photo",
    TEXT_ONLY: "text",
}
_BY_CODE = {code: name for name, codes in _CODES.items() for code in codes.split()}


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


_BY_WORD = {_plain(name): name for name in (*MODALITIES, TEXT_ONLY, OTHER)} | {
    word: name for name, words in _WORDS.items() for word in words.split()
}

# In sentences about pictures, as captions of articles have them.
_NOUNS = {
    "X-ray": ("a chest X-ray", "an X-ray", "a plain radiograph", "a mammogram"),
    "CT": ("a CT scan", "computed tomography", "an axial CT image"),
    "MRI": ("an MRI scan", "magnetic resonance imaging", "a T1-weighted or T2-weighted MR image"),
    "ultrasound": ("an ultrasound image", "sonography", "an echocardiogram"),
    "histopathology": (
        "a histopathology slide",
        "hematoxylin and eosin stained tissue",
        "immunohistochemistry of a tissue section",
    ),
    "microscopy": ("light microscopy of cells", "fluorescence microscopy", "a blood smear"),
    "OCT": ("optical coherence tomography", "an OCT scan of the retina"),
    "dermoscopy": ("a dermoscopic image", "dermoscopy of a skin lesion"),
    "fundus": ("a fundus photograph", "a colour photograph of the retina"),
    "endoscopy": ("an endoscopic image", "colonoscopy", "gastroscopy"),
    "PET": ("a PET scan", "positron emission tomography", "an FDG PET/CT image"),
    "digital photography": (
        "a clinical photograph of a patient",
        "a digital photograph of skin",
        "an intraoperative photograph",
    ),
}
_SENTENCES = ("{}", "this is a photo of {}", "a figure that shows {}")
PROMPTS = {
    name: tuple(sentence.format(noun) for noun in nouns for sentence in _SENTENCES)
    for name, nouns in _NOUNS.items()
}


def of_code(code: str | None) -> str:
    """The modality that DICOM's code means; "" where it says none, as SC or OT.

    Args:
      code: Of the attribute.
    """
    return _BY_CODE.get((code or "").strip().upper(), "")


def of_word(text: str) -> str:
    """The modality that a publisher's word or DICOM's code means; "" if it is none known.

    Args:
      text: As "X-Ray", "Magnetic Resonance", "MR".

    >>> of_word("chest x-ray"), of_word("MR")
    ('X-ray', 'MRI')
    """
    return _BY_WORD.get(_plain(text), "") or of_code(text)
