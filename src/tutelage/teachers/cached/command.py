"""The command of `tutelage prepare` that makes given targets, for error messages."""

from collections.abc import Sequence

from tutelage.recipe import Section
from tutelage.teachers.cached.windows import Reads, WindowIndex

SKIPPED = ("resident", "window", "stride", "targets")  # settings of training, and settings that are always written


def command_for(settings: Section, index: WindowIndex, names: Sequence[str], reads: Reads) -> str:
    """The command that makes targets with these settings. settings: of the cached teacher"""
    values, fields = settings.model_dump(), type(settings).model_fields
    changed = {k: v for k, v in values.items() if k not in SKIPPED and v != fields[k].default}
    options = {"teacher": ",".join(names), "targets": values["targets"], **changed, "window": index.window}
    options |= {"phases": index.window // index.stride} if index.exact else {"stride": index.stride}
    return f"tutelage prepare --out {reads.folder} " + " ".join(f"{key}={value}" for key, value in options.items())
