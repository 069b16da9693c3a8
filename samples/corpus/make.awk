# Writes the training text of the sample model: awk -f make.awk DIR (the folder with the .txt files), JSON lines on
# stdout. Every awk gives the same bytes: the random numbers are our own.
#
# Each line of the tables is asked in several ways and answered in plain sentences. Nothing here has the style of
# helpdesk.jsonl (numbered steps, the closing line): that is what tuning adds.

function rnd(n) { # 0 .. n - 1 (Park and Miller; all products are below 2^53)
    seed = (seed * 16807) % 2147483647
    return seed % n
}
function pick(list,    a, n) { n = split(list, a, ";"); return a[rnd(n) + 1] }
function cap(s) { return toupper(substr(s, 1, 1)) substr(s, 2) }
function ends(s, e) { return length(s) >= length(e) && substr(s, length(s) - length(e) + 1) == e }

# "not wake up" -> "does not wake up", "take no paper" -> "takes no paper"
function third(s,    v, rest, at) {
    if (s ~ /^not /) return "does " s
    at = index(s, " "); v = at ? substr(s, 1, at - 1) : s; rest = at ? substr(s, at) : ""
    if (v == "be") v = "is"
    else if (v == "have") v = "has"
    else if (v == "do") v = "does"
    else if (v == "go") v = "goes"
    else if (v ~ /(s|sh|ch|x)$/) v = v "es"
    else if (v ~ /[^aeou]y$/) v = substr(v, 1, length(v) - 1) "ies"
    else v = v "s"
    return v rest
}
# What I said of me is said of you in the answer.
function yours(s) {
    gsub(/ my /, " your ", s); gsub(/ me /, " you ", s); gsub(/ me\./, " you.", s); gsub(/ I /, " you ", s)
    return s
}
function a_an(s) { return (s ~ /^[aeioAEIO]/ ? "an " : "a ") s }

# People also type like this: no capital, no full stop.
function sloppy(q,    r) {
    r = rnd(10)
    if (r < 2) q = tolower(substr(q, 1, 1)) substr(q, 2)
    if (r < 1 || r == 4) sub(/[.?!]$/, "", q)
    return q
}
function say(q, a) {
    printf "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"},{\"role\":\"assistant\",\"content\":\"%s\"}]}\n", sloppy(q), a
    total++
}
function talk(q1, a1, q2, a2) {
    printf "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"},{\"role\":\"assistant\",\"content\":\"%s\"},", q1, a1
    printf "{\"role\":\"user\",\"content\":\"%s\"},{\"role\":\"assistant\",\"content\":\"%s\"}]}\n", sloppy(q2), a2
    total++
}

function whose() { return pick("my;my;my;our;the;my new;my old;my mother's;my father's;my sister's;the neighbour's") }

function problem(thing, bad, why, fixes,    f, n, i, w, q, a, t, other) {
    n = split(fixes, f, ";")
    i = rnd(n) + 1; other = n > 1 ? i % n + 1 : i
    w = whose(); t = third(bad)
    q = pick("%W %T %B. What can I do?;%W %T %B, what now?;Why does %W %T %I?;What should I do if %W %T %B?;%W %T %B and I do not know why.;%W %T %B;How do I repair %A that %B?;Can you tell me why %W %T %B?;Help, %W %T %B!;Since yesterday %W %T %B.;What can be wrong when %A %B?;%W %T %B, any idea?")
    gsub(/%T/, thing, q); gsub(/%B/, t, q); gsub(/%I/, bad, q); gsub(/%A/, a_an(thing), q); gsub(/%W/, w, q)
    if (bad ~ /^not / && q ~ /^Why does/) q = "Why does " w " " thing " " bad "?"
    a = pick("The %T %B because %Y. %F, and then %G.;Most likely %Y. %F first, and if that does not help, %G.;This often happens when %Y. You can %F or %G.;When the %T %B, %F. After that you can %G.;It sounds as if %Y. Try to %f and %g.;If the %T %B, it is mostly because %Y. It helps to %f.;You can %f. If the %T still %B, %g as well.;The usual reason is that %Y. %F and see if it gets better.")
    gsub(/ %F or/, " " f[i] " or", a); gsub(/can %G/, "can " f[other], a)
    if (a ~ /, %F\./) gsub(/, %F\./, ", " f[i] ".", a)
    gsub(/%F/, cap(f[i]), a); gsub(/%f/, f[i], a); gsub(/%[Gg]/, f[other], a)
    gsub(/%T/, thing, a); gsub(/%B/, t, a); gsub(/%Y/, why, a)
    say(cap(q), yours(a))
}

