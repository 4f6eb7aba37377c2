"""`zotui try`: prompts and examples, answered by a state of a run beside the base model."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from engine.errors import EXIT_DONE, EXIT_FAILED, UserError
from engine.protocol.codec import encode
from engine.protocol.commands import Try
from engine.protocol.events import Error, Log, Phase, Tried
from engine.protocol.findings import READY, Finding
from engine.protocol.frames import LONGEST
from engine.runs.directory import RunDir
from engine.runs.states import steps_of_state
from zotui.commands.options import RunName
from zotui.engines.trying import TryEngine
from zotui.headless.progress import Progress
from zotui.text.output import print_out, talk, write
from zotui.text.tried import lines, options_of

_MOST_TOKENS = 512  # of a text, which a command can ask for


def try_run(
    run: RunName,
    step: Annotated[
        str,
        typer.Option("--step", metavar="N|base|best|last", help="After N steps, at the best evaluation, or at last."),
    ] = "last",
    prompt: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="TEXT", help="A prompt; may be repeated. Default: a line of stdin each."),
    ] = None,
    example: Annotated[
        list[int] | None,
        typer.Option("--example", metavar="N", min=0, help="Of the validation split, from 0; may be repeated."),
    ] = None,
    options: Annotated[
        str | None,
        typer.Option(
            "--options",
            metavar="A|B|...",
            help="How likely each is after a prompt; '' has the model write on. Default: the task's.",
            show_default=False,
        ),
    ] = None,
    tokens: Annotated[
        int, typer.Option("--tokens", metavar="N", min=1, max=_MOST_TOKENS, help="Of a text, at most.")
    ] = 48,
    json: Annotated[bool, typer.Option("--json", help="A JSON object per answer.")] = False,
) -> None:
    """Try prompts on a run that is over: its weights at any step, beside the base model. Nothing is moved or kept."""
    found = RunDir.find(run)
    _refuse(found, step)
    among = options_of(found.preset()) if options is None else options.split("|")
    among = [option.strip() for option in among if option.strip()]
    if len(among) == 1:
        raise UserError(f"--options {options!r}: one option has nothing to be compared with; put | between two")
    asked = [Try(id=0, example=number, max_tokens=tokens) for number in example or ()]
    asked += [Try(id=0, prompt=text, options=among, max_tokens=tokens) for text in prompt or ()]
    questions = iter(asked) if asked else _typed(among, tokens)
    raise typer.Exit(_follow(TryEngine.on(found, step), questions, as_json=json))


def _refuse(run: RunDir, step: str) -> None:
    """Raises `UserError` for what the engine would refuse only once its libraries are loaded."""
    if run.is_live():
        raise UserError(f"{run.name}: is live; `zotui attach` and `p` try prompts on it as it is")
    run.refuse_damaged()
    steps_of_state(run, step, base=True)


def _typed(options: Sequence[str], tokens: int) -> Iterator[Try]:
    """A question for each line of standard input, asked for by a prompt where that is a terminal."""
    watched = sys.stdin.isatty()
    while True:
        if watched:
            write("prompt> ")
        line = sys.stdin.readline()
        if not line:
            if watched:
                write("\n")
            return
        if text := line.rstrip("\n"):
            yield Try(id=0, prompt=text, options=list(options), max_tokens=tokens)


def _follow(engine: TryEngine, questions: Iterator[Try], *, as_json: bool) -> int:
    """Ask one after the other, and show each answer; returns the exit code: 1 where one was not answered."""
    progress = Progress(quiet=as_json or not sys.stderr.isatty())
    findings, code, said = engine.findings(), EXIT_DONE, list[str]()
    try:
        if _until(findings, progress, said, READY) is None:
            return _ended(engine, said)
        for question in questions:
            if len(encode(question)) > LONGEST:  # a line that the engine would skip without an answer
                talk(
                    f"zotui: the prompt is too long: {len(question.prompt):,} characters; a line has {LONGEST:,} bytes"
                )
                code = EXIT_FAILED
                continue
            engine.ask(question)
            tried = _until(findings, progress, said)
            if not isinstance(tried, Tried):
                return _ended(engine, said)
            if as_json:
                print_out(encode(tried).decode().rstrip())
            elif tried.now is None:
                talk(f"zotui: {tried.note}")
            else:
                print_out("\n".join(lines(tried)) + "\n")
            code = EXIT_FAILED if tried.now is None else code
    finally:
        progress.clear()
        engine.close()
    return code


def _until(findings: Iterator[Finding], progress: Progress, said: list[str], phase: str = "") -> Finding | None:
    """What comes next of an answer, or of the phase; None where the engine has ended, with what it `said` of that."""
    for found in findings:
        if isinstance(found, Tried) or (isinstance(found, Phase) and found.name == phase):
            progress.clear()
            return found
        if isinstance(found, Error):
            progress.clear()
            said.append(found.text)
            talk(f"zotui: {found.text}")
        elif isinstance(found, Phase) or (isinstance(found, Log) and found.level == "warning"):
            progress.show(found)
    return None


def _ended(engine: TryEngine, said: Sequence[str]) -> int:
    """Its exit code; an engine that was killed has not said why it ended."""
    code = engine.wait()
    if not said:
        talk(f"zotui: the engine ended with code {code} before it answered; run the same command again")
    return code or EXIT_FAILED
