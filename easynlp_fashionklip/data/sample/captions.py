"""Captions and titles in the manner of fashion shops, and the noun phrases they name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from easynlp_fashionklip.data.sample.attributes import CATEGORY_BY_NAME, PLAIN, Attributes, Category, Noun, pick
from easynlp_fashionklip.data.sample.phrases import Phrase

SPELLINGS = {"t-shirt": ("t-shirt", "t-shirt", "T-shirt", "t shirt"), "v-neck": ("v-neck", "V-neck")}
"""How a normal form may be written; the rest are written as they are."""

NECKLINE_NAMES = {
    "crew neck": (Phrase("collar", ("crew neck",)), Phrase("neck", ("crew",))),
    "v-neck": (Phrase("collar", ("v-neck",)), Phrase("v-neck")),
    "scoop neck": (Phrase("collar", ("scoop neck",)), Phrase("neckline", ("scoop",))),
    "turtleneck": (Phrase("turtleneck", ("ribbed",)), Phrase("turtleneck")),
    "spread collar": (Phrase("collar", ("spread",)),),
    "stand collar": (Phrase("collar", ("stand",)),),
    "notched lapel": (Phrase("lapel", ("notched",)),),
    "drawstring hood": (Phrase("hood", ("drawstring",)),),
}
PATTERN_NAMES = {
    PLAIN: (Phrase("finish", ("plain",)),),
    "striped": (Phrase("pattern", ("striped",)),),
    "checked": (Phrase("pattern", ("checked",)),),
    "polka dot": (Phrase("pattern", ("polka dot",)), Phrase("print", ("polka dot",))),
    "floral": (Phrase("print", ("floral",)), Phrase("pattern", ("floral",))),
    "colour block": (Phrase("design", ("colour block",)),),
}
ACCENTED = {
    "striped": lambda accent: Phrase("stripe", (accent,)),
    "checked": lambda accent: Phrase("check", (accent,)),
    "polka dot": lambda accent: Phrase("dot", (accent, "polka")),
    "floral": lambda accent: Phrase("flower", (accent,)),
    "colour block": lambda accent: Phrase("panel", (accent,)),
}
PLURAL_HEADS = ("sleeve", "lapel", "stripe", "check", "dot", "flower", "pocket")
"""Heads whose phrases are told in the plural: "long sleeves"."""
PAIRED_POCKETS = ("slant pocket", "flap pocket")
SELF_EVIDENT = {"sandal": ("buckle closure",), "shirt": ("button closure",), "backpack": ("zip pocket",)}
"""Details that every drawing of the category shows and captions rarely name."""

NOISE = ("Machine wash cold.", "Imported.", "Fits true to size.", "Dry clean only.", "Designed for everyday wear.")
"""Sentences of shop text that name no concept."""
NOISE_SHARE = 0.08
MOST_MODIFIERS = 3
FRAMES = ("features", "designed with", "comes with")


@dataclass(frozen=True)
class Caption:
    """A product's texts and the noun phrases that the caption (not the title) names, in their order."""

    text: str
    title: str
    phrases: tuple[Phrase, ...]


def write_caption(attributes: Attributes, rng: np.random.Generator) -> Caption:
    """Word one product: an opening sentence that names it, and up to two more about what was left unsaid."""
    writer = _Writer(attributes, rng)
    sentences = [writer.opening()]
    sentences += writer.followers(int(rng.choice(3, p=(0.22, 0.43, 0.35))))
    if len(sentences) < 3 and rng.random() < NOISE_SHARE:
        sentences.append(pick(rng, NOISE))
    return Caption(" ".join(sentences), _title(attributes, rng), tuple(dict.fromkeys(writer.phrases)))


def modifier_units(attributes: Attributes) -> dict[str, str]:
    """What may stand before the noun, by attribute, in the order in which it stands; absent attributes are left out."""
    hood = attributes.neckline == "drawstring hood"
    units = {
        "gender": "" if attributes.gender == "unisex" else f"{attributes.gender}'s",
        "length": attributes.length,
        "sleeve": attributes.sleeve,
        "neckline": "" if hood else attributes.neckline,
        "pattern": attributes.pattern,
        "colour": attributes.colour,
        "material": attributes.material,
    }
    return {name: unit for name, unit in units.items() if unit}


