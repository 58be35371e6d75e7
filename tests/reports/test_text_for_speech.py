"""Numbers, signs and markup as language models write them: what a voice says of each."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nemotron_speech.text import say, speakable

DURATIONS = """
en | wait 30s, then 45s | wait thirty seconds, then forty-five seconds
en | a 10s timer and a 60s timer | a ten seconds timer and a sixty seconds timer
en | It takes 1h 30m. | It takes one hour thirty minutes.
en | Back in 2m30s, or 1h 5m 3s. | Back in two minutes thirty seconds, or one hour five minutes three seconds.
en | 90 min, 1.5h | ninety minutes, one point five hours
en | 100ms, 5d 3h | one hundred milliseconds, five days three hours
en | a 30m rope | a thirty meters rope
es | 1 h, 21 h, 1 km | una hora, veintiuna horas, un kilómetro
de | 1 h 1 min, 1 km | eine Stunde eine Minute, ein Kilometer
de | 2 h 30 min | zwei Stunden dreißig Minuten
fr | 1h 5m | une heure cinq minutes
it | 2h 30m | due ore trenta minuti
en | a 30-min walk, a 5-day trip, a 10-s delay | a thirty-minute walk, a five-day trip, a ten-second delay
en | 3 wks, 2 mos, 5 yrs | three weeks, two months, five years
de | 2 Std. 15 Min., 1,5 Std. | zwei Stunden fünfzehn Minuten, eins Komma fünf Stunden.
fr | 1 h 30 min ou 1h30 | une heure trente minutes ou une heure trente
es | 1 h 30 min o 1h30 | una hora treinta minutos o una y treinta
"""
DECADES_AND_PLURALS = """
en | in the 60s and the '90s | in the sixties and the nineties
en | in his 30s, mid-80s, the 1920s | in his thirties, mid-eighties, the nineteen twenties
en | 1,000s of people and 100s of cars | thousands of people and hundreds of cars
en | in the 1980s and 90s, a 70s song | in the nineteen eighties and nineties, a seventies song
de | die 1990er Jahre, die 80er, in den 2000ern
  | die neunzehnhundertneunziger Jahre, die achtziger, in den zweitausendern
es | 21 años, 1 vez, 200 personas, 21 días | veintiún años, una vez, doscientas personas, veintiún días
fr | 1 heure et 21 minutes, 3 fois | une heure et vingt-et-une minutes, trois fois
de | 1 Stunde, 1 Tag, 1 Uhr, Kapitel 1 | eine Stunde, ein Tag, ein Uhr, Kapitel eins
es | 1 mano, 1 y 21 de 100 | una mano, uno y veintiuno de cien
"""
NAMES_IN_DIGITS = """
en | Call 1-800-555-0199 now. | Call one, eight zero zero, five five five, zero one nine nine now.
en | My number is 123-45-6789. | My number is one two three, four five, six seven eight nine.
en | ISBN 978-3-16-148410-0. | ISBN nine seven eight, three, one six, one four eight four one zero, zero.
en | Order 12-3456-78, code 5-5-5. | Order one two, three four five six, seven eight, code five, five, five.
en | 555 0132 | five five five, zero one three two
en | 020 7946 0958 | zero two zero, seven nine four six, zero nine five eight
en | (212) 555-0100 | two one two, five five five, zero one zero zero
en | 1-800-FLOWERS | one, eight zero zero-FLOWERS
en | 4111 1111 1111 1111 | four one one one, one one one one, one one one one, one one one one
en | 98765 43210 | nine eight seven six five, four three two one zero
it | Chiama il 02 1234567. | Chiama il zero due, uno due tre quattro cinque sei sette.
it | 347-1234567 | tre quattro sette, uno due tre quattro cinque sei sette
fr | 06 12 34 56 78 | zéro six, un deux, trois quatre, cinq six, sept huit
es | 612 345 678 | seis uno dos, tres cuatro cinco, seis siete ocho
zh | 138 1234 5678 | 一三八, 一二三四, 五六七八
fr | 01.23.45.67.89 | zéro un, deux trois, quatre cinq, six sept, huit neuf
fr | +33 (0)1 23 45 67 89 | plus trois trois, un, deux trois, quatre cinq, six sept, huit neuf
es | 91 123 45 67 o 612345678
  | nueve uno, uno dos tres, cuatro cinco, seis siete o seis uno dos tres cuatro cinco seis siete ocho
