"""`tutelage export`: a finished run becomes a model that anybody loads, with its card and its milestones."""

from pathlib import Path

from rich.console import Console

from tutelage.publish.export import Request, export_run


def export(
    run: Path, *, to: str, license: str = "", private: bool = False, dry_run: bool = False, quiet: bool = False
) -> str:
    """Put a run's model, tokenizer, card and milestones into a folder or a repository of the Hub; returns where.

    to:      `hub:owner/name` is a repository of the Hub, in which milestones are branches. Everything else is a folder,
             in which milestones are subfolders; a new one whose path looks like `owner/name` is written ./owner/name
    license: for the card, by the Hub's short name: apache-2.0, mit, cc-by-4.0
    private: create the repository as a private one; the challenge wants a public one
    dry_run: print what would be written where, and write nothing
    Running the command again resumes an interrupted export; it does nothing where nothing has changed.
    """
    request = Request(to=to, license=license, private=private, dry_run=dry_run)
    return export_run(Path(run), request, Console(quiet=quiet, highlight=False, markup=False, soft_wrap=True))
