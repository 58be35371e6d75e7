"""Short phrases that mean something of their own while the bot speaks."""

from __future__ import annotations

import re

from pipecat_bots.turn_text.completeness import normalised

BACKCHANNELS = {
    "en": "mhm, mm, mm hmm, mmm, hm, hmm, hm hm, uh huh, uh-hum, um hum, ah, aha, oh, okay, ok, kay, yeah, "
    "yes, yep, yup, right, sure, i see, got it, alright, all right, of course, exactly, true, good, great, "
    "nice, cool, wow, ha, haha, hahaha, heh, hehe, sounds good, makes sense, fair enough",
    "de": "mhm, hm, aha, ah, ach so, ja, jo, jup, okay, ok, genau, klar, gut, stimmt, verstehe, alles klar, "
    "richtig",
    "es": "mhm, aja, ajá, ah, sí, si, vale, ok, okay, claro, bueno, bien, ya, entiendo, exacto, de acuerdo",
    "fr": "mhm, hm, ah, oui, ouais, ok, okay, d'accord, bien, bien sûr, je vois, exactement, voilà, c'est ça",
    "it": "mhm, mm, hm, aha, ah, eh, sì, si, ok, okay, va bene, certo, esatto, giusto, bene, capisco, "
    "ho capito, d'accordo, già, perfetto",
    "pt": "mhm, hm, uhum, aham, ah, sim, ok, okay, tá, tá bom, claro, certo, exato, isso, bom, entendi, "
    "entendo, perfeito, com certeza",
    "zh": "嗯, 嗯嗯, 哦, 噢, 啊, 好, 好的, 对, 对的, 是, 是的, 行, 可以, 明白, 明白了, 知道了, 没错, ok",
    "vi": "ừ, ừm, à, ồ, vâng, dạ, ok, okay, được, đúng, đúng rồi, tốt, hay quá, tôi hiểu, hiểu rồi",
}
"""Phrases of a listener who does not want the floor, by language."""
STOP = {
    "en": "stop, stop it, stop talking, stop there, be quiet, quiet, shut up, that's enough, that is enough, "
    "enough, hush, silence, be silent",
    "de": "stopp, stop, halt, hör auf, sei still, sei ruhig, ruhe, genug, das reicht, es reicht, schluss",
    "es": "para, basta, alto, cállate, silencio, detente, ya basta, es suficiente",
    "fr": "stop, arrête, arrêtez, tais-toi, taisez-vous, silence, ça suffit, assez",
    "it": "stop, fermo, ferma, fermati, si fermi, basta, basta così, zitto, zitta, silenzio, taci, smettila",
    "pt": "para, pare, parar, stop, chega, basta, silêncio, cala a boca, cale se, fica quieto, fique quieto, "
    "já chega",
    "zh": "停, 停下, 停一下, 别说了, 不要说了, 闭嘴, 安静, 够了, 打住",
    "vi": "dừng, dừng lại, thôi, im, im lặng, im đi, đủ rồi, ngừng lại, stop",
}
"""Phrases that tell the bot to be silent, and nothing else, by language."""


class Phrases:
    """A set of short phrases (given with commas between them), and what texts consist of nothing else."""

    def __init__(self, phrases: str) -> None:
        words = {normalised(phrase) for phrase in phrases.split(",")} - {""}
        # the longest first: "okay then" is not "okay" and something else
        self._phrases = sorted(words, key=len, reverse=True)

    def __or__(self, other: Phrases) -> Phrases:
        return Phrases(",".join([*self._phrases, *other._phrases]))

    def make_up(self, text: str) -> bool:
        """Return whether the text is one of the phrases, or several in a row."""
        return bool(normalised(text)) and not self._rest(text)

    def may_make_up(self, text: str) -> bool:
        """Return whether the text could still become phrases: its last word may be unfinished."""
        rest = self._rest(text)
        return not rest or any(phrase.startswith(rest) for phrase in self._phrases)

    def occur_in(self, text: str) -> bool:
        padded = f" {normalised(text)} "
        return any(f" {phrase} " in padded for phrase in self._phrases)

    def _rest(self, text: str) -> str:
        """Return the text behind the phrases that it begins with."""
        rest = normalised(text)
        while rest:
            first = next((p for p in self._phrases if f"{rest} ".startswith(f"{p} ")), None)
            if first is None:
                break
            rest = rest[len(first) :].lstrip()
        return rest


BESIDE_STOP = Phrases(
    "okay, ok, please, now, no, oh, hey, thanks, thank you, bitte, jetzt, por favor, ahora, s'il te plaît, "
    "per favore, adesso, agora"
)
"""Words that may stand beside a stop phrase without turning it into a question."""


def phrases(listed: str | None, language: str, table: dict[str, str]) -> Phrases:
    """Return the phrases listed, between commas; if there is no list, those of the language.

    A language without any has the English ones: *okay*, *mhm* and *stop* are understood everywhere.
    """
    name = re.split("[-_]", language.lower())[0]
    return Phrases(table.get(name, table["en"]) if listed is None else listed)