de | (030) 901820, Notruf 112, die 112 Gäste
  | null drei null, neun null eins acht zwei null, Notruf eins eins zwei, die einhundertzwölf Gäste
en | 1300 655 506 | one three zero zero, six five five, five zero six
en | Call 911, call 100 people | Call nine one one, call one hundred people
en | Your PIN is 4321, ZIP code 90210, code 404
  | Your PIN is four three two one, ZIP code nine zero two one zero, code four hundred four
en | order number 123456, ID: 99887, #10023
  | order number one two three four five six, ID: nine nine eight eight seven, number one zero zero two
    three
en | serial AB12-CD34-567, model X200-15
  | serial AB one two, CD three four, five six seven, model X two zero zero, one five
en | ref 2024-0017, a 747-400
  | ref two zero two four, zero zero one seven, a seven hundred forty-seven four hundred
en | ISBN 9780306406157, ISBN 030640615X
  | ISBN nine seven eight zero three zero six four zero six one five seven, ISBN zero three zero six four
    zero six one five, X
en | 10000000000 and 1234567890 | ten billion and one two three four five six seven eight nine zero
en | F-16, GPT-4, Q1-Q3 | F-sixteen, GPT-four, Q one-Q three
en | 10 20 30 40 | ten twenty thirty forty
"""
RANGES = """
en | 5-10% and 5%-10% | five to ten percent and five percent to ten percent
en | $5-$10, 3–5 °C | five dollars to ten dollars, three to five degrees Celsius
en | 2020-21, 3-4 days | twenty twenty to twenty-one, three to four days
en | 1990-1995 | nineteen ninety to nineteen ninety-five
en | Scale 1:50,000, odds 3:1. | Scale one to fifty thousand, odds three to one.
en | 16:9 | sixteen to nine
en | 1:30-2:30 | one thirty to two thirty
en | $10-15, €20–30, $1.5-2 million
  | ten to fifteen dollars, twenty to thirty euros, one point five to two million dollars
en | $1.50-2.00 | one dollar fifty to two dollars
de | 10-15 %, 1,5-2 Mio. € | zehn bis fünfzehn Prozent, eins Komma fünf bis zwei Millionen Euro
en | 6am-8pm, 1st-3rd, 5k-10k | six A M to eight P M, first to third, five thousand to ten thousand
fr | de 9h-17h | de neuf heures à dix-sept heures
de | vom 1. bis 3. Juni | vom ersten bis dritten Juni
"""
MONEY = """
en | ₹1,50,000 | one hundred fifty thousand rupees
en | 1.5M dollars and 20k users | one point five million dollars and twenty thousand users
en | 99¢, R$ 10, A$5 | ninety-nine cents, ten reals, five Australian dollars
en | $5/day, 60 km/day, 30 tokens/s | five dollars per day, sixty kilometers per day, thirty tokens per second
en | $5 and $10 a day | five dollars and ten dollars a day
fr | 3,5 M€ | trois millions cinq cent mille euros
en | ₹12,34,567, Rs. 5,00,000, ₹3 crore
  | one million two hundred thirty-four thousand five hundred sixty-seven rupees, five hundred thousand
    rupees, three crore rupees
en | €1.234,56 and $2.5B
  | one thousand two hundred thirty-four euros fifty-six and two point five billion dollars
de | 0,99 €, 20 €/Tag, 5 Mio. Menschen | neunundneunzig Cent, zwanzig Euro pro Tag, fünf Millionen Menschen
fr | 5 M€, 10 k€, 0,99 €, 20 €/jour
  | cinq millions d'euros, dix mille euros, quatre-vingt-dix-neuf centimes, vingt euros par jour
