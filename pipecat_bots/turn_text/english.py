"""Gaps in the grammar of an English sentence, as far as it has come.

No parser: each rule looks at how the newest clause ends, by closed classes of words (pronouns, auxiliaries,
conjunctions, prepositions, question words) and by common verbs that want an object. A rule that cannot tell
says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipecat_bots.turn_text.dictation import is_number
from pipecat_bots.turn_text.languages import ENGLISH
from pipecat_bots.turn_text.vocabulary import listed

Clause = Sequence[str]

_BE = listed("am is are was were")
_DO = listed("do does did")
_HAVE = listed("have has had")
_MODAL = listed("can could will would shall should must may might")
_NOT = listed(
    "isn't aren't wasn't weren't don't doesn't didn't can't cannot couldn't won't wouldn't shouldn't "
    "haven't hasn't hadn't not"
)
_AUXILIARY = _BE | _DO | _HAVE | _MODAL
_TAKES_VERB = _MODAL | _DO | (_NOT - listed("isn't aren't wasn't weren't haven't hasn't hadn't"))
"""Words after which a verb is in its base form."""
_NOMINATIVE = listed("i he she we they")
_SUBJECT = _NOMINATIVE | listed("you it this that there these those anyone someone anybody somebody everyone")
_OBJECT = listed("me us him her them you it")
_RECIPIENT = listed("me us him her them you")
_CONTRACTED = ("'m", "'re", "'ve", "'ll", "'d")
_POINTING = _SUBJECT | ENGLISH.question | {"here"}
"""Words before a contracted *is*; after another word 's may be a genitive."""
_ARTICLE = listed("the a an my your our their his her")
_DETERMINER = _ARTICLE | listed("this that these those")

_QUESTION = ENGLISH.question
_ASKS_FOR_OBJECT = listed("what who whom which whose whatever whichever")
_QUANTIFIED = listed("everything anything nothing something someone somebody anyone nobody all")
_COORDINATOR = listed("and but or because so")
_SUBORDINATOR = (
    listed("if unless although though because while whereas whether whenever wherever when") | _QUESTION
)
_CONDITION = listed("if unless although whenever when")
_SAYS_THAT = listed(
    "thinking hoping wondering wonder think hope guess suppose believe know say said mean sure wish afraid "
    "told see feel heard"
)
_THINKS = listed("think guess suppose believe hope")
_BEFORE_THAT = _THINKS | listed("so is was wish afraid sure told said hoping thinking")
_BEFORE_BEEN = listed("to will have has i've am is are")
_ASSENTS = listed("yes yeah yep no nope sure maybe perhaps not course think hope know")
"""Words that go with an answer of subject and auxiliary: *yes I do*, *of course it is*."""
_SO_ENDS = _THINKS | listed("say said not or even do did is am are was")

_VERB = listed(
    "want wants wanted need needs needed get gets give gives gave bring brings brought take takes took buy "
    "buys bought find finds found make makes made send sends sent put puts tell tells ask asks asked use "
    "uses used set sets order orders ordered book books booked reserve reserves reserved rent rents rented "
    "schedule schedules scheduled add adds added remove removes removed mention mentions mentioned prefer "
    "prefers preferred recommend recommends recommended describe describes described contain contains "
    "contained include includes included require requires required offer offers offered have has had let "
    "lets keep keeps kept like likes love loves enjoy enjoys avoid avoids expect expects expected choose "
    "chooses chose suggest suggests suggested replace replaces replaced discuss discusses discussed provide "
    "provides provided report receive receives received bought show shows showed pick purchase become "
    "becomes became hate hates own owns"
)
"""Verbs that want an object, in forms that follow a subject or an auxiliary."""
_MAKING = listed(
    "wanting needing getting giving bringing taking buying finding making sending putting telling asking "
    "using setting ordering booking reserving renting scheduling adding removing recommending including "
    "requiring offering having letting keeping expecting choosing suggesting replacing discussing providing "
    "receiving becoming seeking"
)
_GIVING = listed(
    "give gives gave giving send sends sent sending show showing bring brings brought bringing get getting "
    "buy buying tell telling ask asking offer offering teach lend hand pass read"
)
"""Verbs that want a thing besides a person: *give me*, *ask you*."""
_WANTING = listed(
    "want wants wanted need needs needed like love prefer hope hoping going trying try tried wish able plan "
    "planning have has had 've got decided decide supposed used about how where when you me us him them"
)
"""Words before the *to* of an infinitive that is not *something to eat* or *ready to order*."""
_SELECTS = {
    "in": listed("live lives lived living interested born arrive arrives arriving arrived"),
    "on": listed("depend depends depending based rely relying focus focused"),
}
"""Prepositions that may also belong to a verb (*log in*), and what they need an object with."""
_LEFT_BY_NOUN = listed("like for from about with")
"""Prepositions that a question with *is* leaves behind its noun."""
_BEFORE_VERB = listed(
    "just only also really actually probably usually already still even often basically maybe please"
)
_ALREADY_ENDS = listed("already still maybe please actually really")
"""Words before a verb that may also stand behind one."""
_POLITE = listed("mind possible okay ok then")
"""Ends of conditions that follow what they are about: *if you don't mind*."""
_SECOND_CLAUSE = _NOMINATIVE | _QUESTION | listed("you then please let's")
_KNOWS_ALREADY = listed("never already just as like have has had") | _NOT
"""Words before *told me* after which nothing is to follow."""
_CURIOUS = listed("like love want wanted need needed wish")
_CHOICE = listed("if as when whenever wherever whatever")
_WISHES = listed("like want need prefer wish please")
_TENS = listed("twenty thirty")

