"""Who reads what the student wrote: marks it, or writes it better. One file a reader."""

from tutelage.judges.common.open import open_judge, open_tutor

__all__ = ["open_judge", "open_tutor"]
