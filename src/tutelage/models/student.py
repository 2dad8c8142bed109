"""A Hugging Face causal LM as training sees it: a backbone that gives hidden states, and a head."""

import re
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.utils import logging

from tutelage.architectures.common.families import needs_trust
from tutelage.architectures.common.shapes import register_shipped
from tutelage.checked import read_object
from tutelage.data.tokenizer import save_tokenizer
from tutelage.errors import UserError
from tutelage.files import fingerprint, folder_atomically, hash_file
from tutelage.models.activation import fuse_gelu
from tutelage.models.attention_maps import map_sizes_of, recorded_maps
from tutelage.models.auto import auto_class, from_config, is_encoder, with_attention
from tutelage.models.head import Capped, Head, logits_of
from tutelage.models.hub import hub_problem
from tutelage.models.output import directions, form_of, pad_vocabulary, widened_hidden, widened_output
from tutelage.models.portable import files_of_model, portable_config
from tutelage.models.reading import read
from tutelage.models.shapes import keep_weights, with_dropout
from tutelage.models.sizes import DAMAGED, build_errors, first_line, require_buildable, require_sensible
from tutelage.models.value_head import ValueHead
from tutelage.models.whole import require_causal, require_plain_files, require_whole_weights
from tutelage.quantised.cached import dequantised, is_gguf
from tutelage.remote_code import trusted
from tutelage.sums import SUMS, check_sums, write_sums

logging.disable_progress_bar()  # transformers shows bars for loading and saving every checkpoint, which help nobody


