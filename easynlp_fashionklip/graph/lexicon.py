"""Hand-made word lists of fashion English: what a concept's head may be, what its modifiers are, what never is one.

All entries are normal forms (lower case; heads singular unless the language only has the plural). The lists are closed
for titles, where case says nothing, and only guide prose, where the tagger finds words that are not listed.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GARMENTS = _words(
    """
    accessory alice-band anklet anorak apron backpack bag ballerina bandana bandeau bangle bathrobe beanie belt
    beret bib bikini blazer bloomers blouse boa bodysuit bolero bomber boot bootie bottom bottoms bow bowtie boxers
    bra bracelet bralette briefs brogue brooch bustier cagoule camisole cap cape capris cardigan cargos chinos
    choker churidar claw clog clutch co-ord coat concealer corset costume coverall cravat crop-top crown cufflink
    culottes cummerbund deodorant derby dhoti dress dressing-gown duffel dungarees dupatta earmuff earring
    espadrille eyeshadow eyewear fedora flats flip-flop floater footwear foundation garter garter-belt gilet glasses
    glove goggles gown hair-clip hairband handbag handkerchief hat headband headpiece headscarf headwear heels
    holdall hoodie hosiery innerwear jacket jeans jeggings jewellery joggers jumper jumpsuit kaftan kajal kimono
    knickers knitwear kurta kurti lace-up laptop-bag leggings lehenga leotard lingerie lip-gloss lipstick loafer
    loungewear lungi mascara mask messenger mitten moccasin monk muffler mule nail-polish necklace nightdress
    nightgown nightie nightshirt nightsuit nightwear nose-pin one-piece onesie overalls overcoat overshirt oxford
    panties pants parka pashmina patiala pendant peplum perfume petticoat pinafore platform playsuit plimsoll polo
    poncho pouch pullover pump purse pyjamas raincoat ring robe romper rucksack salwar sandal sandals sari sarong
    satchel scarf scrunchie shawl sherwani shirt shoe shorts shrug singlet skirt skort sleepwear sleeve-garter slide
    sliders sling slip-on slipper sneaker snood sock sportswear stiletto stocking stole suit suitcase sunglasses
    swaddle sweatband sweater sweatpants sweatshirt swim-trunks swimsuit swimwear t-shirt tank tankini thong tiara
    tie tights timepiece top tote tracksuit trainer treggings trench trolley trousers trunks tunic turban tuxedo
    two-piece umbrella underdress undershirt underskirt underwear uniform veil vest waistcoat wallet watch wedge
    wellington windbreaker windcheater wrap wristband wristlet wristwatch yoga-pants
    """
)

PARTS = _words(
    """
    ankle-strap applique armhole badge ball band bead belt-loop bezel bodice bow bow-tie braid brim buckle butterfly
    button buttonhole cable-knit cap-toe case casing chain check clasp collar compartment cord crest crotch crown
    crystal cuff cup dart detail dial draw-cord drawcord drawstring drawstring-waist earflap elastic elastication
    embellishment embroidery epaulet epaulette eyelet fastener fastening feather fit flap flounce flower fly footbed
    frame frill fringe front-placket gather gathering gem godet gusset halterneck handle heart heel hem hemline
    hinge hood hook insole knot lace lacing lapel leg leg-opening lens lining logo loop lug midsole mirror motif
    neck neckline opening outsole overlay padding panel patch pattern pearl peplum piped piping placket pleat pocket
    pom-pom press-stud print pull-tab rhinestone rib ribbing ribbon rise rivet ruching ruffle ruffles seam sequin
    shaft shank shoulder-strap side-stripe side-vent skull sleeve sleeve-hem slit smocking snap sockliner sole
    spikes star stitch stitching stone strap stripe stud swoosh tab tassel temple tip toe toe-box toe-cap toecap
    tongue topstitching trim trimming tuck turn-up turtleneck u-neck underwire upper v-neck vamp velcro vent visor
    waist waistband wing wire yoke zip zipper
    """
)

MATERIALS = _words(
    """
    acetate acrylic alloy angora bamboo blend boucle brass brocade broderie broderie-anglaise calico canvas cashmere
    chambray chanderi chenille chiffon chino cord corduroy cork cotton crepe crochet damask denim elastane eva
    fabric faux-fur faux-leather felt flannel fleece fur gabardine georgette glass gold interlock jacquard jersey
    jute khadi knit lace lambswool latex leather leatherette linen linen-blend lurex lycra lyocell mesh metal
    microfibre modal mohair moleskin muslin neoprene net nubuck nylon organza patent percale pile pique plastic
    plush polyamide polycarbonate polyester polyurethane poplin pu pvc raffia rayon resin rib rubber satin scuba
    seersucker shearling sherpa silk silver spandex stainless-steel steel straw suede suedette sweatshirting
    synthetic taffeta tencel terry textile thermoplastic towelling tpu tricot tulle tussar tweed twill velour velvet
    velveteen viscose weave wood wool wool-blend yarn
    """
)

COLOURS = _words(
    """
    apricot aqua aubergine azure beige black blue bronze brown burgundy camel caramel champagne charcoal chocolate
    cobalt coffee copper coral cream crimson cyan ecru emerald fuchsia ginger gold golden graphite green greenish
    greige grey greyish gunmetal indigo ivory khaki lavender lemon lilac lime magenta maroon mauve metallic mint
    multi multicolour multicoloured mustard navy nude ochre off-white olive orange peach petrol pink pistachio plum
    purple red rose rose-gold rust salmon sand sapphire scarlet silver silvery steel-grey tan taupe teal terracotta
    tomato turquoise vanilla violet white wine yellow yellowish
    """
)

COLOUR_SHADES = _words(
    """
    baby bottle bright burnt caramel charcoal dark deep dusky dusty fluorescent forest greenish greyish hot ice
    light mid mint navy neon off olive pale pastel powder rose royal sea sky soft steel vivid wine yellowish
    """
)

PATTERNS = _words(
    """
    all-over animal-print argyle batik beaded block-printed camouflage check checked checks chequered colour-block
    colour-blocked dip-dyed distressed dotted embellished embossed embroidered faded floral foil-printed frilled
    geometric gingham glittery glossy graphic-print hand-printed herringbone hound's-tooth houndstooth ikat layered
    leopard-print marl marled matt melange mixed-pattern ombre paisley patterned pinstripe pinstriped
    placement-print plaid pleated polka-dot printed quilted ruched ruffled self-striped sequined sequinned
    shimmering shiny smocked snakeskin-print solid sparkly spotted stripe striped stripes studded tartan textured
    tie-dye tie-dyed tonal washed zebra-print
    """
)

SHAPES = _words(
    """
    3/4 5-pocket a-line adjustable analog analogue ankle ankle-length asymmetric asymmetrical aviator baggy ballet
    balloon band basketball batwing bell bell-bottom biker bikini bishop block boat bomber bootcut boxy braided
    broad brushed bucket button-down buttoned cable calf-length cap-sleeved cargo casual cat-eye chain chinese
    chronograph chunky close-fitting clutch collarless concealed contrast contrasting cowl crew crinkled criss-cross
    crocheted crop cropped cross-body crossbody crossed cuffed curved cut-out cycling decorative denim detachable
    digital dolman double-breasted draped drop duffel elasticated envelope extra-long fine-knit fitted five-pocket
    flap flared flat flounced flowing flutter fold-over football formal frayed fringed full full-length gathered
    gladiator grandad graphic gym hair half halter halterneck heeled henley high hiking hip-length hipster hobo
    hooded hoop innerwear kimono kitten knee knee-length knitted lace lace-up lacy lantern laptop lightweight lined
    long longline loose lounge low low-cut magnetic mandarin maxi medium messenger micro mid-rise midi mini narrow
    nehru non-wired notch notched off-the-shoulder open open-toe oval over-the-knee oversized padded panelled patch
    peep-toe pencil pendant perforated peter-pan plaited pointed pointy polo pre-tied printed puff puffed puffer
    pull-on push-up pussy-bow pyjama racerback raglan rain rectangular reflective reversible ribbed rimless ripped
    roll-neck round round-toe rounded running saddle scoop scooped seamless see-through semi-transparent sequin
    shaping shawl sheer shirt short shoulder single-breasted skateboarding skater skinny sleeveless slim sling
    slip-on slouchy smock-style sport sports spread square stand-up stiletto straight straight-cut strapless stretch
    stretchy structured stud sweatshirt swim t-shirt tailored tall tank tapered tennis thick thigh-length thin
    three-quarter tied tiered tote track tracksuit training transparent travel trimmed trucker trumpet turtleneck
    twill twisted underwear underwired unlined v-shaped vented vest waist-length waterproof wayfarer wedge wide
    wide-leg windproof winter wireless woven wrap-over wrapover zip-up zipped zippered
    """
)

GENDERS = {
    "men": "men's", "man": "men's", "men's": "men's", "mens": "men's", "women": "women's", "woman": "women's",
    "women's": "women's", "womens": "women's", "ladies": "women's", "girl": "girls'", "girls": "girls'",
    "girl's": "girls'", "girls'": "girls'", "boy": "boys'", "boys": "boys'", "boy's": "boys'", "boys'": "boys'",
    "kids": "kids'", "kid's": "kids'", "kid": "kids'", "baby's": "baby's", "unisex": "unisex",
}  # fmt: skip

# Nouns that make a compound modifier with the word before them: "short sleeve", "round neck", "slim fit".
COMPOUND_SECONDS = _words(
    """
    blend check collar cup cut dot down face fit fur gauge heel hem hood knit leather leg length lining neck nylon
    pattern pocket print rise sleeve sole steel strap stripe style suede tip toe waist wash weave wool
    """
)

# Heads that mean something to the eye only with a modifier: "slim fit" is a concept, "fit" is not.
NEEDS_MODIFIER = _words(
    """
    upper badge ball band blend bottom case detail elastication fabric fastener fastening fit fly front front-placket
    gather groove gusset hem hemline insert insole leg lining loop lug midsole neck neckline one-piece opening
    overlay pad panel patch pattern piece print rise seam set shaft stitch stitching style tab textile thread tip
    toe tongue trim tuck two-piece waist weave wing yarn yoke
    """
)

PLURAL_ONLY = _words(
    """
    bloomers bottoms boxers briefs capris cargos chinos culottes dungarees eyeglasses flats glasses goggles heels
    hotpants jeans jeggings joggers knickers leggings overalls panties pants pantyhose pyjamas shorts sliders
    spectacles spikes sunglasses sweatpants swim-trunks tights treggings trousers trunks yoga-pants
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
    "dungarees", "ballerinas": "ballerina", "saree": "sari", "sarees": "sari", "saris": "sari", "undies": "underwear",
    "kurtis": "kurti", "bras": "bra", "tees": "t-shirt", "tee": "t-shirt", "tshirt": "t-shirt",
    "tshirts": "t-shirt", "slip-ons": "slip-on", "lace-ups": "lace-up", "zips": "zip", "hounds": "hound",
}  # fmt: skip