function task(what, steps,    s, n, q, a, i) {
    n = split(steps, s, ";")
    q = pick("How do I %W?;How can I %W?;How do you %W?;I want to %W. How does it work?;What is the best way to %W?;Can you explain how to %W?;Is there a way to %W?;Please help me to %W.;I would like to %W.;Could you tell me how to %W?;%W, how?;Is it possible to %W?")
    gsub(/%W/, what, q)
    a = pick("To %W, %1 and %2.;You can %W like this. %C and then %2.;First %1. Then %2.;It is easy to %W. %C, then %2.;If you want to %W, %1 first.;The best way to %W is to %1 and then %2.")
    if (a ~ /want to/) a = a " Then %2."
    gsub(/%W/, what, a); gsub(/%1/, s[1], a); gsub(/%C/, cap(s[1]), a); gsub(/%2/, s[2], a)
    if (n > 2 && rnd(3)) a = a " " pick("At the end;Finally;After that;Last of all") ", " s[3] "."
    say(cap(q), yours(a))
}

function bare(thing,    t) { t = thing; sub(/^(a|an|the) /, "", t); return t }
function thing_(what, is, good, remark,    q, a) {
    q = pick("What is %W?;What is %W?;Can you explain what %W is?;What is %W good for?;Explain %W in simple words.;Tell me about %W.;What does %W do?;I do not know what %W is.;%B, explained simply;Why do people need %W?;Please explain the word %B.")
    a = pick("%C is %I. It helps to %G.;%C is %I. %R;%C is %I. You need it to %G. %R;%C is %I, and it helps to %G.;It is %I. %R")
    if (q ~ /good for|need/) a = pick("%C helps to %G. It is %I.;You need %W to %G. %R;%C is there to %G. %R")
    gsub(/%W/, what, q); gsub(/%B/, bare(what), q)
    gsub(/%W/, what, a); gsub(/%C/, cap(what), a); gsub(/%I/, is, a); gsub(/%G/, good, a); gsub(/%R/, remark, a)
    say(cap(q), a)
}

function advice(what, yes, why,    q, a) {
    q = pick("Is it %W?;Is it %W?;Do you think it is %W?;I wonder if it is %W.;Tell me, is it %W?")
    gsub(/%W/, what, q)
    if (yes ~ /^(better|best|fine)/) a = "It is " yes ", because " why "."
    else a = cap(yes) pick(", because " why ".;. The reason is that " why ".;, since " why ".")
    say(q, a)
}

function capital(land, city, water, tongue,    r) {
    r = rnd(7)
    if (r == 0) say("Which city is the capital of " land "?", city " is the capital of " land ".")
    else if (r == 1) say("Tell me the capital of " land ".", "It is " city ". The city lies on " water ".")
    else if (r == 2) say("What language do people speak in " land "?", "In " land " people speak " tongue ".")
    else if (r == 3) say("Where is " city "?", city " is in " land " and lies on " water ".")
    else if (r == 4) say("Is " city " the capital of " land "?", "Yes, " city " is the capital of " land ".")
    else if (r == 5) say("Which country has the capital " city "?", city " is the capital of " land ".")
    else say("What do you know about " land "?", "The capital of " land " is " city ". People there speak " tongue ".")
}

