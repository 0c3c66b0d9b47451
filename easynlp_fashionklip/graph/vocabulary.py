"""The positive word lists of fashion English: garments, parts, materials, colours, patterns, shapes.

All entries are normal forms (lower case; nouns singular unless the language only has the plural).
"""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


GARMENTS = word_set(
    """
    abaya accessory achkan alice-band anarkali angarkha anklet anorak apron arm-warmer aviators babydoll babygro
    backpack bag baguette balaclava ballerina bandana bandeau bandhgala bangle barrette basque bath-robe
    bathing-suit bathrobe beanie belt beltbag beret bermudas bib bikini bindi blazer bloomers blouse blouson boa
    boardshorts boater bobble bodycon bodysuit bodywarmer bolero bolo bomber bonnet boot bootee bootie bottom bow
    bow-tie bowtie boxers boyshorts bra bracelet bralet bralette brassiere breeches briefcase briefs brogue brooch
    bum-bag bumbag burkini burqa bustier caftan cagoule cameo camisole cap cape capelet capris cardholder cardigan
    cargos chandbali chappal chelsea chemise cheongsam chinos choker choli churidar claw clip-on cloak cloche clog
    clutch co-ord coat concealer corsage corset costume cover-up coverall coverup cravat creeper crop-top
    crossbody crown cuff-link cufflink culottes cummerbund dangler dashiki deerstalker deodorant derby dhoti
    dirndl dress dressing-gown duffel duffle dungarees dupatta ear-cuff earband earcuff earmuff earpiece earring
    espadrille eyeshadow eyewear fanny-pack fascinator fedora fez flatform flats flip-flop floater footie footwear
    foundation frock gaiter galoshes garter garter-belt ghagra gharara gilet glasses glove goggles gown greatcoat
    guernsey gumboot hair-clip hair-tie hairband hairclip hairgrip hairpin handbag handkerchief haori harrington
    hat headband headpiece headscarf headwear headwrap heels hijab hipster hold-ups holdall hoodie hosiery
    hot-pants housecoat huarache innerwear jacket jeans jeggings jerkin jewellery jhumka jockstrap jodhpuri
    jodhpurs joggers jumper jumpsuit jutti kada kaftan kajal kameez key-ring keychain keyfob keyring kilt kimono
    kitten-heel knickerbockers knickers knitwear kolhapuri kurta kurti lace-up lanyard lariat lederhosen
    leg-warmer leggings legwarmer lehenga lehenga-choli leotard lingerie lip-gloss lipstick loafer locket
    loungewear luggage lunchbox lungi maang-tikka mac mackintosh mangalsutra mantle mascara mask messenger
    minaudiere mitten moccasin mojari monk monokini moonboot muff muffler mule mundu nail-polish nath neckerchief
    necklace negligee nightdress nightgown nightie nightshirt nightsuit nightwear nose-pin one-piece onesie
    overalls overcoat overshirt overshoe oxford palazzos panama panties pants pantsuit parasol pareo parka
    pashmina patiala payal pea-coat peacoat pendant peplum perfume petticoat pinafore pinny platform playsuit
    plimsoll pochette pocket-square polo polo-neck poncho portfolio pouch pramsuit pullover pump purse pyjamas
    qipao raincoat rashguard ring robe romper ruana rucksack salopettes salwar sandal sandals saree sarong sash
    satchel scarf scrunchie serape set shacket shapewear sharara shawl shell-suit sherwani shirt shoe shorts shrug
    singlet skirt skort slacks sleepsuit sleepwear sleeve-garter slide sliders sling slingback slip slip-on
    slipdress slipover slipper smartwatch smock sneaker snood snowsuit sock sombrero spectacles sportswear stetson
    stiletto stocking stole suit suitcase sun-hat sundress sunglasses sunhat suspender swaddle sweatband sweater
    sweatpants sweatshirt sweatshorts sweatsuit swimdress swimshorts swimsuit swimwear t-shirt tailcoat tanga tank
    tankini teddy thermals thobe thong tiara tie tie-clip tie-pin tights timepiece tonga top topcoat torc torque
    tote tracksuit trainer treggings trench trenchcoat trikini trilby trolley trousers trunk trunks tunic turban
    tuxedo twinset two-piece ulster umbrella underdress undershirt underskirt underwear uniform unitard veil
    veshti vest waistcoat wallet warmer watch watchband wayfarers wedge weekender wellies wellington wetsuit
    windbreaker windcheater windjacket wrap wristband wristlet wriststrap wristwatch yoga-pants
    """
)

