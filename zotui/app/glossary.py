"""The words on every screen in plain language, as its help explains them."""

from __future__ import annotations

START = {
    "presets": "What can be run: those that come with zotui, and your own, which `n` makes of any of them.",
    "needs": "Memory that a run takes, by the model's configuration: weights, updates, KV space and activations. "
    "A dash is not known yet.",
    "fits": "Whether that is free now, and disk as well; `unknown` needs a download first. Enter says more.",
    "live": "An engine is at work on it: enter attaches to it, from as many terminals as you like.",
    "paused": "Likewise, but held after a step until somebody resumes it.",
    "finished": "All steps were taken; enter looks at its curves and results.",
    "stopped": "Ended on request, with everything saved: r resumes it.",
    "failed": "Ended with an error, which enter shows; r resumes it once that is mended.",
    "crashed": "The engine is gone without a word. Finished steps are kept: r resumes it.",
    "new": "Made, but its engine never began.",
    "result": "Of the last evaluation: accuracy, else the F1 of generated texts, else loss.",
}
FORM = {
    "valid": "The preset is checked at every letter, as `zotui presets validate` does; a fault stands at its key.",
    "●": "A key that is not as it was.",
    "default": "What holds where the preset does not say. A key that is emptied goes back to it.",
    "saved": "As a preset of your own, with all its comments; one that comes with zotui stays as it is.",
}
OWN_DATA = {
    "kind": "classification: which of a few labels? multiple-choice: which of a row's own choices? generation: a text "
    "that answers. text: all of a text, or of a conversation what the assistant says.",
    "prompt": "What the model reads before it answers; {column} is where a column of a row goes.",
    "learned": "What it learns to write behind the prompt.",
    "label, text": "What your data call a class, and the word that stands for it: the model is asked which of these "
    "words is likely behind the prompt. Words that it knows work best.",
    "check": "What a look at the file cannot tell.",
    "saved": "As a preset of your own, with the whole path of the file: it works from any folder.",
}
PREFLIGHT = {
    "refused": "What a run would end with before its first step. Nothing is launched until the preset is mended.",
    "updates": "How what is learned gets into weights of few bits; see model.fold.",
    "prompt": "The first training example, exactly as the model gets it.",
    "memory, host memory, disk": "What a run takes, part by part, of what is free now.",
    "estimate": "From a few steps and an evaluation that were timed here, of which nothing is kept; all else is known.",
}
TUNE = {
    "trial": "A few steps with one rate and eps, from the model as it is. It goes on to twice as many, and again, "
    "while it is among the better half; nothing of it is kept.",
    "first rate": "What a few probes suggest before any trial, from the noise, the slope and the curvature that they "
    "see; f takes it without waiting.",
    "proposed": "Of the trials that got to the end the best, or the smallest rate that gained nearly as much, where a "
    "run is longer than its trials, and takes a smaller rate.",
    "training, validation": "Losses after that many steps; at the end of a trial, on the same examples for all.",
    "behind, diverged": "Given up: others were further, or its loss grew out of bounds.",
}
COCKPIT = {
    "loss": "How wrong the model is on a batch of training examples: lower is better. A dot is one step, or the "
    "lowest and the highest of several; the line is smoothed, because single steps are noisy.",
    "● ■ · ‖ ▶ ▲ ◀": "Under the chart, at their steps: an evaluation, a checkpoint, a fold of what was learned into "
    "the weights, a pause, going on, changed settings, a return of the ratchet. ▴ and ▾ in it: a value off its scale.",
    "update kept": "How much of the intended change is there, residuals included; see model.fold.",
    "signal": "The difference between the two losses of a step against the numerical noise, measured at the start "
    "by scoring one batch over and over; and what is in the way, if the loss does not fall.",
    "lr, eps": "Beside the method: the learning rate of the newest step, as schedule, returns and changes have it, and "
    "how far from the weights a step scores. An event says what a change changed.",
    "spread": "Of the probes, where a step has several directions: how far apart their L+ − L− are, as a standard "
    "deviation in nats; the median of 50 steps.",
    "accuracy": "Share of held-out examples answered right: before training → now, and the best so far, with its step "
    "and the time that its steps took until then: start-up, evaluations and pauses are left out. "
    "The model never trains on these examples.",
    "tok/s": "Tokens scored a second; the speed of the run.",
    "step time": "How long one optimisation step takes: the batch is scored twice, a little to either "
    "side of the current weights, and the difference says which way to go.",
    "KV": "How full the runtime's key-value cache is, out of the part that scoring owns.",
    "GPU": "Memory in use of what the card has, by everything on it; how busy, warm and hungry it is. Where there is "
    "room each of them has a tile, and every other GPU of the machine one.",
    "memory, CPU": "What the engine and its children take, and this app; 100% is one core.",
    "ETA ~": "An estimate from the pace so far; pauses do not count.",
    "checkpoint": "The weights on disk at one step. The journal keeps every step in between as well.",
    "paused": "Held after a step until somebody resumes it; `elapsed` stands still with it.",
    "attached": "Another process launched this run, or an app that was left: everything here works on it all the "
    "same, and every attached app sees what the others do.",
    "stopped": "Ended on request, with everything saved: it can be resumed.",
    "crashed": "The engine is gone without a word. Finished steps are kept: it can be resumed.",
}
COMPARE = {
    "time": "What the steps took, added up as they were measured: without start-up, evaluations and pauses. "
    "`time in all` is with them.",
    "tokens": "What was scored until then; both sides of every step.",
    "smoothed": "A running mean over about so many steps. A held-out figure is drawn as it was measured.",
    "train loss": "Smoothed: over the first ten steps → up to the last.",
    "held-out": "At the first evaluation → at the last.",
    "best": "The evaluation with the highest accuracy, then the lowest loss; the step, and the time of the steps until "
    "then. That before training counts: where it is the best, the run only did harm.",
    "live": "A live run is followed: every two seconds what it added is read.",
}
