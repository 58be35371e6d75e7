"""English sentences that are whole, and some that are not, to tell apart by their grammar."""

from __future__ import annotations

OPEN = """
could you tell me
I'd like to reserve
do you have
does the museum have
my flight is
the number of my booking is
I was hoping you could recommend
please give me
we were wondering whether you
I would like to know
how many people will
what colour is
so how much does
my sister told me
the people at the desk told us
okay and I'd love to know
I was just wondering
because it
when I
I need to change my
what time does the bus
can I please get
where can I buy
how do I
how long does it
is there
are there any shops near the
I'm
it's
I have been
she said that
the problem is that
if the weather is nice tomorrow
if my card does not work
I would really like
I'd rather have
he wants me to bring
they usually
it will probably
we are looking at
the best way to
the quickest route from
a kilo of
one of my
my sister and
I think
there is no
for the next three
I want you to send
could you
would it
who is the
I can't find
you should never use
next week I want to visit my
do you know where the
not only
I paid with
my name's
I spoke to her about
let me
hold on
the doctor told me that I should take
it is cheaper than
we arrived at
can the technician
yes but I
no I need
my parents live in
we are open until
that depends on
""".strip().splitlines()
"""Each lacks something: the rules were written with these."""
WHOLE = """
I live in Berlin
my sister is a doctor
yes I do
do you want to know
nobody told me
he never told me
that's what she told us
as you told me
what a day it was
I have no idea what the answer is
I really don't want to know
that's all I need to know
of course it is
how are you
who are you
what is it
what would you recommend
what do you want
is this the one you ordered
that is all I need
that's what I said
tell me the time
I don't know why
he can't come
I can't swim
I forgot my password
it broke yesterday
where is the station
where are you from
what are you looking for
the red one
two tickets to Madrid
I ordered it last week
you can call me
please help me
thank you
I told you
as I told you
let's go
I am ready to order
it is easy to use
there is nothing to add
if you like
if you don't mind
because I like it
so do I
neither am I
I think so
I hope not
he is taller than me
I like her
can you cancel it
it's nice, isn't it
what a lovely day it is
I do not understand
the meeting was cancelled
my order was sent
the door is open
turn it off
I'd like to log in
that's a good book
I want to make an order
if it rains can we stay inside
I know what time it is
can you show me how it works
she gave me the book
anything you can get
I went there with him
we can meet at seven
I know that
can you say that
it's on the third of May
I don't want to
I'd love to
if you could send me the details
nothing to worry about
someone to talk to
leave it as it is
which city do you live in
please come in
it's still on
""".strip().splitlines()
"""Each could be all there is, and some look as if they could not."""
UNSEEN_OPEN = """
would it be possible to
I wonder if
the receptionist said we could
can you put me through to
have you got any
my daughter has
the price of the ticket was
I'd prefer a room with
where did they
how many people can
please remind me when
do they
my phone keeps
it depends on whether
I was told that
you can reach me at
we usually
I've already paid for my
does your shop
when will the package
give him
I want to buy
she is bringing
we will probably need
could you please
they have never sent
if you have any rooms left
unless the plane is delayed
I asked for a table but
he works for
a bottle of
instead of the
both my parents and
which of these
this is my
there are too many
because I
as soon as we
he told her that
do you think I should take
let's
what about
I'm going to have
it takes about twenty minutes from
may I ask
would you like me to bring
I'd love to see the
not because
the thing is
we're
I can offer you
what I want is
our landlord will
put the lamp next to
it would
is your
well I just
the second one is
between six and
my account was
""".strip().splitlines()
"""Written before the rules had been tried on any of them: 83 % were found then, and 98 % of what was found
was open. Two slips that showed have been mended since; what else is tried belongs to `OPEN` and `WHOLE`."""
UNSEEN_WHOLE = """
she works in a bank
the train was late
my mother called this morning
there's a problem with my bill
it's raining
I think it's broken
the blue one please
no I haven't
yes they are
of course you can
what did you say
how does it work
where do you come from
who told you
is it far
when does it open
how old are you
whose is this
what kind of music do you like
which one did you buy
do you know who she is
I don't remember what he said
that's the book I wanted
everything he said
the flight we booked
is there anything else you need
what time does the film start
can I pay by card
may I come in
will it rain
please call me back
show me the menu
send it to my wife
I'd like to cancel
I want to pay
I would like some tea
she asked me
don't tell them
if I were you I would wait
when I am tired I sleep
you can come if you want
as you wish
he runs faster than I do
so did we
me neither
not at all
I'm not sure
I believe so
we haven't decided yet
the shop is closed
it was stolen
two of them were broken
he fell off
switch it on
I've been there before
she is very kind
nothing special
next to the window
at half past nine
a quarter of an hour
because of the rain
until Friday
my parents and I live in Rome
you are welcome
it's not mine
that's what friends are for
""".strip().splitlines()
"""As above."""
