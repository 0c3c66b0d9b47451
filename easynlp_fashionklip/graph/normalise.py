"""From shop text to words in normal spelling: clean, split into segments, tokenise, singular heads.

Everything is a pure function of the text, so that a graph grown in steps equals one built at once.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import lru_cache

from easynlp_fashionklip.graph import lexicon

_MARKUP = re.compile(r"<[^>]{0,200}>")
_BROKEN_ENTITY = re.compile(r"&\s?(?:rsquo|lsquo|quot|nbsp|amp|ldquo|rdquo|ndash|mdash|reg|trade|#\d+)\b\s?;?", re.I)
_TYPOGRAPHY = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2013": " - ", "\u2014": " - ", "\u2011": "-"}
    | {"\u00a0": " "}
)
_SEGMENT = re.compile(r"(?<=[.!?;])\s+|\s*[\n\r\t•|]+\s*|\s+-\s+|(?<=[a-z]):\s+")
_WORD = re.compile(r"[^\W_]+(?:[-'/&.][^\W_]+)*|[^\s\w]")
_HAS_WORD = re.compile(r"[^\W\d_]{3}")

# Spellings of the same thing, tried in order on a segment. What a rule writes, no later rule may undo.
_SPELLINGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"t[- ]?shirts|tee[- ]?shirts|tees", "t-shirts"),
        (r"t[- ]?shirt|tee[- ]?shirt|tee", "t-shirt"),
        (r"v[- ]?neck(?:ed|line)?", "v-neck"),
        (r"u[- ]?neck(?:ed|line)?", "u-neck"),
        (r"a[- ]line", "a-line"),
        (r"y[- ]back", "y-back"),
        (r"mixed solid ?/ ?pattern", "mixed-pattern"),
        (r"off[- ]white", "off-white"),
        (r"all[- ]over", "all-over"),
        (r"polka[- ]dots?", "polka-dot"),
        (r"(animal|leopard|zebra|snakeskin)[- ]print", r"\1-print"),
        (r"tie[- ]dye(d?)", r"tie-dye\1"),
        (r"hound'?s?[- ]?tooth", "houndstooth"),
        (r"colou?r[- ]block(ed)?", "colour-blocked"),
        (r"(peter)[- ](pan)", r"\1-\2"),
        (r"flip[- ]?flop(s?)", r"flip-flop\1"),
        (r"slip[- ]ons", "slip-ons"),
        (r"slip[- ]on", "slip-on"),
        (r"lace[- ]ups", "lace-ups"),
        (r"lace[- ]up", "lace-up"),
        (r"stand[- ]up collar", "stand-up collar"),
        (r"button[- ]down collar", "button-down collar"),
        (r"pull[- ]on", "pull-on"),
        (r"push[- ]up", "push-up"),
        (r"wide[- ]leg", "wide leg"),
        (r"(knee|calf|ankle|full|thigh|hip|mid|three-quarter)[- ]length", r"\1-length"),
        (r"half[- ]sleeve(?:d|s)?", "short sleeve"),
        (r"full[- ]sleeve(?:d|s)?", "long sleeve"),
        (r"(\w{2,})-neck(?:ed)?", r"\1 neck"),
        (r"(round|crew|polo|roll|scoop|boat|square|turtle|mandarin|high)[- ]necked", r"\1 neck"),
        (r"(\w{2,})[- ]sleeved", r"\1 sleeve"),
        (r"(\w{2,})[- ]waisted", r"\1 waist"),
        (r"(\w{2,})[- ]heeled", r"\1 heel"),
        (r"(\w{2,})[- ]toed", r"\1 toe"),
        (r"(\w{2,})-(fit|waist|rise|sleeve|sole|knit|print|collar|gauge|strap)(?:ted|s)?", r"\1 \2"),
        (r"(faux|imitation|fake|synthetic|artificial)[- ](leather|suede|fur)", r"faux-\2"),
        (r"stainless[- ]steel", "stainless-steel"),
        (r"rose[- ]gold", "rose-gold"),
        (r"sweat[- ](shirts?|pants)", r"sweat\1"),
        (r"(hand|tank|neck|waist|hair|head|wrist|foot)[- ](bags?|line|band|bands|wear)", r"\1\2"),
        (r"sun[- ]glasses", "sunglasses"),
        (r"swim[- ](suits?|wear)", r"swim\1"),
        (r"back[- ]packs", "backpacks"),
        (r"shoulder[- ]strap(s?)", r"shoulder-strap\1"),
        (r"press[- ]studs", "press-studs"),
        (r"hair clips?", "hair-clip"),
        (r"hair[- ]?/ ?alice band", "alice-band"),
        (r"gray", "grey"),
        (r"colored", "coloured"),
        (r"colors?", "colour"),
        (r"pajamas?", "pyjamas"),
        (r"check(?:er)?ed|chequered|checks", "checked"),
        (r"sequinned|sequins", "sequined"),
        (r"jewelry", "jewellery"),
        (r"appliqu[eé](?:d|s)?", "applique"),
    )
)

# Segments about care, warranty or the maker say nothing of the look, and where the reader is spoken to it is praise.
_CARE = re.compile(
    r"\b(?:(?:machine|hand|cold)[- ]wash(?:able)?|wash (?:separately|dark|in|with|at|inside|before|it|cold|warm)|"
    r"dry[- ]?clean(?:ing|ed)?|tumble[- ]dry|bleach|detergent|warranty|guaranteed?|stains?|do not|don't|avoid|"
    r"keep (?:it )?away|store (?:it |them )?in|remove (?:dust|dirt|oil|any)|wip(?:e|ing)|ironing|iron at|shoe polish|"
    r"model'?s? (?:is|stat\w*|height|wears)|the model|founded|established in|brand (?:was|is|name)|"
    r"care instructions?|fabric care|shoe care)\b",
    re.IGNORECASE,
)
_PRAISE = re.compile(
    r"\b(?:you|your|yours|yourself|we|our|us|i|my|me|(?:wear|team|pair|match|combine) (?:it|them|this|these|with)|"
    r"(?:teamed|paired|coupled|matched) with|goes (?:well )?with)\b",
    re.IGNORECASE,
)


def clean_text(text: str) -> str:
    """Text without HTML tags and entities (also broken ones such as `& rsquo s`), curly quotes made straight."""
    text = _BROKEN_ENTITY.sub(" ", html.unescape(_MARKUP.sub(" ", text)))
    return text.translate(_TYPOGRAPHY)


def split_segments(text: str) -> list[str]:
    """The sentences, bullets and fragments of a text that may speak of looks: not care notes, not talk to the reader.

    Raises nothing; a text without words gives `[]`. Spelling variants are already resolved (see `unify_spelling`).
    """
    segments = (segment.strip() for segment in _SEGMENT.split(clean_text(text)))
    return [unify_spelling(segment) for segment in segments if _is_about_looks(segment)]


def _is_about_looks(segment: str) -> bool:
    if not _HAS_WORD.search(segment) or _CARE.search(segment):
        return False
    return is_title_case(segment.split()) or not _PRAISE.search(segment)


def is_title_case(words: Sequence[str]) -> bool:
    """Whether at least two and most of the words are capitalised (hyphenated ones do not count against it)."""
    letters = [word for word in words if word[0].isalpha()]
    judged = sum("-" not in word for word in letters)
    capitalised = sum(word[0].isupper() for word in letters)
    return capitalised >= 2 and capitalised >= 0.6 * judged


def unify_spelling(segment: str) -> str:
    """One spelling per thing: `T Shirt`, `tee-shirt`, `Tshirts` become `t-shirt(s)`, `round-necked` `round neck`."""
    for pattern, replacement in _SPELLINGS:
        segment = pattern.sub(replacement, segment)
    return segment


def tokenise(segment: str) -> list[str]:
    """Words and punctuation marks; hyphenated words stay whole, slashes between words come off as marks."""
    words: list[str] = []
    for token in _WORD.findall(segment):
        if "/" in token and not token.replace("/", "").isdigit():
            words += [part for part in re.split(r"(/)", token) if part]
        else:
            words.append(token)
    return words


@lru_cache(maxsize=65536)
def singular(noun: str) -> str:
    """Singular of a lower-case English noun; nouns that only have a plural (`jeans`) keep it.

    >>> [singular(noun) for noun in ("watches", "shoes", "accessories", "jeans", "scarves")]
    ['watch', 'shoe', 'accessory', 'jeans', 'scarf']
    """
    if noun in lexicon.IRREGULAR_SINGULARS:
        return lexicon.IRREGULAR_SINGULARS[noun]
    stem, hyphen, last = noun.rpartition("-")
    if hyphen and last:
        return f"{stem}-{singular(last)}" if noun not in lexicon.PLURAL_ONLY else noun
    if noun in lexicon.PLURAL_ONLY or len(noun) < 4 or noun.endswith(("ss", "us", "is")) or not noun.endswith("s"):
        return noun
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    if noun.endswith(("ches", "shes", "xes", "sses", "zzes")):
        return noun[:-2]
    return noun[:-1]


@lru_cache(maxsize=65536)
def head_form(noun: str) -> str:
    """Normal form of a noun at the head of a phrase: `trouser` is `trousers`, `Tshirts` is `t-shirt`.

    >>> head_form("Trouser"), head_form("dresses"), head_form("t-shirts")
    ('trousers', 'dress', 't-shirt')
    """
    form = singular(noun.lower())
    return lexicon.PLURAL_FORMS.get(form, form)
