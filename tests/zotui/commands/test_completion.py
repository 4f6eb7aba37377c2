"""The shell's tab key, with real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.preset.load import load
from engine.runs.directory import RunDir
from tests.terminal import Terminal

REPOSITORY = Path(__file__).parents[3]
PRESET = '[model]\npath = "m"\n[task]\nname = "sst2"\n'


@pytest.fixture(autouse=True)
def _zotui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `zotui` on the path, and a home with a preset and runs, one of which has a hostile name."""
    script = tmp_path / "bin" / "zotui"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m zotui "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("ZOTUI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home" / "presets").mkdir(parents=True)
    (tmp_path / "home" / "presets" / "mine.toml").write_text(PRESET)
    for name in ("first-run", "second-run", '$(touch owned)";touch owned;"', "-rf", "a*"):
        RunDir.create(load("p", PRESET), "p", tmp_path / "home" / "runs" / name)


def bash(*words: str) -> list[str]:
    """What bash is offered for the last of these words."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"source <(zotui completion bash); COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        '_zotui_completion zotui; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line for line in done.stdout.split("\n") if line]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["zotui", "comple"], ["completion"]),
        (["zotui", "presets", "v"], ["validate"]),
        (["zotui", "run", "mi"], ["mine"]),
        (["zotui", "presets", "show", "mi"], ["mine"]),
        (["zotui", "run", "mine", "--se"], ["--set", "--seeds"]),
        (["zotui", "run", "mine", "--set", "method.ran"], ["method.rank="]),
        (["zotui", "run", "mine", "--set", "run.keep"], ["run.keep_checkpoints="]),
        (["zotui", "show", "fi"], ["first-run"]),
        (["zotui", "eval", "se"], ["second-run"]),
        (["zotui", "eval", "first-run", "--task", "bo"], ["boolq"]),
        (["zotui", "attach", "sec"], ["second-run"]),
    ],
    ids=" ".join,
)
def test_bash(words: list[str], expected: list[str]) -> None:
    assert bash(*words) == expected


def test_names_that_a_shell_would_obey_are_not_offered(tmp_path: Path) -> None:
    assert sorted(bash("zotui", "show", "")) == ["first-run", "second-run"]
    assert not (tmp_path / "owned").exists()


def ask(shell: str) -> dict[str, str]:
    """The environment in which a shell asks."""
    asked = {"COMP_WORDS": "zotui\nrun\n--set\nmethod.", "COMP_CWORD": "3", "_TYPER_COMPLETE_ARGS": "zotui show fi"}
    return {**os.environ, **asked, "_ZOTUI_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}


def test_an_answer_loads_nothing_that_takes_its_time() -> None:
    code = (
        "import sys; from zotui.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'textual', 'numpy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ask("bash"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "method.lr=" in done.stdout.split()


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}: apt-get install {' '.join(missing)}")


@needs("fish")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("zotui show fi", ["first-run"]),
        ("zotui run mine --set method.ran", ["method.rank="]),
        ("zotui comple", ["completion"]),
    ],
)
def test_fish(line: str, expected: list[str]) -> None:
    script = f"zotui completion fish | source; complete -C '{line}'"
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True)
    assert [one.partition("\t")[0] for one in done.stdout.splitlines()] == expected


PROMPT = "PS1='at your service> '\n"


@needs("tmux")
@pytest.mark.parametrize(
    ("shell", "file", "start"),
    [
        pytest.param("bash --rcfile bashrc -i", "bashrc", "source <(zotui completion bash)\n", id="bash"),
        pytest.param(
            "zsh -i", ".zshrc", "autoload -Uz compinit; compinit -u\nsource <(zotui completion zsh)\n", id="zsh",
            marks=needs("zsh"),
        ),
    ],
)  # fmt: skip
def test_at_a_prompt(tmp_path: Path, shell: str, file: str, start: str) -> None:
    (tmp_path / file).write_text(start + PROMPT)
    variables = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "ZOTUI_HOME")} | {"ZDOTDIR": str(tmp_path)}
    terminal = Terminal(tmp_path / "tmux", shell, variables)
    try:
        terminal.wait("at your service>")
        for typed, completed in (
            ("zotui show fi", "zotui show first-run "),
            ("zotui run mine --set method.ran", "zotui run mine --set method.rank="),
            ("zotui comple", "zotui completion "),
        ):
            terminal.press("C-u")
            terminal.press("-l", typed)
            terminal.press("Tab")
            terminal.wait(f"> {completed.rstrip()}")
            terminal.press("4")
            terminal.wait(f"> {completed}4")
    finally:
        terminal.close()


@needs("zsh")
def test_the_script_for_zsh_is_one_that_it_reads() -> None:
    script = subprocess.run(["zotui", "completion", "zsh"], capture_output=True, text=True, check=True).stdout
    subprocess.run(["zsh", "-n"], input=script, text=True, check=True)


def test_another_shell_is_refused() -> None:
    done = subprocess.run(["zotui", "completion", "csh"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "zotui: completion csh: not a shell known here; bash, zsh or fish\n")
