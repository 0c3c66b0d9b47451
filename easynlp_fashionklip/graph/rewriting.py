"""Applying many rewriting rules to many short texts, without trying each rule on each text."""

from __future__ import annotations

import re
from collections.abc import Sequence

Rule = tuple[re.Pattern[str], str]
_LOOKAROUND = re.compile(r"\(\?<?[=!](?:[^()]|\([^()]*\))*\)")
_SPECIAL = re.compile(r"\\.|\[[^\]]*\]|\(\?:|[()|]|[?*+]|\{\d+,?\d*\}|.", re.DOTALL)


class RewritingRules:
    r"""Regular expressions with replacements, applied in order, each everywhere.

    Most rules match nowhere. A rule is tried only where one of the words that any match of it must contain is there:
    `colou?r[- ]block(ed)?` needs `block`. Expressions may use literals, classes, groups, alternatives and
    quantifiers, and lookarounds with one level of brackets; one with anything else, or without a literal of two
    letters, is always tried.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        needles = [needles_of(rule.pattern) for rule, _ in self._rules]
        self._always = [number for number, words in enumerate(needles) if not words]
        self._needles = [(word, number) for number, words in enumerate(needles) for word in sorted(words)]

    def apply(self, text: str) -> str:
        """The text after all rules; equal to applying them one after the other."""
        if not text.isascii():  # a dotted capital I matches i: there is no telling by lower case
            return apply_in_order(self._rules, text)
        return self._apply(text, 0)

    def _apply(self, text: str, first: int) -> str:
        lower = text.lower()
        candidates = {number for word, number in self._needles if word in lower}
        if not candidates and not self._always:
            return text
        for number in sorted(candidates.union(self._always)):
            if number >= first:
                pattern, replacement = self._rules[number]
                changed = pattern.sub(replacement, text)
                if changed != text:  # later rules may match what this one wrote
                    return self._apply(changed, number + 1)
        return text


def apply_in_order(rules: Sequence[Rule], text: str) -> str:
    """Apply every rule."""
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def needles_of(pattern: str) -> frozenset[str]:
    """Lower-case literals of which any match contains one at least; empty when none are known.

    >>> sorted(needles_of(r"v[- ]?neck(?:ed)?|polka dots?"))
    ['neck', 'polka dot']
    """
    pattern = _LOOKAROUND.sub("", pattern)  # what they say may only narrow the matches
    if "(?" in pattern.replace("(?:", ""):
        return frozenset()
    tokens = [token for token in _SPECIAL.findall(pattern) if token != r"\b"]
    return _alternatives(tokens, 0)[0]


def _alternatives(tokens: Sequence[str], at: int) -> tuple[frozenset[str], int]:
    """Needles of the alternatives from a token up to the closing bracket, and where that is."""
    found: list[frozenset[str]] = []
    while True:
        needles, at = _sequence(tokens, at)
        found.append(needles)
        if at == len(tokens) or tokens[at] == ")":
            return frozenset().union(*found) if all(found) else frozenset(), at
        at += 1


def _sequence(tokens: Sequence[str], at: int) -> tuple[frozenset[str], int]:
    """Needles of one alternative: those of the part of it that says most."""
    parts: list[frozenset[str]] = []
    run = ""
    while at < len(tokens) and tokens[at] not in ("|", ")"):
        part: frozenset[str] = frozenset()
        literal = ""
        if tokens[at] in ("(", "(?:"):
            part, at = _alternatives(tokens, at + 1)
        elif len(tokens[at]) == 1 and tokens[at] not in ".^$":
            literal = tokens[at].lower()
        at += 1
        quantifier = tokens[at] if at < len(tokens) and re.match(r"[?*+{]", tokens[at]) else ""
        optional = quantifier.startswith(("?", "*", "{0"))
        if literal and not optional:
            run += literal
        if not literal or quantifier:
            parts.append(frozenset({run}))
            run = ""
            if not optional:
                parts.append(part)
        at += bool(quantifier)
    parts.append(frozenset({run}))
    useful = [part for part in parts if part and min(map(len, part)) > 1]
    return max(useful, key=lambda part: (min(map(len, part)), -len(part)), default=frozenset()), at