UNIT_SHARES = {"gender": 0.22, "length": 0.6, "sleeve": 0.55, "neckline": 0.15, "pattern": 0.75, "material": 0.35}
PLAIN_WORD_SHARE = 0.25


class _Writer:
    """One caption in the making: what was said already, and the phrases named so far."""

    def __init__(self, attributes: Attributes, rng: np.random.Generator) -> None:
        self.attributes = attributes
        self.category: Category = CATEGORY_BY_NAME[attributes.category]
        self.rng = rng
        self.said: set[str] = set()
        self.phrases: list[Phrase] = []

    def name(self, phrase: Phrase, *, plural: bool = False, after: str = "") -> str:
        """Note the phrase and give its wording; `after` words what is attached when it is not its normal form."""
        self.phrases.append(phrase)
        head = f"{phrase.head}s" if plural else phrase.head
        words = (*phrase.before, head, *((after,) if after else phrase.after))
        return " ".join(pick(self.rng, SPELLINGS.get(word, (word,))) for word in words)

    def opening(self) -> str:
        """The sentence that names the product; its colour may stand before the noun, after it or not at all."""
        form = pick(self.rng, (_in_colour, _in_colour, _before_noun, _before_noun, _with_part, _comes_in))
        return capitalised(form(self)) + "."

    def noun(self, *, colour: bool, spare: str = "") -> Phrase:
        """The product's noun with some modifiers, with its colour or not, without the attribute `spare`."""
        units = modifier_units(self.attributes)
        chosen = {name for name in units if name in UNIT_SHARES and self.rng.random() < self._share(name)} - {spare}
        while len(chosen) > MOST_MODIFIERS - colour:
            chosen.remove(pick(self.rng, sorted(chosen)))
        chosen |= {"colour"} if colour else set()
        self.said |= chosen
        noun = self._name()
        return Phrase(noun.head, (*(unit for name, unit in units.items() if name in chosen), *noun.before))

    def _share(self, name: str) -> float:
        plain = name == "pattern" and self.attributes.pattern == PLAIN
        return PLAIN_WORD_SHARE if plain else UNIT_SHARES[name]

    def _name(self) -> Noun:
        nouns = self.category.nouns
        return nouns[0] if self.rng.random() < 0.7 else pick(self.rng, nouns)

    @property
    def paired(self) -> bool:
        """Whether the noun takes a plural s."""
        return self.category.number == "pair"

    def article(self, wording: str) -> str:
        """`wording` with "a" or "an", or as it is when it is a plural."""
        return wording if self.category.number != "one" else with_article(wording)

    def followers(self, count: int) -> list[str]:
        """Up to `count` sentences on attributes that were not said yet."""
        if not count:
            return []
        makers: dict[str, Callable[[], str]] = {
            "neckline": self._neckline,
            "sleeve": self._sleeve,
            "pattern": self._pattern,
            "length": self._length,
            "detail": self._detail,
        }
        open_topics = [topic for topic in makers if topic not in self.said and self._worth_telling(topic)]
        topics = [open_topics[i] for i in self.rng.permutation(len(open_topics))]
        fragments = [makers[topic]() for topic in topics[: count + int(self.rng.random() < 0.2)]]
        self.said.update(topics[: len(fragments)])
        if len(fragments) > count:
            first, second, *rest = fragments
            joined = f"features {_counted(first)} and {_counted(second)}"
            fragments = [pick(self.rng, (f"{first} and {second}", joined)), *rest]
        return [capitalised(self._framed(fragment)) + "." for fragment in fragments]

    def _framed(self, fragment: str) -> str:
        plain = " and " in fragment or self.rng.random() < 0.7
        return fragment if plain else f"{pick(self.rng, FRAMES)} {_counted(fragment)}"

    def _worth_telling(self, topic: str) -> bool:
        value = getattr(self.attributes, topic)
        if topic == "pattern" and value == PLAIN:
            return bool(self.rng.random() < PLAIN_WORD_SHARE)
        if topic == "detail" and value in SELF_EVIDENT.get(self.attributes.category, ()):
            return bool(self.rng.random() < 0.5)
        return bool(value)

    def _neckline(self) -> str:
        phrase = pick(self.rng, NECKLINE_NAMES[self.attributes.neckline])
        return self.name(phrase, plural=phrase.head in PLURAL_HEADS)

    def _sleeve(self) -> str:
        if self.attributes.sleeve == "sleeveless":
            return self.name(Phrase("silhouette", ("sleeveless",)))
        return self.name(Phrase("sleeve", (self.attributes.sleeve.split()[0],)), plural=True)

    def _pattern(self) -> str:
        pattern = self.attributes.pattern
        if pattern in ACCENTED and self.rng.random() < 0.4:
            phrase = ACCENTED[pattern](self.attributes.accent)
        else:
            phrase = pick(self.rng, PATTERN_NAMES[pattern])
        return self.name(phrase, plural=phrase.head in PLURAL_HEADS) + pick(self.rng, ("", " throughout"))

    def _length(self) -> str:
        shoe = self.attributes.category in ("sneaker", "boot")
        heads = ("cut",) if shoe else ("fit",) if self.attributes.length == "cropped" else ("length", "hem")
        return self.name(Phrase(pick(self.rng, heads), (self.attributes.length,)))

    def _detail(self) -> str:
        *before, head = self.attributes.detail.split()
        return self.name(Phrase(head, tuple(before)), plural=self.attributes.detail in PAIRED_POCKETS)