function animal(what, home, food, special,    r) {
    r = rnd(6)
    if (r == 0) say("Where do " what " live?", cap(what) " live " home ".")
    else if (r == 1) say("What do " what " eat?", cap(what) " eat " food ". They live " home ".")
    else if (r == 2) say("What is special about " what "?", cap(what) " live " home ", and " special ".")
    else if (r == 3) say("Tell me something about " what ".", cap(what) " eat " food ", and " special ".")
    else if (r == 4) say("Do you know anything about " what "?", "Yes. " cap(what) " live " home " and eat " food ".")
    else say("Write a sentence about " what ".", cap(what) " eat " food " and live " home ".")
}

function word(w, means, same, opposite, example,    r) {
    r = rnd(6)
    if (r == 0) say("What does the word '" w "' mean?", cap(w) " means " means ". " example)
    else if (r == 1) say("Give me another word for " w ".", "Another word for " w " is " same ".")
    else if (r == 2) say("What is the opposite of " w "?", "The opposite of " w " is " opposite ".")
    else if (r == 3) say("Use the word " w " in a sentence.", example)
    else if (r == 4) say("What does " w " mean?", cap(w) " means " means ". The opposite is " opposite ".")
    else say("Name a word that means the same as " w ".", cap(same) " means nearly the same as " w ".")
}

function number(n,    tens) {
    if (n < 20) return n ? digit[n + 1] : "no"
    tens = ten[int(n / 10)]
    return n % 10 ? tens "-" digit[n % 10 + 1] : tens
}
function sums(    a, b, r, thing, who) {
    a = rnd(12) + 1; b = rnd(9) + 1; r = rnd(5)
    thing = pick("apples;books;stamps;eggs;coins;pencils;cards;cakes;flowers;letters")
    if (r == 0) say("What is " a " plus " b "?", cap(number(a)) " plus " number(b) " makes " number(a + b) ".")
    else if (r == 1) say("How much is " a " and " b "?", cap(number(a)) " and " number(b) " make " number(a + b) ".")
    else if (r == 2) say("What is " (a + b) " minus " b "?", cap(number(a + b)) " minus " number(b) " leaves " number(a) ".")
    else if (r == 3) say("I have " number(a + 1) " " thing " and get " number(b + 1) " more. How many do I have?", "You have " number(a + b + 2) " " thing ". " cap(number(a + 1)) " plus " number(b + 1) " makes " number(a + b + 2) ".")
    else say("If I have " number(a + b) " " thing " and give away " number(b) ", how many are left?", cap(number(a)) " " (a == 1 ? substr(thing, 1, length(thing) - 1) " is" : thing " are") " left. " cap(number(a + b)) " minus " number(b) " leaves " number(a) ".")
}

# What can be said of a thing by its class. Materials and clothes like "pair of" need no article of their own.
function noun(plural, one, sold, members,    n, m, x, y, ax, r, s) {
    n = split(members, m, ";")
    x = m[rnd(n) + 1]; y = m[rnd(n) + 1]; r = rnd(8)
    ax = plural == "materials" ? x : a_an(x)
    if (r == 0) say("What is " ax "?", cap(ax) " is a " one ".")
    else if (r == 1) say("Is " ax " a " one "?", "Yes, " ax " is a " one ".")
    else if (r == 2) say("Where can I buy " ax "?", "You can buy " ax " " sold ".")
    else if (r == 3 && x != y) say("Name two " plural ".", cap(ax) " and " (plural == "materials" ? y : a_an(y)) " are two " plural ".")
    else if (r == 4) {
        s = pick("%X stood in the corner and waited.;I saw %X on my way home.;My aunt has told me much about %X.;There is nothing like %X on a cold day.;We drew %X on a large sheet of paper.")
        gsub(/%X/, ax, s)
        say(pick("Write a sentence about ;Write something about ;Make a sentence with ") ax ".", cap(s))
    }
    else if (r == 5 && other != "" && other_one != one) say("Which is a " one ", " (rnd(2) ? ax " or " other : other " or " ax) "?", cap(ax) " is a " one ".")
    else if (r == 6 && other != "" && other_one != one) say("Is " ax " a " other_one "?", "No, " ax " is a " one ".")
    else say("What kind of thing is " ax "?", cap(ax) " is one of the " plural ".")
    other = plural == "materials" ? y : a_an(y); other_one = one
}

