"""The examples run, and what they claim to equal they equal."""

from pathlib import Path
from types import ModuleType

import pytest
import torch
from scripts import script
from torch.utils.data import Dataset
from toys import toy_batches, toy_loop, toy_student

from tutelage.data.batch import TokenBatch
from tutelage.objectives.distillation import Distillation
from tutelage.settings.train import Optimizer
from tutelage.teachers.live import Live

EXAMPLES = Path(__file__).parents[1] / "examples"
STEPS, BATCH, LR = 12, 8, 1e-2

pytest.importorskip("accelerate", reason="transformers.Trainer needs accelerate")


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return script("examples/hf_trainer.py")


class Rows(Dataset):
    """The windows of the loop's batches, one after the other."""

    def __init__(self, batches: list[TokenBatch]) -> None:
        self.rows = [{"input_ids": i, "labels": t} for b in batches for i, t in zip(b.ids, b.targets, strict=True)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.rows[index]


def distillation() -> Distillation:
    return Distillation(teacher=Live(toy_student(seed=9)), alpha=0.4, temperature=2.0)


def losses_of_our_loop(lr: float = LR) -> list[float]:
    settings = Optimizer(lr=lr, schedule="constant", weight_decay=0.0)
    loop = toy_loop(toy_student(seed=1), distillation(), optimizer=settings, steps=STEPS, holes=True)
    return [float(step.loss) for step in loop]


def losses_of_the_trainer(example: ModuleType, folder: Path, micro: int) -> list[float]:
    from transformers import TrainingArguments

    student = toy_student(seed=1)
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=BATCH // micro,
        max_steps=STEPS,
        max_grad_norm=1.0,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        dataloader_pin_memory=False,
        disable_tqdm=True,
        use_cpu=True,
    )
    optimizer = torch.optim.AdamW(student.parameters(), lr=LR, weight_decay=0.0)
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    batches = [toy_batches(BATCH, holes=True)(step) for step in range(STEPS)]
    trainer = example.DistillationTrainer(
        student, distillation(), args=arguments, train_dataset=Rows(batches), optimizers=(optimizer, constant)
    )
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


@pytest.mark.parametrize("micro", [8, 2], ids=["whole batches", "accumulated"])
def test_the_trainer_has_the_losses_of_our_own_loop(example: ModuleType, tmp_path: Path, micro: int) -> None:
    ours, unmoved = losses_of_our_loop(), losses_of_our_loop(lr=1e-12)
    theirs = losses_of_the_trainer(example, tmp_path, micro)
    assert len(ours) == len(theirs) == STEPS
    assert abs(ours[-1] - unmoved[-1]) > 1e-3  # far more than the bound: an update left out would show
    torch.testing.assert_close(torch.tensor(theirs), torch.tensor(ours), rtol=0, atol=1e-5)


def test_the_trainer_refuses_a_reduction_whose_unit_it_does_not_count(example: ModuleType) -> None:
    objective = Distillation(teacher=Live(toy_student(seed=9)), kl_reduction="sequence")
    with pytest.raises(AssertionError, match="counts tokens"):
        example.DistillationTrainer(toy_student(), objective)


def test_the_example_runs_as_it_stands(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    example.main()
    assert "'loss'" in capsys.readouterr().out
