"""What a cockpit's feed says that is worth telling someone who does not look."""

from __future__ import annotations

from textual.message import Message

from engine.protocol.events import Eval
from engine.runs.directory import RunDir, Standing
from zotui.alerts.triggers import Notice, Notices
from zotui.app.state.feed import Begun, Ended, Item, Past, Viewed


class Noticed(Message):
    """Something happened that those who do not look may want to be told."""

    def __init__(self, notice: Notice) -> None:
        super().__init__()
        self.notice = notice


class FeedNotices:
    """The notices of a cockpit's feed; a view of records is news only if the run was live when it was opened."""

    def __init__(self, run: RunDir) -> None:
        self._notices = Notices(run)
        self._viewed_live: bool | None = None  # None: an engine is watched, no records
        self._standing: Standing = "new"

    def begin_again(self) -> None:
        """A new engine takes the run up."""
        self._notices.begin_again()
        self._viewed_live = None

    def see(self, item: Item) -> Notice | None:
        """What is worth telling about this item."""
        match item:
            case Past(event=Eval() as evaluation):
                self._notices.remember(evaluation)
            case Past() | Begun():
                pass
            case Viewed():
                self._standing = item.summary.standing
                if self._viewed_live is None:
                    self._viewed_live = self._standing == "live"
            case Ended():
                if self._viewed_live is None:
                    return self._notices.ended()
                return self._notices.ended(self._standing) if self._viewed_live else None
            case _:
                return self._notices.see(item)
        return None
