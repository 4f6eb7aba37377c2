"""What comes to a screen that is being left: Textual takes its parts down first, and timers and threads go on."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from textual.dom import DOMNode

Node = TypeVar("Node", bound=DOMNode)
Given = ParamSpec("Given")


def while_mounted(
    method: Callable[Concatenate[Node, Given], None],
) -> Callable[Concatenate[Node, Given], None]:
    """A method of a screen that does nothing once it is being taken down, where it would look for what is gone."""

    @wraps(method)
    def guarded(self: Node, /, *args: Given.args, **named: Given.kwargs) -> None:
        if self.display:  # false from the moment at which the screen is to go
            method(self, *args, **named)

    return guarded
