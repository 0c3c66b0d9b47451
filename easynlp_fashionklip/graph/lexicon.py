"""Hand-made word lists of fashion English: what a concept's head may be, what its modifiers are, what never is one.

All entries are normal forms (lower case; heads singular unless the language only has the plural). The lists are closed
for titles, where case says nothing, and only guide prose, where the tagger finds words that are not listed.
"""

from __future__ import annotations

from functools import lru_cache

from easynlp_fashionklip.graph.vocabulary import (
    COLOUR_SHADES,
    COLOURS,
    GARMENTS,
    MATERIALS,
    PARTS,
    PATTERNS,
    SHAPES,
    word_set,
)

GENDERS = {
    "men": "men's", "man": "men's", "men's": "men's", "mens": "men's", "women": "women's", "woman": "women's",
    "women's": "women's", "womens": "women's", "ladies": "women's", "girl": "girls'", "girls": "girls'",
    "girl's": "girls'", "girls'": "girls'", "boy": "boys'", "boys": "boys'", "boy's": "boys'", "boys'": "boys'",
    "kids": "kids'", "kid's": "kids'", "kid": "kids'", "baby's": "baby's", "unisex": "unisex",
}  # fmt: skip

# Nouns that make a compound modifier with the word before them: "short sleeve", "round neck", "slim fit".
COMPOUND_SECONDS = word_set(
    """
    blend brim check collar cup cut dot edge fit frame handle heel hem hood knit lapel leg neck pocket print rim
    rise shade shoulder sleeve sole strap stripe style tip toe waist wash zip motif
    """
)

# Keys of attribute lists: what their values say is no concept, or is stuff on its own.
VALUELESS_KEYS = word_set(
    """
    brand care closure code colour country diameter fastening-type gender height length model number occasion origin
    pack season shade size sku warranty weight width
    """
)
STUFF_KEYS = word_set("composition content fabric feature material shell-fabric type style")

# Heads that mean something to the eye only with a modifier: "slim fit" is a concept, "fit" is not.
NEEDS_MODIFIER = word_set(
    """
    badge ball band blend bottom case detail detailing elastication end fabric fastener fastening fit fly front
    front-placket gather groove gusset hem hemline  insole leg lining loop lug midsole neck neckline
    one-piece opening overlay pad panel patch pattern piece print rise seam set shaft slot stitch stitching style
    tab tag tape textile thread tip toe tongue trim tuck two-piece upper waist weave  wing work yarn yoke
    """
)

PLURAL_ONLY = word_set(
    """
    bloomers boxers boyshorts briefs capris cargos chinos culottes dungarees eyeglasses flats glasses goggles
    heels hotpants jeans jeggings jodhpurs joggers knickerbockers knickers leggings overalls palazzos panties
    pants pantyhose pyjamas shorts slacks sliders spectacles spikes sunglasses sweatpants swim-trunks swimshorts
    tights treggings trousers trunks yoga-pants
    """
)

# Singular spellings of the above, as heads only ("pyjama" alone, but "pyjama top" keeps its modifier).
PLURAL_FORMS = {
    word[:-1]: word
    for word in PLURAL_ONLY
    if word not in {"shorts", "glasses", "heels", "boxers", "sliders", "spikes", "flats"}
} | {"boxer": "boxers"}

IRREGULAR_SINGULARS = {
    "scarves": "scarf", "headscarves": "headscarf", "leaves": "leaf", "halves": "half", "men": "man", "women": "woman",
    "children": "child", "feet": "foot", "hoodies": "hoodie", "beanies": "beanie", "ties": "tie", "bowties": "bowtie",
    "booties": "bootie", "onesies": "onesie", "nighties": "nightie", "lenses": "lens", "lens": "lens",
    "canvas": "canvas", "bias": "bias", "mules": "mule", "zippers": "zipper", "selfies": "selfie", "dungaree":
    "dungarees", "ballerinas": "ballerina", "saris": "saree", "undies": "underwear", "sarees": "saree", "sari": "saree",
    "kurtis": "kurti", "bras": "bra", "tees": "t-shirt", "tee": "t-shirt", "tshirt": "t-shirt",
    "tshirts": "t-shirt", "slip-ons": "slip-on", "lace-ups": "lace-up", "zips": "zip", "hounds": "hound", "turn-ups":
    "turn-up", "tie-ups": "tie-up", "cut-outs": "cut-out", "clip-ons": "clip-on", "pull-ons": "pull-on",
}  # fmt: skip

