"""The rules of the nursery's English; grammar.py explains their notation.

n and k are numbers (s, p), h is a gender of people (m, f), g any gender (m, f, n), x a gender or the plural
(m, f, n, p). A long rule has several lines, each with its name. A symbol without a rule is a category of lexicon.py (a
list of words), or else a word.
"""

# Noun phrases. Half of the nouns inside a phrase differ in number from its head, so the nearest noun is no guide.
_PHRASES = """
ANIMATE.{n} = noun.m.{n} | noun.f.{n} | 3 noun.n.{n} | noun.c.{n}
THING.{n} = 2 toy.{n} | food.{n}
DET.{n} = 1.4 demonstrative.{n} | counting.{n}
NAME = name.m | name.f
CN.{n} = 5 the ANIMATE.{n} | the adj.look ANIMATE.{n} | .6 the adj.mood ANIMATE.{n} | DET.{n} ANIMATE.{n}
CN.{n} = .6 DET.{n} adj.look ANIMATE.{n}
CN.s = .6 a ANIMATE.s
AN.s = 5 CN.s | NAME
AN.p = 5 CN.p | .5 the ANIMATE.s and the ANIMATE.s | .5 NAME and NAME
ANYNOUN.{n} = 4 ANIMATE.{n} | THING.{n} | place.{n} | .5 inside.{n} | .5 ontop.{n}
LOC = over there | up there | down there | out there
PREP = near | behind | beside | next to | in front of
PP = PREP the ANYNOUN.{k} | .2 PREP the adj.look ANYNOUN.{k} | .4 with the ANIMATE.{k} | .2 PREP NAME
RC.{n} = that meet.{n} the ANIMATE.{k} | 1.4 that the ANIMATE.{k} meet.{k}
SUBJ.{n} = 2.5 AN.{n} | CN.{n} LOC | 2 CN.{n} PP | 1.4 CN.{n} RC.{n}
SUBJ.s = .6 NAME PP | .6 NAME 's kin.{h}
SUBJ.p = .8 the ANIMATE.s and the ANIMATE.s | .3 NAME and NAME
OBJ = the ANIMATE.{k} | .3 the adj.look ANIMATE.{k} | .3 DET.{k} ANIMATE.{k} | .3 NAME
TOBJ = the THING.{k} | .4 the adj.look THING.{k} | .3 DET.{k} THING.{k} | .3 DET.{k} adj.look THING.{k}
TOBJ = .2 a THING.s
WHERE = near the place.s | by the place.s | behind the place.s | at home
WHEN = today | again | in the morning | in the evening | at night
FRONT = now | today | 1.5 look , | well ,
BE.s = is
BE.p = are
HAVE.s = has
HAVE.p = have
DO.s = does
DO.p = do
WAS.{g} = was
WAS.s = was
WAS.p = were
"""

# Gender: who may be himself, herself, itself, themselves.
_GENDERS = """
HEAD.{h} = the noun.{h}.s | .3 the adj.mood noun.{h}.s
HEAD.n = the noun.n.s | .3 the adj.look noun.n.s
HEAD.p = the ANIMATE.p | .3 the adj.look ANIMATE.p
WHOSE.{h} = 2 HEAD.{h} | 2 name.{h} | 1.5 name.{h} PP | NAME 's kin.{h}
WHOSE.n = 3 HEAD.n
WHOSE.p = 2 HEAD.p | .5 the ANIMATE.s and the ANIMATE.s | .5 NAME and NAME
WHOSE.{x} = 1.5 HEAD.{x} PP | .7 HEAD.{x} LOC | .7 HEAD.{x} that the ANIMATE.{k} meet.{k}
SELF.m = himself
SELF.f = herself
SELF.n = itself
SELF.p = themselves
PRON.m = he
PRON.f = she
PRON.n = it
PRON.p = they
POSS.m = his
POSS.f = her
POSS.n = its
POSS.p = their
SELFVP.{x} = 3 self.past SELF.{x} | self.past SELF.{x} WHERE | can self.p SELF.{x} | can self.p SELF.{x} WHERE
SELFVP.{g} = is self.ing SELF.{g} | self.s SELF.{g} WHEN | has just self.part SELF.{g}
SELFVP.p = are self.ing SELF.p | self.p SELF.p WHEN | have just self.part SELF.p
REFLEX = 4 WHOSE.{x} SELFVP.{x} . | FRONT WHOSE.{x} SELFVP.{x} .
PRONOUN = WHOSE.{x} walk.past WHERE because PRON.{x} WAS.{x} adj.mood .
PRONOUN = when WHOSE.{x} WAS.{x} adj.mood , PRON.{x} walk.past WHERE .
OWN = WHOSE.{x} handle.past POSS.{x} THING.{k} . | WHOSE.{x} handle.past POSS.{x} THING.{k} WHERE .
ASKSELF = did WHOSE.{x} self.p SELF.{x} ? | can WHOSE.{x} self.p SELF.{x} ?
"""