PARTS = word_set(
    """
    applique arm-band armhole backstrap badge bail ball band bead beading bezel bib binding bodice boning border
    bow bow-tie braid bridge brim broguing buckle butterfly button buttonhole cable-knit cabochon cap-toe
    carabiner case casing chain charm check cheekpiece clasp cleat collar collar-stand compartment cord cord-lock
    cord-stopper crease crest  crown crystal cuff cup cut-out cutout dart detail detailing dial divider dori
    draw-cord drawcord drawstring drop dropped-crotch ear earflap edge edging elastic elastication embellishment
    embroidery end epaulet epaulette eyelet eyestay facet fastener fastening feather filling fit flap flounce
    flower fly footbed foxing frame frill fringe frogging front-placket gather gathering gem gemstone godet gore
    gorget grommet gusset halterneck handle hardware headband heart heel heel-counter hem hemline hemstitch hinge
    holder hole hood hook hook-and-eye inlay insert inset insole interlining jabot keeper key-hole keyhole knot
    kundan lace laces lacing lapel latkan leg lens lettering liner lining logo loop lug medallion midsole mirror
    mirror-work monogram motif nameplate neck neckline nosepad numeral opening outsole overlay pad padding padlock
    paillette pallu panel panelling patch patchwork pattern pearl pendant peplum piece pin-tuck pintuck piped
    piping placket pleat pocket polka-dot pom-pom pom-poms popper press-stud print pull-tab pusher pussybow
    quilting racerback rhinestone rib ribbing ribbon ridge rim rise rivet rosette ruching ruff ruffle ruffles sash
    scallop seam self-tie selvedge sequin shaft shank shell shirring shoelace shoulder skull sleeve slider slit
    slogan slot smocking snap sockliner sole solitaire spike spikes star stitch stitching stone strap strass strip
    stripe stud style sub-dial subdial swoosh tab tag tape tassel temple thumb-hole thumbhole tie-string tier tip
    tipping toe toe-box toe-cap toecap toggle tongue top-stitching topstitch topstitching trim trimming tuck
    turn-up turnlock turtleneck u-neck underwire upper v-neck vamp velcro vent visor wadding waist waistband
    webbing welt window wing wingtip wire work wristband yoke zardozi zip zip-pull zip-puller zipper zirconia
    """
)

MATERIALS = word_set(
    """
    acetate acrylic agate alloy alpaca angora astrakhan bakelite bamboo banarasi batiste bemberg bengaline blend
    boucle brass broadcloth brocade broderie broderie-anglaise bronze buckskin calfskin calico cambric camel-hair
    canvas cashmere ceramic chambray chanderi chenille cheviot chiffon chikankari chino citrine coolmax copper
    coral cord cordovan cordura corduroy cork cotton cowhide crepe crinoline crochet crocodile cupro damask
    deerskin denim diamond dobby drill duchesse dupion elastane elasthan elasthane enamel eva eyelash fabric
    faux-fur faux-leather faux-shearling faux-suede felt filigree fishnet flannel flax fleece flyknit foam fur
    gabardine garnet georgette glass goatskin gold gore-tex grosgrain guipure habotai hematite hemp homespun
    horsehair interlock jacquard jade jamdani jersey jute kanjivaram khadi kidskin knit kota lace lambskin
    lambswool lame lapis latex leather leather-look leatherette linen lizard loden lucite lurex lycra lyocell
    madras maheshwari mako malachite marabou marble mashru melton merino mesh metal microfibre mikado mink modal
    mohair moire moleskin monk-cloth moonstone moquette mother-of-pearl mousseline mulmul muslin nappa neoprene
    net netting nubuck nylon oilcloth onyx opal organdie organza ostrich ottoman oxford-cloth palladium patent
    pearl peccary percale peridot perspex pertex pewter pigskin pile pima pique plastic platinum plexiglass plush
    poly-cotton polyamide polycarbonate polycotton polyester polyurethane pongee ponte pony-hair ponyskin poplin
    primaloft pu pvc python quartz raffia ramie rattan rayon resille resin rexine rhodium rib ripstop rope rubber
    saffiano sateen satin scrim scuba seagrass seersucker shearling sheepskin sherpa silicone silk silver sisal
    slub snakeskin softshell spacer spandex stainless-steel steel straw suede suedette supima sweatshirting
    synthetic taffeta tarpaulin taslan tencel terry textile thermoplastic thinsulate titanium tortoiseshell
    towelling tpu tricot tulle tungsten tussah tussar tweed twill vachetta vellum velour velvet velveteen vermeil
    vicuna vinyl viscose voile waxcloth weave whipcord wicker wickerwork wood wool worsted yarn zari zibeline
    """
)

