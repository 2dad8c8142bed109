"""Model families at toy size, and all that one of them goes through: training, distillation, sampling, evaluation,
resuming, export. The table of docs/families.md is made of the answers.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
import torch
import transformers
from hiding import slow as slow_masked
from hiding import t5
from safetensors.torch import load_file
from scored import slow
from stopping import stopped_at
from transformers import AutoTokenizer

from tutelage.challenge.backends import Backend
from tutelage.data.tokenizer import load_tokenizer
from tutelage.errors import UserError
from tutelage.evaluation.masked import MaskedScorer
from tutelage.evaluation.scorer import Scorer
from tutelage.evaluation.seq2seq import EncDecMask, EncDecPrefix
from tutelage.models.auto import auto_class
from tutelage.models.sampling import sample
from tutelage.models.student import load_config, load_model
from tutelage.verbs.evaluate import evaluate
from tutelage.verbs.export import export
from tutelage.verbs.prepare import prepare
from tutelage.verbs.train import train

COLUMNS = ("trained", "distilled", "sampled", "evaluated", "resumed to the bit", "exported")
TEXTS = ("The little dog sees the cat.", "A bird is")

LLAMA: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 32,
}
HEAD = {"head_dim": 8}
NEOX = {name: LLAMA[name] for name in LLAMA if name != "num_key_value_heads"}
MOE = {"num_local_experts": 4}
ROPE = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
ROPE |= {"original_max_position_embeddings": 512}

HEAD_OF_PAGE = """\
# Families

<!-- Written by `make families`; a test compares the rows of six families. -->

Each family of transformers at toy size (two layers of width 16, random weights, a vocabulary of 300) is *trained* for
four steps by cross-entropy, an encoder by `masked`; *distilled*: a second model learns from the first by
`distillation` or `masked_distillation`; *sampled*: each token's log-probability is that of the whole text read anew;
*evaluated*: minimal pairs, and scores of texts that are those of a plain reading; *resumed to the bit*: stopped after
two steps and continued, it ends with the weights of the run that was not stopped; *exported*: transformers alone
loads it, and its logits are the same. Logits, cross-entropy with its gradients and divergence are compared with those
of the transformers model for every family, in `tests/architectures/test_families.py`.

What slows a family down is said when it happens: attention that cannot be torch's fused one (GPT-J, BLOOM, Gemma 2);
sampling without a cache of keys and values (Mamba, RWKV), which reads a text again for every token; evaluation
without prefix sharing, for models that do not accept masks of one's own. What multiplies, biases or caps logits
(Cohere, Granite, Phi, Gemma 2) is part of the fused head and slows nothing down.

