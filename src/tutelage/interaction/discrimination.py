"""Whether a run's judge tells real texts of its corpus from spoiled ones, before the student learns from it."""

from typing import Any

from tutelage.errors import UserError
from tutelage.judges.checking.check import Opened, check_judge
from tutelage.judges.checking.real import real_texts
from tutelage.settings.interact import Interaction

TEXTS = 60  # real ones; each has spoiled copies of every kind
FEWEST_WORDS = 9
WORDS_PER_TOKEN = 0.7  # the real texts are about as long as the student's


def require_discrimination(judge: Opened, recipe: Interaction) -> dict[str, Any]:
    """The check of a judge, for run.json; refused if its AUC over all kinds of spoiled texts is below the least."""
    least, seed = recipe.judge.least_auc, recipe.seed
    words = max(int(recipe.sample.max_new * WORDS_PER_TOKEN), FEWEST_WORDS)
    check = check_judge(judge, real_texts(str(recipe.data.path), TEXTS, words=words, seed=seed), seed=seed)
    overall = check.overall
    if overall is None or overall.auc < least:
        reached = f"AUC {overall.auc:.3f}, {overall.low:.3f} to {overall.high:.3f}" if overall else "it gives no score"
        raise UserError(
            f"The judge does not tell real texts from spoiled ones well enough ({reached}; judge.least_auc is {least})",
            "A judge with scores that a student can learn from",
            "`tutelage judge --check` shows each kind of spoiled text; try another judge, or lower judge.least_auc",
        )
    return check.as_json()