_STATEMENTS = """
PRED.{n} = 6 BE.{n} adj.mood | 2 BE.{n} adj.mood WHEN | 2 BE.{n} walk.ing | 2 BE.{n} walk.ing WHERE
PRED.{n} = walk.{n} WHEN | 1.5 walk.{n} WHERE | 1.5 meet.{n} OBJ | handle.{n} TOBJ | .5 HAVE.{n} walk.part WHERE
PRED.{n} = HAVE.{n} some THING.p | HAVE.{n} always meet.part OBJ | .5 BE.{n} not adj.mood | .5 can walk.p WHERE
PRED.{n} = .5 DO.{n} not walk.p WHERE | .5 DO.{n} not have any THING.p
FACT = 4 SUBJ.{n} PRED.{n} . | FRONT SUBJ.{n} PRED.{n} .
NONE = no ANIMATE.s PP | no ANIMATE.s LOC
NOBODY = NONE has any THING.p . | NONE has ever meet.part OBJ .
LOOKS = the THING.{n} BE.{n} adj.look . | the THING.{n} PREP the ANYNOUN.{k} BE.{n} adj.look .
LOOKS = the adj.look THING.{n} BE.{n} adj.look .
PAST = SUBJ.{n} walk.past WHERE . | SUBJ.{n} meet.past OBJ . | then SUBJ.{n} handle.past TOBJ .
PAST = SUBJ.{n} WAS.{n} adj.mood . | SUBJ.{n} WAS.{n} walk.ing WHERE . | then SUBJ.{n} handle.past TOBJ WHERE .
DNP.{n} = 2 DET.{n} ANIMATE.{n} | DET.{n} adj.look ANIMATE.{n} | 2 DET.{n} THING.{n}
DNP.{n} = DET.{n} adj.look THING.{n}
CALL = 2 look at DNP.{n} ! | look at DNP.{n} over there ! | I like DNP.{n} . | we can see DNP.{n} PP .
CALL = you have DNP.{n} . | do you see DNP.{n} ?
CALL = there is a ANIMATE.s WHERE . | there are counting.p ANIMATE.p WHERE . | there is a THING.s CONT .
CALL = do you want any THING.p ? | I want some THING.p .
"""

_QUESTIONS = """
ASK = ASK.s | ASK.p
ASK.{n} = 3 BE.{n} SUBJ.{n} adj.mood ? | 2 BE.{n} SUBJ.{n} adj.mood WHEN ? | 2 BE.{n} SUBJ.{n} walk.ing ?
ASK.{n} = 2 BE.{n} SUBJ.{n} walk.ing WHERE ?
ASK.{n} = 2 DO.{n} SUBJ.{n} walk.p WHERE ? | DO.{n} SUBJ.{n} meet.p OBJ ? | DO.{n} SUBJ.{n} have any THING.p ?
ASK.{n} = 1.5 can SUBJ.{n} walk.p WHERE ?
ASK.{n} = did SUBJ.{n} walk.p WHERE ? | did SUBJ.{n} handle.p TOBJ ? | did SUBJ.{n} handle.p TOBJ WHERE ?
ASK.{n} = 1.5 HAVE.{n} SUBJ.{n} handle.part TOBJ ? | HAVE.{n} SUBJ.{n} handle.part TOBJ WHERE ?
ASK.{n} = HAVE.{n} SUBJ.{n} walk.part WHERE ?
ASK.{n} = .5 what BE.{n} SUBJ.{n} doing ? | 1.5 what did SUBJ.{n} handle.p WHERE ?
ASK.{n} = 1.5 why did SUBJ.{n} handle.p TOBJ WHERE ? | .5 why BE.{n} SUBJ.{n} adj.mood ?
ANSWER = yes , PRON.{g} is . | yes , they are . | no , PRON.{g} is not . | no , they are not . | yes , I do .
ANSWER = no , I do not .
ANSWER = yes , PRON.{g} does . | no , PRON.{g} does not . | yes , they do . | no , they do not .
ANSWER = yes , PRON.{x} can . | no , PRON.{x} can not .
ANSWER = yes , PRON.{x} did . | no , PRON.{x} did not . | yes , PRON.{g} has . | no , PRON.{g} has not .
ANSWER = yes , they have . | no , they have not .
ANSWER = it is CONT . | CONT . | WHO . | WHO has it . | DNP.{n} . | PRON.{g} is walk.ing . | they are walk.ing .
ANSWER = I do not know . | because PRON.{g} is adj.mood . | because they are adj.mood . | yes , it is open .
ANSWER = no , it is closed .
"""

