"""Errors of the machine (a full disk, a closed folder, too little memory) as errors that a user can mend."""

import errno
import re
import sqlite3
from pathlib import Path

from tutelage.errors import UserError
from tutelage.printable import shown

# What is wrong with the machine or a name, by the system's number. A file that is missing, or there already, is not
# among them: the code that opens it says what it expected.
MENDABLE = {
    errno.EACCES: "permission is denied",
    errno.EPERM: "the system does not allow it",
    errno.EROFS: "the disk is read-only",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "its links lead in a circle",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "it is a folder, not a file",
    errno.EMFILE: "too many files are open",
    errno.EFBIG: "the file would be too large",
    errno.EIO: "the disk reports an error",
}
SQLITE = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_IOERR: errno.EIO,
}


def as_user_error(error: Exception, path: Path | None = None) -> UserError | None:
    """An error of the machine as one that the user can mend, or None where it is none. path: what was being written."""
    number = _errno(error)
    name = path or getattr(error, "filename", None)
    place = shown(name) if name else "a file of this command"
    if number in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"The disk is full: {place} could not be written",
            "Nothing that was there before is lost",
            "Free some space and run the same command again; it goes on where it stopped",
        )
    if number in MENDABLE and path:
        return UserError(
            f"{place} could not be written ({MENDABLE[number]})",
            "A folder that you may write to",
            "Change its permissions, or name another place",
        )
    if number in MENDABLE:
        return UserError(f"{place} cannot be used: {MENDABLE[number]}", "", "Name another place, or mend this one")
    if isinstance(error, RuntimeError) and (loop := re.fullmatch(r"Symlink loop from '(.*)'", str(error))):
        return UserError(f"{loop[1]} is a link that leads to itself", "A file or folder", "Delete the link")
    if isinstance(error, MemoryError):
        return UserError("The memory is not enough", "", "Use smaller numbers: a batch, a window, a model")
    return None


def _errno(error: Exception) -> int | None:
    """The system's number of an error. SQLite has numbers of its own, safetensors names it in its text."""
    if isinstance(error, OSError):
        return error.errno
    if isinstance(error, sqlite3.Error):
        return SQLITE.get(getattr(error, "sqlite_errorcode", -1) & 0xFF)
    named = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__module__.startswith("safetensors") else None
    return int(named[1]) if named else None