_NO_NOUN = (
    _AUXILIARY
    | _NOT
    | _SUBJECT
    | _OBJECT
    | _SUBORDINATOR
    | _COORDINATOR
    | _SAYS_THAT
    | _BEFORE_VERB
    | {"first"}
    | ENGLISH.starters
    | ENGLISH.stranded
    | ENGLISH.goes_on
    | ENGLISH.last
)


def breaks_off(words: Clause) -> bool:
    """Return whether nobody ends a sentence with its last word. Words are normalised, in small letters."""
    clause, _ = _newest_clause(words)
    return not _leaves_the_choice(words) and (
        _ends_in_preposition(words)
        or _ends_in_subject(words)
        or _ends_in_so(words)
        or _ends_in_inversion(clause)
        or _ends_in_contraction(clause)
        or _ends_before_verb(clause)
        or _ends_in_determiner_of_negation(clause)
    )


def lacks_something(words: Clause) -> bool:
    """Return whether the sentence wants an object, a verb, a unit or another clause."""
    clause, answers = _newest_clause(words)
    return not _leaves_the_choice(words) and (
        _ends_in_question_word(words)
        or _ends_in_number_without_unit(words)
        or _begins_only_a_condition(clause)
        or _misses_main_verb(clause)
        or _ends_in_opinion(clause)
        or _ends_in_verb(clause)
        or _ends_in_recipient(clause)
        or _ends_in_curiosity(clause)
        or (not answers and _ends_in_bare_auxiliary(clause))
    )


def _newest_clause(words: Clause) -> tuple[Clause, bool]:
    """Return the words behind the last coordinator and any starters, and whether they follow an answer."""
    starts = [i + 1 for i, word in enumerate(words[:-1]) if word in _COORDINATOR and not _agrees(words[i:])]
    start = starts[-1] if starts else 0
    answers = bool(_ASSENTS & set(words[:start]))
    while start < len(words) - 1 and words[start] in ENGLISH.starters and not _agrees(words[start:]):
        answers = answers or words[start] in _ASSENTS
        start += 1
    return words[start:], answers


# ---------------------------------------------------------------------------------- how sentences end


def _ends_in_preposition(words: Clause) -> bool:
    """*I want a table for*; but not *what are you looking for*, *I don't want to*."""
    if words[-1] == "to" and (words[-2:-1] == ["love"] or _NOT & set(words[-4:-1])):
        return False
    wants_object = words[-1] in ENGLISH.stranded or (
        len(words) > 1 and words[-2] in _SELECTS.get(words[-1], ())
    )
    return wants_object and (_ends_in_noun_of_question(words) or not _fronts_object(words[:-1], strands=True))


def _ends_in_noun_of_question(words: Clause) -> bool:
    """*what's the name of*, *what is the best way to*; but not *what's it like*, *what is the button for*."""
    at = next((at for at, word in enumerate(words) if word.split("'")[0] in _QUESTION), len(words))
    asked = words[at + 1 :] if words[at : at + 1] and words[at].endswith("'s") else words[at + 2 :]
    is_copular = words[at : at + 1] and (words[at].endswith("'s") or words[at + 1] in _BE)
    if not is_copular or len(asked) < 3 or asked[0] not in _ARTICLE or asked[-1] in _LEFT_BY_NOUN:
        return False
    return not asked[-2].endswith(("ing", "ed")) and not _has_verb(asked[1:])


def _ends_in_question_word(words: Clause) -> bool:
    """*can you tell me when*; but not *I don't know when*, *she asked me why*."""
    if len(words) < 2 or words[-1] not in _QUESTION or words[-1] == "why":
        return False
    return not (words[-2] in ("that's", "so", "but", "say", "since") or {"don't", "not"} & set(words[-4:-1]))


