"""From shop text to words in normal spelling: clean, split into segments, tokenise, singular heads.

Everything is a pure function of the text, so that a graph grown in steps equals one built at once.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Sequence
from functools import lru_cache

from easynlp_fashionklip.graph import lexicon
from easynlp_fashionklip.graph.rewriting import RewritingRules

# No sentence about clothes is longer; what is, is broken data, and reading it takes more than its share of time.
MAX_SEGMENT_CHARACTERS = 1000

_BLOCK = re.compile(r"<\s*/?\s*(?:br|p|li|ul|ol|div|td|tr|table|h\d)\b[^>]{0,200}>", re.I)
_MARKUP = re.compile(r"<[^>]{0,200}>")
_BROKEN_AMPERSAND = re.compile(r"&\s?amp\b\s?;?", re.I)
_BROKEN_ENTITY = re.compile(r"&\s?(?:rsquo|lsquo|quot|nbsp|amp|ldquo|rdquo|ndash|mdash|reg|trade|#\d+)\b\s?;?", re.I)
_TYPOGRAPHY = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2013": " - ", "\u2014": " - ", "\u2011": "-"}
    | {"\u00a0": " "}
    | dict(zip(map(ord, "àâäçèéêëîïñôöûüÀÂÄÇÈÉÊËÎÏÑÔÖÛÜ"), "aaaceeeeiinoouuAAACEEEEIINOOUU", strict=True))
)
_SEGMENT = re.compile(r"(?<=[.!?;])\s+|\s*[\n\r\t•·|;]+\s*|\s+-\s+")
_KEY = re.compile(r"([A-Za-z][A-Za-z ]{1,24}?)\s*(?::|-(?=\s))\s*(.*)", re.S)
_SEVERAL_KEYS = re.compile(r",\s*(?=[A-Z][A-Za-z ]{1,24}?(?::|-\s))")
_DASHED_KEY = re.compile(r"((?:^|(?<=[,;|\n])\s?)[A-Z][A-Za-z ]{1,24}?) - (?=\S)")  # "Sole - crepe, Toe - almond"
_LATER_KEY = re.compile(r"(?<=[a-z]):\s+")
_WITH_SLASH = re.compile(r"\bw/\s*")
_SHARE = re.compile(r"\d+(?:[.,]\d+)?\s?%")
_PLURAL_APOSTROPHE = re.compile(r"(?<=s)'(?=\s|$)")
_WORD = re.compile(r"[^\W_]+(?:[-'/&._][^\W_]+)*|[^\s\w]")
_BROKEN_CHARACTER = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")  # controls, halves of pairs
_BLANKS = re.compile(r"[^\S\n\r\t]{8,}")
_HAS_WORD = re.compile(r"[^\W\d_]{3}")

# Spellings of the same thing, tried in order on a segment. What a rule writes, no later rule may undo.
_SPELLINGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"t[- ]?shirts|tee[- ]?shirts|tees", "t-shirts"),
        (r"t[- ]?shirt|tee[- ]?shirt|tee", "t-shirt"),
        (r"v[- ]?neck(?:ed|line)?", "v-neck"),
        (r"center", "centre"),
        (r"multi-?colou?r", "multicolour"),
        (r"off ?white", "off-white"),
        (r"3/4(?:ths?)?", "3/4"),
        (r"(gold|silver|rhodium|rose[- ]gold) plated", r"\1-plated"),
        (r"analog", "analogue"),
        (r"a line (?=skirt|dress|kurta|kurti|coat|tunic|top|gown)", "a-line "),
        (r"detailing", "detail"),
        (r"sling-back(s?)", r"slingback\1"),
        (r"three quarter (?=sleeve)", "three-quarter "),
        (r"multi-?colou?red", "multicoloured"),
        (r"(\w+)colored", r"\1coloured"),
        (r"crop[- ]top(s?)", r"crop-top\1"),
        (r"pull-over(s?)", r"pullover\1"),
        (r"lambs-wool", "lambswool"),
        (r"bow-tie(s?)", r"bow tie\1"),
        (r"french[- ]terry", "french_terry"),
        (r"(?:pack|set|pair)s? of (?:\d+|two|three|four|five|six)", ""),
        (r"fit (?:and|&|n) flared?", "fit-and-flare"),
        (r"zip[- ]fly", "zip fly"),
        (r"saris?", "saree"),
        (r"(?:side|front|back|inner|inside|chest)-(?=(?:slit|pocket|zip|vent|seam|button|closure|fastening)s?\b)", ""),
        (r"u[- ]?neck(?:ed|line)?", "u-neck"),
        (r"a[- ]line", "a-line"),
        (r"y[- ]back", "y-back"),
        (r"mixed solid ?/ ?pattern", "mixed-pattern"),
        (r"off[- ]white", "off-white"),
        (r"all[- ]over", "all-over"),
        (r"polka[- ]dot(s?)(?:ted)?", r"polka-dot\1"),
        (r"(animal)[- ]print", r"\1-print"),
        (r"tie[- ]dye(d?)", r"tie-dye\1"),
        (r"hound'?s?[- ]?tooth", "houndstooth"),
        (r"colou?r[- ]?block(ed)?", "colour-blocked"),
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
        (r"(wide|straight|tapered|flared|skinny|slim)-leg", r"\1_leg"),
        (r"(knee|calf|ankle|full|thigh|hip|mid|three-quarter)[- ]length", r"\1-length"),
        (r"half[- ]sleeved", "short_sleeve"),
        (r"full[- ]sleeved", "long_sleeve"),
        (r"half[- ]sleeves?", "short sleeve"),
        (r"full[- ]sleeves?", "long sleeve"),
        # `_` keeps two words one modifier: `short-sleeved` describes a shirt, `short sleeves` are parts.
        (r"(?!v-|u-)(\w{2,}(?:-\w+)?)-neck(?:ed)?", r"\1_neck"),
        (r"(round|crew|polo|roll|scoop|boat|square|mandarin|high|funnel|cowl)[- ]necked", r"\1_neck"),
        (r"(\w{2,}(?:-\w+)?)[- ]sleeved", r"\1_sleeve"),
        (r"(\w{2,})[- ]waisted", r"\1_waist"),
        (r"(\w{2,})[- ]heeled", r"\1_heel"),
        (r"(\w{2,})[- ]toed", r"\1_toe"),
        (r"(\w{2,})[- ]legged", r"\1_leg"),
        (
            r"(?!cap-|laser-)(\w{2,}(?:-quarter)?)-(fit|waist|rise|sleeve|sole|collar|gauge|cut|leg|toe|heel|frame|blend|shoulder|edge|zip|brim|rim|handle|strap|cuff|hem)(?:ted|s)?"
            r"(?!-)",
            r"\1_\2",
        ),
        (r"off-the_shoulder", "off-the-shoulder"),
        (r"rib[- ]knit(?:ted)?", "rib_knit"),
        (
            r"(?!animal|all-over|screen|block|foil|hand|placement|graphic)(\w{3,})-print",
            r"\1_print",
        ),
        (r"faux[- ](leather|suede|fur|shearling)", r"faux-\1"),
        (r"stainless[- ]steel", "stainless-steel"),
        (r"rose[- ]gold", "rose-gold"),
        (r"sweat[- ](shirts?|pants)", r"sweat\1"),
        (r"(hand|tank|neck|waist|hair|head|wrist|foot)[- ](bags?|line|band|bands|wear)", r"\1\2"),
        (r"sun[- ]glasses", "sunglasses"),
        (r"swim[- ](suits?|wear)", r"swim\1"),
        (r"back[- ]packs", "backpacks"),
        (r"press[- ]studs", "press-studs"),
        (r"hair clips?", "hair-clip"),
        (r"hair[- ]?/ ?alice band", "alice-band"),
        (r"gray", "grey"),
        (r"colored", "coloured"),
        (r"colors?", "colour"),
        (r"pajama", "pyjama"),
        (r"pajamas", "pyjamas"),
        (r"check(?:er)?ed|chequered|checks", "checked"),
        (r"sequinned|sequins", "sequined"),
        (r"jewelry", "jewellery"),
        (r"applique(?:d|s)?", "applique"),
        (r"(jewel|panel|tassel|bevel|label)ed", r"\1led"),
    )
)
_REWRITING = RewritingRules(_SPELLINGS)

# Segments about care, warranty or the maker say nothing of the look, and where the reader is spoken to it is praise.
_CARE = re.compile(
    r"\b(?:(?:machine|hand|cold)[- ]wash(?:able)?|"
    r"wash (?:separately|dark|in (?!a )|with (?:like|similar|mild|care|colou?r)|at|inside|before|it|cold|warm)|"
    r"dry[- ]?clean(?:ing|ed)?|tumble[- ]dry|bleach|detergent|warranty|guaranteed?|stains?|do not|don't|avoid|"
    r"keep (?:it )?away|store (?:it |them )?in|remove (?:dust|dirt|oil|any)|wip(?:e|ing)|"
    r"iron (?:on|at|low|inside|medium|reverse|if)|(?:no|easy|need|needs) ironing|(?:may|will) (?:transfer|bleed|fade)|"
    r"shoe polish|model'?s? (?:is|stat\w*|height|wears)|the model|founded|established in|brand (?:was|is|name)|"
    r"care instructions?|fabric care|shoe care)\b",
    re.IGNORECASE,
)
_MODEL = re.compile(r"(?:,|;|\band\b)\s*(?:(?:our|the) )?model (?:is|wears|stat\w*|height)\b[^.\n]*", re.IGNORECASE)
_ADVICE = re.compile(
    r"\b(?:wear|team|pair|match|combine|style) (?:it|them|this|these|with)|(?:teamed|paired|coupled|matched) with|"
    r"\bgoes (?:well )?with\b",
    re.IGNORECASE,
)
_READER = re.compile(r"\b(?:you|yourself|we|us|i|me)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"\s*(?:,|\s-|\(|\))\s*")


def clean_text(text: str) -> str:
    """Text without HTML tags and entities (also broken ones such as `& rsquo s`), curly quotes made straight."""
    text = _BLOCK.sub("\n", html.unescape(_BLOCK.sub("\n", text)))
    text = _BROKEN_AMPERSAND.sub(" & ", text)
    text = _BROKEN_ENTITY.sub(" ", _MARKUP.sub(" ", text)).translate(_TYPOGRAPHY)
    text = _SHARE.sub(" % ", _WITH_SLASH.sub("with ", text))
    return _PLURAL_APOSTROPHE.sub("", text)


def split_segments(text: str) -> list[str]:
    """The sentences, bullets and fragments of a text that may speak of looks: not care notes, not talk to the reader.

    Raises nothing; a text without words gives `[]`. Spelling variants are already resolved (see `unify_spelling`).
    """
    return [segment for raw in raw_segments(text) if (segment := read_segment(raw))]


def raw_segments(text: str) -> list[str]:
    """The sentences, bullets and fragments of a text as they are written, with a word each; none is overlong."""
    clean = _MODEL.sub(" ", _BLANKS.sub(" ", clean_text(_BROKEN_CHARACTER.sub(" ", text))))
    if len(_DASHED_KEY.findall(clean)) > 1:
        clean = _DASHED_KEY.sub(r"\1: ", clean)
    lines = (piece for line in _SEGMENT.split(clean) for piece in _SEVERAL_KEYS.split(line))
    segments = [segment.strip() for line in lines for segment in _read_key(line.strip())]
    if len(clean) > MAX_SEGMENT_CHARACTERS:
        segments = [piece for segment in segments for piece in _pieces(segment)]
    return [segment for segment in segments if _HAS_WORD.search(segment)]


def _pieces(segment: str) -> list[str]:
    """A segment cut between words into pieces of at most `MAX_SEGMENT_CHARACTERS`; longer "words" are cut too."""
    if len(segment) <= MAX_SEGMENT_CHARACTERS:
        return [segment]
    return textwrap.wrap(segment, MAX_SEGMENT_CHARACTERS, break_on_hyphens=False)


def read_segment(raw: str) -> str:
    """A segment of `raw_segments` in normal spelling; '' if it does not speak of looks."""
    if not _is_about_looks(raw):
        return ""
    if not is_title_case(raw.split()):
        raw = _without_talk(raw)
    return unify_spelling(raw)


def _without_talk(raw: str) -> str:
    """A sentence up to the clause that begins to advise, without the clauses that speak to the reader."""
    advice = _ADVICE.search(raw)
    if advice is None and not _READER.search(raw):
        return raw
    if advice is not None:
        raw = raw[: max((mark.start() for mark in _CLAUSE.finditer(raw, 0, advice.start())), default=0)]
    return ", ".join(clause for clause in _CLAUSE.split(raw) if not _READER.search(clause))


def _read_key(piece: str) -> list[str]:
    """`Collar: spread` is a spread collar, `Fabric: cotton` cotton; the value of `Colour` or `Size` says no concept.

    Other keys and their values are read apart.
    """
    match = _KEY.fullmatch(piece)
    if match is None:
        return _LATER_KEY.split(piece)
    key, value = match.groups()
    noun = _key_noun(unify_spelling(key).split())
    if noun in lexicon.VALUELESS_KEYS:
        return []
    first, comma, rest = value.rstrip(" .").partition(",")
    words = tokenise(unify_spelling(first))
    last = head_form(words[-1]) if words else ""
    # "Neck: Round Neck", "Neck: V-neck", "Neck: Mandarin Collar"
    names_noun = bool(words) and (last.endswith(noun) or (noun, last) in _SAME_PLACE)
    if noun in lexicon.STUFF_KEYS and _KEY.fullmatch(value):
        return _read_key(value)  # "Composition: Shell: cotton"
    stuffs = _stuffs(value)
    if noun in lexicon.PARTS and stuffs and "," in value:
        return [" ".join([*stuffs, noun])]  # "Shell: 60% acrylic, 40% wool"
    if noun not in lexicon.PARTS | lexicon.NEEDS_MODIFIER or noun in lexicon.STUFF_KEYS or len(words) > 4 or names_noun:
        return _LATER_KEY.split(value) if noun in lexicon.STUFF_KEYS or names_noun else [key, *_LATER_KEY.split(value)]
    return [f"{first.lower().strip(' .')} {noun}{rest if rest.lstrip().startswith('with') else comma + rest}"]


def _stuffs(value: str) -> list[str]:
    """The stuffs that a value lists; none where it says anything else."""
    parts = [part.split()[-1:] for part in value.lower().rstrip(" .").split(",")]
    words = [word for part in parts for word in part]
    return list(dict.fromkeys(words)) if all(word in lexicon.MATERIALS for word in words) else []


def _key_noun(words: Sequence[str]) -> str:
    """What a key speaks of: `Upper material` and `Heel type` of the upper and the heel."""
    *before, last = [head_form(word) for word in words]
    return before[-1] if before and last in _KEY_SUFFIXES and before[-1] in lexicon.PARTS else last


_SAME_PLACE = (("neck", "collar"), ("neckline", "collar"), ("collar", "neck"))
_KEY_SUFFIXES = ("material", "fabric", "type", "shape", "style", "detail", "length")


def _is_about_looks(segment: str) -> bool:
    return bool(_HAS_WORD.search(segment)) and not _CARE.search(segment)


def is_title_case(words: Sequence[str]) -> bool:
    """Whether at least two and most of the words are capitalised (hyphenated ones do not count against it)."""
    letters = [word for word in words if word[0].isalpha()]
    capitalised = len([word for word in letters if word[0].isupper()])
    if capitalised < 2:
        return False
    return capitalised >= 0.6 * len([word for word in letters if "-" not in word])


def unify_spelling(segment: str) -> str:
    """One spelling per thing: `T Shirt`, `tee-shirt`, `Tshirts` become `t-shirt(s)`, `round-necked` `round neck`."""
    return _REWRITING.apply(segment)


def tokenise(segment: str) -> list[str]:
    """Words and punctuation marks; hyphenated words stay whole, slashes between words come off as marks."""
    words: list[str] = []
    for token in _WORD.findall(segment):
        if "/" in token and not token.replace("/", "").isdigit():
            words += [part for part in re.split(r"(/)", token) if part]
        else:
            words.append(token)
    return _split_compounds(words) if "-" in segment else words


def _split_compounds(words: list[str]) -> list[str]:
    """`patch-pockets` are patch pockets; before another noun, `a patch-pocket coat`, they are one modifier (`_`)."""
    result: list[str] = []
    for word, following in zip(words, [*words[1:], "."], strict=True):
        first, hyphen, last = word.rpartition("-")
        lower = word.lower()
        if first.lower() in lexicon.MATERIALS and last.lower() in lexicon.MATERIALS:
            result += [first, last]  # "a wool-cashmere coat" is of both
        elif not hyphen or "-" in first or len(first) < 3 or not _is_open_compound(lower, last.lower()):
            result.append(word)
        elif following.isalpha() and following.lower() not in _ENDS:
            result.append(f"{first}_{last}")
        else:
            result += [first, last]
    return result


_ENDS = lexicon.word_set("in with and or but for at on to of from is are has have that which plus over under by around")


def _is_open_compound(lower: str, last: str) -> bool:
    form = head_form(lower)
    if form in lexicon.NOUNS or lower in lexicon.MODIFIERS or last == "style":
        return False
    noun = head_form(last)
    return noun in lexicon.GARMENTS or noun in lexicon.PARTS or noun in lexicon.MATERIALS


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
