# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""From the RadGraph annotations of two reports to their F1 scores.

An annotation is `{number: entity}`, an entity `{"tokens", "label", "relations"}` with its text, and
relations as [type, number of the target].

Source: rajpurkarlab/CXR-Report-Metric@9c9ecad CXRMetric/radgraph_evaluate_model.py (combined);
PyPI radgraph 0.1.18 radgraph/rewards.py (simple, partial, complete).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Entity = Mapping[str, Any]
Annotation = Mapping[str, Entity]
Fact = tuple[Any, ...]


def scores(hypothesis: Annotation, reference: Annotation) -> dict[str, float]:
    """RadGraph F1 in its four definitions, by name; all 0 where one side has no entity.

    Args:
      hypothesis: The report that is judged.
      reference: What it is compared with.
    """
    combined = (_f1(_simple, hypothesis, reference) + _f1(_relations, hypothesis, reference)) / 2
    return {
        "radgraph_f1": combined,
        "radgraph_simple": _f1(_simple, hypothesis, reference),
        "radgraph_partial": _f1(_partial, hypothesis, reference),
        "radgraph_complete": _f1(_complete, hypothesis, reference),
    }


def _f1(
    facts_of: Callable[[Annotation], Iterator[Fact]], hypothesis: Annotation, reference: Annotation
) -> float:
    """2 x shared / (facts of both), which is the harmonic mean of precision and recall."""
    found, wanted = set(facts_of(hypothesis)), set(facts_of(reference))
    shared = len(found & wanted)
    return 2 * shared / (len(found) + len(wanted)) if shared else 0.0


def _simple(annotation: Annotation) -> Iterator[Fact]:
    return (_node(entity) for entity in annotation.values())


def _partial(annotation: Annotation) -> Iterator[Fact]:
    """An entity, and whether a relation starts from it."""
    for entity in annotation.values():
        yield (*_node(entity), True) if entity["relations"] else _node(entity)


def _complete(annotation: Annotation) -> Iterator[Fact]:
    """An entity for each relation that starts from it, with the relation's target."""
    for entity in annotation.values():
        if not entity["relations"]:
            yield _node(entity)
        for kind, target in entity["relations"]:
            # Only here the original ignores the case.
            text, target_text = entity["tokens"], annotation[target]["tokens"]
            yield text.lower(), entity["label"], kind, target_text.lower()


def _relations(annotation: Annotation) -> Iterator[Fact]:
    for entity in annotation.values():
        for kind, target in entity["relations"]:
            yield _node(entity), _node(annotation[target]), kind


def _node(entity: Entity) -> Fact:
    return entity["tokens"], entity["label"]
