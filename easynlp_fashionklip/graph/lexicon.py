"""Hand-made word lists of fashion English: what a concept's head may be, what its modifiers are, what never is one.

All entries are normal forms (lower case; heads singular unless the language only has the plural). The lists are closed
for titles, where case says nothing, and only guide prose, where the tagger finds words that are not listed.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GARMENTS = _words("""
    accessory alice-band anklet anorak apron backpack bag ballerina bandana bandeau bangle bathrobe beanie belt beret
    bikini blazer blouse boa bodysuit bolero bomber boot bootie bow bowtie boxers bra bracelet bralette briefs brogue
    brooch bustier camisole cape capris cap cardigan cargos chinos choker clog clutch coat corset coverall
    cravat crop-top cufflink culottes cummerbund dhoti derby dress dressing-gown dungarees dupatta duffel earring
    earmuff espadrille flip-flop flat fedora footwear garter gilet glasses glove goggles gown hairband hair-clip handbag
    handkerchief hat headband headscarf headwear heels hoodie hosiery innerwear jacket jeans jeggings jewellery joggers
    jumper jumpsuit kaftan kimono knickers knitwear kurta kurti lehenga leggings leotard lingerie loafer loungewear
    mask mitten moccasin monk muffler mule necklace nightdress nightgown nightie nightshirt nightsuit nightwear nose-pin
    oxford overalls overcoat overshirt pants panties parka pashmina patiala pendant peplum petticoat pinafore
    playsuit plimsoll polo poncho pouch pullover pump purse pyjamas raincoat ring robe romper rucksack salwar sandal
    sari sarong satchel scarf scrunchie shawl sherwani shirt shoe shorts shrug singlet skirt skort sleepwear slipper
    sliders slip-on snood sneaker sock sportswear stiletto stocking stole suit suitcase sunglasses
    swimsuit swimwear sweater sweatpants sweatshirt sweatband swim-trunks tankini tank thong tiara tie tights top
    tote tracksuit trainer trench trolley trousers trunks tunic turban t-shirt tuxedo umbrella underdress underskirt
    undershirt underwear uniform veil vest waistcoat wallet watch wellington windbreaker windcheater wrap wristband
    wristlet yoga-pants bottoms bottom crown garter-belt headpiece kaftan onesie swaddle bib bloomers cagoule
    churidar lungi sandals timepiece wristwatch eyewear holdall messenger laptop-bag sleeve-garter costume
    one-piece two-piece treggings claw co-ord slide sling wedge platform deodorant perfume lipstick lip-gloss nail-polish kajal
    mascara foundation concealer eyeshadow""")

PARTS = _words("""
    armhole ankle-strap applique badge band bead belt-loop bodice bow brim buckle button buttonhole cable-knit case
    casing chain clasp collar compartment cord cuff cup dart detail dial draw-cord drawcord drawstring drawstring-waist
    earflap elastication embellishment embroidery epaulet epaulette eyelet fastener fastening feather flap flounce fly
    footbed frame frill fringe front-placket gathering gather gem godet gusset handle heel hem hemline hinge hood hook
    insole knot lace lacing lapel leg lens lining logo loop lug midsole mirror motif neck neckline
    opening outsole overlay padding panel patch pearl peplum piping placket pleat pocket pom-pom press-stud rhinestone
    rib ribbing ribbon rivet ruching ruffle ruffles seam sequin shaft shank shoulder-strap side-stripe side-vent slit
    sleeve smocking snap sole spikes stitch stitching stone strap stud swoosh tab tassel temple toe toe-cap toecap
    tongue topstitching trim trimming tuck turn-up underwire upper vamp velcro vent visor waist waistband
    yoke zip zipper fit bezel crystal crown pull-tab toe-box sockliner crotch elastic v-neck u-neck turtleneck halterneck sleeve-hem braid wing tip rise print pattern
    stripe check leg-opening flower bow-tie crest heart star skull butterfly ball wire cap-toe piped""")

MATERIALS = _words("""
    acetate acrylic alloy angora boucle brass broderie broderie-anglaise brocade bamboo calico canvas cashmere chambray
    chenille chiffon chino corduroy cord cork cotton crepe crochet damask denim elastane eva faux-fur
    faux-leather felt flannel fleece fur gabardine georgette gold jacquard jersey jute khadi knit lace lambswool
    latex leather leatherette linen linen-blend lurex lycra lyocell mesh metal microfibre modal mohair moleskin muslin
    neoprene net nubuck nylon organza patent percale pique plastic plush polyamide polycarbonate polyester polyurethane
    poplin pu pvc raffia rayon resin rib rubber satin scuba seersucker sherpa silk silver spandex
    straw suede suedette sweatshirting synthetic taffeta tpu tencel terry textile thermoplastic towelling tricot tulle
    tweed twill velour velvet velveteen viscose weave wood wool wool-blend blend steel stainless-steel glass
    shearling pile yarn fabric chanderi tussar interlock""")

COLOURS = _words("""
    apricot aqua aubergine azure beige black blue bronze brown burgundy camel caramel champagne charcoal chocolate
    cobalt coffee copper coral cream crimson cyan ecru emerald fuchsia ginger gold golden graphite green greenish grey
    greyish greige gunmetal indigo ivory khaki lavender lemon lilac lime magenta maroon mauve metallic mint multi
    multicolour multicoloured mustard navy nude ochre off-white olive orange peach petrol pink pistachio plum purple
    red rose rose-gold rust salmon sand sapphire scarlet silver silvery steel-grey tan taupe teal terracotta tomato
    turquoise vanilla violet white wine yellow yellowish""")

COLOUR_SHADES = _words("""
    baby bottle bright burnt charcoal dark deep dusky dusty fluorescent greyish greenish hot ice light mid mint navy
    neon off olive pale pastel powder royal sky steel vivid wine yellowish charcoal rose caramel forest sea soft""")

PATTERNS = _words("""
    all-over animal-print argyle batik block-printed camouflage check checked checks chequered colour-block
    colour-blocked dip-dyed distressed dotted embellished embossed embroidered faded floral foil-printed geometric
    gingham glittery graphic-print hand-printed herringbone hound's-tooth houndstooth ikat leopard-print melange
    mixed-pattern paisley patterned pinstripe pinstriped plaid polka-dot printed self-striped snakeskin-print solid
    spotted stripe striped stripes tartan textured tie-dye tie-dyed tonal washed zebra-print placement-print marl
    marled ombre quilted sequined sequinned beaded studded pleated ruffled frilled ruched smocked layered
    shimmering glossy matt shiny sparkly""")

SHAPES = _words("""
    a-line adjustable ankle-length asymmetric asymmetrical baggy bell-bottom bootcut boxy brushed button-down buttoned
    calf-length cap-sleeved chunky close-fitting collarless crinkled crocheted crop cropped curved cut-out cuffed
    detachable double-breasted draped elasticated extra-long fine-knit fitted flared flat flounced flowing
    fold-over frayed fringed full full-length gathered half halter halterneck heeled high hip-length hooded
    hipster knee-length knitted lace-up lacy lightweight lined long longline loose low
    low-cut mandarin maxi medium micro mid-rise midi mini off-the-shoulder open over-the-knee oval oversized padded
    patch pencil perforated pointed pointy pre-tied printed puff puffed pull-on push-up racerback raglan
    rectangular reversible ribbed ripped round roll-neck rounded scooped seamless see-through semi-transparent
    sheer short shaping single-breasted skater skinny sleeveless slim slip-on slouchy smock-style
    square straight strapless straight-cut stretch stretchy tailored tapered thick thin thigh-length tied
    tiered transparent trimmed turtleneck twill twisted unlined v-shaped vented waist-length wedge wide wide-leg
    waterproof windproof wireless non-wired underwired wrapover wrap-over zip-up zipped zippered structured panelled
    polo spread peter-pan crew scoop boat cowl henley chinese round-toe peep-toe open-toe ballet gladiator kitten
    block stiletto ankle knee shoulder flap crossbody cross-body messenger travel gym sequin chain lace hair
    tank bikini swim sports sport casual formal running training track cargo bomber biker denim trucker puffer
    rain winter hoop stud cable drop pendant digital analog analogue chronograph aviator wayfarer
    cat-eye rimless magnetic reflective concealed contrast contrasting decorative envelope graphic narrow
    broad tall crossed criss-cross braided woven plaited 5-pocket five-pocket three-quarter 3/4 bell balloon
    trumpet lantern batwing dolman flutter bishop kimono notch notched shawl grandad band stand-up pussy-bow nehru
    shirt t-shirt sweatshirt vest tracksuit pyjama underwear innerwear lounge football basketball tennis
    cycling hiking skateboarding laptop duffel tote bucket hobo saddle sling clutch""")

GENDERS = {
    "men": "men's", "man": "men's", "men's": "men's", "mens": "men's", "women": "women's", "woman": "women's",
    "women's": "women's", "womens": "women's", "ladies": "women's", "girl": "girls'", "girls": "girls'",
    "girl's": "girls'", "girls'": "girls'", "boy": "boys'", "boys": "boys'", "boy's": "boys'", "boys'": "boys'",
    "kids": "kids'", "kid's": "kids'", "kid": "kids'", "baby's": "baby's", "unisex": "unisex",
}  # fmt: skip

# Nouns that make a compound modifier with the word before them: "short sleeve", "round neck", "slim fit".
COMPOUND_SECONDS = _words("""
    sleeve neck waist fit leg heel toe collar hem rise strap knit print pattern blend gauge weave fur leather
    wash cut cup length stripe check lining hood style sole pocket tip down dot face suede wool nylon steel""")

# Heads that mean something to the eye only with a modifier: "slim fit" is a concept, "fit" is not.
NEEDS_MODIFIER = _words("""fit pattern print detail rise style bottom front-placket leg neck waist opening tip case
    ball band front panel patch wing piece blend weave fabric textile yarn flat shaft seam hem elastication trim neckline fly fastening
    fastener stitch stitching gather tuck toe midsole lining lug loop groove overlay tab tongue badge insole gusset yoke
    thread hemline insert pad two-piece one-piece set""")

PLURAL_ONLY = _words("""
    bloomers bottoms boxers briefs capris cargos chinos culottes dungarees glasses goggles heels jeans jeggings joggers
    knickers leggings overalls panties pants pyjamas shorts sliders spikes sunglasses sweatpants swim-trunks tights
    trousers trunks yoga-pants eyeglasses spectacles hotpants pantyhose treggings""")

# Singular spellings of the above, as heads only ("pyjama" alone, but "pyjama top" keeps its modifier).
PLURAL_FORMS = {
    word[:-1]: word for word in PLURAL_ONLY if word not in {"shorts", "glasses", "heels", "boxers", "sliders", "spikes"}
} | {"boxer": "boxers"}

IRREGULAR_SINGULARS = {
    "scarves": "scarf", "headscarves": "headscarf", "leaves": "leaf", "halves": "half", "men": "man", "women": "woman",
    "children": "child", "feet": "foot", "hoodies": "hoodie", "beanies": "beanie", "ties": "tie", "bowties": "bowtie",
    "booties": "bootie", "onesies": "onesie", "nighties": "nightie", "lenses": "lens", "lens": "lens",
    "canvas": "canvas", "bias": "bias", "mules": "mule", "zippers": "zipper", "selfies": "selfie", "dungaree":
    "dungarees", "ballerinas": "ballerina", "saree": "sari", "sarees": "sari", "saris": "sari", "undies": "underwear",
    "kurtis": "kurti", "bras": "bra", "tees": "t-shirt", "tee": "t-shirt", "zips": "zip", "hounds": "hound",
}  # fmt: skip

STOP_NOUNS = _words("""
    ability absorption action activity addition air allure amount appeal approx area arch arm assortment atmosphere
    attention attitude attraction baby back bargain base beauty bit body bottom-half box breathability brand breeze
    business bust calf capacity care cash category centre century charge chest choice circulation class classic clean
    climate closet closure cloth cm collection colour combination combo comfort company composition condition confidence
    construction content contour control convenience country coverage craftsmanship creation cushioning customer
    date day denier depth design designer detergent diameter difference dimension display distance durability durable
    ease edge effect elegance element end ensemble environment essence essential event everyday evening excellence
    experience expression eye face family fan fashion fashionista feature feel feeling feet fiber fibre finish finishing
    flair flexibility foot form formal freedom freshness friction friend front function fun function gap girl grace grip
    gram ground guarantee guy hand hassle height help hip history home idea image impact impression inch individual
    influence inner inside inspiration interior item kid kind kit knee label lady layer length level life lifestyle
    light like line litre look love luxury machine maintenance make man manufacturer mark material matter mean
    measurement men minute mix mixture mm model moisture moment money month mood morning mount movement music name nature
    need night note number occasion odour office option order outdoors outfit outing outside pack package packet
    pair part party people perfection performance person personality photo picture piece place plan plus point power
    pressure price problem process product professional protection purpose quality quantity range ray reason region
    regular remark reminder resistance rest result road room rough row run safety sale school season sensation series
    set shade shape shine shop shopper shoulder side sight silhouette simplicity size skin something soft solution sort
    space speed sport spot spring stability stain standard state statement statistic step storage store strength street
    structure stuff style suggestion summer sun support surface sweat system task taste team technology teenager
    temperature texture thickness thigh thing time tone touch town traction tradition transition travel trend tribute
    trip tummy twist type unit usage use user uv value variety ventilation version versatility vibe view volume walk wall
    wardrobe warmth warranty wash water way wear wearability wearer weather week weekend weight while width wind winter
    woman women work workout world year youth cut zing revel freesize cms adapt visibility shock formstripe rectangle screw midfoot forefoot backfoot
    compostion composition insulation diagonal rsquo bacteria haul collection nod doubt staple must plenty lot bonus plate unknown section flare racer treatment string inseam total sheen shimmer gap content reuse gauge""")

STOP_MODIFIERS = _words("""
    small large big tiny able absolute additional all amazing ample another any appealing attractive authentic available awesome back basic
    beautiful best better bold both branded brilliant cheap chic classic classy clean clever comfortable comfy complete
    contemporary convenient cool couple cute daily delicate designer desired different discreet distinct durable each
    easy easy-to-wear eclectic edgy effortless elegant enough entire essential ethnic every everyday everyone excellent
    exceptional exclusive exquisite extended extra fabulous famous fantastic fashionable fast favourite few finest
    flattering flexible fresh front fun functional funky generous genuine glamorous good gorgeous great handy handmade
    happy high-quality hip iconic ideal immense important impressive improved inner inside integrated interesting
    intricate internal key last latest left less little lovely luxurious main many matching minimal minimalist modern
    more most much multiple must must-have natural neat new next nice normal old one only optimal optimum original other
    outer outside outstanding overall own partial particular perfect personal playful plus popular practical premium
    pretty pure quick quirky rear recycled refined regular relaxed reliable resistant rich right
    right-hand roomy rugged same second secure separate several sexy side simple smart smooth snug some
    special standard sturdy stunning stylish subtle such super superb superior sweet thoughtful three timeless total
    gentle real integral supersoft voluminous crisp outdoor unknown water-repellent good-quality
    traditional trendy true two typical ultimate unique upper urban useful usual utmost various versatile very vibrant
    vintage visible placed styled enhanced added preferred customized tough irresistible modified aggressive supportive colourful sophisticated ergonomic definite dainty designed stable alternate heavy supple well-fitting all-time freesize shaped coloured outer-shell high-abrasion trendy-yet-classic protected warm well whole wonderful xl xs xxl young youthful due inspired based made made-up worn
    partly first certain fast-drying quick-dry moisture-wicking breathable hard-wearing easy-care soft-touch approx
    customised brand-name half-lined logo-branded extra-soft airy light soft comfort style signature""")

# The tagger takes these for verbs or for nothing; they attach what follows to the garment before them.
WITH_WORDS = _words("with has have having features featuring feature includes including")
MADE_WORDS = _words("made crafted knitted woven cut knit constructed designed")
NEGATIONS = _words("no without not non minus sans")
SOFT_WORDS = _words(", and & or /")
FIT_WORDS = _words("regular relaxed loose slim skinny super-skinny comfort classic modern tailored oversized athletic easy")

NOUNS = GARMENTS | PARTS | MATERIALS
MODIFIERS = COLOURS | PATTERNS | SHAPES | COLOUR_SHADES | MATERIALS
_SUFFIXES = tuple(
    "dress shirt coat jacket skirt pants trousers jeans wear shoe boot bag band neckline sleeve pocket lace".split()
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
