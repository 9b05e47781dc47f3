# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""From decisions to files: rows that were approved, preferences for DPO, numbers.

    OUT/reviewed.jsonl      approved and edited rows, format `messages`
    OUT/preferences.jsonl   prompt, chosen, rejected, images: the conversational layout of TRL
    OUT/llamafactory.jsonl  the same for LLaMA-Factory, with OUT/dataset_info.json
    OUT/pictures/           their pictures, named by their content, pixels alone
    OUT/summary.json        counts, agreement, what was left out and why

No name of a reviewer, no note and no time of a decision gets there.

Layouts: huggingface/trl, docs/source/dataset_formats.md (preference, with images);
hiyouga/LLaMA-Factory, src/llamafactory/data/converter.py (sharegpt, ranking: `chosen` is one
message and a picture a tag, where TRL has lists).
"""

import collections
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_tools import examples, picture_files
from data_tools import rows as rows_lib
from data_tools.reviewing import decisions, items, ratings, verdicts
from lingshu_jax.common import errors, paths
from lingshu_jax.data import formats, sources

REVIEWED, PREFERENCES, SUMMARY = "reviewed.jsonl", "preferences.jsonl", "summary.json"
FACTORY, FACTORY_INFO, PICTURES = "llamafactory.jsonl", "dataset_info.json", "pictures"
TIE, DIFFERENT_EDITS = "as many for as against", "edited in different ways"
UNDECIDED, LOST_PICTURE = "not decided", "a picture that cannot be read"
NO_MAJORITY, IS_REJECTED, OTHER_PROMPT = "no majority", "the better one is rejected", "a clip"
_TAG = "<image>"
_COLUMNS = {"messages": "prompt", "chosen": "chosen", "rejected": "rejected", "images": "images"}
_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}


class Ruling(NamedTuple):
    """What several reviewers together say of a row.

    Attributes:
      verdict: `verdicts.APPROVED`, `EDITED` or `REJECTED`; "" if they say nothing.
      reason: Why it is left out; "" of a row that is not.
      texts: Those that were changed, as of a decision.
      reviewers: How many decided.
      agreement: Share of them that stand behind this very outcome.
    """

    verdict: str
    reason: str
    texts: Sequence[Sequence[Any]] = ()
    reviewers: int = 0
    agreement: float | None = None


def run(data: items.Data, folder: Path, output: Path) -> dict[str, Any]:
    """Writes the files; nothing is there before all are.

    Args:
      data: What was reviewed.
      folder: Of decisions.
      output: Not there yet, or empty.

    Returns:
      The content of summary.json.

    Raises:
      UserError: If the folder of decisions or the output cannot be used.
    """
    if not (folder / decisions.PRIVATE).is_file():
        raise errors.UserError(f"{folder}: nobody has reviewed with this folder of decisions")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise errors.UserError(f"--export={output} is there already; name a new folder")
    histories = {key: decisions.replay(x) for key, x in decisions.read_all(folder).items()}
    secret = decisions.private(folder)["secret"]
    output.parent.mkdir(parents=True, exist_ok=True)
    with paths.whole_folder(output) as partial:
        files = _Files(partial)
        rulings = {row.key: rule(given) for row, given in _by_row(data, histories)}
        reviewed, left_out = _write_rows(data, rulings, files)
        preferences, unused = _write_preferences(data, histories, rulings, files)
        summary = {
            "rows": len(rulings),
            "reviewed": reviewed,
            "left_out": left_out,
            "refused": dict(sorted(data.refused.items())),
            "preferences": preferences,
            "pairs_left_out": unused,
            "reasons": _reasons(data, histories),
            "reviewers": describe_reviewers(data, histories, secret),
            "agreement": ratings.summarise(data, histories, secret),
        }
        text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
        (partial / SUMMARY).write_text(text, encoding="utf-8")
    return summary


def rule(given: Sequence[decisions.Given]) -> Ruling:
    """What becomes of a row.

    It is kept if more reviewers approve or edit it than reject it. Its text is then the one that
    most of these stand behind; the edited one if as many stand behind the row as it was. Rows that
    were edited in different ways by equally many are left out.

    Args:
      given: The decisions that stand on it, one a reviewer.
    """
    if not given:
        return Ruling("", UNDECIDED)
    votes: collections.Counter[str] = collections.Counter()
    rejected = 0
    for one in given:
        if one["verdict"] == verdicts.REJECTED:
            rejected += 1
        else:
            votes[rows_lib.dump(one.get("texts", []))] += 1
    total, kept = len(given), len(given) - rejected
    if kept == rejected:
        return Ruling("", TIE, reviewers=total, agreement=0.5)
    if kept < rejected:
        why = verdicts.REJECTED
        return Ruling(verdicts.REJECTED, why, reviewers=total, agreement=rejected / total)
    most = max(votes.values())
    leading = [text for text, count in votes.items() if count == most]
    if len(leading) > 1:
        leading = [text for text in leading if text != "[]"]
    share = most / total
    if len(leading) > 1:
        return Ruling("", DIFFERENT_EDITS, reviewers=total, agreement=share)
    texts = json.loads(leading[0])
    return Ruling(verdicts.EDITED if texts else verdicts.APPROVED, "", texts, total, share)


def prefer(given: Sequence[decisions.Given]) -> str:
    """Which of two rows is better: `verdicts.FIRST`, `SECOND`, or "" without a majority.

    Args:
      given: The decisions that stand on the pair, one a reviewer; more than half must name it.
    """
    votes = collections.Counter(one["verdict"] for one in given)
    for side in (verdicts.FIRST, verdicts.SECOND):
        if votes[side] > len(given) / 2:
            return side
    return ""


def edited(row: items.Row, texts: Sequence[Sequence[Any]]) -> tuple[dict[str, Any], ...]:
    """The messages of a row with the texts that were changed.

    Args:
      row: Any.
      texts: As of a decision.
    """
    made = [{**message, "content": [*message["content"]]} for message in row.messages]
    for message, part, text in texts:
        made[message]["content"][part] = {"type": "text", "text": text}
    return tuple(made)


def describe_reviewers(
    data: items.Data, histories: Mapping[str, decisions.History], secret: str
) -> list[dict[str, int]]:
    """What each reviewer has done, by number.

    Args:
      data: What was reviewed.
      histories: By reviewer.
      secret: Of the folder of decisions.
    """
    names = ratings.numbers(secret, [*histories])
    found = []
    for key, history in sorted(histories.items(), key=lambda entry: names[entry[0]]):
        known = [given for item, given in history.decided.items() if item in data.items]
        found.append(
            {
                "reviewer": names[key],
                "decided": len(known),
                "skipped": len(history.standing) - len(history.decided),
                "undone": history.undone,
                # Taken back and decided again, perhaps after seeing where the row comes from.
                "not_blind": sum(not given.get("is_blind", True) for given in known),
                "of_other_data": len(history.decided) - len(known),
            }
        )
    return found


class _Files:
    """The pictures of an export: written once, named by their content."""

    def __init__(self, folder: Path):
        self.folder = folder

    def messages(self, row: items.Row, messages: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Messages with their pictures as paths in the folder."""
        example = sources.Example(id=row.id, source="", messages=tuple(map(dict, messages)))
        made = examples.from_example(example)
        embedded = [self._written(medium) for medium in made.media]
        return [
            {**message, "content": [_located(part, embedded) for part in message["content"]]}
            for message in made.messages
        ]

    def _written(self, medium: rows_lib.Medium) -> list[str]:
        return [self._write(content) for content in picture_files.embed(medium).files]

    def _write(self, content: bytes) -> str:
        suffix = "jpg" if content.startswith(b"\xff\xd8") else "png"
        name = f"{PICTURES}/{hashlib.sha256(content).hexdigest()[:32]}.{suffix}"
        path = self.folder / name
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        return name