# Any trouble of any thing: the answer takes its words from the question.
function trouble(bad, first, second,    x, t, w, q, a) {
    x = bad ~ /(message|batteries|react|slow|work|minutes)/ ? device[rnd(n_device) + 1] : any[rnd(n_any) + 1]; t = third(bad); w = whose()
    q = pick("%W %X %T.;%W %X %T, what can I do?;What should I do when %A %T?;Why does %W %X %B?;%W %X %T, help;Since today %W %X %T.;The %X %T. Do you have an idea?;What does it mean when %A %T?;how do I help %A that %T")
    if (bad ~ /^not /) gsub(/Why does %W %X %B/, "Why does %W %X " bad, q)
    a = pick("If the %X %T, %F. Then %S.;%C. If the %X still %T, %S.;That is a pity. With %A it mostly helps to %F. You can also %S.;When %A %T, first %F. After that, %S.;A %X that %T is no disaster. %C and %S.;You can %F. If that is not enough, %S.")
    sub(/^A %X/, cap(a_an(x)), a)
    gsub(/%X/, x, q); gsub(/%T/, t, q); gsub(/%A/, a_an(x), q); gsub(/%W/, w, q); gsub(/%B/, bad, q)
    gsub(/%X/, x, a); gsub(/%T/, t, a); gsub(/%A/, a_an(x), a)
    if (first ~ /^do not /) gsub(/(helps to|can) %F/, "is best if you %F", a)
    gsub(/%F/, first, a); gsub(/%C/, cap(first), a); gsub(/%S/, second, a)
    say(cap(q), a)
}

function deed(verb, things, steps,    n, m, x, s, k, q, a) {
    n = split(things, m, ";"); x = m[rnd(n) + 1]; k = split(steps, s, ";")
    q = pick("How do I %V %A?;How can I %V %A?;How can %A be %Pd?;I want to %V the %X.;What is the way to %V %A?;I need to %V %A, which way is best?;%V %A;Tell me how to %V my %X.;Could I %V the %X?;Is it hard to %V %A?;the %X, how do I %V it;I would like to %V my %X but I do not know how.")
    if (q ~ /%Pd/) q = "How can I %V the %X?"
    a = pick("To %V %A, %1 and then %2.;You can %V the %X in a moment. %C, then %2.;%C. Then %2.;If you want to %V %A, first %1 and then %2.;It is not hard to %V %A. %C and %2.")
    if (k > 2 && rnd(2)) a = a " " pick("At the end;After that;Finally") ", " s[3] "."
    gsub(/%1/, s[1], a); gsub(/%C/, cap(s[1]), a); gsub(/%2/, s[2], a)
    gsub(/%V/, verb, q); gsub(/%A/, a_an(x), q); gsub(/%X/, x, q)
    gsub(/%V/, verb, a); gsub(/%A/, a_an(x), a); gsub(/%X/, x, a); gsub(/%N/, x, a)
    say(cap(q), a)
}

function versus(    i, k, f, g, q) {
    i = rnd(count["things"]) + 1; k = rnd(count["things"]) + 1
    if (i == k) return
    split(lines["things", i], f, "|"); split(lines["things", k], g, "|")
    q = pick("What is the difference between %X and %Y?;Explain the difference between %X and %Y.;How do %X and %Y differ?")
    gsub(/%X/, f[1], q); gsub(/%Y/, g[1], q)
    say(q, cap(f[1]) " is " f[2] ". " cap(g[1]) " is " g[2] ".")
}

