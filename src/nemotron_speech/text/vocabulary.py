"""The few words that no locale library has: how signs, times and dates are read in each language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words of one language for numbers, signs and dates. `{...}` are filled with spoken numbers."""

    signs: Mapping[str, str]
    """Sign to its words, where it stands between words or numbers."""
    point: str
    """Word between a whole number and its decimals."""
    minus: str
    to: str
    """Word between the ends of a range."""
    number: str
    """Word before a number written with # or No."""
    dot: str
    slash: str
    dash: str
    underscore: str
    at: str
    clock: str
    full_hour: str
    date: str
    fractions: Mapping[int, tuple[str, str]]
    """Denominator to its words after one, and after several."""
    fraction: str
    mixed: str
    """A whole number and a fraction."""
    cents: str
    """An amount with hundredths: {units} with their currency, and {cents}."""
    abbreviations: Mapping[str, str] = field(default_factory=dict)
    counted: Mapping[str, str] = field(default_factory=dict)
    """Abbreviations that stand before a number: p. 12."""
    per: str = ""
    """Word for the stroke before a unit: 20 €/Tag."""
    multiple: str = ""
    """An amount {n} times as much."""
    by: str = ""
    """Word between the lengths of two sides; empty where it is the sign of multiplication."""
    magnitudes: Mapping[str, int] = field(default_factory=dict)
    """Word behind an amount of money to the number that it stands for."""
    power: str = "^ {n}"
    """An exponent {n} other than two and three, behind its base."""
    hour_letter: str = ""
    """Letter between hours and minutes of a clock: 14h30."""
    months_before_day: bool = False
    joint: str = " "
    """Text between the words of a number and its neighbours."""


def _signs(**words: str) -> dict[str, str]:
    return {_SIGNS[name]: word for name, word in words.items()}


_SIGNS = {
    "and_": "&", "plus": "+", "times": "×", "divided": "÷", "equals": "=", "less": "<", "more": ">",
    "at_most": "≤", "at_least": "≥", "unequal": "≠", "about": "≈", "give_or_take": "±", "percent": "%",
    "degrees": "°", "at": "@", "squared": "²", "cubed": "³", "infinity": "∞", "root": "√", "section": "§",
}  # fmt: skip