def _located(part: Mapping[str, Any], files: Sequence[Sequence[str]]) -> dict[str, Any]:
    if part["type"] == "image":
        return {**part, "image": files[part["image"]][0]}
    if part["type"] == "video":
        return {**part, "video": list(files[part["video"]])}
    return dict(part)


def _by_row(
    data: items.Data, histories: Mapping[str, decisions.History]
) -> Iterator[tuple[items.Row, list[decisions.Given]]]:
    """Each row with what stands on it."""
    for item in data.items.values():
        if item.task != items.COMPARE:
            yield item.rows[0], _standing(item, histories)


def _standing(
    item: items.Item, histories: Mapping[str, decisions.History]
) -> list[decisions.Given]:
    return [h.decided[item.key] for h in histories.values() if item.key in h.decided]


def _write_rows(
    data: items.Data, rulings: Mapping[str, Ruling], files: _Files
) -> tuple[dict[str, int], dict[str, int]]:
    """Writes the rows that are kept; returns how many were approved and edited, and the others."""
    kept: collections.Counter[str] = collections.Counter()
    left_out: collections.Counter[str] = collections.Counter()
    made = []
    for item in data.items.values():
        if item.task == items.COMPARE:
            continue
        row, ruling = item.rows[0], rulings[item.rows[0].key]
        if ruling.reason:
            left_out[ruling.reason] += 1
            continue
        try:
            made.append(_reviewed(row, ruling, files))
        except (errors.UserError, FileNotFoundError):
            left_out[LOST_PICTURE] += 1
            continue
        kept[ruling.verdict] += 1
    formats.write_jsonl(files.folder / REVIEWED, made)
    return dict(sorted(kept.items())), dict(sorted(left_out.items()))