def _in_colour(writer: _Writer) -> str:
    noun = writer.noun(colour=False)
    writer.said.add("colour")
    phrase = Phrase(noun.head, noun.before, (f"in {writer.attributes.colour}",))
    wording = writer.name(phrase, plural=writer.paired)
    return writer.article(wording) if writer.rng.random() < 0.2 else wording


def _before_noun(writer: _Writer) -> str:
    wording = writer.name(writer.noun(colour=True), plural=writer.paired)
    return writer.article(wording) if writer.rng.random() < 0.3 else wording


def _with_part(writer: _Writer) -> str:
    """The noun with its neckline or detail attached; without either, as `_before_noun`."""
    parts = [name for name in ("neckline", "detail") if getattr(writer.attributes, name)]
    if not parts:
        return _before_noun(writer)
    topic = pick(writer.rng, parts)
    value = getattr(writer.attributes, topic)
    noun = writer.noun(colour=bool(writer.rng.random() < 0.8), spare=topic)
    writer.said.add(topic)
    plural = value in (*PAIRED_POCKETS, "notched lapel")
    *before, head = value.split()
    phrase = Phrase(noun.head, noun.before, (f"with {value}",))
    part = f"{value}s" if plural else value
    wording = writer.name(phrase, plural=writer.paired, after=f"with {_spoken(part, plural, writer.rng)}")
    writer.phrases.append(Phrase(head, tuple(before)))
    return writer.article(wording)


def _spoken(part: str, plural: bool, rng: np.random.Generator) -> str:
    return part if plural or rng.random() < 0.5 else with_article(part)


def _comes_in(writer: _Writer) -> str:
    wording = writer.name(writer.noun(colour=False), plural=writer.paired)
    writer.said.add("colour")
    one = writer.category.number == "one"
    verb = pick(writer.rng, ("comes", "is done") if one else ("come", "are done"))
    return f"{'this' if one else 'these'} {wording} {verb} in {writer.attributes.colour}"


def _counted(fragment: str) -> str:
    """A fragment with its article, unless it is a plural."""
    return fragment if fragment.removesuffix(" throughout").endswith("s") else with_article(fragment)


def capitalised(text: str) -> str:
    """`text` with its first letter in upper case and the others as they are."""
    return text[:1].upper() + text[1:]


def with_article(text: str) -> str:
    """`text` after "a" or "an"."""
    return f"{'an' if text[0] in 'aeio' else 'a'} {text}"


def _title(attributes: Attributes, rng: np.random.Generator) -> str:
    """A Title Case title: gender, some modifiers, colour, name."""
    units = modifier_units(attributes)
    left_out = {name for name in ("length", "sleeve", "neckline", "material") if rng.random() < 0.65}
    if attributes.pattern == PLAIN:
        left_out.add("pattern")
    words = [unit for name, unit in units.items() if name not in left_out]
    noun = CATEGORY_BY_NAME[attributes.category].nouns[0]
    plural = CATEGORY_BY_NAME[attributes.category].number == "pair"
    words += [*noun.before, f"{noun.head}s" if plural else noun.head]
    return " ".join(_title_cased(word) for word in " ".join(words).split())


def _title_cased(word: str) -> str:
    return "-".join(capitalised(part) for part in word.split("-"))
