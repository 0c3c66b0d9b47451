"""The positive word lists of fashion English: garments, parts, materials, colours, patterns, shapes.

All entries are normal forms (lower case; nouns singular unless the language only has the plural).
"""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


GARMENTS = word_set(
    """
    accessory achkan alice-band anarkali ankle-boot anklet anorak apron arm-warmer babydoll backpack bag baguette
    ballerina bandana bandeau bandhgala bangle barrette bath-robe bathing-suit bathrobe beach-dress beanie belt
    beltbag beret bib bikini bindi blazer bloomers blouse boa bobble bodycon bodysuit bolero bolo bomber bonnet
    boot bootie bottom bow bow-tie bowtie boxers boyshorts bra bracelet bralette brassiere briefs brogue brooch
    bum-bag bustier caftan cagoule camisole cap cape capris cardholder cardigan cargos charm-bracelet chelsea
    chemise chinos choker choli churidar claw clip-on clog clutch co-ord coat concealer corsage corset costume
    cover-up coverall coverup cravat crop-top crossbody crown cuff-link cufflink culottes cummerbund dangler
    deodorant derby dhoti dress dressing-gown drop-earring duffel dungarees dupatta ear-cuff earcuff earmuff
    earpiece earring espadrille eyeshadow eyewear fanny-pack fascinator fedora flats fleece-jacket flip-flop
    floater footie footwear foundation frock garter garter-belt ghagra gharara gilet glasses glove goggles gown
    gumboot hair-clip hair-tie hairband hairclip handbag handkerchief hat headband headpiece headscarf headwear
    headwrap heels hipster holdall hoodie hosiery hot-pants huarache innerwear jacket jeans jeggings jewellery
    jhumka jodhpuri jodhpurs joggers jumper jumpsuit jutti kaftan kajal key-ring keychain kimono kitten-heel
    knickerbockers knickers knitwear kolhapuri kurta kurti lace-up laptop-bag leg-warmer leggings legwarmer
    lehenga lehenga-choli leotard lingerie lip-gloss lipstick loafer loungewear lunchbox lungi maang-tikka mac
    mangalsutra mascara mask messenger mini-bag mitten moccasin mojari monk moonboot muff muffler mule nail-polish
    necklace nehru-jacket nightdress nightgown nightie nightshirt nightsuit nightwear nose-pin one-piece onesie
    overalls overcoat overshirt oxford palazzo palazzos panties pants pantsuit parasol pareo parka pashmina
    patiala payal pea-coat peacoat pendant peplum perfume petticoat pinafore pinny platform playsuit plimsoll
    pocket-square polo polo-neck poncho pouch pullover pump purse pyjamas raincoat ring robe romper romper-suit
    rucksack salwar sandal sandals saree sarong sash satchel scarf scrunchie set shacket shapewear sharara shawl
    shell-suit sherwani shirt shoe shorts shoulder-bag shrug singlet ski-suit skirt skort slacks sleepsuit
    sleepwear sleeve-garter slide sliders sling slingback slip-on slipdress slipper sneaker snood snowsuit sock
    spectacles sportswear stiletto stocking stole suit suitcase sun-hat sundress sunglasses sunhat suspender
    swaddle sweatband sweater sweatpants sweatshirt sweatsuit swim-trunks swimshorts swimsuit swimwear t-shirt
    tanga tank tankini tee-dress thobe thong tiara tie tights timepiece toe-ring tonga top tote tote-bag tracksuit
    tracksuit-bottoms trainer treggings trench trilby trolley trousers trunk trunks tunic turban tuxedo two-piece
    umbrella underdress undershirt underskirt underwear uniform unitard veil vest vest-top waistcoat wallet warmer
    watch watchband wedge weekender wellington windbreaker windcheater windjacket wrap wrap-dress wristband
    wristlet wriststrap wristwatch yoga-pants
    """
)