def _reviewed(row: items.Row, ruling: Ruling, files: _Files) -> dict[str, Any]:
    messages = edited(row, ruling.texts)
    meta = dict(row.meta)
    # Where the last turn is the answer itself, its correction corrects both.
    if ruling.texts and row.gold and row.gold.strip() == row.answer.strip():
        last = [part["text"] for part in messages[-1]["content"] if part["type"] == "text"]
        meta["answer"] = "\n".join(last)
    meta["review"] = {
        "decision": ruling.verdict,
        "reviewers": ruling.reviewers,
        "agreement": ruling.agreement,
    }
    return {"id": row.id, "messages": files.messages(row, messages), **meta}


def _write_preferences(
    data: items.Data,
    histories: Mapping[str, decisions.History],
    rulings: Mapping[str, Ruling],
    files: _Files,
) -> tuple[dict[str, int], dict[str, int]]:
    """Writes which answers are better; returns how many of which kind, and which pairs are not."""
    made: list[dict[str, Any]] = []
    counts: collections.Counter[str] = collections.Counter()
    unused: collections.Counter[str] = collections.Counter()
    for source, row, chosen, rejected, reason in _pairs(data, histories, rulings):
        if not reason and any(
            part["type"] == "video" for m in row.messages for part in m["content"]
        ):
            reason = OTHER_PROMPT
        prompt: list[Any] = []
        try:
            prompt = prompt if reason else files.messages(row, row.messages[:-1])
        except (errors.UserError, FileNotFoundError):
            reason = LOST_PICTURE
        if reason:
            unused[reason] += 1
            continue
        counts[source] += 1
        made.append({"source": source, "prompt": prompt, "chosen": chosen, "rejected": rejected})
    formats.write_jsonl(files.folder / PREFERENCES, map(_for_trl, made))
    formats.write_jsonl(files.folder / FACTORY, map(_for_factory, made))
    entry = {
        "file_name": FACTORY,
        "ranking": True,
        "formatting": "sharegpt",
        "columns": _COLUMNS,
        "tags": _TAGS,
    }
    text = json.dumps({"reviewed_preferences": entry}, indent=2) + "\n"
    (files.folder / FACTORY_INFO).write_text(text, encoding="utf-8")
    return dict(sorted(counts.items())), dict(sorted(unused.items()))


def _pairs(
    data: items.Data,
    histories: Mapping[str, decisions.History],
    rulings: Mapping[str, Ruling],
) -> Iterator[tuple[str, items.Row, str, str, str]]:
    """Better and worse answers, of comparisons and of edits; or why there is none."""
    for item in data.items.values():
        if item.task == items.COMPARE:
            first, second = item.rows
            given = _standing(item, histories)
            side = prefer(given)
            better, worse = (first, second) if side == verdicts.FIRST else (second, first)
            reason = UNDECIDED if not given else "" if side else NO_MAJORITY
            if not reason and rulings[better.key].verdict == verdicts.REJECTED:
                reason = IS_REJECTED
            yield "comparison", better, better.answer, worse.answer, reason
            continue
        row, ruling = item.rows[0], rulings[item.rows[0].key]
        last = len(row.messages) - 1
        if ruling.texts and all(message == last for message, _, _ in ruling.texts):
            content = edited(row, ruling.texts)[-1]["content"]
            text = "\n".join(part["text"] for part in content if part["type"] == "text")
            yield "edit", row, text, row.answer, ""


def _for_trl(pair: Mapping[str, Any]) -> dict[str, Any]:
    prompt = [
        {"role": m["role"], "content": [_bare(part) for part in m["content"]]}
        for m in pair["prompt"]
    ]
    return {
        "prompt": prompt,
        **{
            side: [{"role": "assistant", "content": [{"type": "text", "text": pair[side]}]}]
            for side in ("chosen", "rejected")
        },
        "images": _images(pair),
        "source": pair["source"],
    }


def _for_factory(pair: Mapping[str, Any]) -> dict[str, Any]:
    prompt = [
        {"role": m["role"], "content": "".join(part.get("text", _TAG) for part in m["content"])}
        for m in pair["prompt"]
    ]
    sides = {s: {"role": "assistant", "content": pair[s]} for s in ("chosen", "rejected")}
    return {"prompt": prompt, **sides, "images": _images(pair)}


def _bare(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "image"} if part["type"] == "image" else dict(part)


def _images(pair: Mapping[str, Any]) -> list[str]:
    return [p["image"] for m in pair["prompt"] for p in m["content"] if p["type"] == "image"]


def _reasons(data: items.Data, histories: Mapping[str, decisions.History]) -> dict[str, int]:
    """How often each reason of the list was given."""
    counts: collections.Counter[str] = collections.Counter()
    for history in histories.values():
        for key, given in history.decided.items():
            counts.update(given.get("reasons", ()) if key in data.items else ())
    return dict(sorted(counts.items()))
