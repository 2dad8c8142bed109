"""What a model's config.json states, for those who publish a model and do not load it."""

from pathlib import Path

from transformers import PretrainedConfig

from tutelage.architectures.common.families import NeedsTrust
from tutelage.models.sizes import require_sensible
from tutelage.models.student import load_config, locate


def stated_config(folder: Path) -> PretrainedConfig:
    """The configuration of a run's or a folder's model. Code of its own does not run: its fields are read as they are.

    Without that code, fields that the file leaves out have no values, and no model can be made of it.
    """
    try:
        return load_config(str(folder))
    except NeedsTrust:
        fields, _ = PretrainedConfig.get_config_dict(locate(str(folder)))
        config = PretrainedConfig.from_dict(fields)
        require_sensible(config, f"{folder} could not be read")
        return config
