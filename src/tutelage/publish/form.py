"""The leaderboard's form, filled from a run as far as a run knows."""

from collections.abc import Mapping
from typing import Any

from tutelage.challenge.backends import BACKENDS, Backend
from tutelage.evaluation.backends import objectives_of, of_objective
from tutelage.publish.finished import Finished, named

FLOPS = "6 x parameters x tokens read in training, forward and backward; a teacher's forward passes are not counted"
REST = ("optimizer", "objective", "objectives", "train", "student")
ABOVE = ("name", "lr", "schedule", "batch", "epochs", "shape")  # settings that have a field of their own


def form(run: Finished, backend: Backend, *, name: str, track: str, repo: str | None) -> dict[str, Any]:
    """Every field of the form, in its order; None where a run does not know. backend: that the results are of."""
    recipe, config = run.facts.recipe, run.config
    optimizer, train = (_table(recipe, key) for key in ("optimizer", "train"))
    # Masked rows and causal ones, by one objective.
    hybrid = "causal" in map(of_objective, objectives_of(str(run.folder)))
    return {
        "model_name": name,
        "hf_repo": repo,
        "track": track,
        "main_contributions": None,
        "model_type": "Hybrid" if hybrid else BACKENDS[backend].kind,
        "architecture": config.get("model_type"),
        "optimizer": optimizer.get("name"),
        "learning_rate": optimizer.get("lr"),
        "learning_rate_scheduler": optimizer.get("schedule"),
        "training_epochs": _epochs(run, train),
        "batch_size": train.get("batch"),
        "tokenizer": _tokenizer(run),
        "token_set_size": config.get("vocab_size"),
        "seed": run.facts.seed,
        "num_layers": _first(config, "n_layer", "num_hidden_layers"),
        "num_heads": _first(config, "n_head", "num_attention_heads"),
        "max_seq_length": _table(recipe, "data").get("window"),
        "num_parameters": run.run.get("parameters"),
        "flops": _flops(run),
        "gpu_dev": None,
        "gpu_train": _gpu_hours(run),
        "training_data": ", ".join(named(str(source["name"])) for source in run.sources) or None,
        "num_words_data": run.words,
        "data_genre": None,
        "data_preprocessing": _preprocessing(run),
        "data_human_annotation": None,
        "data_syn_aug": None,
        "other_hyp": _other(recipe),
        "model_description": recipe.get("about") or None,
        "teacher_models": ", ".join(run.teachers) or "none",
    }


def _table(recipe: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = recipe.get(key)
    return value if isinstance(value, dict) else {}


def _first(config: Mapping[str, Any], *keys: str) -> Any:
    return next((config[key] for key in keys if config.get(key) is not None), None)


def _epochs(run: Finished, train: Mapping[str, Any]) -> float | None:
    """Words shown over words of the training text, which holds for runs that end early, too."""
    shown = (run.run.get("ledger") or {}).get("shown")
    words = run.corpus.get("splits", {}).get("train", {}).get("words")
    return round(shown / words, 2) if shown and words else None if train.get("steps") else train.get("epochs")


def _tokenizer(run: Finished) -> str | None:
    name = run.corpus.get("tokenizer", {}).get("name")
    return named(str(name)) if name else None


def _flops(run: Finished) -> float | None:
    tokens = [row["tokens"] for row in run.facts.train if row.get("tokens")]
    parameters = run.run.get("parameters")
    return 6.0 * parameters * max(tokens) if tokens and parameters else None


def _gpu_hours(run: Finished) -> float | None:
    seconds, device = run.run.get("seconds"), str(run.run.get("device", ""))
    if seconds is None:
        return None
    machine = (run.run.get("parts") or {}).get("machine") or {}
    return round(seconds / 3600 * machine.get("processes", 1), 2) if device.startswith("cuda") else 0.0


def _preprocessing(run: Finished) -> str | None:
    request = run.corpus.get("request", {})
    said = {key: request.get(key) for key in ("documents", "newlines", "join") if request.get(key)}
    return ", ".join(f"{key}: {value}" for key, value in said.items()) or None


def _other(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that the form has no field for."""
    return {
        f"{table}.{key}": named(value) if isinstance(value, str) else value
        for table in REST
        for key, value in _table(recipe, table).items()
        if key not in ABOVE or (table, key) == ("objective", "name")
    }
