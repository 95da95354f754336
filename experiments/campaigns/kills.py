"""Commands that are killed: ``python -m experiments.campaigns.kills --tries=40``.

Each try starts a command, kills it one to three times at random moments (half of them
right before it makes, renames or removes a file), gives it again and compares all that
it has written with what an undisturbed command writes, byte by byte but for seconds.
Nothing temporary may be left.
"""

from absl import flags

from experiments.campaigns import campaign
from experiments.campaigns.contents import contents, damaged

MOST_KILLS = 3
flags.adopt_module_key_flags(campaign)


def killed(attempt: campaign.Attempt) -> campaign.Report:
    """Kill a command, and give it again."""
    done, faults = [], []
    for _ in range(attempt.draw.randint(1, MOST_KILLS)):
        with attempt.paused() as (process, moment):
            if process is None:
                break
            process.kill()
        done.append(moment)
        faults += damaged(contents(attempt.trial.work))
    faults += attempt.faults_of_another_start()
    kills = f"{len(done)} kill{'s' * (len(done) != 1)}"
    return campaign.Report(f"killed {', '.join(done) or 'never'}", kills, faults)


if __name__ == "__main__":
    title = "Commands that were killed and given again"
    campaign.run_campaign("kills", __name__, __doc__, title, killed)
