# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""Who is named in a dialogue of a patient and a doctor, and where.

Letters to online services name people in greetings ("Hello Dr. Kumar"), in sign-offs ("Regards,
Anna") and where someone introduces himself. To these come clinics, streets, the service itself, and
what `filter_texts.personal` knows. Rules find how such things are usually written: they are no
proof that a text names nobody. A wrong find costs a row, a missed one a person's name, so they
lean to the first.
"""

import re
from collections.abc import Iterable, Iterator

from data_tools import filter_texts

NAME, CLINIC, SERVICE, ADDRESS = "name", "clinic", "service", "address"

_TOKEN = (
    r"(?:(?:[A-Z]['\u2019])?[A-Z\u00c0-\u00de][a-z\u00df-\u00ff]+(?:['\u2019-][A-Z]?[a-z]+)*"
    r"|[A-Z]{2,})"
)
_FULL = (
    rf"(?P<name>{_TOKEN}(?:[ \t]+(?:{_TOKEN}|[A-Z]\b\.?)){{0,3}}"
    r"|[B-HJ-Z]\b(?!['\u2019])(?:[ \t]+[A-Z]\b)*)"
)
_DEGREES = (
    r"(?:M\.?D|M\.?B\.?B\.?S|D\.?O|D\.?N\.?B|M\.?R\.?C\.?P|F\.?R\.?C\.?S|F\.?A\.?C\.?S|M\.?Ch"
    r"|B\.?D\.?S"
    r"|M\.?D\.?S|D\.?G\.?O|Ph\.?D|R\.?N|M\.?S)\b\.?"
)
_KIN = (
    r"(?:son|daughter|wife|husband|mother|mom|mum|father|dad|brother|sister|baby|child|friend"
    r"|girlfriend|boyfriend|fianc\u00e9e?|uncle|aunt|cousin|nephew|niece|grandmother|grandfather)"
)
_ROLE = r"(?:[A-Z]?[a-z]+ologist|[Cc]onsultant|[Pp]hysician|[Ss]urgeon|[Pp]sychiatrist|[Dd]entist)"
_TAIL = rf"(?:[\s,.(;-]+(?:{_DEGREES}|{_ROLE}))*[\s.,;)!]*(?:\n|\Z)"
_NAMES = (
    # Dr. Kumar, Dr.Kumar, Doctor Kumar, Mrs Smith
    r"\b(?:(?:[Dd]r|DR|[Pp]rof|Mr|MR|Mrs|MRS|Ms)\b\.?[ \t]*"
    rf"|(?:[Dd]octor|DOCTOR|[Pp]rofessor|Miss)[ \t]+){_FULL}",
    # Hello Anna, Dear Anna
    r"(?:^|[\n.!?,]\s*)(?i:hi|hello|hey|hiya|dear|namaste|greetings"
    rf"|good (?:morning|afternoon|evening|day))[ \t,]+(?i:dear[ \t,]+)?{_FULL}",
    # Regards, Anna Kumar; Thanks, Anna, at the end of a line
    rf"(?i:regards|sincerely|faithfully|yours truly)[\s,.!:;*~-]*{_FULL}",
    r"(?i:thanks|thank you|thank u|thx|cheers|best wishes|take care|warmly|good luck|good health"
    rf"|god bless(?: you)?|with love|bye)[\s,.!:;*~-]*{_FULL}(?={_TAIL})",
    # A last line that is a name alone
    rf"\n[ \t~*-]*{_FULL}(?={_TAIL}\Z)",
    # Anna Kumar, MBBS
    rf"(?P<name>{_TOKEN}[ \t]+(?:[A-Z]\.?[ \t]+)?{_TOKEN})(?=[ \t]*[,(.]?[ \t]*{_DEGREES})",
    # My name is Anna; name: Anna; I am Anna, 34
    r"(?i:\bmy (?:full )?name is|\bname['\u2019]?s is|\b(?:patient |full |his |her )?name\s*[:=-]"
    rf"|\bmyself|\bi am called)[ \t]+{_FULL}",
    rf"\b(?:I am|I['\u2019]?m|[Tt]his is)[ \t]+{_FULL}"
    r"(?=,|\.|[ \t]+(?:from|here|and|aged|writing|\d))",
    # My son Arjun
    rf"\b[Mm]y (?:\w+[ \t]+)?{_KIN}(?:['\u2019]s name is|,? (?:is |was )?(?:named|called)|,)?"
    rf"[ \t]+{_FULL}",
)
_TITLE, _SIGN_OFFS = 0, (2, 3)  # places of rules that hold in a text of capitals too
_FACILITY = (
    r"(?:Hospitals?|Clinics?|Polyclinics?|Infirmary|Medical Cent(?:er|re)|Health Cent(?:er|re)"
    r"|Nursing Home|Health System|Diagnostics|Laborator(?:y|ies)|Labs?|Pharmacy|Medical College)"
)
_CLINICS = re.compile(
    r"\b(?P<place>(?:[A-Z][\w'\u2019.&-]*[ \t]+(?:of[ \t]+|and[ \t]+|&[ \t]+)?){1,5})"
    rf"{_FACILITY}\b"
)
# Publishers of these sets put their name, or that of their model, even in the middle of sentences.
_SERVICES = re.compile(
    r"\bchat[ \t-]*doctors?\b(?:[ \t]+forum)?|\bhealth[ \t]*care[ \t]*magic\w*|\bi[ \t-]?cliniq\w*"
    r"|\bask ?a ?doctor(?:24x7|s)?\.com\b|\b(?:health ?tap|just ?answer|doctor ?spring|lybrate"
    r"|practo|zoc ?doc|just ?doc|med ?help|health ?boards|first ?opinion)\b",
    re.IGNORECASE,
)
_ADDRESSES = (
    re.compile(
        r"\b\d{1,5}[A-Za-z]?,?[ \t]+(?:[A-Z][a-z]+[ \t]+){1,3}(?:Street|St|Road|Rd|Avenue|Ave|Lane"
        r"|Ln|Drive|Boulevard|Blvd|Nagar|Colony|Marg|Close|Court)\b"
    ),
    re.compile(r"(?<![\w.])@[A-Za-z_]\w{2,}"),
    re.compile(r"\b[\w-]+\.(?:com|org|net|co\.(?:in|uk))\b", re.IGNORECASE),
    re.compile(
        r"\b(?:skype|whats ?app|telegram)(?: (?:id|no\.?|number))?\s*[:#-]\s*\S+", re.IGNORECASE
    ),
)
_REGIONS = ("US", "IN", "GB")  # where the patients of the two services write from
# What may follow a greeting, a title or a sign-off with a capital, and names nobody.
_COMMON = frozenset(
    """a about actually again all also am an and any anybody anyone are as ask at author baby be
    because been before best bless bye can care chat child colleague could customer dad day dear
    despite did do doc docs doctor doctors does doing dr due during each else even every everybody
    everyone family few for forum friend friends from gentleman get god good got greetings group had
    has have he health hello help her hey hi his hope hoping how however i if in is it its just
    kind kindly lady last let ma maam madam mam may me member mom more mother mr mrs ms much my need
    new no none not now of ok okay on once one or our parent patient patients people physician
    please possibly prof professor questioner reader recently regarding regards sender she should
    since sincerely sir sirs so some soon sorry still stay such surgeon sure take team thank thanks
    that the their them then there these they this those to today try u unfortunately us user very
    warm was we welcome well were what when where which while who why will wish wishes wishing with
    would writer yes yesterday you young your yours
    monday tuesday wednesday thursday friday saturday sunday january february march april june july
    august september october november december
    ct mri ecg ekg ent er icu iv md mbbs us usa uk ray xray tv ok fyi asap ps hiv std hpv uti pcos
    ibs gerd copd bp ivf obgyn gp gyn opd rbc wbc tsh
    cardiologist dermatologist gastroenterologist gynaecologist gynecologist neurologist oncologist
    ophthalmologist orthopedist pediatrician psychiatrist psychologist radiologist urologist
    assistant practitioner specialist therapist consultant dentist nurse emergency general local
    nearest nearby private public government city community pharmacist appointment
    diabetic pregnant male female indian american caucasian asian african""".split()
)
# Endings of words that describe: "I am Hypertensive", "I am Australian".
_DESCRIBES = re.compile(r"(?:ic|ive|ed|ing|ese|ish|ous|itis|osis|emia|ly|tion|ness|ment)$")
_CAPITALS = 0.6  # of the letters; in such a text a capital says nothing


def find(text: str) -> list[filter_texts.Span]:
    """Where people, clinics, addresses and services are named, in their order; none overlap.

    Args:
      text: Of any turn of a dialogue.
    """
    found = [span for region in _REGIONS for span in filter_texts.personal(text, region=region)]
    found = [span for span in found if span.kind != NAME or _is_said(text, span)]
    found += [filter_texts.Span(NAME, start, end) for start, end in _name_spans(text)]
    found += [filter_texts.Span(SERVICE, *match.span()) for match in _SERVICES.finditer(text)]
    for match in _CLINICS.finditer(text):
        words = match["place"].split()
        named = [i for i, word in enumerate(words) if word.lower().strip(".") not in _NO_PLACE]
        if named:
            start = match.start() + match["place"].index(words[named[0]])
            found.append(filter_texts.Span(CLINIC, start, match.end()))
    found += [
        filter_texts.Span(ADDRESS, *match.span())
        for pattern in _ADDRESSES
        for match in pattern.finditer(text)
    ]
    spans: list[filter_texts.Span] = []
    for span in sorted(found, key=lambda span: (span.start, -span.end)):
        if not spans or span.start >= spans[-1].end:
            spans.append(span)
        elif span.end > spans[-1].end:  # "Dr. Maria O" and "Maria O'Neil"
            spans[-1] = spans[-1]._replace(end=span.end)
    return spans


def names(texts: Iterable[str]) -> frozenset[str]:
    """The words of three letters and more that name people in a dialogue, as they are written.

    Args:
      texts: Of all turns.
    """
    return frozenset(
        word
        for text in texts
        for start, end in _name_spans(text)
        for word in re.findall(rf"{_TOKEN}", text[start:end])
        if len(word) > 2 and word.lower() not in _COMMON
    )


def mentioned(text: str, known: Iterable[str]) -> list[filter_texts.Span]:
    """Where names stand that are known from elsewhere, in any spelling that begins with a capital.

    Args:
      text: Any.
      known: From `names`.
    """
    spelt = {form for name in known for form in (name, name.upper(), name.capitalize())}
    if not spelt:
        return []
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(spelt)))})\b")
    return [filter_texts.Span(NAME, *match.span()) for match in pattern.finditer(text)]


def masked(text: str, known: Iterable[str] = ()) -> str:
    """The text with `filter_texts.MASK` in the place of all that `find` and `mentioned` find.

    Args:
      text: Of a turn.
      known: Names of the whole dialogue.
    """
    once = filter_texts.mask(text, find(text))
    return filter_texts.mask(once, mentioned(once, known))


_NO_PLACE = _COMMON | {
    *(
        "hospital",
        "clinic",
        "medical",
        "center",
        "centre",
        "teaching",
        "tertiary",
        "multispecialty",
    ),
    *(
        "eye",
        "dental",
        "skin",
        "pain",
        "heart",
        "women's",
        "women\u2019s",
        "children's",
        "fertility",
    ),
    *(
        "multi",
        "speciality",
        "specialty",
        "urgent",
        "walk-in",
        "outpatient",
        "sleep",
        "visit",
        "go",
    ),
    *("consult", "see", "contact", "any", "another", "higher", "reputed", "blood", "diagnostic"),
}


def _name_spans(text: str) -> Iterator[tuple[int, int]]:
    letters = [character for character in text if character.isalpha()]
    is_shouted = sum(map(str.isupper, letters)) > _CAPITALS * len(letters)
    # "anna@mail.com" does not make Anna an ordinary word.
    plain = filter_texts.mask(text, filter_texts.personal(text))
    for number, rule in enumerate(_RULES):
        if is_shouted and number not in (_TITLE, *_SIGN_OFFS):
            continue
        for match in rule.finditer(text):
            said = _leading(match["name"])
            if said and (is_shouted or number == _TITLE or _is_name(said, plain)):
                start = match.start("name")
                yield start, start + len(said)


def _is_said(text: str, span: filter_texts.Span) -> bool:
    """Whether what `filter_texts` takes for a name is one: not "Dr. Please", nor who speaks."""
    said = text[span.start : span.end]
    label, colon, name = said.partition(":")
    if not colon:
        return bool(_leading(said))
    is_speaker = label.strip().lower() == "patient" and len(_SPEAKER.findall(text)) > 1
    return not is_speaker and len(_leading(name).split()) > 1


def _leading(name: str) -> str:
    """The words up to the first ordinary one, titles at the beginning aside."""
    kept = 0
    for match in re.finditer(r"[^\s.,]+", name):
        word = re.split(r"['\u2019]", match[0])[0].lower()
        if word in ("dr", "mr", "mrs", "ms", "miss", "prof") and not kept:
            continue
        if word in _COMMON or word == "name:":
            break
        kept = match.end()
    return name[:kept].rstrip(" .,")


def _is_name(said: str, text: str) -> bool:
    """Whether it is no word that describes, and none that the text has without a capital too."""
    words = said.split()
    if len(words) == 1 and (len(said) < 3 or _DESCRIBES.search(said)):
        return False
    return not any(re.search(rf"\b{re.escape(word.lower())}\b", text) for word in words)


_SPEAKER = re.compile(r"\bpatient\s*:", re.IGNORECASE)
_RULES = tuple(map(re.compile, _NAMES))