COLOURS = word_set(
    """
    almond amber amethyst anthracite apricot aqua aquamarine ash aubergine azure beige bisque black blonde blue
    blush bone brick bronze brown bubblegum buff burgundy burnt-orange butter camel canary caramel cerise cerulean
    chalk champagne charcoal chartreuse cherry chocolate cinnamon citron cobalt coffee cognac copper coral
    cornflower cranberry cream crimson cyan dark-blue dark-grey denim-blue dove ecru eggplant eggshell emerald
    fawn flamingo forest fuchsia fuschia ginger gold gold-toned golden granite graphite green greenish greige grey
    greyish gunmetal hazel heather henna honey indigo ink ivory khaki lavender lemon lemon-yellow light-blue
    light-grey lilac lime magenta mahogany mango maroon mauve merlot metallic mint mocha mulberry multi
    multicolored multicolour multicoloured mushroom mustard navy nude nutmeg oatmeal ochre off-white olive onyx
    orange orchid oxblood papaya parchment peach peacock pearl-white periwinkle petrol pewter pink pistachio
    platinum plum porcelain purple putty raspberry red rose rose-gold ruby russet rust saffron sage salmon sand
    sandstone sapphire scarlet sepia sienna silver silver-toned silvery slate smoke steel-grey strawberry
    sunflower tan tangerine taupe teal terracotta tobacco toffee tomato topaz tortoiseshell turquoise umber
    vanilla vermilion violet walnut watermelon wheat white wine wisteria yellow yellowish zinc
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
    abstract acid-wash acid-washed ajrakh all-over anchor animal animal-print aran argyle argyll aztec bandhani
    bandhej barcode baroque batik bead-embellished beaded beadwork bicolour bicoloured birdseye bleached
    block-coloured block-print block-printed botanical breton brocaded broderie buffalo butterfly camo camouflage
    camouflaged candy-stripe cartoon check checked cheetah chequered chevron chikan colour-block colour-blocked
    colourblock contrast conversational crackled crochet-trimmed damask damask-print diagonal-stripe digital-print
    dip-dyed distressed ditsy dogtooth donegal dot dotted dyed embellished embossed embroidered ethnic-print faded
    fair-isle fairisle fleck flecked fleur flocked floral floral-embroidered foil-printed foiled frilled galaxy
    garment-dyed geometric gingham giraffe glen glitter glittery glossy gota-patti gradient graffiti graphic
    graphic-print grid hand-block hand-embroidered hand-painted hand-printed harlequin hawaiian heathered
    herringbone hound's-tooth houndstooth ikat illustrated intarsia jacquard-woven jaspe kalamkari kundan
    kundan-studded lattice layered leheriya leopard leopard-print liberty logo-print mandala marbled marl marled
    matt meenakari mehendi melange micro-print mirrored mixed-pattern mosaic motif-print mottled nailhead nautical
    nordic novelty-print ombre ornate overdyed oxidised paint-splatter paisley palm patchwork patterned phulkari
    pin-dot pinstripe pinstriped pixel placement-print plaid plain pleated polka polka-dot polki prince-of-wales
    printed psychedelic quilted rhinestone-studded ruched ruffled self-striped sequin-embellished sequined
    sequinned shibori shimmering shiny slogan smocked snake snakeskin-print solid space space-dyed sparkly
    speckled spot spotted stone-wash stonewashed stripe striped stud-embellished studded tartan tattersall
    textured thread-work threadwork tie-dye tie-dyed tiger toile tonal tone-on-tone tricolour tropical two-tone
    typographic warli washed watercolour whipstitched windowpane woven-design yarn-dyed zebra zebra-print zig-zag
    zigzag
    """
)

