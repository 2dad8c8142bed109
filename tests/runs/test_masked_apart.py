"""Runs that hide tokens and keep documents apart: what is hidden, what is measured, and what a kill leaves."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from stopping import stopped_at
from transformers import AutoModelForMaskedLM, AutoTokenizer

from tutelage.data.batch import IGNORED, TokenBatch
from tutelage.data.draws import Draws
from tutelage.data.symbols import Symbols
from tutelage.errors import UserError
from tutelage.files import read_rows
from tutelage.objectives.common.load import load_objective
from tutelage.recipe import read
from tutelage.runs.corpus import Corpus, open_corpus
from tutelage.settings.train import Training
from tutelage.verbs.prepare import prepare
from tutelage.verbs.train import train

WINDOW = 24


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short lines, each a document; the tokenizer puts CLS before and SEP behind every text."""
    folder = tmp_path_factory.mktemp("lines")
    lines = [f"the cat saw a dog {'and ran home ' * (i % 5)}" for i in range(300)]
    (folder / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    options: Any = {"tokenizer": "bpe", "vocabulary": 270, "special_tokens": "cls-sep", "valid_share": 0.1}
    return prepare([str(folder / "lines.txt")], out=folder / "data", documents="line", quiet=True, **options)


def options(data: Path, run: Path, *more: str) -> list[str]:
    sizes = {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    fixed = [f"data={data}", f"run={run}", f"data.window={WINDOW}", "train.steps=4", "train.batch=4"]
    fixed += ["train.micro_batch=2", "optimizer.warmup=1", "valid.windows=8", "valid.pseudo_perplexity=3"]
    fixed += ["log.every=1", "train.growing_windows=[]", "train.precision=fp32"]
    apart = ["data.documents=apart", "data.bos=segment", "data.eos=segment"]
    return [*(f"student.config.{name}={value}" for name, value in sizes.items()), *fixed, *apart, *more]


def hidden_batch(corpus: Corpus, objective: str, rate: float = 0.9) -> tuple[TokenBatch, TokenBatch, Symbols]:
    symbols = Symbols.of(corpus.tokenizer)
    extra = {"causal": 0} if objective == "hybrid" else {}
    rates = {"rate": rate, "final_rate": rate} if objective == "hybrid" else {"rate": rate}
    made: Any = load_objective(objective)(**rates, **extra)
    plain: Any = corpus.batch_of(range(len(corpus.apart or ())))
    return plain, made.masked(plain, draws=Draws(seed=1, step=0, progress=0.0), symbols=symbols), symbols


@pytest.mark.parametrize(("objective", "shift"), [("masked", 0), ("masked_next", 1), ("hybrid", 1)])
def test_a_target_is_a_hidden_token_of_the_same_document(
    objective: str, shift: int, documents: Path, tmp_path: Path
) -> None:
    corpus = open_corpus(read(Training, "gpt_bert_toy", options(documents, tmp_path / "run")))
    plain, hidden, symbols = hidden_batch(corpus, objective)
    assert plain.places is not None
    begins = plain.places == 0
    empty = begins & (plain.ids == corpus.tokenizer.pad_token_id)
    assert (plain.ids[begins & ~empty] == symbols.first).all()
    assert int((plain.ids == symbols.last).sum()) == int((begins & ~empty).sum())  # one SEP a segment
    row, column = torch.nonzero(hidden.targets != IGNORED, as_tuple=True)
    at = column + shift
    assert (hidden.targets[row, column] == plain.ids[row, at]).all()
    assert (plain.places[row, at] > 0).all(), "the first place of a document is CLS, and a place before it is elsewhere"
    assert torch.isin(plain.ids[row, at], torch.from_numpy(symbols.text)).all(), "no mark, no empty place"
    text = torch.isin(plain.ids, torch.from_numpy(symbols.text))
    assert len(row) / int(text.sum()) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("name", ["gpt_bert_toy", "deberta_lamb_toy", "masked_diffusion_toy"])
def test_a_killed_run_ends_with_the_same_bits(name: str, documents: Path, tmp_path: Path) -> None:
    more = ("save.every=1", "student.dropout=0.1", "valid.every=2")
    with stopped_at(2):
        train(name, options(documents, tmp_path / "broken", *more), quiet=True)
    broken = train(name, options(documents, tmp_path / "broken", *more), quiet=True)
    whole = train(name, options(documents, tmp_path / "whole", *more), quiet=True)
    model = Path("model") / "model.safetensors"
    assert (broken / model).read_bytes() == (whole / model).read_bytes()


@pytest.mark.parametrize(("name", "shift"), [("gpt_bert_toy", 1), ("deberta_lamb_toy", 0)])
def test_pseudo_perplexity_is_that_of_each_document_read_alone(
    name: str, shift: int, documents: Path, tmp_path: Path
) -> None:
    run = train(name, options(documents, tmp_path / "run", "valid.windows=3"), quiet=True)
    valid = [row for row in read_rows(run / "metrics.jsonl") if row["kind"] == "valid"][-1]
    model = AutoModelForMaskedLM.from_pretrained(run / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    corpus = open_corpus(read(Training, name, options(documents, tmp_path / "run", "valid.windows=3")))
    losses = []
    for batch in corpus.validation(1):
        assert batch.places is not None
        ends = [*torch.nonzero(batch.places[0] == 0)[1:].flatten().tolist(), WINDOW]
        for begin, end in zip([0, *ends], ends, strict=False):
            ids = batch.ids[0, begin:end]
            for i in range(len(ids)):
                if int(ids[i]) in tokenizer.all_special_ids:
                    continue
                hidden = ids.clone()
                hidden[i] = tokenizer.mask_token_id
                with torch.no_grad():
                    losses.append(-model(hidden[None]).logits[0, i - shift].log_softmax(-1)[ids[i]])
    assert math.log(valid["pseudo_perplexity"]) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-4)


def test_documents_without_the_tokenizers_template_are_refused(documents: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"puts \[CLS\] and \[SEP\] around every text.*") as error:
        train("gpt_bert_toy", options(documents, tmp_path / "run", "data.bos=none", "data.eos=none"), quiet=True)
    assert "Set data.bos=segment and data.eos=segment" in str(error.value)
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").glob("*.json"))
