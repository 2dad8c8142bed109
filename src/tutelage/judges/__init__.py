"""Judges score texts of the student; tutors correct them. Each module is a plug-in."""

from tutelage.judges.common.open import judge_of, open_judge, open_tutor, tutor_of

__all__ = ["judge_of", "open_judge", "open_tutor", "tutor_of"]