class Student(nn.Module):
    """Any causal or masked LM with logits = hidden @ head.T, capped where the head is.

    The vocabulary is padded internally for speed.

    vocab: number of ids of the tokenizer. Further rows of the head are padding: no probability, no gradient, not saved.
    directions: which tokens a place sees
    """

    def __init__(self, model: PreTrainedModel, *, pad_to: int = 1) -> None:
        super().__init__()
        keep_weights(model.config)
        self.directions: Final = directions(model)
        self._form, self._compiled = form_of(model), False
        fuse_gelu(model)
        self.model: Any = model
        self.vocab = int(self.model.get_input_embeddings().weight.shape[0])
        if self._bias is None:
            pad_vocabulary(model, -(-self.vocab // pad_to) * pad_to)
        self.value_head: ValueHead | None = None

    def backbone(
        self, ids: Int[Tensor, "B T"], *, bidirectional: Bool[Tensor, " B"] | None = None
    ) -> Float[Tensor, "B T H"]:
        """Hidden states after the last norm, to which the head is applied.

        bidirectional: which rows see the tokens on both sides of a place. None: as the model does it by itself.
        """
        return self.for_head(self._read(ids, bidirectional)[0])

    def for_head(self, hidden: Float[Tensor, "B T H"]) -> Float[Tensor, "B T W"]:
        """The last of `states` as `head` takes them: multiplied as logits are, with a column of ones for a bias."""
        hidden = hidden if self._bias is None else widened_hidden(hidden)
        return hidden if (scale := self._form.response.scale) == 1 else hidden * scale

    def states(
        self, ids: Int[Tensor, "B T"], *, bidirectional: Bool[Tensor, " B"] | None = None
    ) -> tuple[Float[Tensor, "B T H"], ...]:
        """Hidden states of the embeddings and of every layer; the last are those that the head is applied to."""
        hidden, layers = self._read(ids, bidirectional, output_hidden_states=True)
        return *layers[:-1], hidden

    def attended(self, ids: Int[Tensor, "B T"], **seen: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """`states`, and from the same pass the attention map [B, heads, T, T] of each layer, as log-probabilities."""
        if self._compiled:
            raise UserError("train.compile is set, and attention maps are recorded", do="Set train.compile=false")
        with recorded_maps(self.config) as maps:
            states = self.states(ids, **seen)
        return states, tuple(maps)

    def _read(self, ids: Tensor, bidirectional: Tensor | None, **more: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What the output matrix is applied to, and the hidden states of all layers where `more` asks for them."""
        hidden, output = read(
            self.model, ids, layers=self._form.layers, directions=self.directions, bidirectional=bidirectional, **more
        )
        return hidden, output.hidden_states

    @property
    def layer_sizes(self) -> tuple[int, int]:
        """How many hidden states `states` gives, and the width of each."""
        return int(self.config.num_hidden_layers) + 1, self.model.get_output_embeddings().weight.shape[1]

    @cached_property
    def map_sizes(self) -> tuple[int, int]:
        """How many attention maps `attended` gives, and the heads of each. Raises UserError where it gives none."""
        return map_sizes_of(self)

    def compile_body(self, backend: str = "inductor") -> None:
        """Compile everything but the head and its loss, once for each shape; there are few shapes."""
        self._compiled = True
        self.model.base_model.compile(dynamic=False, backend=backend)

    @property
    def output_matrix(self) -> Float[Tensor, "V_padded H"]:
        """The output matrix with its padding; the embedding itself if the two are tied. A bias is a column of it."""
        weight = self.model.get_output_embeddings().weight
        return weight if self._bias is None else widened_output(weight, self._bias)

    @property
    def head(self) -> Head:
        """What losses take: the output matrix, with a cap where the model caps its logits."""
        cap = self._form.response.cap
        return self.output_matrix if cap is None else Capped(self.output_matrix, cap)

    @property
    def _bias(self) -> Tensor | None:
        return getattr(self.model.get_output_embeddings(), "bias", None)

    def logits(self, hidden: Float[Tensor, "*N H"]) -> Float[Tensor, "*N V"]:
        """Logits of the true vocabulary."""
        return logits_of(hidden, self.head)[..., : self.vocab]

    def add_value_head(self, expected: float = 0.0) -> None:
        """Add a head that predicts the return of each token, initially `expected`. It is trained and resumed with the
        model and not saved with it.
        """
        matrix = self.output_matrix
        self.value_head = ValueHead(matrix.shape[1], expected).to(matrix.device, matrix.dtype)

    def value(self, hidden: Float[Tensor, "*N H"]) -> Float[Tensor, "*N"]:
        """The value head's prediction for each hidden state."""
        assert self.value_head is not None, "a student without a value head"
        return self.value_head(hidden)

    @property
    def config(self) -> PretrainedConfig:
        """The Hugging Face configuration, of the true vocabulary."""
        return self.model.config

    def parameters_outside(self) -> int:
        """Number of parameters of the saved model: without padding, tied matrices once."""
        return sum(p.numel() for p in self._outside().values())

    def save(self, folder: Path, tokenizer: Tokenizer) -> None:
        """Write model and tokenizer as a folder that AutoModelForCausalLM and AutoTokenizer can load."""
        with folder_atomically(folder, files_of_model(folder)) as fresh:
            self.model.save_pretrained(fresh, state_dict=self._outside())
            save_tokenizer(tokenizer, fresh)
            (fresh / "config.json").write_text(portable_config(fresh), encoding="utf-8")
            write_sums(fresh)

    def _outside(self) -> dict[str, Tensor]:
        """The weights as they are saved: float32, without padding, a tied head once."""
        padded, body = self.output_matrix.shape[0], {name: p.detach() for name, p in self.model.named_parameters()}
        embeddings = {id(self.model.get_input_embeddings().weight), id(self.output_matrix)}
        kept = {}
        for name, parameter in self.model.named_parameters():
            cut = id(parameter) in embeddings and padded != self.vocab
            kept[name] = body[name][: self.vocab].clone() if cut else body[name]
        return kept


def new_student(config: PretrainedConfig, *, seed: int, dropout: float = 0.1, pad_to: int = 1) -> Student:
    """A model with random weights, which depend only on the configuration and the seed."""
    config = with_dropout(config, dropout)
    require_buildable(config, "The student")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = from_config(config)
    with build_errors(config, "The student"):
        return Student(model.float(), pad_to=pad_to)


def load_student(
    name: str, *, dropout: float | None = None, pad_to: int = 1, dtype: torch.dtype = torch.float32
) -> Student:
    """The model of a run, a folder or a Hub name as a student, to be trained further or to teach.

    An encoder is loaded as a masked LM. Whether an objective can use it is the question of `directions`.
    """
    auto = auto_class(config) if is_encoder(config := load_config(name)) else AutoModelForCausalLM
    return Student(load_model(name, dtype=dtype, dropout=dropout, auto=auto), pad_to=pad_to)


def load_model(
    name: str, *, dtype: torch.dtype = torch.float32, dropout: float | None = None, auto: Any = AutoModelForCausalLM
) -> PreTrainedModel:
    """A model in evaluation mode, from a run, a folder or a Hub name. Never pickles.

    Code of its own runs only where `tutelage.remote_code` allows it; that of shipped architectures is the package's.
    auto: the Auto class that loads it; a causal LM by default
    """
    place = locate(name)
    if Path(place).is_dir() and not list(Path(place).glob("*.safetensors")):
        raise UserError(
            f"{name} has a config.json but no *.safetensors",
            "A model with weights; pickled weights (.bin, .pt) are not loaded, because they can run code",
            "Save it again with save_pretrained, or name another folder",
        )
    config = load_config(name)
    if auto is AutoModelForCausalLM:
        require_causal(name, config)
    if dropout is not None:
        config = with_dropout(config, dropout)
    options = {"config": config, "dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    model, found = with_attention(lambda kind: _from_hub(auto, place, name, attn_implementation=kind, **options))
    require_whole_weights(name, model, found)
    fuse_gelu(model)
    return model.eval()


def load_config(name: str) -> PretrainedConfig:
    """The configuration of a run, a folder or a Hub name, with sizes that a model can have."""
    config = _from_hub(AutoConfig, locate(name), name)
    require_sensible(config.get_text_config(), f"{name} could not be loaded")
    return config


def load_tokenizer_of(name: str) -> Tokenizer:
    """The tokenizer that was saved with a model."""
    return _from_hub(AutoTokenizer, locate(name), name)


def locate(name: str) -> str:
    """Where a model's files are: the model of a run, a folder as it is, a GGUF file's cache, or a Hub name."""
    folder = Path(name)
    if not name.strip():
        raise UserError("The name of a model is empty", "A run, a folder, a GGUF file or a Hub name")
    if is_gguf(name):
        return str(dequantised(name))
    if folder.is_dir():
        place = _model_of_run(folder) if (folder / "run.json").exists() else folder
        if (place / "config.json").exists():
            require_plain_files(place, name)
            return str(place)
        raise UserError(f"{name} is a folder without a model", "A run, or a folder with config.json and weights", "")
    if name.startswith((".", "/", "~")) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise UserError(f"There is no model at {name}", "A run, a folder, a GGUF file or a Hub name", "")
    return name


def fingerprint_of(name: str) -> str:
    """Identifies a model's weights: the hash of its files, or of a Hub name with the loaded commit."""
    place = Path(locate(name))
    if place.is_dir():
        kinds = ("*.safetensors", "config.json", "*.py")
        return fingerprint({file.name: hash_file(file) for kind in kinds for file in place.glob(kind)})
    return fingerprint([name, getattr(_from_hub(AutoConfig, name, name), "_commit_hash", None)])


def _model_of_run(run: Path) -> Path:
    if (run / "model" / "config.json").exists():
        return run / "model"
    status = read_object(run / "run.json").get("status", "broken")
    raise UserError(
        f"The run {run} has no model yet: it is {status}", "A finished run", "Run its command again; it goes on"
    )


def _from_hub(kind: Any, place: str, name: str, **options: Any) -> Any:
    """`from_pretrained`, with one message for errors of the Hub and of damaged files."""
    local = Path(place).is_dir()
    if local:
        weights = (".safetensors",) if kind in (AutoConfig, AutoTokenizer) else ()
        check_sums(Path(place), f"Restore it from a copy. If the change is yours, delete {SUMS}", apart=weights)
    unreachable = "" if local else hub_problem()
    register_shipped()
    try:
        return kind.from_pretrained(place, trust_remote_code=trusted(), local_files_only=bool(unreachable), **options)
    except Exception as error:
        if "scaled_dot_product_attention" in str(error):
            raise
        if "trust_remote_code" in str(error) and not trusted():
            raise needs_trust(name) from error
        if not isinstance(error, DAMAGED) and type(error) is not Exception:  # tokenizers raises Exception itself
            raise
        reason = first_line(error)
        if not local:
            where = (
                f"it is not in the Hub's local cache, and {unreachable}" if unreachable else f"the Hub says: {reason}"
            )
            reason = f"there is no such run or folder here; as a Hub name, {where}"
        raise UserError(
            f"{name} could not be loaded: {reason}",
            "A run, a folder with a model, a GGUF file, or the name of a Hub model",
            "" if local else "Check the name and the network",
        ) from error
