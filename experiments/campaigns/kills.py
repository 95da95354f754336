"""Commands that are killed: ``python -m experiments.campaigns.kills --tries=40``.

Each try starts a command, kills it one to three times at random moments (half of them
right before it makes, renames or removes a file), gives it again and compares all that
it has written with what an undisturbed command writes, byte by byte but for seconds.
Nothing temporary may be left.
"""

import functools

from absl import flags

from experiments.campaigns import campaign
from experiments.campaigns.contents import contents, damaged
from nstjax.commands.launcher import run_command

MOST_KILLS = 3
flags.adopt_module_key_flags(campaign)


def killed(attempt: campaign.Attempt) -> campaign.Report:
    """Kill a command, and give it again."""
    done, faults = [], []
    trial = attempt.trial
    for _ in range(attempt.draw.randint(1, MOST_KILLS)):
        moment = attempt.moment()
        with trial.paused(moment) as process:
            if process is None:
                break
            process.kill()
        change = f" ({trial.changes()[-1]})" if moment.change else ""
        done.append(f"{moment}{change}")
        faults += damaged(contents(trial.work))
    faults += attempt.faults_of_another_start()
    kills = f"{len(done)} kill{'s' * (len(done) != 1)}"
    text = f"{attempt.cache} cache, killed {', '.join(done) or 'never'}"
    return campaign.Report(text, kills, faults, trial.output())


if __name__ == "__main__":
    title = "Commands that were killed and given again"
    main = functools.partial(campaign.run_campaign, title, killed)
    run_command("kills", __name__, __doc__ or "", main)