STOP_NOUNS = word_set(
    """
    ability abrasion absorption accent action activity adapt addition air allure amount appeal approx arch area
    arm assortment atmosphere attention attitude attraction baby back backfoot bacteria bargain base beauty bit
    body bonus bottom-half box brand branding breathability breeze business bust  capacity care cash category
    cater centre century character charge chest choice circulation class classic clean climate closet closure
    cloth cm cms collection colour combination combo comfort company composition compostion compression concept
    condition confidence construction content contour control convenience counter country coverage craftsmanship
    creation cushioning customer cut date day decoration denier density denture depth design designer detergent
    diagonal diameter difference dimension display distance doubt durability durable ease edge effect elegance
    element enclosure ensemble environment essence essential evening event everyday excellence experience
    expression exterior eye face family fan fashion fashionista feel feeling feet fiber fibre finish finishing
    flair flare flexibility foot forefoot form formal formstripe freedom freesize freshness friction friend front
    fun function gap gauge girl grace gram grip ground guarantee guy hand hassle haul height help hint hip history
    home idea impact impression in-seam inch individual influence inner inseam inside inspiration insulation
    interior iron item kid kind kit knack knee label lady layer length level life lifestyle light like line litre
    look lot love luxury machine maintenance make man manufacturer mark material matter mean measurement mechanism
    men midfoot minute mix mixture mm model moisture moment money month mood morning mount mouth movement music
    must name nature need night nod note nothing number occasion odour office option order outdoors outfit outing
    outside pack package packet pair panache part party people perfection performance person personality photo
    picture place plan plate plenty plus point power pressure price problem process product professional profile
    protection purpose quality quantity racer range ray reason rectangle reduction region regular remark reminder
    resistance rest result reuse revel road room rough row rsquo run safety sale school screw season section seed
    sensation series shade shape sheen shimmer shine shock shop shopper shoulder shower side sight silhouette
    simplicity size skin soft solution something sort space speed sport spot spring stability stain standard
    staple state statement statistic step storage store street strength strike string structure stuff styling
    suggestion summer sun support surface sweat system task taste team technology teenager temperature texture
    thickness thigh thing time tone total touch town traction tradition transition travel treatment trend tribute
    trip tummy twist type unit unknown upto usage use user uv value variety ventilation versatility version vibe
    victor victory view visibility volume walk wall wardrobe warmth warranty wash water way wear wearability
    wearer weather week weekend weight while width wind winter woman women work workout world year youth zing
    crotch stock fade fading
    """
)

STOP_MODIFIERS = word_set(
    """
    able absolute added additional aggressive airy all all-time alternate amazing ample another any appealing
    approx assorted attractive authentic available awesome back based basic beautiful best better bold both
    brand-name branded breathable brilliant certain cheap chest chic classic classy clean clever coloured comfort
    comfortable comfy complete conscious contemporary convenient cool couple crease-free crisp customised
    customized cute daily dainty definite delicate designed designer desired different discreet distinct due
    durable each easy easy-care easy-to-wear eclectic eco-friendly edgy effortless elegant enhanced enough entire
    ergonomic essential ethnic every everyday everyone excellent exceptional exclusive exquisite extended extra
    extra-soft fabulous famous fantastic fashionable fast fast-drying favourite few finest first flattering
    flexible four four-button freesize fresh front fun functional funky generous gentle genuine glamorous good
    good-quality gorgeous great grippy half-lined handmade handy happy hard-wearing heavy high-abrasion
    high-quality hip iconic ideal immense important impressive improved included inner inside inspired integral
    integrated interesting internal intricate irresistible  last latest left less logo-branded lovely luxurious
    made made-up main many match matching minimal minimalist mix modern modified moisture-wicking more most much
    multiple must must-have natural neat new next nice normal old one only optimal optimum organic original other
    outer outer-shell outside outstanding overall own part-lined partial particular partly perfect personal placed
    playful plus popular practical preferred premium pretty protected pure quick quick-dry quintessential quirky
    real rear recycled refined regular  reliable resistant rich right right-hand roomy rugged same second
    secure separate several sexy side signature simple single smart smooth snug soft soft-touch some sophisticated
    special stable stain-resistant standard stretchy stunning sturdy styled stylish subtle such super superb
    superior supersoft supple supportive sustainable sweet thoughtful three three-pack timeless tiny total tough
    traditional trendy trendy-yet-classic triple true twin two two-pack typical ultimate unique unknown urban
    useful usual utmost various versatile very vibrant vintage visible voluminous warm washable water-repellent
    water-resistant well well-fitting whole wind-resistant wonderful worn wrinkle-free xl xs xxl young youthful
    """
)

# The tagger takes these for verbs or for nothing; they attach what follows to the garment before them.
WITH_WORDS = word_set("feature features featuring has have having includes including with")
MADE_WORDS = word_set("constructed crafted cut designed knit knitted made woven")
NEGATIONS = word_set("minus no non not sans without")
SOFT_WORDS = word_set("& + , / % and or plus")
PLACE_WORDS = word_set(
    "above across along around at behind below beneath between down inside near on over through throughout under up"
)
FIT_WORDS = word_set(
    """
    athletic classic comfort easy loose modern oversized regular relaxed skinny slim super-skinny tailored
    """
)

NOUNS = GARMENTS | PARTS | MATERIALS
MODIFIERS = COLOURS | PATTERNS | SHAPES | COLOUR_SHADES | MATERIALS
_SUFFIXES = tuple(
    sorted(
        word_set(
            "dress shirt coat jacket skirt pants trousers jeans wear shoe boot bag band neckline sleeve pocket lace"
        )
    )
)


def is_noun(form: str) -> bool:
    """Whether a normal form is a known head noun, or a closed compound of one (`underdress`, `rainboot`)."""
    return form in NOUNS or (form.endswith(_SUFFIXES) and form not in STOP_NOUNS and len(form) > 5)


def is_modifier(word: str) -> bool:
    """Whether a lower-case word is a known modifier."""
    return word in MODIFIERS or word in GENDERS


@lru_cache(maxsize=65536)
def is_listed(word: str) -> bool:
    """Whether any of the positive lists holds a lower-case word."""
    return word in NOUNS or word in COLOURS or word in PATTERNS or word in SHAPES or word in GENDERS


@lru_cache(maxsize=65536)
def rank(modifier: str) -> int:
    """Place of a modifier in the canonical order: gender, quality, shape, colour, pattern, material, noun."""
    last = modifier.rpartition(" ")[2]
    if modifier in GENDERS.values():
        return 0
    for place, kind in ((3, COLOURS), (4, PATTERNS), (5, MATERIALS)):
        if last in kind and (place == 3 or last == modifier):
            return place
    if last != modifier or last in SHAPES:
        return 2
    return 6 if last in GARMENTS or last in PARTS else 1
