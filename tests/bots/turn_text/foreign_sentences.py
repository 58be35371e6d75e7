"""Sentences of other languages, whole and not, that were written before the rules were tried on them."""

from __future__ import annotations

UNSEEN_OPEN = {
    "de": """
ich brauche eine neue
der Zug fährt von
ich habe gehört dass
mein Problem ist
ich kann leider nicht kommen weil
könnten Sie
wie komme ich zum
ich möchte gerne
wir treffen uns um
ich nehme die
wissen Sie ob
das ist der Mann mit dem
wenn ich
haben Sie einen
mein Geburtstag ist am
ich wollte eigentlich
die Telefonnummer von meiner
wann ist
erstens
ich würde lieber
""".strip().splitlines(),
    "es": """
necesito una nueva
el tren sale de
he oído que
mi problema es
no puedo ir porque
podría usted
cómo llego al
me gustaría
nos vemos a las
me llevo la
sabe si
es el hombre con el
cuando yo
tienen un
mi cumpleaños es el
en realidad quería
el teléfono de mi
cuándo es
primero
preferiría
""".strip().splitlines(),
    "fr": """
j'ai besoin d'une nouvelle
le train part de
j'ai entendu que
mon problème est
je ne peux pas venir parce que
pourriez-vous
comment aller à la
j'aimerais bien
on se voit à
je prends la
savez-vous si
c'est l'homme avec le
quand je
vous avez un
mon anniversaire est le
en fait je voulais
le téléphone de ma
c'est quand le
premièrement
je préférerais
""".strip().splitlines(),
    "it": """
ho bisogno di una nuova
il treno parte da
ho sentito che
il mio problema è
non posso venire perché
potrebbe
come arrivo alla
mi piacerebbe
ci vediamo alle
prendo la
sa se
è l'uomo con il
quando io
avete un
il mio compleanno è il
in realtà volevo
il telefono di mia
quando è
innanzitutto
preferirei
""".strip().splitlines(),
    "pt": """
preciso de uma nova
o trem sai de
ouvi dizer que
meu problema é
não posso ir porque
o senhor poderia
como chego na
eu gostaria
a gente se vê às
vou levar a
você sabe se
é o homem com o
quando eu
vocês têm um
meu aniversário é no
na verdade eu queria
o telefone da minha
quando é
primeiro
eu prefiro
""".strip().splitlines(),
    "vi": """
tôi cần một cái mới và
tàu đi từ
tôi nghe nói rằng
vấn đề của tôi là
tôi không đi được vì
bạn có thể
làm sao để
tôi muốn
chúng ta gặp nhau ở
tôi sẽ lấy cái
bạn có biết nếu
người đàn ông với
khi tôi
sinh nhật của tôi là
thật ra tôi muốn
số điện thoại của
nếu trời
tôi đang
nhưng mà
một phòng cho
""".strip().splitlines(),
    "zh": """
我需要一个新的手机和
火车从
我听说
我的问题是
我去不了因为
你能不能
怎么去
我想要
我们约在
我要那个红色的然后
你知道如果
那个男人和
当我
我的生日是
其实我想
电话号码是
如果天气
我正在
但是
请帮我订一个
""".strip().splitlines(),
}
UNSEEN_WHOLE = {
    "de": """
wann kommt der nächste Zug
ich bin seit drei Tagen krank
das Zimmer war zu laut
könnten Sie mich zurückrufen
der Termin passt mir nicht
ich habe noch nichts bekommen
wie viel macht das
schick es an meine Adresse
da war niemand
ich hätte gerne einen Kaffee
mein Name ist Schneider
das gefällt mir
der Schlüssel liegt zu Hause
wir sind zu viert
das ist alles was ich brauche
sie hat mich gestern angerufen
mach das Fenster zu
ich weiß nicht wo das ist
wer ist da
so wie es ist
""".strip().splitlines(),
    "es": """
cuándo sale el próximo tren
llevo tres días enfermo
la habitación era muy ruidosa
me pueden llamar más tarde
la cita no me viene bien
todavía no he recibido nada
cuánto es todo
envíalo a mi dirección
no había nadie
quiero un café con leche
mi nombre es García
me gusta mucho
somos cuatro
eso es todo lo que necesito
me llamó ayer
cierra la ventana
no sé dónde está
quién es
así como está
es mejor que yo
""".strip().splitlines(),
    "fr": """
quand part le prochain train
je suis malade depuis trois jours
la chambre était trop bruyante
pouvez-vous me rappeler plus tard
le rendez-vous ne me convient pas
je n'ai encore rien reçu
ça fait combien
envoie-le à mon adresse
il n'y avait personne
je voudrais un café
mon nom est Martin
ça me plaît
nous sommes quatre
c'est tout ce dont j'ai besoin
elle m'a appelé hier
ferme la fenêtre
je ne sais pas où c'est
c'est qui
comme il est
qu'est-ce que c'est
""".strip().splitlines(),
    "it": """
quando parte il prossimo treno
sono malato da tre giorni
la camera era troppo rumorosa
potete richiamarmi più tardi
l'appuntamento non mi va bene
non ho ancora ricevuto niente
quanto fa
mandalo al mio indirizzo
non c'era nessuno
vorrei un caffè
il mio nome è Rossi
mi piace molto
siamo in quattro
è tutto quello che mi serve
mi ha chiamato ieri
chiudi la finestra
non so dove sia
chi è
così com'è
è più alto di me
""".strip().splitlines(),
    "pt": """
quando sai o próximo trem
estou doente há três dias
o quarto era muito barulhento
podem me ligar mais tarde
a consulta não dá para mim
ainda não recebi nada
quanto é tudo
manda para o meu endereço
não tinha ninguém
quero um café
meu nome é Silva
gosto muito
somos quatro
é tudo de que eu preciso
ela me ligou ontem
fecha a janela
não sei onde fica
quem é
do jeito que está
ele é mais alto que eu
""".strip().splitlines(),
    "vi": """
khi nào có chuyến tàu tiếp theo
tôi bị ốm ba ngày rồi
phòng ồn quá
bạn có thể gọi lại cho tôi không
tôi chưa nhận được gì
tất cả bao nhiêu tiền
gửi đến địa chỉ của tôi
không có ai ở đó
tôi muốn một ly cà phê
tên tôi là Minh
tôi rất thích
chúng tôi có bốn người
đó là tất cả những gì tôi cần
cô ấy đã gọi hôm qua
đóng cửa sổ lại
tôi không biết nó ở đâu
ai đó
phim này hay
tôi muốn về nhà
anh ấy đã đến rồi
""".strip().splitlines(),
    "zh": """
下一班火车几点出发
我病了三天了
房间太吵了
你能再打给我吗
我还没有收到
一共多少钱
寄到我的地址
那里没有人
我要一杯咖啡
我叫王明
我很喜欢
我们有四个人
我需要的就是这些
她昨天打电话给我了
把窗户关上
我不知道在哪里
你是谁
这个是我的
我想回家
他已经到了
我要这个
我要两个
""".strip().splitlines(),
}
