"""`tutelage score`: a number for each document of a corpus, which an order reads."""

from pathlib import Path

from rich.console import Console

from tutelage.evaluation.document_losses import scored


def score(
    corpus: Path,
    *,
    name: str,
    model: str = "",
    function: str = "",
    window: int = 128,
    device: str = "auto",
    quiet: bool = False,
) -> Path:
    """Store a score of every training document with a prepared corpus; `order=score order.by=NAME` reads it.

    model:    the score is its loss: nats per token, in pieces of at most `window` tokens
    function: the dotted path of a function of one's own from a document's text to a number
    Returns the file. The same call again writes it again.
    """
    console = Console(quiet=quiet, highlight=False, markup=False, soft_wrap=True)
    return scored(Path(corpus), name, model or function, window, device if model else None, console)