PARTS = word_set(
    """
    ankle-strap applique arm-band armhole backstrap badge ball band bead beading belt-loop bezel bib binding
    bodice border bottle-holder bow bow-tie braid brim buckle butterfly button buttonhole cable-knit cap-toe
    carabiner card-slot case casing chain chain-strap charm charm-pendant check cheekpiece chest-pocket clasp
    collar collar-stand compartment cord cord-lock cord-stopper crest crossbody-strap crotch crown crystal cuff
    cup cut-out cutout dart date-window detail detailing dial draw-cord drawcord drawstring drawstring-waist drop
    dropped-crotch ear earflap edge edging elastic elastication elbow-patch embellishment embroidery end epaulet
    epaulette eyelet fastener fastening feather finger-loop fit flap flounce flower fly foot-strap footbed frame
    frill fringe front-placket gather gathering gem gemstone godet gore grommet gusset halterneck handle hardware
    hardware-detail headband heart heel heel-counter heel-tab hem hemline hinge hole hood hood-cord hook
    hook-and-eye inlay insert inset insole key-hole keyhole knot kundan lace lace-edge laces lacing lapel
    lattice-strap leg leg-opening lens lettering liner lining lobster-clasp logo loop lug lug-sole medallion
    midsole mirror mirror-work monogram motif nameplate neck neckline nose-pad nosepad opening outsole overlay
    overlock-seam pad padding paillette panel panelling patch patch-pocket patchwork pattern pearl pendant peplum
    piece pin-tuck pintuck piped piping placket pleat pocket pom-pom pom-poms press-stud print pull-loop pull-tab
    quilting racerback rhinestone rib ribbing ribbon ridge rise rivet rosette ruching ruff ruffle ruffles sash
    scallop seam sequin shaft shank shell shoelace shoulder shoulder-pad shoulder-strap side-seam side-stripe
    side-vent skull sleeve sleeve-hem sleeve-tab slider slit slot smocking snap sockliner sole spike spikes star
    stitch stitching stone storm-flap strap strass stripe stud style sub-dial subdial swoosh tab tag tape tassel
    temple thumb-hole thumbhole tie-belt tie-string tier tip tipping toe toe-box toe-cap toecap toggle tongue
    top-stitching topstitching trim trimming tuck turn-up turtleneck u-neck underwire upper v-neck vamp velcro
    vent visor waist waist-tie waistband webbing window wing wire work wristband yoke zardozi zip zip-pull
    zip-puller zipper zirconia
    """
)

MATERIALS = word_set(
    """
    acetate acrylic alloy alpaca angora art-silk bamboo batiste bemberg bengaline blend boucle brass broadcloth
    brocade broderie broderie-anglaise bronze buckskin calfskin calico cambric camel-hair canvas cashmere ceramic
    chambray chanderi chenille cheviot chiffon chikankari china-silk chino coated-cotton coolmax copper cord corduroy
    cork cotton cotton-voile cowhide crepe crochet crocodile cupro damask denim dobby drill duchesse dupion elastane
    elasthan elasthane enamel eva eyelash fabric faux-fur faux-leather faux-shearling faux-suede felt filigree fishnet
    flannel flax fleece flyknit foam french-terry fur gabardine georgette glass goatskin gold gore-tex grosgrain
    guipure habotai hemp homespun horsehair interlock jacquard jersey jute khadi kidskin knit kota lace lambskin
    lambswool lame latex leather leather-look leatherette linen lizard loden lucite lurex lycra lyocell madras mako
    marabou marble melton merino mesh mesh-knit metal metallic-yarn microfibre mikado modal mohair moire moleskin
    monk-cloth moquette mother-of-pearl mousseline mulberry-silk muslin nappa neoprene net nubuck nylon oilcloth
    organdie organza ostrich ottoman oxford-cloth patent pearl pebbled-leather percale perspex pewter pile pima pique
    plastic platinum plexiglass plush poly-cotton polyamide polycarbonate polycotton polyester polyurethane pongee
    ponte ponyskin poplin pu pvc python raffia ramie rattan rayon resille resin rhodium rib ripstop rope rubber
    sapphire-crystal sateen satin scrim scuba seersucker sequined-mesh shearling sheepskin sherpa silicone silk
    silk-blend silver slub snakeskin softshell spacer spandex stainless-steel steel straw stretch-cotton suede
    suede-leather suedette supima sweatshirting synthetic taffeta tarpaulin tencel terry textile thermoplastic
    titanium tortoiseshell towelling tpu tricot tulle tussah tussar tweed twill vellum velour velvet velveteen vicuna
    vinyl viscose viscose-blend voile waxcloth weave whipcord wicker wickerwork wood wool yarn zari zibeline
    """
)

COLOURS = word_set(
    """
    almond amber amethyst anthracite apricot aqua aquamarine ash aubergine azure beige bisque black blonde blue blush
    bone brick bronze brown bubblegum buff burgundy burnt-orange butter camel canary caramel cerise cerulean chalk
    champagne charcoal chartreuse cherry chocolate cinnamon citron cobalt coffee cognac copper coral cornflower
    cranberry cream crimson cyan dark-blue dark-grey denim-blue dove ecru eggplant eggshell emerald fawn flamingo
    forest fuchsia fuschia ginger gold gold-toned golden granite graphite green greenish greige grey greyish gunmetal
    hazel heather henna honey indigo ink ivory khaki lavender lemon lemon-yellow light-blue light-grey lilac lime
    magenta mahogany mango maroon mauve merlot metallic mint mocha mulberry multi multicolored multicolour
    multicoloured mushroom mustard navy nude nutmeg oatmeal ochre off-white olive onyx orange orchid oxblood papaya
    parchment peach peacock pearl-white periwinkle petrol pewter pink pistachio platinum plum porcelain purple putty
    raspberry red rose rose-gold ruby russet rust saffron sage salmon sand sandstone sapphire scarlet sepia sienna
    silver silver-toned silvery slate smoke steel-grey strawberry sunflower tan tangerine taupe teal terracotta
    tobacco toffee tomato topaz turquoise umber vanilla vermilion violet walnut watermelon wheat white wine wisteria
    yellow yellowish zinc
    """
)

