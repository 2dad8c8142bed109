"""A small generated English: texts for a child, minimal pairs on held-out combinations, a judge that knows the rules.

for document in nursery.documents(words=200_000, seed=1): ...
nursery.write_pairs(Path("pairs"), n=200, seed=1)
nursery.grammatical_share(text); nursery.consistent(story)
"""

from tutelage.nursery.judge import consistent, grammatical_share
from tutelage.nursery.pairs import pairs, write_pairs
from tutelage.nursery.stories import documents

__all__ = ["consistent", "documents", "grammatical_share", "pairs", "write_pairs"]
