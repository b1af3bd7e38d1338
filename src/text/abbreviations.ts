/**
 * Abbreviations: words whose full stop does not end a sentence. Apostrophes and inner stops are kept ("a.m"); the last
 * stop is omitted. Single letters and letters with stops between them ("J", "U.S", "z.B", "т.е") are recognised by their
 * shape and need no entry.
 */

const words = (list: string): ReadonlySet<string> => new Set(list.trim().split(/\s+/))

/** Titles precede a name. They match with a capital only, because some are words in lower case ("sen"). */
const TITLES = words(`
  Dr Dra Mr Mrs Ms Mx Messrs Prof Profa Sr Sra Srta St Ste Mt Gen Sen Rep Gov Capt Cmdr Lt Col Sgt Maj Adm Hon Rev
  Fr Frl Hr Hrn Ud Uds Mme Mlle Mgr Sig Dott Ing Avv Dhr Mevr Mw Sn Ts Ths Tp डॉ श्री Д-р Проф
`)

/** The sentence always continues after these. */
const LEADING = words(`
  vs cf viz ca approx incl excl resp bzw evtl ggf inkl exkl zzgl bspw sog vgl mind bijv resp np tzn tzw inż např tzv
  kl örn bkz напр ул просп акад
`)

/** An abbreviation if a number follows, otherwise a word that ends its sentence ("No."). */
const BEFORE_NUMBER = words(`
  no nos nr num núm nº art arts fig figs sec ch chap vol vols pp pág págs eq ver tel ext max min op par abb kap bd cap
  apt bldg rm jan feb mar apr jun jul aug sep sept oct nov dec стр рис гл
`)

/** May end a sentence or not. A lower-case letter, a digit or a comma after it shows that the sentence continues. */
const EITHER = words(`
  etc inc ltd co corp llc plc bros jr esq ph ph.d a.m p.m am pm al est dept ave blvd rd ft oz lbs hrs mins usw enz atd apod
  vb dll ecc str руб тыс млн млрд др проч гг
`)

export type Abbreviation = "leading" | "before-number" | "either" | "none"

/** "J", "U.S", "e.g", "z.B", "m.in", "J.-P", "т.е": one cased letter, then short parts after stops or hyphens. */
const INITIALS = /^[\p{Lu}\p{Ll}](?:[.-]+\p{L}{1,2})*$/u

/** The kind of abbreviation of `word`, which precedes a full stop. */
export const abbreviationOf = (word: string): Abbreviation => {
  const lower = word.toLowerCase()
  if (word === "I" || EITHER.has(lower)) return "either"
  if (BEFORE_NUMBER.has(lower)) return "before-number"
  if (TITLES.has(word) || LEADING.has(lower) || INITIALS.test(word)) return "leading"
  return "none"
}

/** Words after a German ordinal ("3. Oktober"). Other languages with ordinal stops continue in lower case. */
const AFTER_ORDINAL =
  "Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember Jahrhundert".split(
    " ",
  )

/** Whether `word` follows an ordinal. If it is not `complete`: whether it may become such a word. */
export const followsOrdinal = (word: string, complete: boolean): boolean =>
  word !== "" && AFTER_ORDINAL.some((name) => (complete ? name === word : name.startsWith(word)))
