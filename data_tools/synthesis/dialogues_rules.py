# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""What the answer of a health agent must not say, and what it must: pure functions of English text.

    prescribes    a dose, or a medicine that the reader is told to take
    diagnoses     a disease that the reader is told to have, beyond those that he named himself
    poses         words of somebody who says that he is a doctor
    disclaims     that no definitive diagnosis is given
    doctors       the kinds of doctor that a text names
    terms         the medical words of a text, to see what a rewriting has left

The first three lean to finding too much: a row more or less is cheap, a model that prescribes is
not. They find how such things are usually said, and are no proof of absence.
"""

import re

from data_tools.synthesis import checks_words

_AMOUNT = (
    r"(?:\d+(?:[.,]\d+)?|one|two|three|four|half(?: an?)?)"
    r"(?:\s*(?:-|\u2013|to|or)\s*(?:\d+(?:[.,]\d+)?|two|three|four))?\s*-?\s*"
)
_UNIT = (
    r"(?:mg|mcg|[\u00b5\u03bc]g|micrograms?|milligrams?|g|gms?|grams?|ml|cc|iu|units?|meq|tablets?"
    r"|tabs?"
    r"|capsules?|caps?|pills?|drops?|puffs?|sprays?|teaspoons?|tsp|tablespoons?|tbsp|sachets?)"
)
# Results of a laboratory are no doses; nor are food and drink.
_RESULT = r"\s*(?:/|per)\s*(?:d?l|ml|[\u00b5\u03bc]?l|mm|litre|liter|deci\w+|milli\w+|day of)\b"
_FOOD = (
    r"\s+of\s+(?:\w+\s+)?(?:alcohol|blood|fib(?:er|re)|protein|salt|sodium|sugar|water|carb\w*|fat"
    r"|caffeine|fluids?|fruit|urine)"
)
_DOSE = re.compile(rf"\b{_AMOUNT}{_UNIT}\b(?!{_RESULT})(?!{_FOOD})", re.IGNORECASE)
# Stems of international names of medicines, and medicines that have none of them.
_MEDICINE = (
    r"(?:\w{2,}(?:cillin|mycin|micin|floxacin|azole|pril|sartan|statin|olol|dipine"
    r"|profen"
    r"|oxetine|[lz]epam|zolam|cycline|[mn]etidine|tidine|setron|gliptin|gliflozin|formin|lukast"
    r"|triptan|fenac|coxib|parin|ciclovir|cyclovir|mivir|nisolone|nisone|metasone|asone|onide"
    r"|salamol"
    r"|buterol|terol|xaban|grel|thiazide|semide|zosin|piprazole|apine|tadine|tirizine|fenadine"
    r"|caine|barbital|gabalin|bapentin|dronate|mab|tinib|sulide|sulfa)"
    r"|paracetamol|acetaminophen|tylenol|aspirin|ecosprin|ibuprofen|advil|motrin|naproxen|aleve"
    r"|diclofenac|tramadol|codeine|morphine|oxycodone|hydrocodone|benadryl|claritin|zyrtec|allegra"
    r"|sertraline|citalopram|escitalopram|venlafaxine|amitriptyline|bupropion|lithium|insulin"
    r"|warfarin|clopidogrel|digoxin|thyroxine|levothyroxine|metronidazole|albendazole|mebendazole"
    r"|ivermectin|augmentin|nitrofurantoin|septran|bactrim|betadine|dulcolax|bisacodyl|lactulose"
    r"|domperidone|metoclopramide|loperamide|simethicone|gaviscon|antacids?|pantocid|zantac|nexium"
    r"|mesalamine|mesalazine|prednisone|methotrexate|clomid|clomiphene|progesterone|misoprostol"
    r"|mifepristone|primolut|norethisterone|finasteride|minoxidil|tretinoin|viagra|sildenafil"
    r"|tadalafil|calamine|mupirocin|neosporin|otrivin|salbutamol|albuterol|asthalin"
    r"|dextromethorphan)"
)
_CLASS = (
    r"(?:antibiotics?|pain ?killers?|analgesics?|steroids?|anti-?histamin\w+|anti-?depressants?"
    r"|anti-?fungals?|anti-?virals?|nsaids?|sleeping pills?|laxatives?|decongestants?|diuretics?"
    r"|anti-?inflammator\w+|muscle relaxants?|proton pump inhibitors?|ppis?)"
)
_USE = (
    r"(?:take|use|try|start|begin|apply|continue|keep|stop|resume|increase|reduce|switch to|give)"
)
_USING = r"(?:taking|using|trying|starting|applying|continuing|stopping|increasing|reducing|giving)"
_TOLD = (
    # "Take ...", "please take ...", "you can take ...", "I would advise taking ..."
    rf"(?:(?:^|[.!?;:,\n*-]\s*|\b(?:please|kindly|and|then|also|simply"
    rf"|just)\s+){_USE}(?:\s+{_USING})?"
    rf"|\byou (?:can|could|should|may|must|might|need to|have to|ought to)(?:\s+\w+ly|\s+also"
    rf"|\s+try)?"
    rf"\s+(?:{_USE}|be (?:given|started on|put on|prescribed)|get)(?:\s+{_USING})?"
    r"|\bI(?:'d|\u2019d| would| will| am)?(?:\s+\w+ly)?\s+(?:prescrib\w+|recommend\w*|advis\w+"
    r"|suggest\w*)"
    r"|\b(?:is|are) (?:prescribed|recommended|advised)|\bprescription\s*:|\brx\b"
    r"|\btreat(?:ed|ment)? (?:it )?(?:is )?with|\bget relief (?:from|with|by))"
)
_NOT_TOLD = re.compile(
    r"\b(?:not|n['\u2019]t|avoid|never|before|whether|instead of)(?:\s+[\w'\u2019]+){0,2}\s*$"
    r"|\b(?:ask|discuss|check|know|decide|tell)\b[^.!?;\n]{0,60}\b(?:if|whether)\b[^.!?;\n]{0,20}$",
    re.IGNORECASE,
)
_NOT_IN = re.compile(r"\b(?:not|n['\u2019]t|never|avoid|before|instead of)\b", re.IGNORECASE)
_MEDICATION = re.compile(
    rf"{_TOLD}\b[^.!?;\n]{{0,60}}?\b(?P<what>{_MEDICINE})\b", re.IGNORECASE | re.MULTILINE
)
_CLASSES = re.compile(
    rf"{_TOLD}\b[^.!?;\n]{{0,60}}?\b(?P<what>{_CLASS})\b", re.IGNORECASE | re.MULTILINE
)
_FORM = r"(?:tablets?|capsules?|creams?|ointments?|drops|syrups?|inhalers?|gels?|lotions?|pills?)"
_OFTEN = (
    r"(?:(?:once|twice|thrice|(?:one|two|three|four|\d) times)(?: (?:an?|per|every|each))? ?(?:day"
    r"|daily"
    r"|week|weekly|night)|every \d+ hours|at bed ?time|for \d+ (?:days|weeks))"
)
_COURSE = re.compile(
    rf"{_TOLD}\b[^.!?;\n]{{0,60}}?\b{_FORM}\b[^.!?;\n]{{0,60}}?\b{_OFTEN}", re.I | re.M
)

_DISEASE = (
    r"(?:(?!(?:dia|prog)nosis\b)\w{2,}(?:itis|osis|[a-z]emia|[a-z]aemia|opathy|algia|phobia|iasis)"
    r"|(?!coma\b|stoma\b|aroma\b|diploma\b|trauma\b)\w{3,}oma|hyp(?:er|o)\w{4,}|\w+plegia"
    r"|(?:\w+[ -])?(?:diseases?|syndromes?|disorders?|infections?|cancers?|fractures?"
    r"|deficienc(?:y|ies))"
    r"|tumou?rs?|diabetes|asthma|depression|epilepsy|migraines?|stroke|heart attack|ulcers?"
    r"|hernias?"
    r"|pneumonia|influenza|flu|covid|malaria|dengue|typhoid|tuberculosis|measles|chickenpox"
    r"|shingles"
    r"|scabies|eczema|psoriasis|acne|herpes|syphilis|gonorrh\w+|chlamydia|hiv|aids|gout|anemia"
    r"|anaemia"
    r"|leuk(?:a)?emia|autism|dementia|schizophrenia|bipolar|ocd|adhd|ptsd|gerd|copd|ibs|pcos|uti"
    r"|ringworm"
    r"|h(?:a)?emorrhoids|piles|fissures?|fistulas?|gall ?stones|kidney stones|cysts?|fibroids?"
    r"|pregnan\w+"
    r"|autoimmune|allerg(?:y|ies))"
)
_ADVERB = (
    r"(?:(?:most )?(?:likely|probably|definitely|clearly|certainly|surely|obviously|indeed|just"
    r"|now) )?"
)
_NO_CLAIM = (
    r"(?!been\b|had\b|described|mentioned|noted|noticed|read\b|taken|tried|undergone|any\b"
    r"|concerns?\b"
    r"|questions?\b|already|told|seen|asked|shared|a (?:family )?history|family|risk|a risk"
    r"|symptoms?\b"
    r"|signs?\b|to\b|the right|given|explained|listed|no\b|not\b|never\b|experienced)"
)
_FEW = (
    r"(?:(?!to\b|that\b|for\b|whether\b|common\b|possible\b|often\b|not\b|no\b|sometimes\b"
    r"|important\b"
    rf"|about\b|because\b|how\b|why\b)[\w'\u2019-]+\s+){{0,4}}?(?P<what>{_DISEASE})\b"
)
_CLAIMS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\byou {_ADVERB}(?:have (?:got |developed |contracted )?|had |are having "
        rf"|(?:are )?suffer(?:ing)?"
        rf" from |are diagnosed with |developed |are dealing with ){_NO_CLAIM}{_FEW}",
        rf"\byou(?:'ve|\u2019ve) (?:got |developed |contracted )?{_NO_CLAIM}{_FEW}",
        rf"\b(?:your|the) (?:diagnosis|condition|problem|disease|illness) is {_ADVERB}{_FEW}",
        rf"\b(?:this|it|these|those|they|symptoms?|problem)(?:['\u2019]s| is"
        rf"| are) {_ADVERB}(?:a case of"
        rf" |due to |caused by |because of |a sign of )?{_FEW}",
        r"\byou are (?:\w+ly )?(?P<what>diabetic|hypertensive|an(?:a)?emic|depressed|asthmatic"
        r"|epileptic"
        r"|pregnant|infected|bipolar|schizophrenic|autistic)\b",
        rf"\b(?:diagnosis|diagnosed) (?:of|as|with) {_FEW}",
    )
)
_HEDGED = re.compile(
    r"\b(?:if|whether|unless|in case|may|might|could|can|possib\w+|perhaps|sometimes|likely that"
    r"|suggest\w*|rule out|ruling out|until|not|n['\u2019]t|cannot|such as)\b[^.!?;\n]*$"
    r"|\b(?:told you|said|mention\w*|know|knowing|since|why|when|worr\w+|concern\w*|afraid"
    r"|wonder\w*"
    r"|fear\w*|people|patients|someone|describ\w+|history|previous\w*|earlier"
    r"|to (?:make|confirm|reach|get))\b[^.!?;,\n]*$",
    re.IGNORECASE,
)
_POSES = re.compile(
    r"\b(?:I am|I['\u2019]m|(?<!such )as) (?:an?|your) (?:\w+ ){0,2}?(?:doctor|physician|surgeon"
    r"|dentist"
    r"|medical professional|\w+ologist|psychiatrist|pa?ediatrician|practitioner)\b(?! (?:can|may"
    r"|will))"
    r"|\b(?:in|at|to|visit) my (?:clinic|practice|hospital|office)\b|\bmy (?:own )?patients\b"
    r"|\bI (?:would |will |can |'ll )?(?:prescribe|diagnose|operate)\b",
    re.IGNORECASE,
)
_DISCLAIMS = re.compile(
    r"(?:\bnot|n['\u2019]t|\bcannot)\s+(?!delay|postpone|miss|been|wait|rely|get|surpris)"
    r"(?:[\w'\u2019,/-]+\s+){0,10}?(?:diagnosis|diagnose)\b",
    re.IGNORECASE,
)
_DOCTORS = re.compile(
    r"\b(?:[\w-]+(?:ologist|iatrist|iatrician|opedist|opaedist|odontist)|[\w-]*\s?surgeon|internist"
    r"|(?:family|primary[ -]care|general|internal medicine|emergency|gp|ent|eye|skin"
    r"|orthop(?:a)?edic"
    r"|sports medicine|sleep|pain|fertility|infectious disease\w*|travel medicine) (?:doctor"
    r"|physician"
    r"|practitioner|provider|specialist)|gp|physician|dentist|obstetrician|optometrist|midwife"
    r"|physiotherapist|physical therapist|psychotherapist|dieti[ct]ian|nutritionist)s?\b",
    re.IGNORECASE,
)
_MEDICAL = re.compile(
    rf"\b(?:{_DISEASE}|\w+(?:scopy|gram|graphy|ectomy|plasty|therapy|opsy))\b", re.I
)


def prescribes(answer: str) -> str:
    """The dose, or the medicine that is told to be taken; "" if there is none.

    "Do not take aspirin without asking" tells no such thing.

    Args:
      answer: Of the health agent.
    """
    if dose := _DOSE.search(answer):
        return dose[0]
    return _first_told(_MEDICATION, answer) or _first_told(_COURSE, answer)


def names_class(answer: str) -> str:
    """A class of medicines that is told to be taken, as antibiotics; "" if there is none.

    Args:
      answer: Of the health agent.
    """
    return _first_told(_CLASSES, answer)


def diagnoses(answer: str, question: str) -> str:
    """The words that tell the reader what he has; "" if there are none.

    "You may have gastritis" is no diagnosis, and a disease that the question names is none either.

    Args:
      answer: Of the health agent.
      question: All that the patient said so far.
    """
    known = question.lower()
    for pattern in _CLAIMS:
        for match in pattern.finditer(answer):
            if match["what"].lower() in known or _HEDGED.search(answer[: match.start()]):
                continue
            return match[0]
    return ""


def poses(answer: str) -> str:
    """The words of somebody who says that he is a doctor; "" if there are none.

    Args:
      answer: Of the health agent.
    """
    found = _POSES.search(answer)
    return found[0] if found else ""


def disclaims(answer: str) -> bool:
    """Whether it is said that this is no diagnosis.

    Args:
      answer: Of the health agent.
    """
    return bool(_DISCLAIMS.search(answer))


def doctors(text: str) -> frozenset[str]:
    """The kinds of doctor that a text names, in small letters and in the singular.

    Args:
      text: Any.
    """
    return frozenset(
        match[0].lower().strip().removesuffix("s") for match in _DOCTORS.finditer(text)
    )


def terms(text: str) -> frozenset[str]:
    """The medical words of a text: findings, anatomy, tests, diseases.

    Args:
      text: Any.
    """
    plain = text.lower().replace("-", " ")
    names = {mention.name for mention in checks_words.mentions(plain)}
    return frozenset(names | {match[0] for match in _MEDICAL.finditer(plain)})


def _first_told(pattern: re.Pattern[str], answer: str) -> str:
    for match in pattern.finditer(answer):
        said = " ".join(match[0].split()).strip(".,;:!?*- ")
        goes_on = said.lower().startswith(("and ", "then "))  # "avoid tea and take ..."
        is_denied = not goes_on and _NOT_TOLD.search(answer[: match.start()])
        if not is_denied and not _NOT_IN.search(said):
            return said
    return ""