# Stories: the generator binds WHO, WHAT, CONT and the rest to what it has in mind; the parser takes anything that fits.
_STORIES = """
WHO = name.m | name.f | the noun.{h}.s | the noun.c.s | the noun.n.s
WHAT = the THING.s | the adj.look THING.s
CONT = in the inside.s | on the ontop.s
INTO = into the inside.s | onto the ontop.s
OUT = out of the inside.s | off the ontop.s
AND = then | after that | soon | 2 later
PUT = WHO put WHAT CONT . | .5 AND WHO put WHAT CONT . | .3 WHO found WHAT and put it CONT .
MINE = I put WHAT CONT . | .4 then I put WHAT CONT .
MOVE = AND WHO moved WHAT INTO . | AND WHO took WHAT OUT and put it CONT .
GIVE = WHO gave WHAT to WHO2 . | AND WHO gave WHAT to WHO2 .
WHO2 = WHO
TAKE = WHO took WHAT . | AND WHO took WHAT .
OPEN = WHO opened DOOR . | AND WHO opened DOOR .
CLOSE = WHO closed DOOR . | AND WHO closed DOOR .
DOOR = the openable.s
EAT = WHO ate WHAT . | AND WHO ate WHAT .
IS_AT = WHAT is CONT . | 2 now WHAT is CONT . | WHO said , " WHAT is CONT . "
ASK_AT = where is WHAT ? | WHO asked , " where is WHAT ? "
HAS = 2 now WHO has WHAT . | WHO has WHAT now .
ASK_HAS = who has WHAT ? | WHO asked , " who has WHAT ? "
IS_OPEN = 2 now DOOR is open . | WHO said , " DOOR is open . "
IS_CLOSED = 2 now DOOR is closed . | WHO said , " DOOR is closed . "
ASK_OPEN = is DOOR open ?
GONE = now WHAT is gone .
KIND.m = man | boy | king | prince | wizard | knight
KIND.f = woman | girl | queen | princess | witch | lady
ONCE = ONCE.m | ONCE.f
ONCE.{h} = 2 HE.{h} was a adj.mood KIND.{h} . | once HE.{h} was a adj.mood KIND.{h} .
HOME = HOME.m | HOME.f
HOME.{h} = HE.{h} lived near the place.s with a ANIMATE.s . | HE.{h} lived by the place.s .
HOME.{h} = HE.{h} had a adj.look ANIMATE.s . | HE.{h} had many THING.p .
DAY = DAY.m | DAY.f
DAY.{h} = one day HE.{h} walk.past WHERE . | one morning HE.{h} met a adj.look ANIMATE.s WHERE .
DAY.{h} = in the evening HE.{h} was adj.mood . | AND HE.{h} walk.past WHERE .
HE.m = he | name.m
HE.f = she | name.f
END = AND everybody went home . | everybody was adj.mood . | AND they went to bed . | it was a adj.look day .
"""

RULES = _PHRASES + _GENDERS + _STATEMENTS + _QUESTIONS + _STORIES

EVENTS = ("PUT", "MINE", "MOVE", "GIVE", "TAKE", "OPEN", "CLOSE", "EAT", "IS_AT", "HAS", "IS_OPEN", "IS_CLOSED", "GONE")
QUESTIONS = ("ASK", "ASKSELF", "ASK_AT", "ASK_HAS", "ASK_OPEN")
TALK = ("FACT", "NOBODY", "LOOKS", "PAST", "CALL", "REFLEX", "PRONOUN", "OWN")
TALES = ("ONCE", "HOME", "DAY", "END")
SENTENCES = (*TALK, *QUESTIONS, *EVENTS, *TALES)  # what stands alone; an ANSWER needs a question before it
