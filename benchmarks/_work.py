"""How many floating-point operations a token asks for: what measured speeds are set against.

Products of body, attention and head, two operations a multiply-add; the backward pass costs the forward pass twice.
GPT-2 Small: 252 million a token forward, of which the head is 77. GPT-2 Large: 1,568.
"""

from typing import TYPE_CHECKING

from tutelage.architectures.common.shapes import shape_config

if TYPE_CHECKING:
    from _world import World


def plain(world: "World") -> float:
    """A step of plain training, and of distillation from draws."""
    return 3 * (body(world, world.student) + head(world, world.student))


def from_hidden(world: "World") -> float:
    """Stored hidden states: the teacher's head is applied anew."""
    return plain(world) + head(world, world.teacher)


def online(world: "World") -> float:
    """The whole teacher, forward."""
    return from_hidden(world) + body(world, world.teacher)


def body(world: "World", shape: str) -> float:
    config = shape_config(shape, vocab=world.vocabulary, window=world.window)
    return body_of(config.num_hidden_layers, config.hidden_size, world.window)


def head(world: "World", shape: str) -> float:
    config = shape_config(shape, vocab=world.vocabulary, window=world.window)
    return head_of(config.hidden_size, world.vocabulary)


def body_of(layers: int, width: int, window: int) -> float:
    """Twelve squares of the width a layer, and attention over the whole window, as it is usually counted."""
    return layers * (24 * width**2 + 4 * window * width)


def head_of(width: int, vocabulary: int) -> float:
    return 2 * vocabulary * width
