"""The folder of a repo's history says whose it is: a project's, and with which journal it goes.

The settled rows of event logs lie in files of ``[offline] folder``; which of them count is written
in the journal. So one folder goes with one journal: a repo that was copied to another store and
goes on there must not be opened with the old one by settings that were left behind, nor by a new,
empty journal that would leave all rows out.

| file | says |
|---|---|
| ``project.json`` | the project whose files lie here; those of others lie below ``projects/`` |
| ``journal.json`` | the journal that the files go with |

A folder that cannot be written says what it says, and is otherwise taken as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from pathlib import Path
from urllib.parse import quote

from skewless.config import make_private
from skewless.errors import Conflict, StoreError
from skewless.online.copies import note_copied
from skewless.online.storage import StateAndJournal
from skewless.stores.offline.log.unknown_files import refuse_unknown
from skewless.stores.online.base import KeyValues

WRITERS = "skewless.writers"
"""Table of the journal about itself; it does not move with a repo."""
_JOURNAL = b"journal"
_FROM = b"from/"

Stamp = tuple[int, int] | None


def folder_of_project(folder: Path, project: str) -> Path:
    """Return where a project keeps its files; the first one to ask has the folder itself."""
    file = folder / "project.json"
    text = json.dumps({"project": project})
    temporary = folder / f".project-{uuid.uuid4().hex}"
    with contextlib.suppress(OSError):
        if not file.exists():
            make_private(folder)
            temporary.write_text(text, encoding="utf-8")
            with contextlib.suppress(FileExistsError):
                os.link(temporary, file)  # whole, and only if there is none
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
    found = _read(file).get("project", project)
    return folder if found == project else folder / "projects" / quote(project, safe="")


class HistoryFolder:
    """Which journal a folder goes with.

    Args:
        folder: of one project.
        home: the stores that are used with it.
    """

    def __init__(self, folder: Path, home: StateAndJournal) -> None:
        self._file = folder / "journal.json"
        self._path = str(self._file)  # `Path.stat` takes three times as long
        self._home = home
        self._right: list[Stamp] = []
        self._files_known = False

    def refusal(self) -> StoreError | None:
        """Return why the stores may not be used with the folder, None if they may.

        Costs a look at the file's times while it does not change; the names of the files of settled
        rows are looked at once.
        """
        stamp = self._stamp()
        if stamp in self._right:
            return None
        found = _read(self._file)
        mine = self._home.journal.read_one(WRITERS, _JOURNAL)
        theirs = found.get("journal", "")
        if theirs and theirs.encode() != mine:
            if self._home.journal.read_one(WRITERS, _FROM + theirs.encode()) is None:
                return Conflict(
                    "the history of this folder goes with another journal"
                    if mine is None
                    else "the repo has moved to another online store",
                    got=f"its journal at {self._home.journal.where}",
                    expected=f"the one at {found.get('where')}, with which its history goes",
                    where=str(self._file),
                    hint=f"{self._outdated()}Name that store in [online], or copy it here: skewless"
                    " online copy --to NAME. If it is no more: skewless online adopt",
                )
            return self._unknown()  # a copy, which is taken by `take`
        if (problem := self._unknown()) is None and theirs:
            self._right = [stamp]
        return problem

    def _outdated(self) -> str:
        copied = next(iter(self._home.journal.scan(WRITERS, prefix=_FROM, limit=1)), None)
        return "" if copied is None else "This is a copy that lacks what was written since. "

    def _unknown(self) -> StoreError | None:
        """Return why the journal does not do for the settled rows: it was restored from before."""
        if not self._files_known:
            try:
                self.refuse_unknown()
            except Conflict as problem:
                return problem
            self._files_known = True
        return None

    def take(self) -> None:
        """Let the folder go with the journal from now on, unless it goes with another one.

        Raises:
            Conflict: it does.
        """
        if self._stamp() in self._right:
            return
        problem = self.refusal()
        if problem is not None:
            raise problem
        self.adopt()

    def refuse_unknown(self) -> None:
        """Refuse to leave out rows: the files must hold none that the journal does not know.

        Raises:
            Conflict: they do.
        """
        for folder in sorted(self._file.parent.glob("log/*")):
            refuse_unknown(self._home.journal, folder)

    def adopt(self) -> None:
        """Let the folder go with the journal from now on."""
        journal = self._home.journal
        with journal.transaction() as rows:
            mine = rows.read_one(WRITERS, _JOURNAL)
            if mine is None:
                mine = uuid.uuid4().hex.encode()
                rows.write(WRITERS, [(_JOURNAL, mine)])
        if _read(self._file).get("journal") != mine.decode():
            self._write({"journal": mine.decode(), "where": journal.where})
        # Once the folder goes with it, a journal is no copy any more.
        copied = [key for key, _ in journal.scan(WRITERS, prefix=_FROM)]
        if copied:
            journal.delete(WRITERS, copied)
        self._right = [self._stamp()]

    def rename(self, copied: str) -> None:
        """Give the journal another name: copies that were made of it may no longer be taken.

        Args:
            copied: what is to be noted of them, see `note_copied`.
        """
        with self._home.journal.transaction() as rows:
            before = rows.read_one(WRITERS, _JOURNAL)
            if before is not None:  # until the folder says so, other processes know both names
                rows.write(WRITERS, [(_FROM + before, b""), (_JOURNAL, uuid.uuid4().hex.encode())])
            note_copied(rows, copied)
        self.adopt()

    def _write(self, content: dict[str, str]) -> None:
        temporary = self._file.with_name(f".journal-{uuid.uuid4().hex}")
        with contextlib.suppress(OSError):
            make_private(self._file.parent)
            temporary.write_text(json.dumps(content), encoding="utf-8")
            temporary.replace(self._file)

    def _stamp(self) -> Stamp:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def note_copy(source: KeyValues, target: KeyValues) -> None:
    """Note in a journal that it holds what another one does, so that the folder may follow.

    Until something is written that it does not get: then the other one is renamed.
    """
    theirs = source.read_one(WRITERS, _JOURNAL)
    if theirs is not None:
        target.write(WRITERS, [(_FROM + theirs, b"")])


def _read(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
