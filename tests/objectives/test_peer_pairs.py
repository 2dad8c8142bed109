"""SimPO, ORPO and DPO beside TRL's own trainers, where TRL is installed: from a file of pairs to the gradient."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.architectures.common.shapes import shape_config
from tutelage.data.pair_file import PairSet, read_pairs
from tutelage.data.tokenizer import load_tokenizer
from tutelage.models.student import Student, new_student
from tutelage.objectives.dpo import DPO
from tutelage.objectives.orpo import ORPO
from tutelage.objectives.simpo import SimPO

pytestmark = pytest.mark.filterwarnings("ignore")  # TRL warns about itself

ROWS = [
    {"prompt": "The dog", "chosen": " sees a ball.", "rejected": " see ball."},
    {"prompt": "Look at the cat", "chosen": ". It is small.", "rejected": " it small small small"},
    {"prompt": "We", "chosen": " play", "rejected": " plays with the red ball today"},
    {"prompt": "A bird sings and", "chosen": " flies away", "rejected": " fly"},
]
PEERS = {
    "simpo": ("trl.experimental.cpo", "CPO", {"loss_type": "simpo", "simpo_gamma": 1.0, "beta": 2.0, "cpo_alpha": 0.0}),
    "orpo": ("trl.experimental.orpo", "ORPO", {"beta": 0.3}),
    "dpo": ("trl", "DPO", {"beta": 0.2}),
}
OURS = {
    "simpo": SimPO(beta=2.0, gamma_beta_ratio=0.5, lm_weight=0),
    "orpo": ORPO(odds_weight=0.3),
    "dpo": DPO(beta=0.2),
}


def models(tokenizer: Any) -> tuple[Student, Student]:
    """A student, and a reference that is another model."""
    config = shape_config(
        "gpt2-tiny", vocab=len(tokenizer), window=64, eos=tokenizer.eos_token_id, changes={"n_embd": 16}
    )
    return tuple(new_student(deepcopy(config), seed=seed, dropout=0.0) for seed in (1, 2))  # pyright: ignore


def by_trl(name: str, tokenizer: Any, place: Path) -> tuple[float, dict[str, torch.Tensor], set[tuple[int, ...]]]:
    """Loss and gradient of all rows as one batch, and its sequences, as TRL's trainer makes them."""
    module, kind, settings = PEERS[name]
    trl = pytest.importorskip(module, exc_type=ImportError)
    from datasets import Dataset

    student, reference = models(tokenizer)
    given = {"output_dir": str(place), "report_to": [], "use_cpu": True, "per_device_train_batch_size": len(ROWS)}
    given |= {"max_length": 64, "gradient_checkpointing": False, "bf16": False, "dataloader_pin_memory": False}
    args = getattr(trl, f"{kind}Config")(**given, **settings)
    more = {"ref_model": reference.model} if name == "dpo" else {}
    data = Dataset.from_list(ROWS)
    trainer = getattr(trl, f"{kind}Trainer")(
        model=student.model, args=args, train_dataset=data, processing_class=tokenizer, **more
    )
    batch = next(iter(trainer.get_train_dataloader()))
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    grads = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}
    return float(loss.detach()), grads, sequences(batch)


def sequences(batch: dict[str, torch.Tensor]) -> set[tuple[int, ...]]:
    """The token sequences of a batch of TRL, without padding."""
    if "input_ids" in batch:
        both = [(batch["input_ids"], batch["attention_mask"])]
    else:
        both = [(batch[f"{side}_input_ids"], batch[f"{side}_attention_mask"]) for side in ("chosen", "rejected")]
    return {tuple(row[mask.bool()].tolist()) for ids, masks in both for row, mask in zip(ids, masks, strict=True)}


@pytest.mark.parametrize("name", PEERS)
def test_sequences_loss_and_gradient_are_those_of_trls_trainer(name, corpus, tmp_path):
    tokenizer = load_tokenizer(str(corpus))
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.bos_token = None  # TRL's CPO and ORPO put it before every prompt; its DPO and tutelage do not
    theirs, their_grads, their_sequences = by_trl(name, tokenizer, tmp_path)

    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    read = read_pairs(path, load_tokenizer(str(corpus)), longest=64, held_out=0.1)
    pairs = PairSet(rows=[*read.train.rows, *read.held_out.rows])
    found = {(*row.prompt, *reply) for row in pairs.rows for reply in (row.chosen, row.rejected)}
    assert found == their_sequences
    student, reference = models(tokenizer)
    objective, batch = OURS[name], pairs.batch(range(len(pairs)))
    if name == "dpo":
        batch = OURS["dpo"].with_reference(batch, reference, micro=4)
    terms = objective(student, batch).terms.values()
    loss = torch.stack([t.sum * t.weight / batch.counts[t.unit] for t in terms if t.weight]).sum()
    loss.backward()
    assert loss.item() == pytest.approx(theirs, rel=1e-5)
    ours = {n: p.grad for n, p in student.model.named_parameters() if p.grad is not None}
    assert ours.keys() == their_grads.keys()
    for key, grad in their_grads.items():
        assert (ours[key] - grad).norm() <= 1e-4 * grad.norm() + 1e-7, key