def _ends_in_so(words: Clause) -> bool:
    return words[-1] == "so" and (len(words) == 1 or words[-2] not in _SO_ENDS)


def _ends_in_number_without_unit(words: Clause) -> bool:
    """*within thirty*, *for the next three*, *on the twenty*, *half past*, *five point*."""
    if len(words) < 2:
        return False
    before, last = words[-2], words[-1]
    if _is_numeral(last):
        spans = before in ("within", "every", "another") or words[-3:-1] in (["the", "next"], ["the", "past"])
        return (spans and last != "one") or (before == "the" and last in _TENS)
    return (before in ("half", "quarter") and last == "past") or (_is_numeral(before) and last == "point")


def _is_numeral(word: str) -> bool:
    return is_number(word, "en")


def _begins_only_a_condition(clause: Clause) -> bool:
    """*if the train is late*; but not *if it rains can we stay*, *if you could help me*."""
    if len(clause) < 3 or clause[0] not in _CONDITION or clause[1] in _AUXILIARY or clause[-1] in _POLITE:
        return False
    rest = clause[2:]
    goes_on = any(word in _SECOND_CLAUSE or word.endswith(_CONTRACTED) for word in rest)
    return not goes_on and rest[0] != "could" and sum(word in _AUXILIARY for word in rest) <= 1


def _ends_in_subject(words: Clause) -> bool:
    """*and then I*, *because you*, *what it*; but not *who are you*, *taller than I*."""
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if before in _AUXILIARY | _NOT | {"than"}:
        return False
    return last in _NOMINATIVE or (last in ("you", "it", "there") and before in _SUBORDINATOR)


def _ends_in_inversion(clause: Clause) -> bool:
    """*could you please*, *is there*, *what time do you*; but not *how are you*, *it is nice, isn't it*."""
    core = clause[:-1] if clause[-1] in _BEFORE_VERB else clause
    if len(core) < 2 or core[-1] not in _SUBJECT:
        return False
    at, verb = len(core) - 2, core[-2]
    if at == 0:
        return verb in _AUXILIARY | _NOT - {"not"}
    return at <= 3 and core[0] in _QUESTION and verb in (_AUXILIARY - _BE) | _NOT - {"not"}


def _misses_main_verb(clause: Clause) -> bool:
    """*what time does the train*: an auxiliary, a subject of two words, no verb."""
    if len(clause) < 3 or clause[-2] not in _DETERMINER or clause[-3] not in _MODAL | _DO:
        return False
    return len(clause) == 3 or clause[0] in _QUESTION


def _ends_in_contraction(clause: Clause) -> bool:
    """*because I'm*, *my name's*, *they've*; but not *it is my brother's*."""
    last = clause[-1]
    if last.endswith(_CONTRACTED):
        return True
    begins = len(clause) == 2 and clause[0] in _DETERMINER
    return last.endswith("'s") and (last.removesuffix("'s") in _POINTING or begins)


def _ends_in_bare_auxiliary(clause: Clause) -> bool:
    """*my appointment is*, *where can*, *how many people will*; but not *what time it is*, *yes I do*."""
    last, before = clause[-1], clause[-2] if len(clause) > 1 else ""
    if last in ("been", "be", "being"):
        return before in _BEFORE_BEEN and not _QUESTION & set(clause)
    if last not in _AUXILIARY or before in _DETERMINER - {"this", "that", "these", "those", "her", "his"}:
        return False
    if before in _QUESTION or _asks_of_noun(clause[:-1]):
        return True
    if before in _SUBJECT | {"here"}:
        lacks = last in _BE | _HAVE or before in ("this", "these")
        return lacks and len(clause) == 2 and before != "here"
    if _QUESTION & set(clause) or "than" in clause:
        return before in _VERB
    return last in _BE | _MODAL - {"may"} or (last in _HAVE and len(clause) > 1)


def _asks_of_noun(words: Clause) -> bool:
    """*how many people*, *what colour*; but not *what it*, *what a day*, *who the others*."""
    known = _SUBJECT | _OBJECT | _DETERMINER | _AUXILIARY | _NOT
    return bool(words) and words[0] in _QUESTION and known.isdisjoint(words)


def _ends_in_opinion(clause: Clause) -> bool:
    """*I think*, *the problem is that*."""
    if clause[-1] == "that":
        return len(clause) > 1 and clause[-2] in _BEFORE_THAT and clause[0] not in _QUESTION
    return len(clause) == 2 and clause[0] == "i" and clause[1] in _THINKS