STOP_NOUNS = _words(
    """
    cater strike denture reduction concept iron character mouth styling mechanism profile branding exterior enclosure
    decoration compression counter nothing victory victor upto abrasion density
    ability absorption action activity adapt addition air allure amount appeal approx arch area arm assortment
    atmosphere attention attitude attraction baby back backfoot bacteria bargain base beauty bit body bonus
    bottom-half box brand breathability breeze business bust calf capacity care cash category centre century charge
    chest choice circulation class classic clean climate closet closure cloth cm cms collection colour combination
    combo comfort company composition compostion condition confidence construction content contour control
    convenience country coverage craftsmanship creation cushioning customer cut date day denier depth design
    designer detergent diagonal diameter difference dimension display distance doubt durability durable ease edge
    effect elegance element end ensemble environment essence essential evening event everyday excellence experience
    expression eye face family fan fashion fashionista feature feel feeling feet fiber fibre finish finishing flair
    flare flexibility foot forefoot form formal formstripe freedom freesize freshness friction friend front fun
    function gap gauge girl grace gram grip ground guarantee guy hand hassle haul height help hip history home idea
    image impact impression inch individual influence inner inseam inside inspiration insulation interior item kid
    kind kit knee label lady layer length level life lifestyle light like line litre look lot love luxury machine
    maintenance make man manufacturer mark material matter mean measurement men midfoot minute mix mixture mm model
    moisture moment money month mood morning mount movement music must name nature need night nod note number
    occasion odour office option order outdoors outfit outing outside pack package packet pair part party people
    perfection performance person personality photo picture piece place plan plate plenty plus point power pressure
    price problem process product professional protection purpose quality quantity racer range ray reason rectangle
    region regular remark reminder resistance rest result reuse revel road room rough row rsquo run safety sale
    school screw season section sensation series set shade shape sheen shimmer shine shock shop shopper shoulder
    side sight silhouette simplicity size skin soft solution something sort space speed sport spot spring stability
    stain standard staple state statement statistic step storage store street strength string structure stuff style
    suggestion summer sun support surface sweat system task taste team technology teenager temperature texture
    thickness thigh thing time tone total touch town traction tradition transition travel treatment trend tribute
    trip tummy twist type unit unknown usage use user uv value variety ventilation versatility version vibe view
    visibility volume walk wall wardrobe warmth warranty wash water way wear wearability wearer weather week weekend
    weight while width wind winter woman women work workout world year youth zing
    """
)