SHAPES = word_set(
    """
    3/4 5-pocket a-line adjustable all-in-one analog analogue angel angular ankle ankle-length ankle-strap arched
    asymmetric asymmetrical athletic automatic aviator back-zip badminton baggy baguette baker-boy balconette
    ballerina-length ballet balloon band bardot barn barrel baseball basket basketball bateau batwing beach beaded
    belcher bell bell-bottom bell-sleeve bellows besom bi-fold bias-cut bib bib-front big bike-style biker bikini
    bishop block blouson boat bobble bodycon boiled bomber bonded boot-cut bootcut bow-front bowler box box-pleat
    boxy boyfriend braided bralette broad broad-brim brushed brushed-metal bubble bucket buckled buffed bump
    burnished bustier butterfly button-down button-front button-through button-up buttoned buttonless cable
    cable-knit calf-length camera camp cap-sleeved cap-toe cape-style car cargo carpenter carrot carry casual
    cat-eye chain chandelier chelsea chest chinese choker chronograph chukka chunky cigarette circle circular clog
    close-fitting club clubmaster clutch coated cocktail coin cold-shoulder collared collarless column combat
    commando compression concealed cone contrast contrasting convertible court cowboy cowl crew crew-neck crewneck
    cricket crinkled criss-cross croc crocheted crop cropped cross cross-body cross-over cross-stitch crossbody
    crossed crossover crushed crystal-set cuban cubic cuffed cupped curb curve curved cushioned cut-out cutaway
    cutout cycling dad dangle deck decorative deep denim derby desert detachable diamond digital dinosaur disc
    doctor dolman double double-breasted double-layered double-strap draped drawcord drawstring driving drop
    drop-crotch drop-shoulder dropped dual-tone duffel duffle duster egyptian elastic elasticated elasticised
    elbow-length embossed embroidered empire encrusted engagement engraved envelope enzyme-washed evening
    extra-long extra-wide fake fascinator felted figaro fine-knit fingerless fisherman fishtail fit-and-flare
    fitted five-panel five-pocket flap flapped flared flat flat-front flatform flexi floor-length floor-sweeping
    flounced flowing fluted flutter fold-over foldable folded foldover footless formal four-in-hand four-panel
    frayed french freshwater fringed front-tie front-zip full full-grain full-length funnel funnel-neck
    garment-washed gathered gathered-waist girlfriend gladiator glossed glossy goalkeeper godet gold-plated golf
    grained grandad graphic gripper gym hair half halter halterneck hammered hand-finished hand-knitted
    hand-stitched hand-woven handkerchief harem heart heart-shaped heavyweight heeled helmet-compatible henley
    hexagonal hidden high high-leg high-low high-neck high-top hiking hinged hip-length hipster hobo hooded
    hook-and-bar hoop horizontal horseshoe hourglass huggie hunter illusion innerwear invisible jetted jewel
    jeweled jewelled juliet jumbo kangaroo kent keyhole kick-flare kimono kimono-sleeve kitten knee knee-high
    knee-length knitted knotted lace lace-trimmed lace-up laced lacy ladder laminated lantern lantern-sleeve
    laptop large lattice layer leg-of-mutton lightweight lined lobster logo long longline loop-back loopback
    looped loose loose-fit loose-fitting louis lounge low low-cut low-heel low-heeled low-rise low-top low-waisted
    luggage magnetic mandarin marquise maxi medium mermaid messenger metal-free micro mid mid-calf mid-heel
    mid-length mid-rise mid-thigh mid-top mid-waist midi milanese military milled mini mock mock-neck mom monk
    moto motorcycle moulded multi-pocket multi-strand multi-strap nail-head nappa napped narrow neck-tie nehru
    newsboy non-wired nose notch notched notched-lapel nursing octagonal off-shoulder off-the-shoulder oiled omega
    one-button one-shoulder opaque open open-back open-front open-knit open-toe oval oval-shaped over-the-knee
    overlapping overlocked oversize oversized oxidized padded padlock palazzo panama panelled paper-bag paperbag
    paracord party patch patched pave peaked pebble-grain pebbled peep-hole peep-toe peg pegged pen pencil pendant
    perforated petal peter-pan photochromic pigment-dyed pillbox pilot pin pinched plaited plated pleat-front
    plunging poet pointed pointy polarised polarized polo polo-neck pom-pom pouch powder pre-tied princess printed
    puff puffball puffed puffer pull pull-on punched push-up pussy-bow pussybow pyjama pyramid quartz queen-anne
    quick-release quilt racerback raglan rain rainbow raised ranch raw rectangular reflective removable
    retro-style revere reversible rhodium-plated rib rib-knit ribbed ridged riding rigid rimless ripped roll
    roll-neck roll-top roll-up rolled rolled-up rope round round-toe rounded rubberised rubberized ruffle-trimmed
    ruffled rugby running saddle safari sailor salwar scalloped scoop scooped screen-printed seamless see-through
    semi-fitted semi-formal semi-rimless semi-sheer semi-transparent sequin set-in shaping shawl shawl-collar
    sheath sheer shell-shaped shield shift shirt short shoulder shoulder-padded shrunken side-release side-slit
    side-tie signet silver-plated single-breasted single-button single-strap skateboarding skater skeleton ski
    skinny slant slanted slash sleeveless slim slim-cut slimline sling slip slip-on slit slouch slouchy small
    smart-casual smock-style smocked snap snap-fastening snapback snorkel snow soccer solitaire spaghetti
    spaghetti-strap speckle spike spool sport sports spread spread-collar spring square square-toe squared
    stackable stacked stand stand-collar stand-up star-shaped statement-sleeve step-hem sterling stiff stiletto
    stitched stone-washed straight straight-cut straight-leg strapless strappy stretch stretch-woven stretchy
    string structured stud studio sueded summer sun sundress sunray super-skinny surf surplice sweat-wicking
    sweater sweatshirt sweetheart swim swing swing-style swingy swiss t-bar t-shirt t-strap tailored tall tank
    taped tapered tassel tasseled tasselled tea-length teardrop teddy tennis thermal thick thick-soled thigh-high
    thigh-length thin thong three-button three-quarter tie tie-front tie-neck tie-side tie-waist tied tiered tight
    tight-fitting tinted tipped toe toggle tonneau top-grain top-handle tortoise tote track tracksuit trail
    training transparent trapeze trapper travel treaded trekking trench triangle triangular trimmed trucker
    trumpet tube tubular tuck-in tulip tunnel turn-down turn-up turned-down turned-up turtleneck twill twist
    twist-front twisted two-button two-way u-shaped underwear underwired unisex-style unlined unstitched
    unstructured utility v-back v-front v-shaped vegetable-tanned vented vertical vest volleyball waffle
    waffle-knit waist-cinching waist-length waisted walking water-repellent waterfall waterproof wavy waxed
    wayfarer wedding wedge wedge-heel welt welted western wet-look whole-cut wholecut wide wide-brim wide-brimmed
    wide-cut wide-fit wide-leg wide-strap windproof wing wingtip winter wireless workout workwear woven wrap
    wrap-around wrap-front wrap-over wrap-style wraparound wrapover wrist yoga yoke zip zip-front zip-off
    zip-through zip-top zip-up zipped zippered relaxed haul calf
    """
)
