"""Layers of the student beside layers of a teacher, as a recipe numbers them."""

from collections.abc import Iterable, Sequence

from tutelage.errors import UserError

FIRST = {0: "the embeddings", 1: "the first"}


def require_layers(
    objective: str,
    ours: Sequence[int],
    theirs: Sequence[int],
    *,
    student: int,
    teachers: Iterable[int],
    first: int,
) -> None:
    """Refuse lists of unequal lengths, and layers that a model does not have.

    ours, theirs:      layers of the student, and that of the teacher for each of them; -1 is the last
    student, teachers: how many layers the student and each teacher have, counted from `first`
    first:             0 where the embeddings count as a layer, else 1
    """
    if len(ours) != len(theirs) or not ours:
        raise UserError(
            f"objective {objective}: {len(ours)} student_layers and {len(theirs)} teacher_layers",
            "As many of the one as of the other, at least one",
        )
    for name, layers, count in (
        ("student_layers", ours, student),
        *(("teacher_layers", theirs, count) for count in teachers),
    ):
        last = count - 1 + first
        if wrong := [layer for layer in layers if not (first <= layer <= last or -count <= layer < 0)]:
            raise UserError(
                f"objective {objective}: {name} names {wrong[0]}, and the model has {last} layers",
                f"{first}, {FIRST[first]}, to {last}; or from the end, -1 to -{count}",
            )
