"""Train small language models under a teacher, on as many words as a child hears.

The verbs of the command line and the classes that a training loop is built from, under one name:

    import tutelage

    run = tutelage.train("student_ce", ["data=data/nursery"])
    [result] = tutelage.evaluate([str(run)], tasks=["perplexity"])

Each name is imported when it is first used: `import tutelage` alone loads neither torch nor transformers.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tutelage.architectures.common.shapes import shape_config
    from tutelage.data.batch import TokenBatch, token_batch
    from tutelage.data.stream import Order, TokenStream
    from tutelage.errors import Interrupted, UserError
    from tutelage.judges.common.open import open_judge, open_tutor
    from tutelage.models.student import Student, load_student, new_student
    from tutelage.objectives.cross_entropy import CrossEntropy
    from tutelage.objectives.distillation import Distillation
    from tutelage.objectives.dpo import DPO
    from tutelage.objectives.ppo import PPO
    from tutelage.objectives.rloo import RLOO
    from tutelage.objectives.simpo import SimPO
    from tutelage.remote_code import trust_remote_code
    from tutelage.settings.train import Optimizer
    from tutelage.teachers.cache import Cache
    from tutelage.teachers.live import Live
    from tutelage.training.loop import Loop
    from tutelage.training.optim import build_optimizers
    from tutelage.training.scaling import MicroBatch
    from tutelage.training.schedule import lr_factor
    from tutelage.training.step import Step
    from tutelage.verbs.evaluate import evaluate
    from tutelage.verbs.export import export
    from tutelage.verbs.interact import interact
    from tutelage.verbs.judge import judge
    from tutelage.verbs.prepare import prepare
    from tutelage.verbs.report import report
    from tutelage.verbs.sample import sample
    from tutelage.verbs.score import score
    from tutelage.verbs.study import study
    from tutelage.verbs.submission import submission
    from tutelage.verbs.train import train

__version__ = "0.1.0"

# How often a thread of torch on Linux looks whether the others are done before it sleeps; read when torch is loaded. By
# default it looks for milliseconds, in which it holds a core that another program or the other thread could use: beside
# busy processes small operations then take 15 to 40 times as long. This is about 10 microseconds.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "500")

# Where each public name is defined. tests/test_front_door.py holds it equal to the imports above.
_HOMES = {
    "architectures.common.shapes": ("shape_config",),
    "data.batch": ("TokenBatch", "token_batch"),
    "data.stream": ("Order", "TokenStream"),
    "errors": ("Interrupted", "UserError"),
    "judges.common.open": ("open_judge", "open_tutor"),
    "models.student": ("Student", "load_student", "new_student"),
    "objectives.cross_entropy": ("CrossEntropy",),
    "objectives.distillation": ("Distillation",),
    "objectives.dpo": ("DPO",),
    "objectives.ppo": ("PPO",),
    "objectives.rloo": ("RLOO",),
    "objectives.simpo": ("SimPO",),
    "remote_code": ("trust_remote_code",),
    "settings.train": ("Optimizer",),
    "teachers.cache": ("Cache",),
    "teachers.live": ("Live",),
    "training.loop": ("Loop",),
    "training.step": ("Step",),
    "training.optim": ("build_optimizers",),
    "training.scaling": ("MicroBatch",),
    "training.schedule": ("lr_factor",),
    "verbs.evaluate": ("evaluate",),
    "verbs.export": ("export",),
    "verbs.interact": ("interact",),
    "verbs.judge": ("judge",),
    "verbs.prepare": ("prepare",),
    "verbs.report": ("report",),
    "verbs.sample": ("sample",),
    "verbs.score": ("score",),
    "verbs.study": ("study",),
    "verbs.submission": ("submission",),
    "verbs.train": ("train",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = ["__version__", *sorted(_HOME_OF)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tutelage' has no attribute {name!r}; public names are tutelage.__all__")
    value = getattr(importlib.import_module(f"tutelage.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