def _ends_before_verb(clause: Clause) -> bool:
    """*I just*, *we usually*, *it will probably*."""
    if len(clause) < 2 or clause[-1] not in _BEFORE_VERB | {"never", "always"}:
        return False
    if clause[-2] in _NOMINATIVE or clause[-2].endswith(_CONTRACTED):
        return True
    return clause[-2] in _AUXILIARY and clause[-1] not in _ALREADY_ENDS | {"never", "always"}


def _ends_in_determiner_of_negation(clause: Clause) -> bool:
    """*there is no*, *I have no*."""
    return len(clause) > 1 and clause[-1] == "no" and clause[-2] in _BE | _HAVE | listed("with got see need")


def _ends_in_verb(clause: Clause) -> bool:
    """*I would like to order*, *do you have*, *we are getting*; but not *the one I ordered*."""
    last, before = clause[-1], clause[:-1]
    if not before or _fronts_object(before):
        return False
    if last in _MAKING:
        return before[-1] in _BE or before[-1].endswith(("'m", "'re"))
    return last in _VERB and _is_verb_after(before)


def _ends_in_recipient(clause: Clause) -> bool:
    """*can you tell me*, *my sister told me*; but not *thank you*, *as she told me*."""
    if len(clause) < 2 or clause[-1] not in _RECIPIENT:
        return False
    before = clause[:-2]
    if clause[-2] == "told" and clause[-1] in ("me", "us"):
        return bool(before) and _KNOWS_ALREADY.isdisjoint(before) and not _fronts_object(before)
    if clause[-2] not in _GIVING:
        return False
    if not before or before[-1] in ("please", "just"):
        return not before or not _NOT & set(before)
    return not _NOT & set(before) and not _fronts_object(before) and _is_verb_after(before)


def _ends_in_curiosity(clause: Clause) -> bool:
    """*I would like to know*, *I was wondering*; but not *do you want to know*, *I don't want to know*."""
    if clause[0].split("'")[0] not in ("i", "we") or _NOT & set(clause):
        return False
    return clause[-1] == "wondering" or (clause[-2:] == ["to", "know"] and clause[-3] in _CURIOUS)


# ------------------------------------------------------------------------------------ what helps them


def _agrees(words: Clause) -> bool:
    """*so do I*."""
    return len(words) > 2 and words[0] == "so" and words[1] in _AUXILIARY and words[2] in _SUBJECT


def _leaves_the_choice(words: Clause) -> bool:
    """*if you like*, *as you want*."""
    return len(words) > 2 and words[-3] in _CHOICE and words[-2] == "you" and words[-1] in _WISHES


def _is_verb_after(before: Clause) -> bool:
    """Return whether a word that may be a verb is one behind these: *I*, *can*, *we really*, *I want to*."""
    while len(before) > 1 and before[-1] in _BEFORE_VERB | {"never", "always"}:
        before = before[:-1]
    last = before[-1]
    if last == "to":
        return len(before) > 1 and (before[-2] in _WANTING or before[-2].endswith(("'d", "'ve")))
    if last in _NOMINATIVE | _TAKES_VERB | _HAVE or last.endswith(("'ll", "'d", "'ve")):
        return True
    if last in ("you", "it", "there", "this", "that"):
        return len(before) == 1 or before[-2] in _AUXILIARY | _NOT | _SUBORDINATOR
    return (
        before[0] in _DO | _MODAL and len(before) > 2 and last not in _DETERMINER | _OBJECT | ENGLISH.stranded
    )


def _fronts_object(before: Clause, strands: bool = False) -> bool:
    """Return whether what follows has its object already: *what would you …*, *the one I …*, *all I can …*.

    A preposition is `strands`-ed only if there is a verb between the question word and it: *what's it like*.
    """
    asked = _QUESTION if strands else _ASKS_FOR_OBJECT
    for at, word in enumerate(before):
        question = word.split("'")[0]
        if question in asked and (not strands or question != word or _has_verb(before[at + 1 :])):
            return True
        if word == "how" and before[at + 1 : at + 2] in (["much"], ["many"]):
            return True
        if word in _QUANTIFIED:
            return True
        relative = word in _NOMINATIVE | {"you"} or (word == "that" and at < len(before) - 1)
        if relative and _ends_in_noun(before[:at]):
            return True
    return False


def _has_verb(words: Clause) -> bool:
    return any(word in _AUXILIARY | _NOT or word in _SUBJECT or word.endswith("'s") for word in words)


def _ends_in_noun(words: Clause) -> bool:
    """Return whether a clause that follows may belong to the last word: it is in no closed class."""
    if not words or words[-1].endswith((*_CONTRACTED, "'s")):
        return False
    if words[-1] in _VERB | _MAKING | _GIVING:
        return len(words) > 1 and words[-2] in _DETERMINER
    return words[-1] not in _NO_NOUN
