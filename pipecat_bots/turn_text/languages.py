"""The words by which each language shows that a turn goes on, that it is over, or that a number is dictated.

Closed classes only: conjunctions, articles, prepositions, pronouns, auxiliaries, numerals. Words are listed
as `turn_text.normalised` writes them: without case, and without punctuation but apostrophes within.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipecat_bots.turn_text.vocabulary import CARD, Lengths, Words, listed

_PIN: Lengths = (4,)
_CODE: Lengths = (4, 5, 6, 8)
_EXPIRY: Lengths = (4, 6)
_REFERENCE: Lengths = tuple(range(6, 13))
_ACCOUNT: Lengths = tuple(range(8, 13))
_PLACE: Lengths = (1, 2, 3, 4)


def _pairs(firsts: str, seconds: str) -> frozenset[str]:
    return frozenset(f"{first} {second}" for first in firsts.split() for second in seconds.split())


def _named(lengths: Mapping[Lengths, str]) -> Mapping[str, Lengths]:
    return {name.replace("_", " "): digits for digits, names in lengths.items() for name in names.split()}


ENGLISH = Words(
    goes_on=listed(
        "and but or nor because although unless if whether whereas plus than as the a an my your our their "
        "its every very whose um uhm uh er erm hm hmm mm gonna wanna gotta mr mrs ms"
    ),
    stranded=listed(
        "to of with for from into onto upon about between among against toward towards during without "
        "despite except via per like at by until till"
    ),
    question=listed("what where who whom whose which when why how"),
    asking=listed(
        "can could would will do does did is are was were have has had may should shall must am isn't "
        "aren't wasn't weren't don't doesn't didn't can't couldn't won't wouldn't haven't hasn't shouldn't"
    ),
    subjects=listed("i you he she it we they this that there these those the my your our his her their"),
    answers=listed(
        "yes|yeah|yep|yup|no|nope|nah|okay|ok|sure|right|correct|exactly|maybe|perhaps|please|thanks|"
        "thank you|stop|go ahead|go on|of course|absolutely|definitely|never|always|hello|hi|hey|goodbye|"
        "bye|good morning|cancel|continue|help|repeat|yes please|no thanks|no thank you|not really|i do|"
        "i don't|that's right|that's all|none|both|neither|either|sort of|kind of|what for|where to|"
        "where from|so what|guess what|since when|how come",
        "|",
    ),
    last=listed("please thanks today tonight tomorrow yesterday morning now again too instead"),
    starters=listed(
        "yes yeah yep no nope okay ok well so hi hello hey oh please thanks thank sorry actually um uh uhm "
        "er erm hmm right alright sure great good morning afternoon evening then now also anyway today "
        "tomorrow tonight"
    ),
    holds=listed(
        "wait|wait a minute|wait a second|wait a moment|hold on|hang on|one moment|one second|"
        "just a moment|stop",
        "|",
    ),
    openings=listed(
        "i mean|i wonder|i was wondering|i'd like|i would like|let me|let us|let's see|let me see|"
        "let me think|hold on|hang on|wait|one moment|just a moment|one second|just a second|just a minute|"
        "give me a second|give me a moment|how about|what about|what if|even if|the thing is|not only",
        "|",
    ),
    letter_words=listed("a i"),
    announces=listed("number phone telephone mobile cell"),
    spells=listed("name surname spelled spelt spell spelling"),
    named=_named(
        {
            _PIN: "pin year",
            _CODE: "code",
            (5, 6, 7): "postcode",
            (5, 9): "zip",
            (3, 4): "cvv cvc security_code",
            (9,): "security_number",
            _EXPIRY: "expires expiry expiration",
            (11, 12, 13): "plus",
            CARD: "card credit debit",
            _REFERENCE: "order booking reference confirmation ticket tracking case customer member",
            _ACCOUNT: "account",
            _PLACE: "room gate platform flight bus line floor flat apartment extension page route house",
        }
    ),
    phone=(7, 10, 11),
    digits={"oh": "0"},
    repeats={"double": 2, "triple": 3},
)

GERMAN = Words(
    goes_on=listed(
        "und oder aber denn sondern weil dass daß ob obwohl wenn falls damit sodass bevor nachdem während "
        "sobald als wie der die den dem des ein eine einen einem einer eines mein meine meinen meinem "
        "meiner dein deine deinen deinem deiner unser unsere unseren unserem unserer ihre ihren ihrem ihrer "
        "seine seinen seinem seiner kein keine keinen keinem keiner jeder jeden jedem jedes dieser diesen "
        "diesem für mit von bei nach ohne gegen um am im vom zum zur beim ins ans in zwischen wegen trotz "
        "seit bis hinter neben per pro äh ähm öh hm hmm ähem also naja tja"
    ),
    ends=_pairs("es ihn sie mich dich uns euch das du alles", "ein mit um an bei nach")
    | _pairs("von", "meinen deinen unseren ihren seinen"),
    holds=listed("warte|warte mal|warten sie|moment|moment mal|einen moment|stopp|stop|halt", "|"),
    openings=listed(
        "ich|ich möchte|ich will|ich würde|ich würde gern|ich würde gerne|ich hätte|ich hätte gern|"
        "ich hätte gerne|ich brauche|ich suche|ich habe|ich hab|ich bin|ich kann|ich muss|ich soll|"
        "ich wollte|ich wollte fragen|wir möchten|wir wollen|wir brauchen|wir haben|wir sind|es gibt|"
        "das ist|mein name ist|ich heiße|können sie|können sie mir|können sie mir sagen|könnten sie|"
        "könnten sie mir|könnten sie mir sagen|kannst du|kannst du mir|kannst du mir sagen|könntest du|"
        "könntest du mir|haben sie|hast du|gibt es|würden sie|würdest du|kann ich|könnte ich|darf ich|"
        "muss ich|soll ich|was ist|wo ist|wie ist|wann ist|wer ist|sagen sie mir|sag mir|gib mir|"
        "geben sie mir|zeig mir|zeigen sie mir|bring mir|bringen sie mir|ich glaube|ich denke|ich meine|"
        "lass mich|moment|einen moment|warte|warten sie|mal sehen|können sie bitte|kann man|kann man hier|"
        "wo kann ich|wo kann man|wie kann ich|wann kann ich|wie lange dauert|wie viel kostet|wo gibt es|"
        "gibt es noch|haben sie noch|ich würde gern wissen|ich würde gerne wissen|ich wüsste gern|und dann|"
        "zum beispiel|einerseits|je mehr|es geht um|ich frage mich",
        "|",
    ),
    question=listed(
        "was wo wer wen wem wessen welche welcher welches welchen wann warum wieso weshalb wohin woher"
    ),
    asking=listed(
        "kann kannst können könnte könnten könntest ist sind war waren hat haben hast gibt wird werden "
        "würde würden würdest soll sollen sollte darf dürfen muss müssen mag möchten möchtest wollen willst"
    ),
    subjects=listed("ich du er sie es wir ihr das der die ein eine mein meine dein deine dort hier"),
    subordinators=listed(
        "weil dass daß ob obwohl wenn falls damit sodass bevor nachdem aber denn der die das"
    ),
    nominatives=listed("ich du er wir man"),
    conditions=listed("wenn falls weil obwohl bevor nachdem"),
    articles=listed("der die das mein meine dein deine unser unsere ihr ihre sein seine"),
    copulas=listed("ist sind war waren"),
    polite=listed("bitte mal"),
    answers=listed(
        "ja|nein|doch|okay|ok|klar|genau|richtig|stimmt|vielleicht|bitte|danke|danke schön|vielen dank|"
        "stopp|stop|halt|weiter|natürlich|gerne|gern|sicher|nie|niemals|immer|hallo|hi|tschüss|"
        "auf wiedersehen|guten morgen|guten tag|guten abend|abbrechen|hilfe|nochmal|ja bitte|nein danke|"
        "ja gerne|eher nicht|das ist alles|das war's|das wars|das stimmt|keine ahnung|weiß nicht|"
        "ich weiß nicht|beide|keins|keine",
        "|",
    ),
    last=listed("bitte danke heute morgen gestern jetzt nochmal auch"),
    starters=listed(
        "ja nein okay ok gut also hallo hi guten tag morgen abend entschuldigung bitte danke äh ähm und "
        "aber naja dann genau"
    ),
    announces=listed("nummer telefonnummer handynummer telefon handy"),
    spells=listed("name nachname heiße buchstabiert buchstabiere"),
    named=_named(
        {
            _PIN: "pin",
            _CODE: "code",
            (5,): "postleitzahl plz",
            _EXPIRY: "gültig ablaufdatum",
            (11, 12, 13): "plus",
            CARD: "karte kreditkarte kartennummer",
            _REFERENCE: "bestellung bestellnummer auftragsnummer buchungsnummer kundennummer",
            _PLACE: "zimmer gleis flug bus linie stock hausnummer zimmernummer durchwahl seite",
        }
    ),
    phone=(7, 10, 11, 12),
    repeats={"doppel": 2},
)

SPANISH = Words(
    goes_on=listed(
        "y e o u pero sino ni que porque aunque si cuando mientras como pues el la los las un una unos unas "
        "mi mis tu tus su sus nuestro nuestra al del a de en con por para sin sobre entre desde hasta hacia "
        "según contra durante cada muy tan eh em mmm hm"
    ),
    holds=listed("espera|espere|un momento|un segundo|para|alto", "|"),
    openings=listed(
        "yo|quiero|quisiera|querría|me gustaría|necesito|busco|estoy|estoy buscando|tengo|tengo que|quería|"
        "voy a|puede|puedes|podría|podrías|me puede|me puedes|me podría|puede decirme|puedes decirme|"
        "me puede decir|me puedes decir|podría decirme|dígame|dime|deme|dame|envíame|envíeme|muéstrame|hay|"
        "es|está|soy|mi nombre es|me llamo|se llama|creo|quiero reservar|quiero pedir|quisiera reservar|"
        "quisiera pedir|dónde está|cuál es|qué es|cómo se|cuándo es|a ver|un momento|espera|espere|déjame|"
        "déjeme|me podría usted|podría usted|se puede|dónde puedo|dónde se puede|cómo puedo|cuándo puedo|"
        "cuánto tarda|cuánto dura|hay algún|hay alguna|me gustaría saber|quisiera saber|quería saber|"
        "me interesa|todavía tienen|y después|y luego|por un lado|por ejemplo|cuanto más|me pregunto",
        "|",
    ),
    question=listed("qué dónde quién quiénes cuál cuáles cuándo cómo cuánto cuánta cuántos cuántas adónde"),
    asking=listed(
        "puede puedes podría podrías hay está están es son tiene tienes tienen quiere quieres sabe sabes"
    ),
    answers=listed(
        "sí|si|no|vale|ok|okay|claro|correcto|exacto|exactamente|quizás|quizá|tal vez|por favor|gracias|"
        "muchas gracias|para|alto|sigue|continúa|por supuesto|desde luego|nunca|siempre|hola|adiós|"
        "buenos días|buenas tardes|buenas noches|cancelar|ayuda|repite|sí por favor|no gracias|no sé|eso es|"
        "eso es todo|nada más|ambos|ninguno|de acuerdo|así es",
        "|",
    ),
    last=listed("favor gracias hoy mañana ayer ahora también"),
    starters=listed(
        "sí si no vale ok okay bueno pues hola buenos días buenas tardes noches gracias perdón perdone "
        "disculpe oiga oye eh y pero entonces claro"
    ),
    subordinators=listed("porque si aunque cuando pero mientras"),
    nominatives=listed("yo tú él ella nosotros usted ellos"),
    conditions=listed("si aunque cuando mientras"),
    articles=listed("el la los las mi mis tu tus su sus nuestro nuestra"),
    copulas=listed("es son era está están hay"),
    polite=listed("por favor"),
    letter_words=listed("a e o u y"),
    announces=listed("número teléfono móvil celular"),
    spells=listed("nombre apellido llamo deletrea escribe"),
    named=_named(
        {
            _PIN: "pin",
            _CODE: "código",
            (5,): "postal",
            _EXPIRY: "caduca vence vencimiento",
            (11, 12, 13): "más",
            CARD: "tarjeta",
            _REFERENCE: "pedido reserva referencia cliente",
            _PLACE: "habitación puerta andén vuelo línea autobús piso página extensión",
        }
    ),
    phone=(9, 10),
    repeats={"doble": 2},
)

FRENCH = Words(
    goes_on=listed(
        "et ou mais donc or ni car que parce puisque quoique si lorsque quand comme dont le la les un une "
        "des du de au aux mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs ce cet cette ces "
        "chaque à en dans par pour sur sous sans avec chez vers entre depuis pendant jusque jusqu'à très je "
        "qu'il qu'elle qu'on qu'ils qu'elles s'il s'ils lorsqu'il lorsqu'on euh heu bah ben hum hm"
    ),
    ends=_pairs("le du de un bon", "son ton")
    | _pairs("suis est es sommes êtes sont", "pour")
    | _pairs("viens vient venez vas va allez fais faire vis vit", "avec sans"),
    holds=listed("attends|attendez|un moment|un instant|une seconde|stop", "|"),
    openings=listed(
        "je voudrais|j'aimerais|je veux|je souhaite|je souhaiterais|j'ai|j'ai besoin|je cherche|je suis|"
        "je peux|je dois|je vais|nous voulons|nous voudrions|nous avons|nous sommes|il y a|est ce|"
        "est ce qu'il y a|c'est|pouvez vous|pourriez vous|peux tu|pourrais tu|avez vous|as tu|"
        "pouvez vous me|pouvez vous me dire|pourriez vous me dire|peux tu me dire|dites moi|dis moi|"
        "donnez moi|donne moi|montrez moi|montre moi|envoyez moi|apportez moi|puis je|je m'appelle|"
        "mon nom est|je pense|je crois|où est|quel est|quelle est|qu'est ce|comment est|"
        "je voudrais réserver|je voudrais commander|un moment|attendez|attends|voyons|est ce que je peux|"
        "est ce qu'on peut|où est ce que je peux|comment est ce que je peux|est ce que vous avez|"
        "où puis je|comment puis je|combien de temps dure|j'aimerais savoir|je voudrais savoir|et puis|"
        "d'un côté|par exemple|plus je|je me demande|pourriez vous me|peux tu me",
        "|",
    ),
    question=listed("qui quoi quel quelle quels quelles où quand comment pourquoi combien"),
    asking=listed("est pouvez pourriez peux pourrais avez as êtes es voulez voulez"),
    subjects=listed("ce vous tu il elle on ils elles"),
    conditions=listed("si quand lorsque"),
    articles=listed("le la les mon ma mes ton ta tes son sa ses notre votre leur"),
    copulas=listed("est sont était c'est c'était"),
    polite=listed("s'il vous te plaît"),
    answers=listed(
        "oui|ouais|non|si|ok|okay|d'accord|bien sûr|exact|exactement|peut être|s'il vous plaît|"
        "s'il te plaît|merci|merci beaucoup|stop|arrête|arrêtez|continue|continuez|jamais|toujours|bonjour|"
        "salut|bonsoir|au revoir|annuler|aide|répète|répétez|oui merci|non merci|oui s'il vous plaît|"
        "c'est ça|c'est tout|c'est bon|je ne sais pas|les deux|aucun|aucune|voilà|tout à fait",
        "|",
    ),
    last=listed("plaît merci demain hier maintenant aussi"),
    starters=listed(
        "oui non ok okay bon bonjour bonsoir salut merci alors pardon euh heu ben bah et mais voilà"
    ),
    letter_words=listed("a à y"),
    announces=listed("numéro téléphone portable"),
    spells=listed("nom prénom m'appelle épelle écrit"),
    named=_named(
        {
            _PIN: "pin",
            _CODE: "code",
            (5,): "postal",
            _EXPIRY: "expire expiration",
            (11, 12, 13): "plus",
            CARD: "carte",
            _REFERENCE: "commande réservation référence dossier client",
            _PLACE: "chambre porte quai voie vol bus ligne étage page poste",
        }
    ),
    phone=(10,),
    repeats={"double": 2},
)

ITALIAN = Words(
    goes_on=listed(
        "e ed o oppure ma però né che perché se quando mentre come il lo la i gli le un uno una mio mia "
        "miei mie tuo tua suo sua nostro nostra al allo alla ai agli alle del dello della dei degli delle "
        "dal dalla nel nella nei sul sulla a ad di da in con su per tra fra senza verso ogni ehm eh "
        "mmm cioè"
    ),
    holds=listed("aspetta|aspetti|un momento|un attimo|un secondo|stop|ferma", "|"),
    openings=listed(
        "io|vorrei|voglio|ho|ho bisogno|cerco|sto cercando|sono|posso|devo|mi chiamo|il mio nome è|può|puoi|"
        "potrebbe|potresti|può dirmi|puoi dirmi|mi può dire|mi puoi dire|potrebbe dirmi|mi dica|dimmi|dammi|"
        "mi dia|c'è|ci sono|è|dov'è|qual è|cos'è|credo|penso|vorrei prenotare|vorrei ordinare|un momento|"
        "aspetta|aspetti|fammi|vediamo|mi potrebbe|si può|dove posso|dove si può|come posso|quando posso|"
        "quanto dura|avete ancora|avete un|mi piacerebbe sapere|vorrei sapere|volevo sapere|mi interessa|"
        "e poi|da una parte|per esempio|ad esempio|mi chiedo",
        "|",
    ),
    question=listed("cosa dove chi quale quali quando perché come quanto quanta quanti quante"),
    answers=listed(
        "sì|si|no|ok|okay|va bene|certo|esatto|giusto|forse|per favore|grazie|grazie mille|stop|basta|"
        "continua|mai|sempre|ciao|arrivederci|buongiorno|buonasera|annulla|aiuto|ripeti|sì grazie|no grazie|"
        "non lo so|è tutto|entrambi|nessuno|d'accordo|certamente",
        "|",
    ),
    last=listed("favore grazie oggi domani ieri adesso anche"),
    starters=listed(
        "sì si no ok okay allora ciao buongiorno buonasera grazie scusi scusa beh bene e ma certo eh"
    ),
    subordinators=listed("perché se quando ma mentre"),
    nominatives=listed("io tu lui lei noi loro"),
    conditions=listed("se quando mentre"),
    articles=listed("il lo la i gli le mio mia tuo tua suo sua nostro nostra"),
    copulas=listed("è sono era c'è"),
    polite=listed("per favore cortesia"),
    letter_words=listed("a e i o è"),
    announces=listed("numero telefono cellulare"),
    spells=listed("nome cognome chiamo scrive"),
    named=_named(
        {
            _PIN: "pin",
            _CODE: "codice",
            (5,): "cap postale",
            _EXPIRY: "scade scadenza",
            (11, 12, 13): "più",
            CARD: "carta",
            _REFERENCE: "ordine prenotazione riferimento cliente",
            _PLACE: "camera stanza binario porta volo linea autobus piano pagina interno",
        }
    ),
    phone=(10,),
    repeats={"doppio": 2},
)

PORTUGUESE = Words(
    goes_on=listed(
        "e ou mas porém nem que porque embora se quando enquanto como o a os as um uma uns umas meu minha "
        "meus minhas teu tua seu sua nosso nossa ao à aos às do da dos das no na nos nas pelo pela de em "
        "com por para sem sobre entre desde até cada hum ahn"
    ),
    holds=listed("espera|espere|um momento|um segundo|para|pare", "|"),
    openings=listed(
        "eu|quero|eu quero|queria|eu queria|gostaria|eu gostaria|preciso|eu preciso|procuro|estou|"
        "estou procurando|tenho|eu tenho|vou|posso|devo|pode|você pode|poderia|você poderia|pode me dizer|"
        "você pode me dizer|me diga|diga me|me dê|dê me|tem|há|é|está|meu nome é|me chamo|acho|onde está|"
        "onde fica|qual é|quero reservar|gostaria de reservar|um momento|espera|espere|deixa eu ver|"
        "você pode me|você poderia me|onde eu posso|onde posso|como eu posso|como posso|dá para|"
        "quanto tempo demora|quanto tempo leva|tem algum|tem alguma|vocês têm|vocês ainda têm|"
        "gostaria de saber|eu gostaria de saber|queria saber|eu queria saber|e depois|por um lado|"
        "por exemplo|quanto mais|me pergunto",
        "|",
    ),
    question=listed("quê quem qual quais onde quando como quanto quanta quantos quantas"),
    answers=listed(
        "sim|não|ok|okay|tá|tá bom|claro|certo|exato|exatamente|talvez|por favor|obrigado|obrigada|"
        "muito obrigado|para|pare|continua|nunca|sempre|olá|oi|tchau|adeus|bom dia|boa tarde|boa noite|"
        "cancelar|ajuda|repete|sim por favor|não obrigado|não obrigada|não sei|é isso|isso|só isso|ambos|"
        "nenhum|com certeza",
        "|",
    ),
    last=listed("favor obrigado obrigada hoje amanhã ontem agora também"),
    starters=listed(
        "sim não ok okay bom boa dia tarde noite olá oi obrigado obrigada desculpe então e mas claro"
    ),
    subordinators=listed("porque se quando mas enquanto embora"),
    nominatives=listed("eu você ele ela nós vocês eles"),
    conditions=listed("se quando enquanto"),
    articles=listed("o a os as meu minha meus minhas seu sua nosso nossa"),
    copulas=listed("é são era está há"),
    polite=listed("por favor"),
    letter_words=listed("a e o à é"),
    announces=listed("número telefone telemóvel celular"),
    spells=listed("nome sobrenome apelido chamo escreve soletra"),
    named=_named(
        {
            _PIN: "pin",
            _CODE: "código",
            (7, 8): "postal cep",
            _EXPIRY: "vence validade",
            (11, 12, 13): "mais",
            CARD: "cartão",
            _REFERENCE: "pedido reserva referência cliente",
            _PLACE: "quarto porta plataforma voo linha ônibus autocarro andar página ramal",
        }
    ),
    phone=(9, 10, 11),
    digits={"meia": "6"},
    repeats={"duplo": 2},
)

VIETNAMESE = Words(
    goes_on=listed(
        "và hoặc nhưng vì bởi nếu rằng của cho với ở từ là để khi những các mỗi rất đang sẽ đã vẫn cùng ờ ừm"
    ),
    openings=listed(
        "tôi|tôi muốn|tôi cần|tôi có thể|bạn có thể|anh có thể|chị có thể|bạn có thể cho tôi biết|cho tôi|"
        "cho tôi hỏi|cho hỏi|xin hỏi|tôi muốn hỏi|tôi muốn biết|tôi đang tìm|làm ơn|làm ơn cho tôi|giúp tôi|"
        "tôi nghĩ|tôi nghĩ rằng|tôi bị|chờ một chút|đợi một chút|khoan|để tôi xem|ví dụ|sau đó|có phải",
        "|",
    ),
    question=listed("gì ai đâu nào sao"),
    answers=listed(
        "vâng|dạ|ừ|có|không|được|đúng|đúng rồi|phải|rồi|chưa|được rồi|ok|okay|cảm ơn|không cảm ơn|"
        "xin chào|chào|tạm biệt|tốt|có lẽ|dừng lại|thôi|tiếp tục|tôi không biết|không sao|chắc chắn|"
        "không bao giờ|luôn luôn|cả hai|giúp tôi với",
        "|",
    ),
    last=listed("nhé ạ không chưa nữa"),
    starters=listed("vâng dạ ừ có không ờ xin chào cảm ơn rồi thì ơi"),
    announces=listed("thoại"),
    phone=(10,),
)

CHINESE = Words(
    tails=tuple(
        listed(
            "和 跟 或 或者 但是 可是 不过 因为 所以 如果 要是 虽然 比如 比如说 然后 "
            "而且 并且 以及 关于 把 被 从 我想 我想要 我想问 我想问一下 我需要 我觉得 "
            "我认为 我们想 请问 帮我 请给我 你能 你能不能 你可以 你可不可以 告诉我 我叫 "
            "我的名字是 名字叫 电话是 号码是 地址是 问题是 原因是 的时候 等一下 呃 首先 "
            "除了 为了"
        )
    ),
    asking_tails=("吗", "呢", "吧", "什么", "哪里", "多少", "多少钱", "几点"),
    answers=listed(
        "是|是的|对|对的|不|不是|不对|好|好的|行|可以|不可以|没有|有|没|不用|不用了|谢谢|谢谢你|"
        "不用谢|你好|再见|嗯|当然|也许|可能|停|停下|继续|取消|我不知道|不知道|没关系|没问题|"
        "明白|明白了|知道了|就这些|都可以",
        "|",
    ),
    phone=(11,),
)

LANGUAGES = {
    "en": ENGLISH,
    "de": GERMAN,
    "es": SPANISH,
    "fr": FRENCH,
    "it": ITALIAN,
    "pt": PORTUGUESE,
    "vi": VIETNAMESE,
    "zh": CHINESE,
}


def base_of(language: str) -> str:
    """Return `de` of `de-AT`."""
    return language.lower().replace("_", "-").split("-")[0]


def words_of(language: str) -> Words:
    """Return the words of a language (`en`, `de-AT`); of one that is not known, none."""
    return LANGUAGES.get(base_of(language), Words())