VOCABULARIES = {
    "en": Vocabulary(
        signs=_signs(
            and_="and", plus="plus", times="times", divided="divided by", equals="equals", less="less than",
            more="greater than", at_most="at most", at_least="at least", unequal="is not equal to",
            about="about", give_or_take="plus or minus", percent="percent", degrees="degrees", at="at",
            squared="squared", cubed="cubed", infinity="infinity", root="square root of", section="section",
        ),
        point="point", minus="minus", to="to", number="number", dot="dot", slash="slash", dash="dash",
        underscore="underscore", at="at",
        power="to the power of {n}",
        clock="{hour} {minute}", full_hour="{hour} o'clock", date="{month} {day}, {year}",
        fractions={2: ("half", "halves"), 3: ("third", "thirds"), 4: ("quarter", "quarters")},
        fraction="{top} {bottom}", mixed="{whole} and {part}", cents="{units} {cents}",
        abbreviations={
            "Dr.": "Doctor", "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miz", "Prof.": "Professor",
            "Jr.": "Junior", "Sr.": "Senior", "Gen.": "General", "Sgt.": "Sergeant", "Capt.": "Captain",
            "e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "vs.": "versus", "vs": "versus",
            "approx.": "approximately", "Ave.": "Avenue", "Blvd.": "Boulevard", "Rd.": "Road",
            "St.": "Saint", "dept.": "department", "Inc.": "Incorporated", "w/": "with", "w/o": "without",
            "a.m.": "A M", "p.m.": "P M", "Mt.": "Mount", "Ltd.": "Limited", "Corp.": "Corporation",
            "max.": "maximum", "Lt.": "Lieutenant", "Col.": "Colonel", "Rev.": "Reverend",
            "Gov.": "Governor", "Sen.": "Senator", "Rep.": "Representative", "Hwy.": "Highway",
            "Co.": "Company", "a.k.a.": "also known as", "C#": "C sharp", "F#": "F sharp",
        },
        counted={
            "p.": "page", "pp.": "pages", "Fig.": "Figure", "fig.": "figure", "Figs.": "Figures",
            "Ch.": "Chapter", "ch.": "chapter", "Vol.": "Volume", "vol.": "volume", "Sec.": "Section",
            "Eq.": "Equation", "Apt.": "Apartment", "Ext.": "extension",
            "ext.": "extension", "min.": "minimum", "Nos.": "Numbers",
            "est.": "established", "Est.": "established", "ca.": "circa",
        },
        per="per", multiple="{n} times", by="by",
        magnitudes={"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
                    "k": 10**3, "K": 10**3, "M": 10**6, "m": 10**6, "bn": 10**9, "B": 10**9,
                    "lakh": 10**5, "lakhs": 10**5, "crore": 10**7, "crores": 10**7},
        months_before_day=True,
    ),
    "es": Vocabulary(
        signs=_signs(
            and_="y", plus="más", times="por", divided="dividido por", equals="igual a", less="menor que",
            more="mayor que", at_most="como máximo", at_least="al menos", unequal="distinto de",
            about="aproximadamente", give_or_take="más o menos", percent="por ciento", degrees="grados",
            at="arroba", squared="al cuadrado", cubed="al cubo", infinity="infinito", root="raíz de",
            section="sección",
        ),
        point="coma", minus="menos", to="a", number="número", dot="punto", slash="barra", dash="guion",
        underscore="guion bajo", at="arroba",
        power="elevado a {n}", hour_letter="h",
        clock="{hour} y {minute}", full_hour="{hour} en punto", date="{day} de {month} de {year}",
        fractions={2: ("medio", "medios"), 3: ("tercio", "tercios"), 4: ("cuarto", "cuartos")},
        fraction="{top} {bottom}", mixed="{whole} y {part}", cents="{units} con {cents}",
        abbreviations={
            "Sr.": "señor", "Sra.": "señora", "Srta.": "señorita", "Dr.": "doctor", "Dra.": "doctora",
            "Ud.": "usted", "Uds.": "ustedes", "p. ej.": "por ejemplo", "p.ej.": "por ejemplo",
            "etc.": "etcétera", "aprox.": "aproximadamente", "Avda.": "avenida", "Av.": "avenida",
            "EE. UU.": "Estados Unidos", "EE.UU.": "Estados Unidos", "a. C.": "antes de Cristo",
            "a.C.": "antes de Cristo", "d. C.": "después de Cristo", "d.C.": "después de Cristo",
            "tel.": "teléfono", "Tel.": "teléfono", "Prof.": "profesor", "dpto.": "departamento",
        },
        counted={
            "pág.": "página", "págs.": "páginas", "p.": "página", "núm.": "número", "cap.": "capítulo",
            "vol.": "volumen", "fig.": "figura", "art.": "artículo", "n.º": "número", "N.º": "número",
        },
        per="por", multiple="{n} veces",
        magnitudes={"k": 10**3, "M": 10**6, "mil": 10**3, "millón": 10**6, "millones": 10**6,
                    "billones": 10**12},
    ),
    "de": Vocabulary(
        signs=_signs(
            and_="und", plus="plus", times="mal", divided="geteilt durch", equals="gleich",
            less="kleiner als", more="größer als", at_most="höchstens", at_least="mindestens",
            unequal="ungleich", about="etwa", give_or_take="plus minus", percent="Prozent", degrees="Grad",
            at="ät", squared="hoch zwei", cubed="hoch drei", infinity="unendlich", root="Wurzel aus",
            section="Paragraf",
        ),
        point="Komma", minus="minus", to="bis",
        number="Nummer", dot="Punkt", slash="Schrägstrich", dash="Bindestrich",
        underscore="Unterstrich", at="ät",
        power="hoch {n}",
        clock="{hour} Uhr {minute}", full_hour="{hour} Uhr", date="{day} {month} {year}",
        fractions={2: ("halb", "halbe"), 3: ("Drittel", "Drittel"), 4: ("Viertel", "Viertel")},
        fraction="{top} {bottom}", mixed="{whole} und {part}", cents="{units} {cents}",
        abbreviations={
            "Dr.": "Doktor", "Prof.": "Professor", "Hr.": "Herr", "Fr.": "Frau", "Nr.": "Nummer",
            "z. B.": "zum Beispiel", "z.B.": "zum Beispiel", "d. h.": "das heißt", "d.h.": "das heißt",
            "u. a.": "unter anderem", "u.a.": "unter anderem", "usw.": "und so weiter",
            "bzw.": "beziehungsweise", "ca.": "circa", "etc.": "et cetera", "evtl.": "eventuell",
            "ggf.": "gegebenenfalls", "inkl.": "inklusive", "Str.": "Straße", "St.": "Sankt",
            "Tel.": "Telefon", "Jh.": "Jahrhundert", "v. Chr.": "vor Christus", "n. Chr.": "nach Christus",
            "zzgl.": "zuzüglich", "MwSt.": "Mehrwertsteuer", "u.U.": "unter Umständen", "geb.": "geboren",
            "o.ä.": "oder ähnliches", "s.o.": "siehe oben", "i.d.R.": "in der Regel", "z.T.": "zum Teil",
            "Mio.": "Millionen", "Mrd.": "Milliarden", "Tsd.": "Tausend",
            "max.": "maximal", "min.": "minimal", "mind.": "mindestens", "vgl.": "vergleiche",
        },
        counted={
            "S.": "Seite", "Abb.": "Abbildung", "Kap.": "Kapitel", "Bd.": "Band", "Art.": "Artikel",
            "Abs.": "Absatz", "Tab.": "Tabelle", "Nr.": "Nummer",
            "Mo.": "Montag", "Di.": "Dienstag", "Mi.": "Mittwoch", "Do.": "Donnerstag", "Sa.": "Samstag",
        },
        per="pro", multiple="{n}mal",
        magnitudes={"k": 10**3, "Tsd.": 10**3, "Mio.": 10**6, "Million": 10**6, "Millionen": 10**6,
                    "Mrd.": 10**9, "Milliarde": 10**9, "Milliarden": 10**9},
    ),
    "fr": Vocabulary(
        signs=_signs(
            and_="et", plus="plus", times="fois", divided="divisé par", equals="égale",
            less="inférieur à", more="supérieur à", at_most="au plus", at_least="au moins",
            unequal="différent de", about="environ", give_or_take="plus ou moins", percent="pour cent",
            degrees="degrés", at="arobase", squared="au carré", cubed="au cube", infinity="infini",
            root="racine de", section="paragraphe",
        ),
        point="virgule", minus="moins", to="à",
        number="numéro", dot="point", slash="barre oblique", dash="tiret",
        underscore="tiret bas", at="arobase",
        power="puissance {n}", hour_letter="h",
        clock="{hour} heures {minute}", full_hour="{hour} heures", date="{day} {month} {year}",
        fractions={2: ("demi", "demis"), 3: ("tiers", "tiers"), 4: ("quart", "quarts")},
        fraction="{top} {bottom}", mixed="{whole} et {part}", cents="{units} {cents}",
        abbreviations={
            "M.": "Monsieur", "MM.": "Messieurs", "Mme": "Madame", "Mmes": "Mesdames",
            "Mlle": "Mademoiselle", "Dr": "Docteur", "p. ex.": "par exemple", "etc.": "et cetera",
            "env.": "environ", "av.": "avenue", "bd.": "boulevard",
            "c.-à-d.": "c'est-à-dire", "av. J.-C.": "avant Jésus-Christ", "apr. J.-C.": "après Jésus-Christ",
            "ap. J.-C.": "après Jésus-Christ", "tél.": "téléphone", "Tél.": "téléphone", "Mlles":
            "Mesdemoiselles", "Mgr": "Monseigneur", "Pr": "Professeur", "Ste": "Sainte", "St": "Saint",
            "Mr": "Monsieur", "arr.": "arrondissement", "max.": "maximum", "min.": "minimum", "vs": "versus",
        },
        counted={
            "p.": "page", "pp.": "pages", "chap.": "chapitre", "fig.": "figure", "vol.": "volume",
            "art.": "article", "no": "numéro",
        },
        per="par", multiple="{n} fois", by="par",
        magnitudes={"k": 10**3, "mille": 10**3, "million": 10**6, "millions": 10**6, "milliard": 10**9,
                    "milliards": 10**9, "M": 10**6, "Md": 10**9},
    ),
    "it": Vocabulary(
        signs=_signs(
            and_="e", plus="più", times="per", divided="diviso", equals="uguale a", less="minore di",
            more="maggiore di", at_most="al massimo", at_least="almeno", unequal="diverso da",
            about="circa", give_or_take="più o meno", percent="percento", degrees="gradi", at="chiocciola",
            squared="al quadrato", cubed="al cubo", infinity="infinito", root="radice di",
            section="paragrafo",
        ),
        point="virgola", minus="meno", to="a", number="numero", dot="punto", slash="barra", dash="trattino",
        underscore="trattino basso", at="chiocciola",
        power="elevato a {n}", hour_letter="h",
        clock="{hour} e {minute}", full_hour="{hour} in punto", date="{day} {month} {year}",
        fractions={2: ("mezzo", "mezzi"), 3: ("terzo", "terzi"), 4: ("quarto", "quarti")},
        fraction="{top} {bottom}", mixed="{whole} e {part}", cents="{units} e {cents}",
        abbreviations={
            "Sig.": "signor", "Sig.ra": "signora", "Dott.": "dottor", "Dott.ssa": "dottoressa",
            "Dr.": "dottor", "Prof.": "professor", "ecc.": "eccetera", "es.": "esempio",
            "p. es.": "per esempio", "ca.": "circa", "a.C.": "avanti Cristo", "d.C.": "dopo Cristo",
            "tel.": "telefono", "pag.": "pagina", "cap.": "capitolo",
        },
        magnitudes={"mila": 10**3, "milione": 10**6, "milioni": 10**6, "miliardo": 10**9,
                    "miliardi": 10**9, "mln": 10**6, "mld": 10**9},
    ),
    "vi": Vocabulary(
        signs=_signs(
            and_="và", plus="cộng", times="nhân", divided="chia", equals="bằng", less="nhỏ hơn",
            more="lớn hơn", at_most="không quá", at_least="ít nhất", unequal="khác", about="khoảng",
            give_or_take="cộng trừ", percent="phần trăm", degrees="độ", at="a còng", squared="bình phương",
            cubed="lập phương", infinity="vô cực", root="căn bậc hai của", section="mục",
        ),
        point="phẩy", minus="âm", to="đến", number="số", dot="chấm", slash="gạch chéo", dash="gạch ngang",
        underscore="gạch dưới", at="a còng",
        power="mũ {n}", hour_letter="h",
        clock="{hour} giờ {minute}", full_hour="{hour} giờ",
        date="{day} tháng {month} năm {year}",
        fractions={2: ("phần hai", "phần hai")},
        fraction="{top} phần {bottom}", mixed="{whole} và {part}", cents="{units} {cents}",
        abbreviations={"TP.": "thành phố", "v.v.": "vân vân", "TS.": "tiến sĩ", "ThS.": "thạc sĩ"},
        magnitudes={"nghìn": 10**3, "ngàn": 10**3, "triệu": 10**6, "tỷ": 10**9, "tỉ": 10**9},
    ),
    "zh": Vocabulary(
        signs=_signs(
            and_="和", plus="加", times="乘", divided="除以", equals="等于", less="小于", more="大于",
            at_most="不超过", at_least="至少", unequal="不等于", about="约", give_or_take="正负",
            percent="百分号", degrees="度", at="艾特", squared="的平方", cubed="的立方", infinity="无穷大",
            root="根号", section="节",
        ),
        point="点", minus="负", to="到",
        number="第", dot="点", slash="斜杠", dash="横杠", underscore="下划线", at="艾特",
        power="的{n}次方",
        clock="{hour}点{minute}分", full_hour="{hour}点", date="{year}年{month}月{day}日",
        fractions={}, fraction="{bottom}分之{top}", mixed="{whole}又{part}", cents="{units}{cents}",
        magnitudes={"千": 10**3, "万": 10**4, "百万": 10**6, "亿": 10**8},
        joint="",
    ),
}  # fmt: skip
"""Vocabulary by language tag.

Other languages keep what is written: their engines read it in their own way.
"""