COLOUR_SHADES = word_set(
    """
    acid antique ash baby blush bottle brick bright burnt caramel charcoal cherry chocolate coal cobalt cornflower
    dark deep dusky dusty electric fluo fluorescent forest greenish greyish heather hot ice icy ink lemon light mid
    midnight mint moss mustard navy neon ocean off olive pale pastel peacock petrol powder prussian rose royal rust
    sage sea sky slate soft steel sterling tan turquoise vivid wine yellowish
    """
)

PATTERNS = word_set(
    """
    abstract acid-wash acid-washed ajrakh all-over anchor animal animal-print argyle argyll aztec bandhani barcode
    batik bead-embellished beaded beadwork bicolour bicoloured birdseye bleached block-coloured block-print
    block-printed botanical brocaded broderie camo camouflage camouflaged cartoon check checked checks chequered
    chevron colour-block colour-blocked colourblock contrast conversational crackled crochet-trimmed damask-print
    diagonal-stripe digital-print dip-dyed distressed ditsy dogtooth dot dotted dyed embellished embossed embroidered
    ethnic-print faded fair-isle fleck flecked flocked floral floral-embroidered foil-printed foiled frilled
    garment-dyed geometric gingham glitter glittery glossy gradient graffiti graphic graphic-print grid hand-block
    hand-embroidered hand-painted hand-printed hawaiian heathered herringbone hound's-tooth houndstooth ikat
    illustrated jacquard-woven kalamkari kundan-studded lattice layered leheriya leopard leopard-print logo-print
    mandala marbled marl marled matt mehendi melange micro-print mirrored mixed-pattern mosaic motif-print mottled
    nautical nordic novelty-print ombre ornate overdyed oxidised paint-splatter paisley palm patchwork patterned
    phulkari pin-dot pinstripe pinstriped pixel placement-print plaid plain pleated polka polka-dot prince-of-wales
    printed psychedelic quilted rhinestone-studded ruched ruffled self-striped sequin-embellished sequined sequinned
    shibori shimmering shiny slogan smocked snakeskin-print solid space-dyed sparkly speckled spot spotted stone-wash
    stonewashed stripe striped stripes stud-embellished studded tartan textured thread-work threadwork tie-dye
    tie-dyed toile tonal tone-on-tone tricolour tropical two-tone typographic warli washed watercolour whipstitched
    windowpane woven-design yarn-dyed zebra zebra-print zig-zag zigzag
    """
)