`student.shape` is the model type of transformers: `gpt_neo`, `llama4_text`, `gemma3_text`, `deberta-v2`. A model of
text and something else (`gemma3`, `llama4`) is refused, and the message names the type of its text model.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family: its name for readers, its model type, the sizes of a toy, and whether it fills in masks."""

    name: str
    shape: str
    sizes: Mapping[str, Any] = field(default_factory=lambda: LLAMA)
    encoder: bool = False

    def recipe(self, base: str) -> dict[str, Any]:
        """A recipe like `base` with a toy of this family as the student."""
        return {"base": base, "student": {"shape": self.shape, "config": dict(self.sizes), "dropout": 0.1}}


FAMILIES = [
    Family(name="GPT-2", shape="gpt2", sizes={"n_embd": 16, "n_layer": 2, "n_head": 2}),
    Family(
        name="GPT-Neo",
        shape="gpt_neo",
        sizes={"hidden_size": 16, "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]},
    ),
    Family(name="GPT-J", shape="gptj", sizes={"n_embd": 16, "n_layer": 2, "n_head": 2, "rotary_dim": 4}),
    Family(name="GPT-NeoX", shape="gpt_neox", sizes=NEOX),
    Family(name="BLOOM", shape="bloom", sizes={"hidden_size": 16, "n_layer": 2, "n_head": 2}),
    Family(
        name="OPT",
        shape="opt",
        sizes={
            "hidden_size": 16,
            "word_embed_proj_dim": 16,
            "ffn_dim": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
    ),
    Family(name="Llama 2", shape="llama", sizes=LLAMA | {"num_key_value_heads": 2}),
    Family(
        name="Llama 3",
        shape="llama",
        sizes=LLAMA | {"rope_parameters": ROPE},
    ),
    Family(
        name="Llama 4",
        shape="llama4_text",
        sizes=LLAMA | HEAD | MOE | {"intermediate_size_mlp": 32, "num_experts_per_tok": 1},
    ),
    Family(name="Mistral", shape="mistral", sizes=LLAMA | HEAD),
    Family(name="Mixtral", shape="mixtral", sizes=LLAMA | HEAD | MOE),
    Family(name="Qwen 2", shape="qwen2"),
    Family(name="Qwen 3", shape="qwen3", sizes=LLAMA | HEAD),
    Family(name="Gemma", shape="gemma", sizes=LLAMA | HEAD),
    Family(name="Gemma 2", shape="gemma2", sizes=LLAMA | HEAD),
    Family(name="Gemma 3", shape="gemma3_text", sizes=LLAMA | HEAD),
    Family(name="OLMo 2", shape="olmo2"),
    Family(name="Phi", shape="phi", sizes=LLAMA | {"num_key_value_heads": 2}),
    Family(name="Cohere", shape="cohere"),
    Family(name="Granite", shape="granite", sizes=LLAMA | {"logits_scaling": 6.0}),
    Family(name="Mamba", shape="mamba", sizes={"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}),
    Family(
        name="Mamba 2",
        shape="mamba2",
        sizes={
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "state_size": 4,
            "num_heads": 4,
            "head_dim": 8,
            "n_groups": 1,
            "chunk_size": 8,
        },
    ),
    Family(
        name="RWKV 4",
        shape="rwkv",
        sizes={"hidden_size": 16, "attention_hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2},
    ),
    Family(name="BERT", shape="bert", sizes=NEOX, encoder=True),
    Family(name="RoBERTa", shape="roberta", sizes=NEOX, encoder=True),
    Family(name="ELECTRA", shape="electra", sizes=NEOX | {"embedding_size": 8}, encoder=True),
    Family(name="DeBERTa v2", shape="deberta-v2", sizes=NEOX, encoder=True),
    Family(name="ModernBERT", shape="modernbert", sizes=NEOX, encoder=True),
]


class Trial:
    """One family in a folder of its own. Each answer is `yes`, or why not; a wrong number is an AssertionError."""

    def __init__(self, family: Family, corpus: Path, folder: Path) -> None:
        self.family, self.corpus, self.folder = family, corpus, folder
        self.run = folder / "trained"

    def row(self) -> dict[str, str]:
        """The answers of all columns."""
        asked: list[Callable[[], None]] = [
            self.trained, self.distilled, self.sampled, self.evaluated, self.resumed, self.exported,
        ]  # fmt: skip
        return {column: answer(one) for column, one in zip(COLUMNS, asked, strict=True)}

    def train(self, name: str, *options: str) -> Path:
        """A run of four steps of four windows."""
        fixed = [f"data={self.corpus}", f"run={self.folder / name}", "data.window=16", "train.steps=4", "train.batch=4"]
        fixed += ["train.micro_batch=2", "train.precision=fp32", "optimizer.warmup=1", "valid.windows=4"]
        base = "student_kd" if any(option.startswith("teacher=") for option in options) else "student_ce"
        recipe = self.folder / f"{base}.toml"
        self.folder.mkdir(exist_ok=True)
        recipe.write_text(tomli_w.dumps(self.family.recipe(base)))
        return train(str(recipe), [*fixed, *options], quiet=True)

    def trained(self) -> None:
        self.run = self.train("trained", *(["objective=masked"] if self.family.encoder else []))

    def distilled(self) -> None:
        objective = ["objective=masked_distillation"] if self.family.encoder else []
        self.train("distilled", f"teacher={self.run}", "seed=2", *objective)

    def sampled(self) -> None:
        """Each token's log-probability is that of the whole text, read anew."""
        model = load_model(str(self.run))
        for text in sample(model, [[5, 6, 7], [8]], max_new=6, seed=1):
            prompt = [[5, 6, 7], [8]][text.prompt]
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([[*prompt, *text.ids]]), use_cache=False).logits[0]
            logp = logits[len(prompt) - 1 : -1].log_softmax(-1).gather(-1, torch.tensor(text.ids)[:, None])[:, 0]
            assert torch.allclose(logp, torch.tensor(text.log_probs), atol=1e-3), self.family.name

    def evaluated(self) -> None:
        """Minimal pairs by the verb; and scores of texts as a plain reading has them."""
        pairs = self.folder / "pairs"
        pairs.mkdir()
        for file in sorted((self.corpus / "pairs").glob("*.jsonl"))[:3]:
            shutil.copy(file, pairs)
        done = evaluate([str(self.run)], tasks=["minimal_pairs"], pairs=pairs, quiet=True)
        assert done[0].rows, self.family.name
        tokenizer: Any = AutoTokenizer.from_pretrained(self.run / "model")
        texts = [(text, text) for text in TEXTS]
        if self.family.encoder:
            model = load_model(str(self.run), auto=transformers.AutoModelForMaskedLM)
            found = MaskedScorer(model, tokenizer, backend="mlm").completions(texts, "", TEXTS)
            expected = [slow_masked(model, tokenizer, "mlm", text, text) for text in TEXTS]
        else:
            model = load_model(str(self.run))
            found = Scorer(model, tokenizer).completions(texts, "", TEXTS)
            expected = [slow(model, tokenizer, text, text) for text in TEXTS]
        assert torch.allclose(torch.tensor(found), torch.tensor(expected, dtype=torch.float64), atol=1e-3)

    def resumed(self) -> None:
        objective = ["objective=masked"] if self.family.encoder else []
        with stopped_at(2):
            self.train("broken", "save.every=1", *objective)
        broken = self.train("broken", "save.every=1", *objective)
        whole, again = (load_file(run / "model" / "model.safetensors") for run in (self.run, broken))
        assert whole.keys() == again.keys() and all(torch.equal(whole[name], again[name]) for name in whole)

    def exported(self) -> None:
        """Transformers alone loads it, and it says the same."""
        export(self.run, to=str(self.folder / "out"), license="mit", quiet=True)
        config = load_config(str(self.run))
        alone = auto_class(config).from_pretrained(self.folder / "out").eval()
        ours = load_model(str(self.run), auto=auto_class(config))
        ids = torch.tensor([[5, 6, 7, 8]])
        with torch.no_grad():
            assert torch.allclose(alone(input_ids=ids).logits, ours(input_ids=ids).logits, atol=1e-5)

    @staticmethod
    def t5(corpus: Path) -> dict[str, str]:
        """An encoder-decoder is evaluated only: texts have the scores of a plain reading by either back end."""
        tokenizer: Any = load_tokenizer(corpus)
        model = t5(tokenizer)
        kinds: dict[Backend, Any] = {"enc_dec_mask": EncDecMask, "enc_dec_prefix": EncDecPrefix}
        for backend, kind in kinds.items():
            found = kind(model, tokenizer, backend=backend).completions([(text, text) for text in TEXTS], "", TEXTS)
            expected = [slow_masked(model, tokenizer, backend, text, text) for text in TEXTS]
            assert torch.allclose(torch.tensor(found), torch.tensor(expected, dtype=torch.float64), atol=1e-3), backend
        row = dict.fromkeys(COLUMNS, "no: an encoder-decoder")
        return row | {"evaluated": "yes"}


def answer(asked: Callable[[], None]) -> str:
    """`yes`, or why not in a few words."""
    try:
        asked()
    except UserError as error:
        return "an encoder" if "is an encoder" in str(error) else f"no: {str(error).splitlines()[0]}"
    return "yes"


def families_corpus(folder: Path) -> Path:
    """Some thousand words of the nursery, minimal pairs, and a tokenizer with CLS, SEP and a mask."""
    sources, specials = ["nursery:words=4000,seed=1,pairs=2"], "cls-sep"
    options: Any = {"tokenizer": "bpe", "vocabulary": 300, "special_tokens": specials, "valid_share": 0.1}
    return prepare(sources, out=folder, quiet=True, **options)


def page(rows: Mapping[str, Mapping[str, str]]) -> str:
    """docs/families.md."""
    lines = [f"| family | {' | '.join(COLUMNS)} |", "|---|" + "---|" * len(COLUMNS)]
    lines += [f"| {name} | {' | '.join(row[column] for column in COLUMNS)} |" for name, row in rows.items()]
    return "\n".join([HEAD_OF_PAGE, *lines]) + "\n"
