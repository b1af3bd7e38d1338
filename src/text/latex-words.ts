/** What a person says for the commands and signs of a formula. */

const named = (names: string): ReadonlyArray<readonly [string, string]> =>
  names.split(" ").map((name) => [name, name.replace(/^var/, "")])

/** Commands that are said as they are called: Greek letters, and functions with a name of their own. */
const SAME = named(
  "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi omicron pi varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega min max arg det dim gcd deg exp nabla mod",
)

/** Commands without arguments. */
const SYMBOLS: ReadonlyArray<readonly [string, string]> = [
  ...SAME,
  ...Object.entries({
    sin: "sine",
    cos: "cosine",
    tan: "tangent",
    cot: "cotangent",
    sec: "secant",
    csc: "cosecant",
    arcsin: "arc sine",
    arccos: "arc cosine",
    arctan: "arc tangent",
    log: "log",
    ln: "natural log",
    lim: "limit",
    sup: "supremum",
    inf: "infimum",
    times: "times",
    cdot: "times",
    ast: "times",
    div: "divided by",
    pm: "plus or minus",
    mp: "minus or plus",
    le: "less than or equal to",
    leq: "less than or equal to",
    ge: "greater than or equal to",
    geq: "greater than or equal to",
    lt: "less than",
    gt: "greater than",
    ll: "much less than",
    gg: "much greater than",
    ne: "not equal to",
    neq: "not equal to",
    approx: "approximately",
    equiv: "equivalent to",
    sim: "similar to",
    simeq: "approximately",
    cong: "congruent to",
    propto: "proportional to",
    infty: "infinity",
    sum: "sum",
    prod: "product",
    int: "integral",
    iint: "double integral",
    oint: "contour integral",
    partial: "partial",
    to: "to",
    rightarrow: "to",
    longrightarrow: "to",
    leftarrow: "from",
    mapsto: "maps to",
    Rightarrow: "implies",
    implies: "implies",
    iff: "if and only if",
    Leftrightarrow: "if and only if",
    in: "in",
    notin: "not in",
    subset: "subset of",
    subseteq: "subset of",
    cup: "union",
    cap: "intersection",
    setminus: "without",
    emptyset: "empty set",
    varnothing: "empty set",
    forall: "for all",
    exists: "there exists",
    neg: "not",
    lnot: "not",
    land: "and",
    wedge: "and",
    lor: "or",
    vee: "or",
    circ: "circle",
    degree: "degrees",
    angle: "angle",
    triangle: "triangle",
    perp: "perpendicular to",
    parallel: "parallel to",
    mid: "divides",
    prime: "prime",
    therefore: "therefore",
    because: "because",
    dots: "and so on",
    ldots: "and so on",
    cdots: "and so on",
    hbar: "h bar",
    ell: "l",
    Re: "real part of",
    Im: "imaginary part of",
    bmod: "mod",
    lbrace: "{",
    rbrace: "}",
    lvert: "|",
    rvert: "|",
  }),
]

/** Said before and after the argument. "" around one that is only styled. */
const ACCENTS: ReadonlyArray<readonly [string, readonly [before: string, after: string]]> = [
  ...Object.entries({
    hat: ["", "hat"],
    widehat: ["", "hat"],
    bar: ["", "bar"],
    overline: ["", "bar"],
    dot: ["", "dot"],
    ddot: ["", "double dot"],
    tilde: ["", "tilde"],
    widetilde: ["", "tilde"],
    vec: ["vector", ""],
    overrightarrow: ["vector", ""],
    pmod: ["mod", ""],
  } as const),
  ..."mathbf mathit mathcal mathbb mathfrak mathscr boldsymbol bm boxed underline underbrace overbrace cancel ensuremath"
    .split(" ")
    .map((name) => [name, ["", ""]] as const),
]

/** Commands whose argument is text, not a formula. */
const TEXT =
  "text textbf textit textrm textsf texttt textnormal mathrm mathsf mathtt operatorname ce mbox hbox"

/** Commands for the layout, without a sound. */
const LAYOUT =
  "left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr middle quad qquad displaystyle textstyle limits nolimits hline nonumber notag"

/** Commands whose argument is not said. */
const UNSAID = "begin end label tag ref eqref cite hspace vspace color phantom"

export const symbols: ReadonlyMap<string, string> = new Map(SYMBOLS)
export const accents: ReadonlyMap<string, readonly [before: string, after: string]> = new Map(ACCENTS)
export const textual: ReadonlySet<string> = new Set(TEXT.split(" "))
export const layout: ReadonlySet<string> = new Set(LAYOUT.split(" "))
export const unsaid: ReadonlySet<string> = new Set(UNSAID.split(" "))
export const fractions: ReadonlyMap<string, string> = new Map([
  ...["frac", "dfrac", "tfrac", "cfrac"].map((name) => [name, "over"] as const),
  ["binom", "choose"],
])

/** Signs between the delimiters of a formula. Outside, a voice knows what they mean. */
export const signs: ReadonlyMap<string, string> = new Map([
  ["=", "equals"],
  ["+", "plus"],
  ["-", "minus"],
  ["−", "minus"],
  ["*", "times"],
  ["·", "times"],
  ["×", "times"],
  ["/", "over"],
  ["<", "less than"],
  [">", "greater than"],
  ["'", "prime"],
  ["&", ""],
  ["~", " "],
  ["$", ""],
])