SHAPES = word_set(
    """
    3/4 5-pocket a-line adjustable all-in-one analog analogue ankle ankle-length ankle-strap arched asymmetric
    asymmetrical athletic aviator back-zip badminton baggy balconette ballerina-length ballet balloon band bardot
    barrel basketball bateau batwing beach beaded bell bell-bottom bell-sleeve bi-fold bias-cut big bike-style
    biker bikini bishop block blouson boat bodycon bomber bonded boot-cut bootcut bow-front box-pleat boxy
    boyfriend braided bralette broad broad-brim brushed brushed-metal bubble bucket buckled buffed bustier
    button-down button-fly button-front button-through button-up buttoned buttonless cable cable-knit calf-length
    camp cap-sleeved cap-toe cape-style cargo carpenter casual cat-eye chain chelsea chest chinese choker
    chronograph chukka chunky cigarette circle circular clog close-fitting clutch coated cocktail coin
    cold-shoulder collared collarless column combat commando compression concealed contrast contrasting
    convertible cowl crew crew-neck crewneck cricket crinkled criss-cross croc crocheted crop cropped cross
    cross-body cross-over crossbody crossed crossover crushed cuffed cupped curve curved cushioned cut-out cutaway
    cutout cycling dad deck decorative deep denim derby desert detachable diamond digital dinosaur disc dolman
    double double-breasted double-layered double-strap draped drawcord drawstring driving drop drop-crotch
    drop-shoulder dropped dual-tone duffel elastic elasticated elasticised embossed embroidered empire encrusted
    engagement engraved envelope evening extra-long extra-wide fake fascinator fine-knit fingerless fisherman
    fit-and-flare fitted five-pocket flap flapped flared flat flat-front flatform flexi floor-length
    floor-sweeping flounced flowing fluted flutter fold-over foldable folded foldover footless formal four-in-hand
    four-panel frayed fringed front-tie front-zip full full-length full-zip funnel funnel-neck gathered
    gathered-waist gladiator glossy goalkeeper godet gold-plated golf grained grandad graphic gym hair half
    half-zip halter halterneck hammered hand-knitted hand-woven handkerchief harem heart heart-shaped heavyweight
    heeled henley hexagonal hidden high high-leg high-low high-neck high-top hiking hinged hip-length hipster hobo
    hooded hook-and-bar hoop horizontal horseshoe hourglass hunter innerwear invisible jewel jeweled jewelled
    jumbo kangaroo kent keyhole kick-flare kimono kimono-sleeve kitten knee knee-high knee-length knitted knotted
    lace lace-trimmed lace-up laced lacy ladder laminated lantern lantern-sleeve laptop large lattice layer
    lightweight lined lobster logo long longline loop-back looped loose loose-fit loose-fitting lounge low low-cut
    low-heel low-heeled low-rise low-top low-waisted magnetic mandarin maxi medium mermaid messenger metal-free
    micro mid mid-calf mid-heel mid-length mid-rise mid-thigh mid-top mid-waist midi military mini mock mock-neck
    mom monk moto motorcycle moulded multi-pocket multi-strand multi-strap nail-head nappa narrow neck-tie nehru
    non-wired nose notch notched notched-lapel nursing octagonal off-shoulder off-the-shoulder oiled one-button
    one-shoulder opaque open open-back open-front open-knit open-toe oval oval-shaped over-the-knee overlapping
    overlocked oversize oversized oxidized padded padlock palazzo panelled paper-bag paperbag paracord party patch
    patched peaked pebbled peep-hole peep-toe peg pegged pencil pendant perforated peter-pan pillbox pilot pin
    pinched plaited plated pleat-front plunging pointed pointy polarised polarized polo polo-neck pom-pom pouch
    pre-tied princess printed puff puffed puffer pull pull-on push-up pussy-bow pyjama pyramid quarter-zip
    quick-release quilt racerback raglan rain rainbow raised ranch raw raw-edge rectangular reflective removable
    retro-style reversible rhodium-plated rib rib-knit ribbed ridged riding rigid rimless ripped roll roll-neck
    roll-top roll-up rolled rolled-up rope round round-toe rounded rubberised rubberized ruffle-trimmed ruffled
    rugby running saddle safari sailor salwar scalloped scoop scooped screen-printed seamless see-through
    semi-fitted semi-formal semi-sheer semi-transparent sequin set-in shaping shawl shawl-collar sheath sheer
    shell-shaped shift shirt short shoulder shoulder-padded shrunken side-release side-slit side-tie silver-plated
    single-breasted single-button single-strap skateboarding skater ski skinny slant slanted slash sleeveless slim
    slim-cut slimline sling slip slip-on slit slouch slouchy small smart-casual smock-style smocked snap
    snap-fastening snorkel soccer solitaire spaghetti spaghetti-strap speckle spike sport sports spread
    spread-collar square square-toe squared stackable stacked stand stand-collar stand-up star-shaped
    statement-sleeve step-hem sterling stiff stiletto stitched straight straight-cut straight-leg strapless
    strappy stretch stretch-woven stretchy string structured stud studio summer sun sundress super-skinny surf
    surplice sweater sweatshirt sweetheart swim swing swing-style swiss t-bar t-shirt t-strap tailored tall tank
    tapered tassel tasseled tasselled teardrop teddy tennis thermal thick thick-soled thigh-high thigh-length thin
    thong three-button three-piece three-quarter tie tie-front tie-neck tie-side tie-waist tied tiered tight
    tight-fitting tinted tipped toe toggle top-handle tortoise tote track tracksuit trail training transparent
    trapeze travel trekking trench triangle triangular trimmed trucker trumpet tube tubular tuck-in tulip tunnel
    turn-down turn-up turned-down turned-up turtleneck twill twist twist-front twisted two-button two-way u-shaped
    underwear underwired unisex-style unlined unstitched unstructured utility v-back v-front v-shaped vented
    vertical vest volleyball waffle waffle-knit waist-length waisted walking water-repellent waterproof wavy waxed
    wayfarer wedding wedge wedge-heel welt western wet-look whole-cut wholecut wide wide-brim wide-brimmed
    wide-cut wide-fit wide-leg wide-strap windproof wing wingtip winter wireless workout woven wrap wrap-around
    wrap-front wrap-over wrap-style wraparound wrapover wrist yoga yoke zip zip-front zip-through zip-top zip-up
    zipped zippered
    """
)
