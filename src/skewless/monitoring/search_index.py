"""An index of documents with fields, ranked by BM25F; words are matched by stem, group and slip.

    index = Index([{"name": "amt_sum"}, {"name": "dwell"}], {"name": 3.0})
    index.find(["spend"])            # [Hit(document=0, score=..., why=['spend as amt in name'])]

BM25F as in Robertson and Zaragoza, *The Probabilistic Relevance Framework: BM25 and Beyond*
(2009), section 3.5: counts are weighed by field, then saturated once. A word that is found nowhere
counts as one that begins with it, or that one slip of the pen made it from (by what is left when
each has lost one letter: Garbe's symmetric deletes).
"""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+\d*|\d+[a-z]*")
_SATURATION, _LENGTH = 1.2, 0.4
_SYNONYM, _SLIP = 0.7, 0.6
_MOST_WORDS, _LONGEST_SLIP = 32, 40
_COVERED = 0.45
"""Of what is asked, weighed by rarity, a document has this share or does not fit."""


class Hit(NamedTuple):
    """A document that fits: its number, how well (more is better), and which word fits what."""

    document: int
    score: float
    why: list[str]


class Posting(NamedTuple):
    """How much a word weighs in a document, where it weighs most, and as what it is there."""

    weight: float
    field: str
    written: str


@dataclass(frozen=True)
class Lexicon:
    """The words of `search_words.toml`, by stem."""

    stop: frozenset[str]
    short: Mapping[str, str]
    same: Mapping[str, frozenset[str]]
    aggregations: Mapping[str, str]


@cache
def lexicon() -> Lexicon:
    """Return the words that ship, read once."""
    path = Path(__file__).with_name("search_words.toml")
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    same: dict[str, set[str]] = defaultdict(set)
    for group in (line.split() for lines in data["same"].values() for line in lines):
        stems = {stem(word) for word in group}
        for word in stems:
            same[word] |= stems
    short: dict[str, list[str]] = defaultdict(list)
    for words in data["short"].values():
        for word, said in words.items():
            short[word].append(said)
    return Lexicon(
        stop=frozenset(data["stop"].split()),
        short={word: " ".join(said) for word, said in short.items()},
        same={word: frozenset(others - {word}) for word, others in same.items()},
        aggregations=data["aggregations"],
    )


def words_of(text: str) -> list[str]:
    """Return the words of a text or name, in lower case: ``FabRolling:vdd_1h`` has four."""
    return [word.lower() for word in _WORD.findall(text)]


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Return a word without its ending.

    >>> [stem(word) for word in ("purchases", "pricing", "refused", "countries", "loss")]
    ['purchas', 'pric', 'refus', 'country', 'loss']
    """
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            return word[:-1] if word[-1] == word[-2] and word[-1] not in "sl" else word
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


class Index:
    """Documents, ready to be searched.

    Args:
        documents: of each: field = text.
        weights: of the fields.
    """

    def __init__(
        self, documents: Sequence[Mapping[str, str]], weights: Mapping[str, float]
    ) -> None:
        self.size = len(documents)
        counted = [_counted(document, weights) for document in documents]
        lengths = [sum(weight for weight, _, _ in words.values()) for words in counted]
        usual = sum(lengths) / max(1, len(lengths)) or 1.0
        self._postings: dict[str, dict[int, Posting]] = defaultdict(dict)
        for number, (words, length) in enumerate(zip(counted, lengths, strict=True)):
            norm = _SATURATION * (1 - _LENGTH + _LENGTH * length / usual)
            for word, (weight, field, written) in words.items():
                self._postings[word][number] = Posting(weight / (weight + norm), field, written)
        self._slips: dict[str, list[str]] = defaultdict(list)
        for word in self._postings:
            for left in _less_a_letter(word):
                self._slips[left].append(word)

    def find(self, words: Iterable[str]) -> list[Hit]:
        """Return what fits some words, in no order; only the first 32 words count."""
        asked = list(dict.fromkeys(words))[:_MOST_WORDS]
        scores: dict[int, float] = defaultdict(float)
        why: dict[int, list[str]] = defaultdict(list)
        total = 0.0
        covered: dict[int, float] = defaultdict(float)
        for word in asked:
            found = self._fitting(word)
            rarity = math.log(1 + (self.size - len(found) + 0.5) / (len(found) + 0.5))
            total += rarity
            for number, posting in found.items():
                scores[number] += rarity * posting.weight
                covered[number] += rarity
                as_what = f" as {posting.written}" if posting.written != word else ""
                why[number].append(f"{word}{as_what} in {posting.field}")
        return [
            Hit(number, score * (0.5 + 0.5 * covered[number] / total), why[number])
            for number, score in scores.items()
            if covered[number] >= _COVERED * total
        ]

    def _fitting(self, word: str) -> dict[int, Posting]:
        """Return the documents that have a word or what stands for it."""
        best: dict[int, Posting] = {}
        for other, factor in self._alternatives(word):
            for number, posting in self._postings.get(other, {}).items():
                weight = posting.weight * factor
                if number not in best or weight > best[number].weight:
                    best[number] = posting._replace(weight=weight)
        return best

    def _alternatives(self, word: str) -> Iterator[tuple[str, float]]:
        root = stem(word)
        yield root, 1.0
        others = {*lexicon().same.get(root, ())}
        others |= {stem(said) for said in lexicon().short.get(word, "").split()}
        known = root in self._postings
        for other in others:
            known = known or other in self._postings
            yield other, _SYNONYM
        if known or len(root) < 3:
            return
        near = [other for other in self._postings if other.startswith(root)]
        if not near and 3 < len(root) <= _LONGEST_SLIP:
            near = [other for left in _less_a_letter(root) for other in self._slips.get(left, ())]
        for other in near:
            yield other, _SLIP


def _counted(
    document: Mapping[str, str], weights: Mapping[str, float]
) -> dict[str, tuple[float, str, str]]:
    """Return of each stem its weight, and the field and the word of most of it."""
    words: dict[str, tuple[float, str, str]] = {}
    for field, text in document.items():
        counts: Counter[tuple[str, str]] = Counter()
        for word in words_of(text):
            counts[stem(word), word] += 1
            for said in lexicon().short.get(word, "").split():
                counts[stem(said), word] += 1
        for (root, written), count in counts.items():
            weight, had = weights[field] * count, words.get(root)
            if had is None:
                words[root] = weight, field, written
            else:
                shown = (field, written) if weights[field] > weights[had[1]] else had[1:]
                words[root] = (had[0] + weight, *shown)
    return words


def _less_a_letter(word: str) -> set[str]:
    return {word, *(word[:at] + word[at + 1 :] for at in range(len(word)))}
