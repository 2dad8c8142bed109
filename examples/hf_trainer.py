"""tutelage's distillation inside `transformers.Trainer`: the same losses as in tutelage's own loop.

    python examples/hf_trainer.py        # toy models, toy text, a few seconds on a CPU; needs `pip install accelerate`

For those who have a Trainer already and want only the objective. Our own loop is preferred wherever it will do: it
resumes exactly and asks for no callbacks.
"""

import tempfile
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from tutelage.architectures.common.shapes import shape_config
from tutelage.data.batch import TokenBatch
from tutelage.models.student import Student, new_student
from tutelage.objectives.distillation import Distillation
from tutelage.teachers.live import Live
from tutelage.training.parallel import Together


class DistillationTrainer(Trainer):
    """Trains `Together(student, objective)`: one module, so that DDP and its like see the whole forward pass."""

    # The objective gives sums and the Trainer the count over the whole step, so nothing is left to be divided.
    loss_is_scaled_for_ga = True

    def __init__(self, student: Student, objective: Distillation, **options: Any) -> None:
        assert objective.settings.kl_reduction == "token", "the Trainer counts tokens and no sequences"
        super().__init__(model=Together(student, objective), data_collator=torch.utils.data.default_collate, **options)
        self.model_accepts_loss_kwargs = True  # which is how it is asked to count them

    def compute_loss(
        self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        ids, labels = inputs["input_ids"], inputs["labels"]
        counted = num_items_in_batch is not None
        learnt = int(num_items_in_batch if counted else (labels != -100).sum())
        unknown = torch.zeros(len(ids), dtype=torch.long)  # where windows start, and their words: nobody asks here
        batch = TokenBatch(ids=ids, targets=labels, positions=unknown, words=unknown, totals={"tokens": learnt})
        sums = model(batch)
        weighed = self.accelerator.unwrap_model(model).terms
        loss = sum(sums[name] * weight / learnt for name, (_, weight) in weighed.items())
        if counted and self.args.average_tokens_across_devices:
            # DDP averages gradients over processes; we want their sum over the count of them all.
            loss = loss * self.args.world_size
        return (loss, sums) if return_outputs else loss


class Windows(Dataset):
    """Windows of token ids with their targets, which are shifted already."""

    def __init__(self, stream: Tensor, window: int) -> None:
        self.rows = stream[: len(stream) // (window + 1) * (window + 1)].view(-1, window + 1)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self.rows[index, :-1], "labels": self.rows[index, 1:]}


def main() -> None:
    vocab, window = 97, 32
    config = shape_config("gpt2-tiny", vocab=vocab, window=window)
    student, teacher = new_student(config, seed=1, dropout=0.0), new_student(config, seed=2)
    stream = torch.cumsum(torch.arange(20_000) % 7, dim=0) % vocab  # predictable, so there is something to learn
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=4, gradient_accumulation_steps=4, max_steps=30,
            learning_rate=1e-3, logging_steps=10, save_strategy="no", report_to="none", dataloader_pin_memory=False,
            remove_unused_columns=False,  # it would drop what `Together.forward` does not name
        )  # fmt: skip
        objective = Distillation(teacher=Live(teacher), alpha=0.9, temperature=2.0)
        DistillationTrainer(student, objective, args=arguments, train_dataset=Windows(stream, window)).train()


if __name__ == "__main__":
    main()
