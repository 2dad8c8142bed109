"""The parameters of an objective itself: trained with the student's, saved in checkpoints, never in the model."""

from torch import Tensor, nn

from tutelage.errors import UserError
from tutelage.training.optim import Optimizers

PREFIX = "objective."  # of their names in a checkpoint


class Own:
    """The module that `own_module` found in an objective, in a loop. Refuses optimizers that do not train it."""

    def __init__(self, module: nn.Module, optimizers: Optimizers) -> None:
        self.module = module
        groups = [group for member in optimizers.members for group in member.param_groups]
        trained = {id(parameter) for group in groups for parameter in group["params"]}
        left = [name for name, p in module.named_parameters() if p.requires_grad and id(p) not in trained]
        if left:
            raise UserError(
                f"The objective's own parameters are in no optimizer: {', '.join(left)}: they would never be trained",
                "Optimizers over the parameters of student and objective",
                "Make them with build_optimizers(student, settings, own_module(objective))",
            )

    def count(self) -> int:
        """Numbers in its parameters."""
        return sum(p.numel() for p in self.module.parameters())

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers, each once, under the names that they have in a checkpoint."""
        kept = self.module.state_dict()
        tensors = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        return {PREFIX + name: tensor.detach() for name, tensor in tensors.items() if name in kept}
