"""Judges score what the student writes; tutors write it better. One module a plug-in."""

from tutelage.judges.common.open import judge_of, open_judge, open_tutor, tutor_of

__all__ = ["judge_of", "open_judge", "open_tutor", "tutor_of"]