function story(    q, a, who, hero) {
    who = pick(part["who"])
    hero = who ~ /^two/ ? "They" : who ~ /girl/ ? "She" : who ~ /(fox|cat|mouse|bear)/ ? "It" : "He"
    q = pick("Tell me a story.;Write a short story about %W.;Tell me a story about %W.;I would like to hear a story.;Write a short tale.")
    gsub(/%W/, who, q)
    a = pick("Once upon a time;Long ago;One morning") " there " (who ~ /^two/ ? "were " : "was ") who " " pick(part["where"]) ". "
    a = a hero " " pick(part["wish"]) " and " pick(part["act"]) ". " pick(part["end"]) "."
    say(q, a)
}

function row(file,    f, n, i, q, s) {
    n = split($0, f, "|")
    if (file == "problems") { s = split(f[2], q, ";"); problem(f[1], q[round % s + 1], f[3], f[4]) }
    else if (file == "tasks") task(f[1], f[2])
    else if (file == "things") thing_(f[1], f[2], f[3], f[4])
    else if (file == "advice") advice(f[1], f[2], f[3])
    else if (file == "capitals") capital(f[1], f[2], f[3], f[4])
    else if (file == "animals") animal(f[1], f[2], f[3], f[4])
    else if (file == "words") word(f[1], f[2], f[3], f[4], f[5])
    else if (file == "desk") { s = split(f[1], q, ";"); say(q[round % s + 1], f[2]) }
    else if (file == "nouns") for (i = 0; i < 3; i++) noun(f[1], f[2], f[3], f[4])
    else if (file == "verbs") for (i = 0; i < 4; i++) deed(f[1], f[2], f[3])
    else if (file == "general") { s = split(f[2], q, ";"); for (i = 0; i < 8; i++) trouble(f[1], q[1], q[2]) }
    else if (file == "colours") { if (round % 4 == 1) say("What colour is " f[1] "?", cap(f[1]) " is " f[2] ".") }
    else if (file == "whys") { s = split(f[1], q, ";"); if (round % 2) say(q[rnd(s) + 1], f[2]) }
    else if (file == "talk" && round % 4 == 0) {
        s = split(f[1], q, ";")
        for (i = 1; i <= s; i++) say(q[i] (q[i] ~ /[?.!]$/ ? "" : pick("!;.;")), pick(f[2]))
        if (rnd(3) == 0) talk("Hello", "Hello! How can I help you?", q[s], pick(f[2]))
    }
}

BEGIN {
    seed = 20261125
    dir = ARGV[1]
    split("zero;one;two;three;four;five;six;seven;eight;nine;ten;eleven;twelve;thirteen;fourteen;fifteen;sixteen;seventeen;eighteen;nineteen", digit, ";")
    split("ten;twenty;thirty;forty;fifty;sixty;seventy;eighty;ninety", ten, ";")
    files = split("problems tasks desk things advice capitals animals words nouns verbs general colours whys talk stories", name, " ")
    for (i = 1; i <= files; i++) {
        path = dir "/" name[i] ".txt"
        while ((getline line < path) > 0) {
            if (line ~ /^#/ || line == "") continue
            if (name[i] == "stories") { split(line, f, "|"); part[f[1]] = f[2] }
            else lines[name[i], ++count[name[i]]] = line
        }
        close(path)
    }
    for (i = 1; i <= count["nouns"]; i++) { # what breaks; devices twice as often
        split(lines["nouns", i], f, "|")
        for (k = split(f[4], g, ";"); k > 0 && f[1] ~ /^(devices|vehicles|tools|musical instruments|pieces of furniture)$/; k--) {
            any[++n_any] = g[k]
            if (f[1] == "devices") { any[++n_any] = g[k]; device[++n_device] = g[k] }
        }
    }
    for (round = 0; round < 16; round++) {
        for (i = 1; i < files; i++)
            for (k = 1; k <= count[name[i]]; k++) { $0 = lines[name[i], k]; row(name[i]) }
        for (k = 0; k < 20; k++) { sums(); if (k % 2) story(); else versus() }
    }
}