es | 5 M€, 0,99 €, 20 €/día | cinco millones de euros, noventa y nueve céntimos, veinte euros por día
"""
FORMULAS = r"""
en | The sum is $a^2 + b^2 = c^2$. | The sum is a squared plus b squared equals c squared.
en | $E = mc^2$ | E equals mc squared
en | 2^10 is 1024 and x^2 grows. | two to the power of ten is one thousand twenty-four and x squared grows.
en | 6.02×10²³ and 1e-5 | six point zero two times ten to the power of twenty-three and ten to the minus five
en | 2^-3, x⁴ | two to the power of minus three, x to the power of four
en | x^{10}, x^n | x to the power of ten, x to the power of n
en | $\pi r^2$, $\frac{x}{y} \leq \sqrt{2}$ | pi r squared, x divided by y at most square root of two
en | (x+1)^2 = 4 | (x plus one) squared equals four
en | -5, +5, 3x | minus five, plus five, three x
de | 2^10, x² | zwei hoch zehn, x hoch zwei
zh | 10^5 | 十的五次方
en | 3.0 x 10^8, 1920x1080, 3·4
  | three point zero times ten to the power of eight, one thousand nine hundred twenty by one thousand
    eighty, three times four
en | 2^0.5, 2^{n+1}, 10**3 | two to the power of zero point five, two to the power of n plus one, ten cubed
en | 6/3 = 2, π ≈ 3.14, 3x faster
  | six divided by three equals two, pi about three point one four, three times faster
de | 3x so schnell | dreimal so schnell
en | 2 x 500 mg, 10 x 12 ft | two times five hundred milligrams, ten by twelve feet
"""
LENGTHS_AND_CLOCKS = """
en | He is 5'10" tall, she is 6' 2". | He is five feet ten inches tall, she is six feet two inches.
en | 5 ft 10 in | five feet ten inches
de | Um 14.30 Uhr, der 3. Platz, im 1. Stock. | Um vierzehn Uhr dreißig, der dritte Platz, im ersten Stock.
de | Sie ist 5. Das ist gut. | Sie ist fünf. Das ist gut.
fr | à 14h30 | à quatorze heures trente
es | a las 14:30 h, a las 7h15 | a las catorce y treinta, a las siete y quince
vi | lúc 14h30 | lúc mười bốn giờ ba mươi
en | a 55" TV, 12" wide, 10' x 12', 6' tall
  | a fifty-five inch TV, twelve inches wide, ten feet by twelve feet, six feet tall
en | She said "I am 12" and left. | She said "I am twelve" and left.
en | 3 sq ft, 2 tbsp, 3 oz. of salt | three square feet, two tablespoons, three ounces of salt
en | 1:05:09 | one oh five oh nine
fr | 0h15, 1h | zéro heure quinze, une heure
"""
DATES = """
en | Nov 30, 2026, Jan. 5, 12 Sept 2024, Dec 2024
  | November thirtieth, twenty twenty-six, January fifth, twelfth of September twenty twenty-four, December
    twenty twenty-four
en | on 12/24, on 3/4 of days, 3/4 cup
  | on December twenty-fourth, on three quarters of days, three quarters cup
de | am 24.12., der 1.5. ist frei, 3. Jan. 2024
  | am vierundzwanzigsten Dezember, der erste Mai ist frei, dritten Januar zweitausendvierundzwanzig
de | Mo., 3. Januar, Mo. 3. Jan. | Mo., dritten Januar, Montag dritten Januar.
fr | le 24/12, le 5 févr. 2024, 3 sept jours
  | le vingt-quatre décembre, le cinq février deux mille vingt-quatre, trois sept jours
es | el 24/12, 5 de ene. | el veinticuatro de diciembre, cinco de enero.
fr | le 3/4 du temps, le 5/6 | le trois quarts du temps, le cinq juin
"""
ORDINALS_AND_NUMERALS = """
en | World War II, Henry VIII, Chapter IV | World War two, Henry the eighth, Chapter four
en | Mary I think, George V. Smith, iPhone X | Mary I think, George V. Smith, iPhone X
de | Ludwig XIV. kam, Elisabeth II. | Ludwig der Vierzehnte kam, Elisabeth die Zweite.
fr | le XXIe siècle, François Ier, Louis XIV | le vingt-et-unième siècle, François premier, Louis quatorze
es | el siglo XXI, Felipe II, el 3er piso, la 2da vez
  | el siglo veintiuno, Felipe segundo, el tercer piso, la segunda vez