STOP_MODIFIERS = _words(
    """
    able absolute added additional aggressive airy all all-time alternate amazing ample another any appealing approx
    attractive authentic available awesome back based basic beautiful best better big bold both brand-name branded
    breathable brilliant certain cheap chic classic classy clean clever coloured colourful comfort comfortable comfy
    complete contemporary convenient cool couple crisp customised customized cute daily dainty definite delicate
    designed designer desired different discreet distinct due durable each easy easy-care easy-to-wear eclectic edgy
    effortless elegant enhanced enough entire ergonomic essential ethnic every everyday everyone excellent
    exceptional exclusive exquisite extended extra extra-soft fabulous famous fantastic fashionable fast fast-drying
    favourite few finest first flattering flexible freesize fresh front fun functional funky generous gentle genuine
    glamorous good good-quality gorgeous great half-lined handmade handy happy hard-wearing heavy high-abrasion
    high-quality hip iconic ideal immense important impressive improved inner inside inspired integral integrated
    interesting internal intricate irresistible key large last latest left less light little logo-branded lovely
    luxurious made made-up main many matching minimal minimalist modern modified moisture-wicking more most much
    multiple must must-have natural neat new next nice normal old one only optimal optimum original other outdoor
    outer outer-shell outside outstanding overall own partial particular partly perfect personal placed playful plus
    popular practical preferred premium pretty protected pure quick quick-dry quirky real rear recycled refined
    regular relaxed reliable resistant rich right right-hand roomy rugged same second secure separate several sexy
    shaped side signature simple small smart smooth snug soft soft-touch some sophisticated special stable standard
    stunning sturdy style styled stylish subtle such super superb superior supersoft supple supportive sweet
    thoughtful three timeless tiny total tough traditional trendy trendy-yet-classic true two typical ultimate
    unique unknown urban useful usual utmost various versatile very vibrant vintage visible voluminous warm
    water-repellent well well-fitting whole wonderful worn xl xs xxl young youthful
    """
)