de | Der 2. und 3. Platz, am 1. und 2. Mai | Der zweite und dritte Platz, am ersten und zweiten Mai
"""
ABBREVIATIONS = """
en | Mt. Everest, Fig. 3, pp. 3-5, Ltd., C#
  | Mount Everest, Figure three, pages three to five, Limited, C sharp
de | S. 12, Abb. 3, zzgl. MwSt., i.d.R. gut
  | Seite zwölf, Abbildung drei, zuzüglich Mehrwertsteuer, in der Regel gut
fr | n° 5, c.-à-d. cela, en 52 av. J.-C., p. 12
  | numéro cinq, c'est-à-dire cela, en cinquante-deux avant Jésus-Christ, page douze
es | n.º 5, EE. UU., pág. 12, 44 a. C. fue
  | número cinco, Estados Unidos, página doce, cuarenta y cuatro antes de Cristo fue
"""
MARKUP = r"""
en | The ==key word== matters. | The key word matters.
en | Title\n=====\nSome text. | Title. Some text.
en | Use <your_name> here. | Use your name here.
en | It is true[^2]. | It is true.
en | Well.<|im_end|> </s> | Well.
en | hello ^ there | hello there
"""
KINDS = {
    "durations": DURATIONS,
    "decades and plurals": DECADES_AND_PLURALS,
    "names in digits": NAMES_IN_DIGITS,
    "ranges": RANGES,
    "money": MONEY,
    "formulas": FORMULAS,
    "lengths and clocks": LENGTHS_AND_CLOCKS,
    "dates": DATES,
    "ordinals and numerals": ORDINALS_AND_NUMERALS,
    "abbreviations": ABBREVIATIONS,
    "markup": MARKUP,
}
_FOLDED = re.compile(r"\n\s+")
"""A line that begins with spaces goes on with the one before."""
READINGS = [
    pytest.param(*(part.strip().replace("\\n", "\n") for part in line.split(" | ")), id=line.split(" | ")[1])
    for lines in KINDS.values()
    for line in _FOLDED.sub(" ", lines.strip()).splitlines()
]


@pytest.mark.parametrize(("language", "text", "said"), READINGS)
def test_what_models_write_is_said_as_people_say_it(language: str, text: str, said: str) -> None:
    assert say(text, language).text == said


PIECES = st.sampled_from(
    ["$", "5", "10", "^", "{", "}", "²³", "\\frac{a}{b}", "e-5", "1h", "30m", "2m30s", "s", "-", "1-800-",
     "==", "[^1]", "<a_b>", "<|x|>", ":", "16:9", "'", '"', "k", "M", "¢", "R$", "1,50,000", "/", "day", "%",
     " ", " ", "a"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=14).map("".join), st.sampled_from(["en", "de", "fr", "zh", "es-mx"]))
@settings(max_examples=300, deadline=None)
def test_no_mix_of_signs_fails_or_leaves_a_digit(text: str, language: str) -> None:
    said = say(text, language).text
    assert not any(character.isdigit() for character in said)
    assert "  " not in said


@given(st.lists(PIECES, max_size=14).map("".join))
@example("==[^1]==")
@example("==<a_b>== ==x==")
@settings(max_examples=200, deadline=None)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert speakable(speakable(text)) == speakable(text)


@pytest.mark.parametrize(
    "piece", ["$a^", "1-", "1h 2m ", "==a", "2^", "5'1", "<a_", "1:2", "4111 ", "$\\frac{a}"]
)
def test_long_repetitions_take_no_longer_than_their_length(piece: str) -> None:
    """Counts the work instead of the time: it ends, and twice the text says about twice as much."""
    assert len(say(piece * 1000, "en").text) <= 2 * len(say(piece * 500, "en").text) + 1000