# The tagger takes these for verbs or for nothing; they attach what follows to the garment before them.
WITH_WORDS = _words("feature features featuring has have having includes including with")
MADE_WORDS = _words("constructed crafted cut designed knit knitted made woven")
NEGATIONS = _words("minus no non not sans without")
SOFT_WORDS = _words("& , / and or")
FIT_WORDS = _words(
    """
    athletic classic comfort easy loose modern oversized regular relaxed skinny slim super-skinny tailored
    """
)

NOUNS = GARMENTS | PARTS | MATERIALS
MODIFIERS = COLOURS | PATTERNS | SHAPES | COLOUR_SHADES | MATERIALS
_SUFFIXES = tuple(
    sorted(
        _words("dress shirt coat jacket skirt pants trousers jeans wear shoe boot bag band neckline sleeve pocket lace")
    )
)


def is_noun(form: str) -> bool:
    """Whether a normal form is a known head noun, or a closed compound of one (`underdress`, `rainboot`)."""
    return form in NOUNS or (form.endswith(_SUFFIXES) and form not in STOP_NOUNS and len(form) > 5)


def is_modifier(word: str) -> bool:
    """Whether a lower-case word is a known modifier."""
    return word in MODIFIERS or word in GENDERS


def is_listed(word: str) -> bool:
    """Whether any of the positive lists holds a lower-case word."""
    return word in NOUNS or word in COLOURS or word in PATTERNS or word in SHAPES or word in GENDERS


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
